"""An example of each body that the public REST API takes and gives, for the OpenAPI document; typed, so valid."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec.structs import replace

from autogrocery.contracts.alerts import AlertPreference
from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.core.order import Cause, Dispatch, Outcome, Robot, Status
from autogrocery.gateway.core.restock import RestockStatus
from autogrocery.gateway.wire import accounts, orders, restocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Struct

ORDER_ID: Final = UUID("01a22f4b-68f5-76ce-8ccb-b7d568a01f7b")
RESTOCK_ID: Final = UUID("01a22f4c-12aa-7c10-9d22-0c5a3e9f1b64")
AT: Final = datetime(2027, 1, 31, 8, 15, tzinfo=UTC)
PASSWORD: Final = "a long enough password"  # noqa: S105 - an example
TOKEN: Final = "<header>.<claims>.<signature>"  # noqa: S105 - the form of a JWT
QUOTE: Final = orders.OrderOut(
    order_id=ORDER_ID,
    status=Status.PREVIEWED,
    currency="USD",
    total_cents=507,
    quoted_total_cents=507,
    items=(
        orders.LineOut("milk-1l", "Whole milk, 1 l", 2, 129, 258, None),
        orders.LineOut("bread-rye", "Rye bread", 1, 249, 249, None),
    ),
    expires_at=AT.replace(minute=17),
    created_at=AT,
    confirmed_at=None,
    finished_at=None,
    outcome=None,
    dispatch=None,
    robots=None,
)
COMPLETED: Final = replace(
    QUOTE,
    status=Status.COMPLETED,
    items=tuple(replace(line, picked=line.quantity) for line in QUOTE.items),
    confirmed_at=AT.replace(second=20),
    finished_at=AT.replace(minute=16),
    outcome=Outcome.FULL,
    dispatch=Dispatch.DISPATCHED,
    robots=(
        Robot("robot-dairy-1", "dairy", "01a22f4b-68f5-76ce-8ccb-b7d568a01f7b-1"),
        Robot("robot-bread-2", "bread", "01a22f4b-68f5-76ce-8ccb-b7d568a01f7b-2"),
    ),
)
RESTOCK: Final = restocks.RestockOut(
    RESTOCK_ID,
    "acme-dairy",
    "Acme Dairy",
    "note-4712",
    RestockStatus.RECEIVING,
    (restocks.RestockLineOut("milk-1l", "Whole milk, 1 l", "dairy", 120, 80, 40, 0, 1),),
    AT,
    None,
    Dispatch.DISPATCHED,
)
_ALL: Final[tuple[Struct, ...]] = (
    accounts.RegisterIn("fridge-17", PASSWORD, email="kitchen@example.com"),
    accounts.RegisteredOut("fridge-17", 42),
    accounts.LoginIn("fridge-17", PASSWORD),
    accounts.TokensOut(TOKEN, "r7Qm…", "Bearer", 900),
    accounts.PasswordIn(PASSWORD, "another long password"),
    accounts.AlertsIn(AlertPreference.TROUBLE),
    accounts.ContactIn(phone="+4915112345678"),
    accounts.MeOut(
        42,
        "fridge-17",
        Kind.DEVICE,
        "kitchen@example.com",
        None,
        None,
        ("orders:read", "orders:write", "catalog:read"),
        AlertPreference.TROUBLE,
    ),
    orders.PreviewIn((orders.ItemIn("milk-1l", 2), orders.ItemIn("bread-rye", 1))),
    orders.OrderIdIn(ORDER_ID),
    QUOTE,
    orders.OrdersOut([COMPLETED], None),
    orders.EventsOut(
        [
            orders.EventOut(1, None, Status.PREVIEWED, Cause.PREVIEWED, AT),
            orders.EventOut(2, Status.PREVIEWED, Status.PROCESSING, Cause.DISPATCHED, AT.replace(second=20)),
        ]
    ),
    orders.CatalogOut([orders.ProductOut("milk-1l", "Whole milk, 1 l", "dairy", 129, 48)], None),
    restocks.RestockIn(
        "acme-dairy",
        "Acme Dairy",
        (
            restocks.GoodsIn(
                "milk-1l", "Whole milk, 1 l", "dairy", 120, date(2027, 1, 30), date(2027, 2, 10), unit_cost_cents=88
            ),
        ),
        "note-4712",
    ),
    RESTOCK,
)
EXAMPLES: Final[Mapping[type, Struct]] = {type(one): one for one in _ALL}
