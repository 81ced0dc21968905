"""Who may do what, written down apart from the code: the first line whose pattern fits a door decides."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from msgspec import Struct

CLASSES: Final = ("bread", "dairy", "meat", "produce", "party")


class Who(StrEnum):
    """Who asks; a robot of each class, and nobody at all, with no token or with one whose time is over."""

    OWNER = "owner"
    OTHER = "other device"
    TRUCK = "truck"
    ROBOT_BREAD = "robot of bread"
    ROBOT_DAIRY = "robot of dairy"
    ROBOT_MEAT = "robot of meat"
    ROBOT_PRODUCE = "robot of produce"
    ROBOT_PARTY = "robot of party"
    OPERATOR = "operator"
    NOBODY = "none"
    EXPIRED = "expired"


class Says(StrEnum):
    """What a door says, as far as it depends on who asks: the code of the problem, or that it lets in."""

    LETS_IN = "lets in"
    NO_TOKEN = "invalid_token"
    NO_SCOPE = "insufficient_scope"
    NOT_SIGNED = "invalid_signature"
    NO_SUCH_ORDER = "order_not_found"


DEVICES: Final = frozenset({Who.OWNER, Who.OTHER})
TRUCKS: Final = frozenset({Who.TRUCK})
OPERATORS: Final = frozenset({Who.OPERATOR})
EVERYBODY: Final = frozenset(Who)
ROBOTS: Final = frozenset(who for who in Who if who.startswith("robot"))
NOONE: Final[frozenset[Who]] = frozenset()

# Whose token is good at a listener at all; for these a door that is closed says 403, for all others 401.
KNOWN: Final = {"public": DEVICES | TRUCKS, "internal": OPERATORS}


class Line(Struct, frozen=True):
    """A door, whom it lets in, and what it says to the rest if that is not about tokens."""

    listener: str
    door: str
    may: frozenset[Who]
    otherwise: Says | None = None
    one_order: bool = False  # it is about one order, which is OWNER's


HTTP: Final = (
    Line("public", r"POST /api/(client|truck)/(register|login)", EVERYBODY),
    Line("public", r"POST /api/(client|truck)/refresh", NOONE, Says.NO_TOKEN),  # an access token is no refresh token
    Line("public", r"GET /api/client/me|POST /api/client/password", DEVICES | TRUCKS),  # each its own
    Line("public", r"POST /api/client/order/(confirm|cancel)", DEVICES, one_order=True),
    Line("public", r"GET /api/client/orders/\{order_id\}(/events)?", DEVICES, one_order=True),
    Line("public", r"(GET|POST) /api/client/.+", DEVICES),
    Line("public", r"(GET|POST) /api/truck/.+", TRUCKS),
    Line("public", r"GET /(healthz|readyz|openapi\.json|docs)", EVERYBODY),
    Line("internal", r"POST /internal/login", EVERYBODY),
    Line("internal", r"POST /internal/refresh", NOONE, Says.NO_TOKEN),
    Line("internal", r"POST /internal/webhook/.+", NOONE, Says.NOT_SIGNED),
    Line("internal", r"(GET|POST|PUT|PATCH|DELETE) /internal/ops(/.+)?", OPERATORS),
    Line("internal", r"GET /(healthz|readyz|status|metrics|internal/(audit|metrics-log|disabled))", EVERYBODY),
)


def line_of(listener: str, method: str, path: str) -> Line:
    """Return the line about a door; LookupError for one that nobody has thought about yet."""
    for line in HTTP:
        if line.listener == listener and re.fullmatch(line.door, f"{method} {path}"):
            return line
    raise LookupError(f"the policy says nothing of {method} {path}: who may?")


def says(line: Line, who: Who) -> Says:
    """Return what a door has to say to somebody."""
    if who in line.may:
        return Says.NO_SUCH_ORDER if line.one_order and who is not Who.OWNER else Says.LETS_IN
    if line.otherwise is not None:
        return line.otherwise
    return Says.NO_SCOPE if who in KNOWN[line.listener] else Says.NO_TOKEN


# Inventory: calls of robots, and the class of the assignment that each test of them is about. None: any robot is heard, about its
# own leases, or about a putaway that there is not (the class of one that there is: tests/integration/inventory).
ROBOT_CALLS: Final = {
    "ListWork": "dairy",
    "StartPick": "dairy",
    "Heartbeat": None,
    "ReportPick": "dairy",
    "ReportPutaway": None,
}


def grpc_says(call: str, who: Who) -> str:
    """Return the status of one of inventory's calls that is right for somebody, OK for what is no refusal of the caller."""
    if call not in ROBOT_CALLS:
        return "OK"  # the gateway's: who may reach inventory is decided by mTLS
    if who not in ROBOTS:
        return "UNAUTHENTICATED"
    wanted = ROBOT_CALLS[call]
    return "OK" if wanted is None or who == f"robot of {wanted}" else "PERMISSION_DENIED"
