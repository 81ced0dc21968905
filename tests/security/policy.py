"""The authorization policy, stated independently of the code: the first row whose pattern matches a route applies."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from msgspec import Struct

CLASSES: Final = ("bread", "dairy", "meat", "produce", "party")


class Caller(StrEnum):
    """Every kind of caller: accounts, a robot of each class, and callers without a token or with an expired one."""

    OWNER = "owner"
    OTHER = "other device"
    TRUCK = "truck"
    ROBOT_BREAD = "robot of bread"
    ROBOT_DAIRY = "robot of dairy"
    ROBOT_MEAT = "robot of meat"
    ROBOT_PRODUCE = "robot of produce"
    ROBOT_PARTY = "robot of party"
    OPERATOR = "operator"
    ANONYMOUS = "none"
    EXPIRED = "expired"


class Verdict(StrEnum):
    """How a route answers a caller, as far as it depends on the caller: the problem's code, or that it is allowed."""

    ALLOWED = "allowed"
    NO_TOKEN = "invalid_token"
    NO_SCOPE = "insufficient_scope"
    NOT_SIGNED = "invalid_signature"
    NO_SUCH_ORDER = "order_not_found"


DEVICES: Final = frozenset({Caller.OWNER, Caller.OTHER})
TRUCKS: Final = frozenset({Caller.TRUCK})
OPERATORS: Final = frozenset({Caller.OPERATOR})
ALL: Final = frozenset(Caller)
ROBOTS: Final = frozenset(caller for caller in Caller if caller.startswith("robot"))
NONE: Final[frozenset[Caller]] = frozenset()

# The callers whose tokens a listener accepts: a route that refuses them returns 403, and 401 to all others.
ACCEPTED_AT: Final = {"public": DEVICES | TRUCKS, "internal": OPERATORS}


class PolicyRow(Struct, frozen=True):
    """Routes, the callers that they allow, and the verdict for all others if it is not about tokens."""

    listener: str
    route: str  # pattern of method and path
    allowed: frozenset[Caller]
    otherwise: Verdict | None = None
    one_order: bool = False  # about one order, which belongs to OWNER


HTTP: Final = (
    PolicyRow("public", r"POST /api/(client|truck)/(register|login)", ALL),
    PolicyRow(
        "public", r"POST /api/(client|truck)/refresh", NONE, Verdict.NO_TOKEN
    ),  # an access token is not a refresh token
    PolicyRow("public", r"GET /api/client/me|POST /api/client/password", DEVICES | TRUCKS),  # each account its own
    PolicyRow("public", r"POST /api/client/order/(confirm|cancel)", DEVICES, one_order=True),
    PolicyRow("public", r"GET /api/client/orders/\{order_id\}(/events)?", DEVICES, one_order=True),
    PolicyRow("public", r"(GET|POST|PATCH) /api/client/.+", DEVICES),
    PolicyRow("public", r"(GET|POST) /api/truck/.+", TRUCKS),
    PolicyRow("public", r"GET /(healthz|readyz|openapi\.json|docs)", ALL),
    PolicyRow("internal", r"POST /internal/login", ALL),
    PolicyRow("internal", r"POST /internal/refresh", NONE, Verdict.NO_TOKEN),
    PolicyRow("internal", r"POST /internal/webhook/.+", NONE, Verdict.NOT_SIGNED),
    PolicyRow("internal", r"(GET|POST|PUT|PATCH|DELETE) /internal/ops(/.+)?", OPERATORS),
    PolicyRow("internal", r"GET /(healthz|readyz|status|metrics|internal/(audit|metrics-log|disabled))", ALL),
    PolicyRow("internal", r"POST /internal/shortfalls", ALL),
)


def policy_of(listener: str, method: str, path: str) -> PolicyRow:
    """Return the row for a route; raises LookupError for a route without one."""
    for row in HTTP:
        if row.listener == listener and re.fullmatch(row.route, f"{method} {path}"):
            return row
    raise LookupError(f"the policy has no row for {method} {path}")


def verdict(row: PolicyRow, caller: Caller) -> Verdict:
    """Return the verdict that a route must give a caller."""
    if caller in row.allowed:
        return Verdict.NO_SUCH_ORDER if row.one_order and caller is not Caller.OWNER else Verdict.ALLOWED
    if row.otherwise is not None:
        return row.otherwise
    return Verdict.NO_SCOPE if caller in ACCEPTED_AT[row.listener] else Verdict.NO_TOKEN


# Inventory's calls of robots, and the robot class of the assignment that their tests use. None: a robot of any class is
# allowed, about its own leases or about a putaway that does not exist (for the class of one that does:
# tests/integration/inventory).
ROBOT_CALLS: Final = {
    "ListWork": "dairy",
    "StartPick": "dairy",
    "Heartbeat": None,
    "ReportPick": "dairy",
    "ReportPutaway": None,
}


def expected_grpc_status(call: str, caller: Caller) -> str:
    """Return the status that one of inventory's calls must give a caller; OK if the caller is allowed."""
    if call not in ROBOT_CALLS:
        return "OK"  # a call of the gateway, which mutual TLS authorizes
    if caller not in ROBOTS:
        return "UNAUTHENTICATED"
    wanted = ROBOT_CALLS[call]
    return "OK" if wanted is None or caller == f"robot of {wanted}" else "PERMISSION_DENIED"
