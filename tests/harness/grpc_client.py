"""A client of a peer for tests: the methods of a service with a deadline of their own, and statuses as values."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from autogrocery.contracts.inventory.v1 import inventory_pb2
from autogrocery.contracts.pricing.v1 import pricing_pb2
from autogrocery.kit.rpc.channel import stub_of
from autogrocery.kit.rpc.status import Code, RpcError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.descriptor import ServiceDescriptor

    from autogrocery.kit.rpc.client_call import Caller

DEADLINE_S = 10.0
INVENTORY: ServiceDescriptor = inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"]
PRICING: ServiceDescriptor = pricing_pb2.DESCRIPTOR.services_by_name["PricingService"]


def patient_stub(channel: Caller, service: ServiceDescriptor) -> Any:
    methods = vars(stub_of(channel, service))
    return SimpleNamespace(**{name: partial(method, timeout_s=DEADLINE_S) for name, method in methods.items()})


async def code_of(call: Awaitable[Any]) -> Code:
    try:
        await call
    except RpcError as error:
        return error.code
    return Code.OK


async def when_ready(call: Callable[[], Awaitable[Any]], within_s: float = DEADLINE_S) -> Any:
    """Repeat a call while nobody listens at the target."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                return await call()
            except RpcError as error:
                if error.code is not Code.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.05)
