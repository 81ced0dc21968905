"""The routes of the internal listener: webhooks, operators' views and metrics. Probes are on both listeners."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from autogrocery.contracts.identities import INVENTORY
from autogrocery.contracts.webhook import UpdateOrder, UpdateRestock
from autogrocery.gateway.actions.audit import AuditOut, audit
from autogrocery.gateway.actions.check_ready import check_ready
from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.actions.update_restock import update_restock
from autogrocery.gateway.actions.view_metrics_log import MetricsLogQuery, view_metrics_log
from autogrocery.gateway.actions.view_shortfalls import EndedOrdersIn, ShortfallsOut, view_shortfalls
from autogrocery.gateway.actions.view_status import view_status
from autogrocery.gateway.core.order import Fact, Robot, WebhookDelivery
from autogrocery.gateway.core.restock import RestockFact
from autogrocery.gateway.wire.orders import AppliedOut
from autogrocery.gateway.wire.restocks import RestockAppliedOut
from autogrocery.kit.errors import Denied, FieldError, Invalid
from autogrocery.kit.http.probes import healthz, metrics
from autogrocery.kit.http.route import Request, Route

if TYPE_CHECKING:
    from autogrocery.gateway.deps import Deps
    from autogrocery.kit.security.webhooks import WebhookVerifier

FACTS = {"COMPLETED": Fact.PICKED, "FAILED": Fact.NOTHING_PICKED}
RESTOCK_FACTS = {"RECEIVING": RestockFact.ACCEPTED, "RECEIVED": RestockFact.SHELVED, "REJECTED": RestockFact.REFUSED}


def webhook_routes(deps: Deps, webhooks: WebhookVerifier) -> list[Route]:
    """Return the webhook routes, which need inventory's signature, and with mutual TLS also its certificate."""

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
            summary="Inventory reports the end of an order (Standard Webhooks 1.0)",
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
            summary="Inventory reports the progress of a restock (Standard Webhooks 1.0)",
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
    """Return the liveness and readiness probes, which are on both listeners."""
    unauthenticated = partial(Route, "GET", auth=False, urgent=True)
    return [
        unauthenticated("/healthz", healthz, answer=dict[str, str], summary="The process answers"),
        unauthenticated(
            "/readyz",
            partial(_readyz, deps=deps),
            answer=dict[str, str],
            summary="It can take orders",
            errors=("503 not_ready",),
        ),
    ]


def ops_routes(deps: Deps) -> list[Route]:
    """Return the routes of operators and metrics readers, which need no token: the internal listener is not public."""
    unauthenticated = partial(Route, "GET", auth=False)
    bind = partial(partial, deps=deps)
    return [
        unauthenticated("/status", bind(_status), answer=dict[str, Any], summary="What this gateway is doing"),
        unauthenticated("/metrics", metrics, media="text/plain", urgent=True, summary="Prometheus"),
        unauthenticated(
            "/internal/audit", bind(_audit), answer=AuditOut, summary="Every invariant, with its violations"
        ),
        unauthenticated(
            "/internal/metrics-log",
            bind(_metrics_log),
            query=MetricsLogQuery,
            answer=dict[str, Any],
            summary="The committed metrics, from which a subscriber fills gaps",
        ),
        Route(
            "POST",
            "/internal/shortfalls",
            bind(_shortfalls),
            body=EndedOrdersIn,
            answer=ShortfallsOut,
            auth=False,
            summary="What ended orders and deliveries lack, line by line; it changes nothing",
        ),
    ]


async def _update_order(request: Request, *, deps: Deps) -> AppliedOut:
    body: UpdateOrder = request.body
    picked = {item.sku: item.picked for item in body.items} if body.items is not None else None
    if picked is not None and len(picked) != len(body.items or ()):
        raise Invalid("invalid_request", "a SKU appears twice", errors=(FieldError(pointer="/items"),))
    done = await complete(
        deps.orders,
        deps.inventory,
        deps.metrics,
        body.order_id,
        FACTS[body.status],
        picked=picked,
        robots=[Robot(one.robot_id, one.robot_class, one.assignment_id) for one in body.robots or ()],
        delivery=_delivery(request),
    )
    return AppliedOut(done.applied, done.status)


async def _update_restock(request: Request, *, deps: Deps) -> RestockAppliedOut:
    body: UpdateRestock = request.body
    counts = {item.sku: (item.received, item.damaged) for item in body.items}
    if len(counts) != len(body.items):
        raise Invalid("invalid_request", "a SKU appears twice", errors=(FieldError(pointer="/items"),))
    done = await update_restock(
        deps.db, deps.metrics, body.order_id, RESTOCK_FACTS[body.status], counts, delivery=_delivery(request)
    )
    return RestockAppliedOut(done.applied, done.status)


def _delivery(request: Request) -> WebhookDelivery:
    return WebhookDelivery(request.header("webhook-id") or "", hashlib.sha256(request.raw).digest())


async def _readyz(_request: Request, *, deps: Deps) -> dict[str, str]:
    return await check_ready(deps.db, deps.inventory, deps.pricing, stopping=deps.stopping.is_set())


async def _status(_request: Request, *, deps: Deps) -> dict[str, Any]:
    return await view_status(deps.db, deps.inventory, deps.pricing, deps.metrics, deps.settings.store_id)


async def _audit(_request: Request, *, deps: Deps) -> AuditOut:
    return await audit(deps.db)


async def _metrics_log(request: Request, *, deps: Deps) -> dict[str, Any]:
    return await view_metrics_log(deps.db, deps.settings.store_id, request.query)


async def _shortfalls(request: Request, *, deps: Deps) -> ShortfallsOut:
    return await view_shortfalls(deps.db, request.body)
