"""The gateway's wiring: a list of sockets, opened in order, closed in reverse. Settings are read here and nowhere else."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from autogrocery.contracts import identities
from autogrocery.gateway.actions.send_alert import Manners
from autogrocery.gateway.core.alert import QuietHours
from autogrocery.gateway.deps import Deps
from autogrocery.gateway.loops import alert_loop, order_loops, restock_loops
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.mail import open_mail
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.peers.sms import open_sms
from autogrocery.gateway.routes.accounts import Accounts, account_routes, internal_account_routes, open_accounts
from autogrocery.gateway.routes.internal import ops_routes, probe_routes, webhook_routes
from autogrocery.gateway.routes.limits import Limits, limits_of
from autogrocery.gateway.routes.orders import order_routes
from autogrocery.gateway.routes.trucks import truck_routes
from autogrocery.gateway.settings import GatewaySettings, Rates
from autogrocery.gateway.store import metrics_log
from autogrocery.kit import bus
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.http.app import App
from autogrocery.kit.http.openapi import document, document_routes
from autogrocery.kit.http.route import Guard, Route
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.migrate import MigrationError, status
from autogrocery.kit.process import loops
from autogrocery.kit.process.log import log
from autogrocery.kit.process.ready import notify
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError, address, all_different, load, networks, secrets
from autogrocery.kit.rpc.client import open_channel
from autogrocery.kit.security.curve import publisher_keys
from autogrocery.kit.security.tls import Identity, identity_of
from autogrocery.kit.security.webhooks import WebhookVerifier

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

MIGRATIONS = "autogrocery.gateway.store.migrations"
SCHEMA = "public"
TITLE = "Autonomous Grocery Network: ordering gateway"
EXEMPT = frozenset(
    {"/api/client/register", "/api/client/login", "/api/client/refresh", "/api/truck/login", "/api/truck/refresh"}
)


class Keys(Struct, frozen=True):
    """The decoded secrets: the first of each signs, all verify."""

    devices: tuple[bytes, ...]
    robots: tuple[bytes, ...]
    webhooks: tuple[bytes, ...]


def read_keys(settings: GatewaySettings) -> Keys:
    """Decode the secrets; raises SettingsError if one is weak or stands twice."""
    keys = Keys(
        secrets("JWT_SECRET", settings.jwt_secret),
        secrets("ROBOT_JWT_SECRET", settings.robot_jwt_secret),
        secrets("WEBHOOK_SECRET", settings.webhook_secret),
    )
    all_different(JWT_SECRET=keys.devices, ROBOT_JWT_SECRET=keys.robots, WEBHOOK_SECRET=keys.webhooks)
    return keys


def read_manners(settings: GatewaySettings) -> Manners:
    """Read when telephones may ring; raises SettingsError if this machine does not know the zone, or it is quiet all day."""
    try:
        zone = UTC if settings.store_timezone == "UTC" else ZoneInfo(settings.store_timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError("STORE_TIMEZONE names no zone that this machine knows") from None
    if not settings.alert_quiet_hours:
        return Manners(None, settings.alert_cap_per_day)
    start, end = map(int, settings.alert_quiet_hours.split("-"))
    if start == end:
        raise SettingsError("ALERT_QUIET_HOURS is malformed: it ends when it begins")
    return Manners(QuietHours(start, end, zone), settings.alert_cap_per_day)


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises SettingsError and StartError with one line for the operator."""
    settings = load(GatewaySettings, environ)
    keys, alerting = read_keys(settings), read_manners(settings)
    public = address("ORDERING_HTTP_ADDR", settings.ordering_http_addr)
    internal = address("ORDERING_INTERNAL_ADDR", settings.ordering_internal_addr)
    proxies = networks("TRUSTED_PROXIES", settings.trusted_proxies)
    identity = identity_of(settings, identities.GATEWAY, _links(settings))
    async with AsyncExitStack() as stack:
        deps = await _open(stack, settings, identity)
        accounts = await stack.enter_async_context(open_accounts(deps.db, settings, keys.devices, keys.robots))
        sms = await stack.enter_async_context(open_sms(settings.sms_url))
        alerts = alert_loop(deps.db, sms, settings.store_id, alerting)
        await stack.enter_async_context(
            loops.running([*order_loops(deps), *restock_loops(deps), alerts, *accounts.loops()])
        )
        inner = App(
            internal_table(deps, accounts, WebhookVerifier(keys.webhooks), limits_of(settings)),
            Guard(accounts.verify_operator, ("/internal/ops",)),
            max_in_flight=settings.max_in_flight,
        )
        outer = App(
            public_table(deps, accounts, limits_of(settings)), guard(accounts), max_in_flight=settings.max_in_flight
        )
        bounded = partial(serve_http, max_connections=settings.max_connections)
        internal_port = await stack.enter_async_context(
            bounded(inner, *internal, "ORDERING_INTERNAL_ADDR", identity=identity)
        )
        public_port = await stack.enter_async_context(
            bounded(outer, *public, "ORDERING_HTTP_ADDR", trusted_proxies=proxies)
        )
        log.info("gateway_started", public_port=public_port, internal_port=internal_port, epoch=deps.metrics.epoch)
        notify()
        await stop.wait()
        log.info("gateway_stopping")


