"""Mutual TLS of inventory and pricing over gRPC: the allowed callers of each call, on real connections."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from autogrocery.contracts import identities
from autogrocery.contracts.inventory.v1 import inventory_pb2
from autogrocery.contracts.pricing.v1 import pricing_pb2
from autogrocery.inventory import rpc as inventory
from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.client import Peer
from autogrocery.kit.rpc.server import serve
from autogrocery.kit.rpc.status import Code
from autogrocery.kit.security.tokens import Verifier
from autogrocery.lab.network import pki
from autogrocery.pricing import rpc as pricing
from tests.harness.grpc_client import code_of
from tests.harness.tls_endpoints import certificate_at, identity, tls_1_1_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from autogrocery.kit.rpc.client_call import Caller
    from autogrocery.kit.security.tls import Identity

NOTHING: Any = None  # stands for the stores: a call that reaches one was authorized
PATIENCE_S = 20.0
SERVICES = {
    "inventory": (inventory_pb2, "InventoryService", inventory.CALLERS, inventory.SERVICE, identities.INVENTORY),
    "pricing": (pricing_pb2, "PricingService", pricing.CALLERS, pricing.SERVICE, identities.PRICING),
}
CALLS = [
    (role, name)
    for role, (module, service, *_) in SERVICES.items()
    for name in module.DESCRIPTOR.services_by_name[service].methods_by_name
]
ALONE = {"inventory": "GetOrder", "pricing": "Quote"}
NAMES = {name: leaf.names[0] for name, leaf in pki.LEAVES.items()}


@asynccontextmanager
async def served(role: str, shown: Identity | None, callers: Mapping[str, Any] | None = None) -> AsyncIterator[int]:
    """Serve the reference service without stores."""
    if role == "inventory":
        times = inventory.RobotLimits(1.0, 1.0, 1)
        verifier = Verifier((b"k" * 32,), issuer="autogrocery", audience="inventory")
        methods = inventory.methods(
            inventory.Inventory(NOTHING, NOTHING, verifier, times, on_finished=NOTHING, on_restocked=NOTHING)
        )
    else:
        methods = pricing.methods(pricing.Pricing(NOTHING, currency="USD", margin_percent=0))
    callers = SERVICES[role][2] if callers is None else callers
    async with serve("ADDR", "127.0.0.1", 0, methods, identity=shown, callers=callers) as port:
        yield port


@asynccontextmanager
async def connected(port: int, shown: Identity, name: str) -> AsyncIterator[Caller]:
    """Open a channel and wait until it is connected: every certificate of the CA may call the health service."""
    async with open_channel(f"127.0.0.1:{port}", shown, name) as channel:
        await channel.raw("/grpc.health.v1.Health/Check")(b"", timeout_s=PATIENCE_S)
        yield channel


async def answer(channel: Caller, role: str, method: str) -> Code:
    """Make a call with an empty request, and return its status."""
    module, service, *_ = SERVICES[role]
    kind = module.DESCRIPTOR.services_by_name[service].methods_by_name[method]
    request = getattr(module, kind.input_type.name)()
    return await code_of(channel.unary(kind)(request, timeout_s=PATIENCE_S))


async def ask_alone(channel: Caller, role: str) -> Code:
    return await answer(channel, role, ALONE[role])


async def ask_by_grpcio(channel: grpc.aio.Channel, role: str) -> str:
    """Make the call of a client of gRPC's own library, which may show any certificate or none."""
    try:
        await channel.unary_unary(f"/{SERVICES[role][3]}/{ALONE[role]}")(b"", timeout=PATIENCE_S)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.parametrize("role", SERVICES)
async def test_call_is_allowed_to_its_listed_callers_only(keys: Path, role: str) -> None:
    callers, name = SERVICES[role][2], SERVICES[role][4]
    async with served(role, identity(keys, role)) as port:
        for caller, caller_name in NAMES.items():
            if not pki.LEAVES[caller].client_auth:
                continue
            async with connected(port, identity(keys, caller), name) as channel:
                for _, method in (call for call in CALLS if call[0] == role):
                    code = await answer(channel, role, method)
                    refused = code is Code.PERMISSION_DENIED
                    assert refused == (caller_name not in callers[method]), (caller, method, code)
                    assert code is not Code.UNAVAILABLE


def test_every_call_of_the_contract_has_allowed_callers() -> None:
    for role, (_, _, callers, *_) in SERVICES.items():
        assert set(callers) == {method for one, method in CALLS if one == role}


def test_order_calls_are_the_gateways_and_pick_calls_the_robots() -> None:
    assert {inventory.CALLERS[call] for call in ("ReserveItems", "AssignRobots", "ReleaseItems")} == {
        (identities.GATEWAY,)
    }
    robots = ("ListWork", "StartPick", "Heartbeat", "ReportPick", "ReportPutaway")
    assert {inventory.CALLERS[call] for call in robots} == {(identities.ROBOTS,)}


