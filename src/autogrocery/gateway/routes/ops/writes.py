"""The routes of operators' actions on orders, restocks and dead letters, of switches, and of the audit log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, get_args
from uuid import UUID

from msgspec import Meta, Struct

from autogrocery.contracts.ops.actions import ActionIn, ActionOut, DeadLettersOut, LetterKind
from autogrocery.contracts.ops.audit_log import AuditLogOut
from autogrocery.contracts.ops.switches import SwitchesOut, SwitchIn, SwitchOut
from autogrocery.gateway.actions.ops.act_on_order import OrderPorts, act_on_order
from autogrocery.gateway.actions.ops.act_on_restock import RestockPorts, act_on_restock
from autogrocery.gateway.actions.ops.record_write import Write
from autogrocery.gateway.actions.ops.replay_dead_letter import replay_dead_letter
from autogrocery.gateway.actions.ops.set_switch import set_switch
from autogrocery.gateway.actions.ops.view_audit_log import view_audit_log
from autogrocery.gateway.actions.ops.view_dead_letters import view_dead_letters
from autogrocery.gateway.actions.ops.view_switches import view_switches
from autogrocery.kit.errors import NotFound
from autogrocery.kit.http.route import Answer, Request, Route

if TYPE_CHECKING:
    from typing import Any

    from autogrocery.gateway.actions.ops.record_write import Recorded
    from autogrocery.gateway.deps import Deps

OPS = "/internal/ops"
Limit = Annotated[int, Meta(ge=1, le=200)]
Cursor = Annotated[str, Meta(min_length=1, max_length=200)]
RECORDED_ERRORS = ("422 idempotency_mismatch", "503 write_busy")


class DeadLettersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters; without `kind` both."""

    kind: LetterKind | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


class AuditLogQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries; `target` as in an entry, as order:<id>."""

    target: Annotated[str, Meta(max_length=200)] | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


def write_routes(deps: Deps) -> list[Route]:
    """Return the routes of what operators write, and of the lists that belong to it."""
    bind = partial(partial, deps=deps)
    reads = partial(Route, "GET", scope="ops:read")
    writes = partial(Route, "POST", scope="ops:write", keyed=True, body=ActionIn, answer=ActionOut)
    return [
        writes(
            f"{OPS}/orders/{{order_id}}/{{action}}",
            bind(_act_on_order),
            summary="retry_dispatch, release, reconcile or resend_receipt: run what the loops would run later, now",
            errors=(
                "404 order_not_found",
                "404 no_such_action",
                "409 not_owed",
                "409 call_owed",
                "409 too_late_to_cancel",
                "409 order_ended",
                "409 not_dispatched",
                "409 receipt_sent",
                "409 no_receipt",
                *RECORDED_ERRORS,
            ),
        ),
        writes(
            f"{OPS}/restocks/{{order_id}}/{{action}}",
            bind(_act_on_restock),
            summary="retry or reconcile: run what the restock's loops would run later, now",
            errors=(
                "404 order_not_found",
                "404 no_such_action",
                "409 not_owed",
                "409 call_owed",
                "409 order_ended",
                *RECORDED_ERRORS,
            ),
        ),
        reads(
            f"{OPS}/dead-letters",
            bind(_dead_letters),
            query=DeadLettersQuery,
            answer=DeadLettersOut,
            summary="Receipts and alerts that were given up, the newest first",
        ),
        writes(
            f"{OPS}/dead-letters/{{kind}}/{{order_id}}/replay",
            bind(_replay),
            summary="Make a receipt or an alert that was given up due again",
            errors=("404 letter_not_found", "409 receipt_sent", "409 too_old", *RECORDED_ERRORS),
        ),
        reads(f"{OPS}/switches", bind(_switches), answer=SwitchesOut, summary="Every switch, on or off"),
        Route(
            "PUT",
            f"{OPS}/switches/{{name}}",
            bind(_switch),
            scope="ops:write",
            keyed=True,
            body=SwitchIn,
            answer=SwitchOut,
            summary="Set a switch; every gateway obeys within a second",
            errors=("404 no_such_switch", *RECORDED_ERRORS),
        ),
        reads(
            f"{OPS}/audit-log",
            bind(_audit_log),
            query=AuditLogQuery,
            answer=AuditLogOut,
            summary="Every write of an operator, newest first",
        ),
    ]


async def _act_on_order(request: Request, *, deps: Deps) -> Answer:
    order_id, name = uuid_of(request, "order_not_found"), request.params["action"]
    ports = OrderPorts(deps.orders, deps.inventory, deps.metrics, deps.settings.dispatch_patience_s)
    return answer_of(await act_on_order(ports, order_id, name, write_of(request, name, f"order:{order_id}")))


async def _act_on_restock(request: Request, *, deps: Deps) -> Answer:
    order_id, name = uuid_of(request, "order_not_found"), request.params["action"]
    ports = RestockPorts(deps.db, deps.inventory, deps.pricing, deps.metrics)
    return answer_of(await act_on_restock(ports, order_id, name, write_of(request, name, f"restock:{order_id}")))


async def _dead_letters(request: Request, *, deps: Deps) -> DeadLettersOut:
    query: DeadLettersQuery = request.query
    return await view_dead_letters(deps.db, kind=query.kind, cursor=query.cursor, limit=query.limit)


async def _replay(request: Request, *, deps: Deps) -> Answer:
    kind = request.params["kind"]
    if kind not in get_args(LetterKind):
        raise NotFound("letter_not_found", "the kinds are receipts and alerts")
    order_id = uuid_of(request, "letter_not_found")
    write = write_of(request, "replay", f"{kind}:{order_id}")
    return answer_of(await replay_dead_letter(deps.db, kind, order_id, write))  # type: ignore[arg-type]


async def _switches(_request: Request, *, deps: Deps) -> SwitchesOut:
    return await view_switches(deps.db)


async def _switch(request: Request, *, deps: Deps) -> Answer:
    name = request.params["name"]
    write = write_of(request, "switch", f"switch:{name}")
    return answer_of(await set_switch(deps.db, deps.pricing, deps.switches, name, request.body, write))


async def _audit_log(request: Request, *, deps: Deps) -> AuditLogOut:
    query: AuditLogQuery = request.query
    return await view_audit_log(deps.db, target=query.target, cursor=query.cursor, limit=query.limit)


def write_of(request: Request, action: str, target: str) -> Write:
    """Return who writes what, and why."""
    return Write(request.caller.principal, action, target, request.body.reason, request.idempotency_key, request.raw)


def answer_of(done: Recorded[Any], *, status: int = 0) -> Answer:
    """Answer, saying whether this is a repeat's answer."""
    return Answer(done.answer, status=status, headers=(("Idempotency-Replayed", "true"),) if done.replayed else ())


def uuid_of(request: Request, code: str) -> UUID:
    """Return the path's order id; raises NotFound with `code` for what is none."""
    text = request.params["order_id"]
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if found is None or str(found) != text.lower():
        raise NotFound(code, "this is not the id of an order")
    return found