def guard(accounts: Accounts) -> Guard:
    """Return who may pass the public listener: every path below the seed's prefixes, but register, login and refresh."""
    return Guard(accounts.verify_device, ("/api/client", "/api/truck"), EXEMPT)


def public_table(deps: Deps, accounts: Accounts, limits: Limits) -> list[Route]:
    """Return every row of the public listener."""
    rows = [
        *account_routes(accounts, limits),
        *order_routes(deps, limits),
        *truck_routes(deps, limits),
        *probe_routes(deps),
    ]
    return [*rows, *document_routes(rows, title=TITLE)]


def openapi() -> dict[str, Any]:
    """Return the public listener's OpenAPI document; no socket is opened for it."""
    nothing: Any = None
    return document(public_table(nothing, nothing, limits_of(Rates())), TITLE)


def internal_table(deps: Deps, accounts: Accounts, webhooks: WebhookVerifier, limits: Limits) -> list[Route]:
    """Return every row of the internal listener."""
    return [
        *webhook_routes(deps, webhooks),
        *internal_account_routes(accounts, limits),
        *probe_routes(deps),
        *ops_routes(deps),
    ]


def _links(settings: GatewaySettings) -> dict[str, str]:
    """Return what must not be plain text to other machines; the public listener may: a proxy stands before it."""
    return {
        "ORDERING_INTERNAL_ADDR": settings.ordering_internal_addr,
        "INVENTORY_GRPC_TARGET": settings.inventory_grpc_target or settings.inventory_grpc_addr,
        "PRICING_GRPC_TARGET": settings.pricing_grpc_target or settings.pricing_grpc_addr,
    }


async def _open(stack: AsyncExitStack, settings: GatewaySettings, identity: Identity | None) -> Deps:
    listeners = publisher_keys(settings, "ANALYTICS_ZMQ_ADDR", settings.analytics_zmq_addr)
    try:
        behind = [one.name for one in await status(settings.database_url, MIGRATIONS, SCHEMA) if not one.applied]
        db = await stack.enter_async_context(
            open_db(settings.database_url, application="gateway", max_size=settings.database_pool_size)
        )
    except MigrationError as error:
        raise StartError(f"DATABASE_URL: {error}") from None
    except (Unavailable, OSError) as error:
        raise StartError(
            f"DATABASE_URL: the database does not answer ({type(error).__name__}): is it running?"
        ) from error
    if behind:
        raise StartError(f"the database lacks {len(behind)} migrations, {behind[0]} first: run `autogrocery migrate`")
    publisher = await stack.enter_async_context(
        bus.open_publisher("ANALYTICS_ZMQ_ADDR", settings.analytics_zmq_addr, point="metrics.publish", keys=listeners)
    )
    metrics = Metrics(publisher, settings.store_id)
    await metrics_log.add_epoch(db, metrics.epoch)
    inventory = await stack.enter_async_context(
        open_channel(settings.inventory_grpc_target or settings.inventory_grpc_addr, identity, identities.INVENTORY)
    )
    pricing = await stack.enter_async_context(
        open_channel(settings.pricing_grpc_target or settings.pricing_grpc_addr, identity, identities.PRICING)
    )
    mail = await stack.enter_async_context(
        open_mail(settings.smtp_url, settings.autogrocery_home, settings.receipt_from)
    )
    streams = settings.peer_streams == "on"
    peers = Inventory(inventory, streams=streams), Pricing(pricing, streams=streams)
    return Deps(settings, db, *peers, metrics, mail)