async def test_robots_picks_are_told_to_analytics_and_operators_only(keys: Path) -> None:
    path = "/autogrocery.inventory.picks.v1.PickHistoryService/ListPicks"
    codes = {}
    async with served("inventory", identity(keys, "inventory"), inventory.HISTORY_CALLERS) as port:
        for caller in ("analytics", "operator", "gateway", "robots"):
            async with connected(port, identity(keys, caller), identities.INVENTORY) as channel:
                codes[caller] = await code_of(channel.raw(path)(b"", timeout_s=PATIENCE_S))
    allowed, closed = Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED
    assert codes == {"analytics": allowed, "operator": allowed, "gateway": closed, "robots": closed}


async def test_method_without_allowed_callers_is_permission_denied(keys: Path) -> None:
    async with (
        served("pricing", identity(keys, "pricing"), {}) as port,
        connected(port, identity(keys, "gateway"), identities.PRICING) as channel,
    ):
        assert await answer(channel, "pricing", "Quote") is Code.PERMISSION_DENIED


@pytest.mark.parametrize("role", SERVICES)
async def test_server_refuses_clients_without_certificate_of_its_ca(keys: Path, strangers: Path, role: str) -> None:
    name, ca = SERVICES[role][4], (keys / "ca.crt").read_bytes()
    pair = [(strangers / f"gateway.{kind}").read_bytes() for kind in ("key", "crt")]
    options = (("grpc.ssl_target_name_override", name),)
    async with served(role, identity(keys, role)) as port:
        target = f"127.0.0.1:{port}"
        async with open_channel(target) as channel:
            assert await ask_alone(channel, role) is Code.UNAVAILABLE
        for shown in ([], pair):
            credentials = grpc.ssl_channel_credentials(ca, *shown)
            async with grpc.aio.secure_channel(target, credentials, options=options) as other:
                assert await ask_by_grpcio(other, role) == "UNAVAILABLE"
        async with connected(port, identity(keys, "gateway"), name) as channel:
            assert await ask_alone(channel, role) is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("role", SERVICES)
@pytest.mark.parametrize("imposter", ["foreign", "misnamed", "plain"])
async def test_client_refuses_server_with_wrong_name_or_ca(
    keys: Path, strangers: Path, role: str, imposter: str
) -> None:
    shown = {
        "foreign": lambda: identity(strangers, role),
        "plain": lambda: None,
        "misnamed": lambda: identity(keys, "gateway"),
    }[imposter]()
    async with (
        served(role, shown, {}) as port,
        open_channel(f"127.0.0.1:{port}", identity(keys, "gateway"), SERVICES[role][4]) as channel,
    ):
        assert await ask_alone(channel, role) is Code.UNAVAILABLE


async def test_permission_denied_leaves_a_call_in_doubt(keys: Path) -> None:
    async with (
        served("inventory", identity(keys, "inventory")) as port,
        connected(port, identity(keys, "robots"), identities.INVENTORY) as channel,
    ):
        method = channel.raw(f"/{inventory.SERVICE}/AssignRobots")
        with pytest.raises(InDoubt, match="permission_denied"):
            await Peer("inventory").call(method, b"", timeout_s=PATIENCE_S, point="inventory.assign_robots")


async def test_robot_certificate_without_token_is_unauthenticated(keys: Path) -> None:
    async with (
        served("inventory", identity(keys, "inventory")) as port,
        connected(port, identity(keys, "robots"), identities.INVENTORY) as channel,
    ):
        method = channel.raw(f"/{inventory.SERVICE}/ListWork")
        call = partial(Peer("inventory").call, method, b"", timeout_s=PATIENCE_S, point="inventory.list_work")
        with pytest.raises(InDoubt, match="unauthenticated"):
            await call()
        with pytest.raises(Unauthenticated):
            await call(token="none of ours")


async def test_grpc_handshake_below_tls_1_2_is_refused(keys: Path) -> None:
    async with served("pricing", identity(keys, "pricing")) as port:
        await certificate_at(port, identity(keys, "gateway"))
        with pytest.raises(OSError, match=r"EOF|reset|PROTOCOL_VERSION"):
            await certificate_at(port, tls_1_1_context(identity(keys, "gateway")))


async def test_client_that_does_not_offer_http_2_is_refused(keys: Path) -> None:
    async with served("pricing", identity(keys, "pricing")) as port:
        context = identity(keys, "gateway").current().client
        context.check_hostname = False
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(1), PATIENCE_S) == b""
        writer.close()
        await certificate_at(port, identity(keys, "gateway"))
