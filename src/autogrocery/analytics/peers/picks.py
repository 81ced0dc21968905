"""Inventory's PickHistoryService: what robots did for orders that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.analytics.core.details import Details, RobotPick
from autogrocery.contracts.inventory.picks.v1 import picks_pb2 as wire
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process import faults
from autogrocery.kit.rpc.channel import stub_of
from autogrocery.kit.rpc.status import Code, RpcError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.rpc.client_call import Caller

SERVICE: Final = wire.DESCRIPTOR.services_by_name["PickHistoryService"]
TIMEOUT_S: Final = 5.0
# Of a peer that has no such service, also of one that closes what it does not know.
NOT_SERVED: Final = frozenset({Code.UNIMPLEMENTED, Code.PERMISSION_DENIED})


class Picks:
    """The service at one inventory."""

    name: Final = "picks"

    def __init__(self, channel: Caller) -> None:
        self._stub = stub_of(channel, SERVICE)

    async def ask(self, order_ids: Sequence[UUID]) -> Details | None:
        """Return the picks of up to 200 orders; None from an inventory without the service. Raises Unavailable."""
        request = wire.ListPicksRequest(order_ids=[str(one) for one in order_ids])
        try:
            reply = await faults.through(
                "picks.ask", lambda: self._stub.ListPicks(request, timeout_s=TIMEOUT_S), TIMEOUT_S
            )
            return Details(picks=[_pick(one) for one in reply.picks])
        except RpcError as error:
            if error.code in NOT_SERVED:
                return None
            raise Unavailable("inventory_unavailable", f"inventory answered {error.code.name.lower()}") from None
        except (TimeoutError, OSError, msgspec.ValidationError) as error:
            raise Unavailable("inventory_unavailable", f"inventory gave no answer ({type(error).__name__})") from None


def _pick(one: wire.Pick) -> RobotPick:
    fields = {
        "order_id": one.order_id,
        "assignment_id": one.assignment_id,
        "robot_id": one.robot_id,
        "aisle": one.aisle,
        "units": one.units,
        "picked": one.picked,
        "short_skus": list(one.short_skus),
        "assigned_at": one.assigned_at.ToMicroseconds(),
        "closed_at": one.closed_at.ToMicroseconds(),
    }
    return msgspec.convert(fields, RobotPick)
