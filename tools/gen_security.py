"""The documents about who may do what, and about every problem there is; both made from code."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from autogrocery.contracts.inventory.v1 import inventory_pb2
from autogrocery.contracts.pricing.v1 import pricing_pb2
from autogrocery.gateway.app import internal_table, public_table
from autogrocery.gateway.core.account import AUDIENCES, ROBOT_CLASSES, SCOPES, Audience, Kind
from autogrocery.gateway.routes.accounts import Accounts
from autogrocery.gateway.routes.limits import limits_of
from autogrocery.gateway.settings import Rates
from autogrocery.inventory.rpc import SCOPE
from autogrocery.kit import errors as refusals
from autogrocery.kit.http import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autogrocery.kit.http.route import Route

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src" / "autogrocery"
NOTHING: Final[Any] = None  # tables bind what they are given, and use it when they are asked
STATUSES: Final = {
    name: kind.status if issubclass(kind, refusals.Refused) else 503
    for name, kind in vars(refusals).items()
    if isinstance(kind, type) and issubclass(kind, (refusals.Refused, refusals.Unavailable))
}
OPENED_BY: Final = {
    "/internal/webhook/": "inventory's signature",
    "/refresh": "a refresh token",
    "/login": "a password",
    "/register": "anybody, nobody, or an enrolment code",
}


class Row(Struct, frozen=True):
    """One door: where it is, and whom it lets in."""

    listener: str
    method: str
    path: str
    scope: str
    who: str


def tables() -> dict[str, list[Route]]:
    """Return the route tables of both listeners; no socket is opened for them."""
    accounts, limits = Accounts(NOTHING, NOTHING, NOTHING, {}, NOTHING), limits_of(Rates())
    return {
        "public": public_table(NOTHING, accounts, limits),
        "internal": internal_table(NOTHING, accounts, NOTHING, limits),
    }


def doors() -> list[Row]:
    """Return every route of both listeners with the kinds of accounts that it lets in."""
    return [
        Row(listener, route.method, route.path, route.scope or "", _who(listener, route))
        for listener, routes in tables().items()
        for route in routes
    ]


def _who(listener: str, route: Route) -> str:
    if not route.auth:
        return next((words for part, words in OPENED_BY.items() if part in route.path), "anybody who reaches it")
    audience = Audience.ORDERING if listener == "public" else Audience.OPS
    kinds = [kind for kind in SCOPES if AUDIENCES[kind] is audience and route.scope in (None, *SCOPES[kind])]
    return ", ".join(kinds)


def scopes() -> str:
    """Return who may do what, as the route tables and the registry's scopes say."""
    rows = doors()
    granted = [
        (kind, f"`{AUDIENCES[kind]}`", " ".join(f"`{scope}`" for scope in found)) for kind, found in SCOPES.items()
    ]
    robots = " ".join(f"`{SCOPE}{name}`" for name in ROBOT_CLASSES)
    granted.append((Kind.ROBOT, f"`{AUDIENCES[Kind.ROBOT]}`", f"one of {robots}"))
    lines = [
        "# Who may do what",
        "",
        "Generated from the route tables and the scopes in [account.py](../src/autogrocery/gateway/core/account.py) by `make gen`.",
        "[A test](../tests/security/test_scopes.py) asks every door below as every kind of caller and compares the answers with",
        "[a policy](../tests/security/policy.py) that is written down apart from the code. A token of another audience, of another",
        "key or out of time is 401 `invalid_token`; a good one without the scope is 403 `insufficient_scope`; somebody else's order",
        "is 404 `order_not_found`, to the byte what a missing one is.",
        "",
        "## Scopes",
        "",
        *_table(("account", "audience", "scopes"), granted),
        "",
        "An account may have scopes of its own (`smart_devices.scopes`) in their stead.",
    ]
    for listener in ("public", "internal"):
        found = [
            (f"{row.method} `{row.path}`", f"`{row.scope}`" if row.scope else "", row.who)
            for row in rows
            if row.listener == listener
        ]
        lines += ["", f"## The {listener} listener", "", *_table(("door", "scope", "for"), found)]
    lines += ["", "## Inventory and pricing, gRPC", "", *_table(("call", "scope", "for"), _calls())]
    return "\n".join(lines) + "\n"


