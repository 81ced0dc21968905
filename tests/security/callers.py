"""An account of each kind of caller in a running gateway, and its token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.kit.ids import uuid7
from autogrocery.kit.security import tokens
from tests.harness.running_gateway import DEVICE_KEY, HASH, ROBOT_KEY, SCOPES, Device
from tests.security.policy import CLASSES, Caller

if TYPE_CHECKING:
    from tests.harness.running_gateway import RunningGateway

TRUCK_SCOPES: Final = ("restock:write", "restock:read")
OPS_SCOPES: Final = ("ops:read", "ops:write")
LONG_AGO_S: Final = 1_000_000.0


def issue(
    name: str, user_id: int, audience: str, scopes: tuple[str, ...], *, key: str = DEVICE_KEY, at: float | None = None
) -> str:
    return tokens.issue(
        key.encode(),
        issuer="autogrocery",
        audience=audience,
        user_id=user_id,
        principal=name,
        scopes=scopes,
        ttl_s=900,
        at=at,
    )


def robot(name: str, robot_class: str, *, key: str = ROBOT_KEY, user_id: int = 7) -> str:
    return issue(name, user_id, "inventory", (f"robot:pick:{robot_class}",), key=key)


class Callers:
    """One account of each kind in a gateway's registry; `order_id` is the owner's, in status PROCESSING."""

    def __init__(self, owner: Device, order_id: str, tokens_of: dict[Caller, str | None]) -> None:
        self.owner = owner
        self.order_id = order_id
        self.tokens = tokens_of


async def callers_of(gateway: RunningGateway) -> Callers:
    """Add the accounts to the registry, issue their tokens, and make the owner's order."""
    owner, other = await gateway.device(), await gateway.device()
    operator = await _account(gateway, "operator-of-test", "operator")
    found: dict[Caller, str | None] = {
        Caller.OWNER: owner.token,
        Caller.OTHER: other.token,
        Caller.TRUCK: await truck(gateway),
        Caller.OPERATOR: issue("operator-of-test", operator, "ops", OPS_SCOPES),
        Caller.READER: issue("operator-of-test", operator, "ops", ("ops:read",)),
        Caller.ANONYMOUS: None,
        Caller.EXPIRED: issue(owner.device_id, owner.user_id, "ordering", SCOPES, at=LONG_AGO_S),
    }
    found |= {Caller(f"robot of {name}"): robot(f"{name}-1", name) for name in CLASSES}
    await other.previewed()
    return Callers(owner, await owner.processing(), found)


async def truck(gateway: RunningGateway) -> str:
    """Add a truck to the registry and return its token."""
    name = f"truck-{uuid7()}"
    return issue(name, await _account(gateway, name, "truck"), "ordering", TRUCK_SCOPES)


async def _account(gateway: RunningGateway, name: str, kind: str) -> int:
    row = await gateway.db.row(
        "INSERT INTO smart_devices (device_id, password, kind) VALUES ($1, $2, $3) RETURNING id", name, HASH, kind
    )
    assert row is not None
    user_id: int = row["id"]
    return user_id
