"""What inventory and operators start: the table of the internal listener, never routed on the public one."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from autogrocery.contracts.identities import INVENTORY
from autogrocery.contracts.webhook import UpdateOrder, UpdateRestock
from autogrocery.gateway.actions.audit import AuditOut, audit
from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.actions.update_restock import update_restock
from autogrocery.gateway.actions.view_metrics_log import MetricsLogQuery, view_metrics_log
from autogrocery.gateway.core.order import Fact, Robot
from autogrocery.gateway.core.restock import RestockFact
from autogrocery.gateway.store import due, due_restocks
from autogrocery.gateway.store.moves import Delivery
from autogrocery.gateway.wire.orders import AppliedOut
from autogrocery.gateway.wire.restocks import RestockAppliedOut
from autogrocery.kit.errors import Denied, Flaw, Invalid, Unavailable
from autogrocery.kit.http.route import Answer, Request, Route

if TYPE_CHECKING:
    from autogrocery.gateway.deps import Deps
    from autogrocery.kit.security.webhooks import WebhookVerifier

FACTS = {"COMPLETED": Fact.PICKED, "FAILED": Fact.NOTHING_PICKED}
RESTOCK_FACTS = {"RECEIVING": RestockFact.ACCEPTED, "RECEIVED": RestockFact.SHELVED, "REJECTED": RestockFact.REFUSED}
PROBE_S = 2.0


def webhook_routes(deps: Deps, webhooks: WebhookVerifier) -> list[Route]:
    """Return the doors that only a signature opens, and with mutual TLS only inventory's certificate besides."""

    def check(request: Request) -> None:
        if request.peer_names is not None and INVENTORY not in request.peer_names:
            raise Denied("wrong_certificate", "Webhooks come with inventory's certificate.")
        webhooks.verify(request.raw, request.header)

    return [
        Route(
            "POST",
            "/internal/webhook/update-order",
            partial(_update_order, deps=deps),
            body=UpdateOrder,
            answer=AppliedOut,
            auth=False,
            check=check,
            urgent=True,
            summary="Inventory's last word on an order (Standard Webhooks 1.0)",
            errors=(
                "401 invalid_signature",
                "403 wrong_certificate",
                "404 order_not_found",
                "409 not_dispatched",
                "409 webhook_differs",
                "503 inventory_unavailable",
            ),
        ),
        Route(
            "POST",
            "/internal/webhook/update-restock",
            partial(_update_restock, deps=deps),
            body=UpdateRestock,
            answer=RestockAppliedOut,
            auth=False,
            check=check,
            urgent=True,
            summary="Inventory's word on how far a restock has come (Standard Webhooks 1.0)",
            errors=(
                "401 invalid_signature",
                "403 wrong_certificate",
                "404 order_not_found",
                "409 webhook_differs",
                "503 order_busy",
            ),
        ),
    ]


def probe_routes(deps: Deps) -> list[Route]:
    """Return what says whether this process lives and is of use; on both listeners."""
    free = partial(Route, "GET", auth=False, urgent=True)
    return [
        free("/healthz", _healthz, answer=dict[str, str], summary="The process answers"),
        free(
            "/readyz",
            partial(_readyz, deps=deps),
            answer=dict[str, str],
            summary="It can take orders",
            errors=("503 not_ready",),
        ),
    ]


def ops_routes(deps: Deps) -> list[Route]:
    """Return what operators and readers of metrics look at."""
    free = partial(Route, "GET", auth=False)
    bind = partial(partial, deps=deps)
    return [
        free("/status", bind(_status), answer=dict[str, Any], summary="What this gateway is doing"),
        free("/metrics", _metrics, media="text/plain", urgent=True, summary="Prometheus"),
        free("/internal/audit", bind(_audit), answer=AuditOut, summary="Every invariant, with its violations"),
        free(
            "/internal/metrics-log",
            bind(_metrics_log),
            query=MetricsLogQuery,
            answer=dict[str, Any],
            summary="Metrics as committed, to fill gaps",
        ),
    ]


async def _update_order(request: Request, *, deps: Deps) -> AppliedOut:
    body: UpdateOrder = request.body
    picked = {item.sku: item.picked for item in body.items} if body.items is not None else None
    if picked is not None and len(picked) != len(body.items or ()):
        raise Invalid("invalid_request", "one SKU is told twice", errors=(Flaw(pointer="/items"),))
    applied, status = await complete(
        deps.db,
        deps.inventory,
        deps.metrics,
        body.order_id,
        FACTS[body.status],
        picked=picked,
        robots=[Robot(one.robot_id, one.robot_class, one.assignment_id) for one in body.robots or ()],
        delivery=_delivery(request),
        alert_completed=deps.settings.alert_completed == "on",
    )
    return AppliedOut(applied, status)


async def _update_restock(request: Request, *, deps: Deps) -> RestockAppliedOut:
    body: UpdateRestock = request.body
    counts = {item.sku: (item.received, item.damaged) for item in body.items}
    if len(counts) != len(body.items):
        raise Invalid("invalid_request", "one SKU is told twice", errors=(Flaw(pointer="/items"),))
    applied, status = await update_restock(
        deps.db, deps.metrics, body.order_id, RESTOCK_FACTS[body.status], counts, delivery=_delivery(request)
    )
    return RestockAppliedOut(applied, status)


def _delivery(request: Request) -> Delivery:
    return Delivery(request.header("webhook-id") or "", hashlib.sha256(request.raw).digest())


async def _healthz(_request: Request) -> dict[str, str]:
    return {"status": "ok"}


async def _readyz(_request: Request, *, deps: Deps) -> Answer:
    """Ready is: the database answers. Peers that are away cost 202 and 503 on single calls, not the whole gateway."""
    try:
        async with asyncio.timeout(PROBE_S):
            await deps.db.row("-- readyz\nSELECT 1")
    except (Unavailable, TimeoutError):
        raise Unavailable("not_ready", "the database does not answer") from None
    peers = {peer.name: "ok" if peer.available else "away" for peer in (deps.inventory.peer, deps.pricing.peer)}
    return Answer({"status": "ok", **peers})


async def _status(_request: Request, *, deps: Deps) -> dict[str, Any]:
    return {
        "store_id": deps.settings.store_id,
        "orders": await due.count(deps.db),
        "restocks": await due_restocks.count(deps.db),
        "peers": {peer.name: "ok" if peer.available else "away" for peer in (deps.inventory.peer, deps.pricing.peer)},
        "metrics": deps.metrics.figures(),
    }


async def _metrics(_request: Request) -> Answer:
    return Answer(generate_latest(), media=CONTENT_TYPE_LATEST)


async def _audit(_request: Request, *, deps: Deps) -> AuditOut:
    return await audit(deps.db)


async def _metrics_log(request: Request, *, deps: Deps) -> dict[str, Any]:
    return await view_metrics_log(deps.db, deps.settings.store_id, request.query)