def _calls() -> Iterator[tuple[str, str, str]]:
    for file in (inventory_pb2, pricing_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                asked = method.input_type
                if asked.name == "RobotCalls":
                    scope, who = f"`{SCOPE}<class>`", "the robot that the call's token names, call by call"
                elif "robot_id" in asked.fields_by_name:
                    scope, who = f"`{SCOPE}<class>`", "the robot that the token names"
                else:
                    scope, who = "", "who reaches it; with mTLS on, our own roles"
                yield f"`{service.name}.{method.name}`", scope, who


class Problem(Struct, frozen=True):
    """A code, the statuses it comes with, what is said with it, and the files that say it."""

    code: str
    statuses: tuple[int, ...]
    details: tuple[str, ...]
    files: tuple[str, ...]


def problems() -> list[Problem]:
    """Return every code that a problem of the gateway may carry, from the code base and the route tables."""
    statuses: dict[str, set[int]] = defaultdict(set)
    details: dict[str, dict[str, None]] = defaultdict(dict)
    files: dict[str, dict[str, None]] = defaultdict(dict)
    for path in sorted([*(SOURCE / "kit").glob("*.py"), *(SOURCE / "gateway").rglob("*.py")]):
        if path.parent.name == "peers":
            continue  # what a mail server says is told to nobody
        for code, status, detail in _raised(ast.parse(path.read_text(encoding="utf-8"))):
            statuses[code].add(status)
            details[code].setdefault(detail)
            files[code].setdefault(str(path.relative_to(SOURCE)))
    for number, codes in [*errors.EVERYWHERE.items(), *errors.WITH_BODY.items()]:
        for code in codes:
            statuses[code].add(number)
            if not files[code]:
                files[code].setdefault("kit/errors.py")
    for route in (route for routes in tables().values() for route in routes):
        for error in route.errors:
            number_text, _, code = error.partition(" ")
            statuses[code].add(int(number_text))
    return [
        Problem(code, tuple(sorted(found)), tuple(d for d in details[code] if d), tuple(files[code]))
        for code, found in sorted(statuses.items())
    ]


def _raised(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """Yield code, status and detail of each refusal that is made with a literal code."""
    bases = {
        id(call): STATUSES[base.id]
        for kind in ast.walk(tree)
        if isinstance(kind, ast.ClassDef)
        for base in kind.bases
        if isinstance(base, ast.Name) and base.id in STATUSES
        for call in ast.walk(kind)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
    }
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not call.args or not isinstance(call.args[0], ast.Constant):
            continue
        status = bases.get(id(call)) or (STATUSES.get(call.func.id) if isinstance(call.func, ast.Name) else None)
        if status is None or not isinstance(call.args[0].value, str):
            continue
        for keyword in call.keywords:
            if keyword.arg == "status" and isinstance(keyword.value, ast.Constant):
                status = int(str(keyword.value.value))
        yield call.args[0].value, status, _words(call.args[1]) if len(call.args) > 1 else ""


def _words(detail: ast.expr) -> str:
    match detail:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
        case _:
            return ""


def problems_page() -> str:
    """Return every code with what it means to the one who asked."""
    rows = [
        (
            f"`{one.code}`",
            " ".join(map(str, one.statuses)),
            "yes" if set(one.statuses) <= errors.AGAIN else "no",
            "; ".join(one.details),
            " ".join(f"[{Path(file).name}](../src/autogrocery/{file})" for file in one.files),
        )
        for one in problems()
    ]
    return "\n".join(
        [
            "# Every problem",
            "",
            "Generated by `make gen` from the code that raises them and from the route tables. The gateway's errors are RFC 9457",
            "`application/problem+json`: `type` (`/docs#<code>`), `title`, `status`, `detail`, `code`, `retryable`, `request_id`, and where",
            "useful `errors[]`. A program decides by `code`, a person reads `detail`. *Again* says whether the same call may be made again",
            "(408, 429, 503; `Retry-After` says when). [A test](../tests/security/test_problem_codes.py) holds every answer to this list.",
            "",
            *_table(("code", "status", "again", "said with it", "by"), rows),
            "",
        ]
    )


def _table(head: Sequence[str], rows: Any) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
