"""The gateway's composition root: sockets are opened in order and closed in reverse.

The environment is read only here.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from autogrocery.contracts import identities, notifier_settings
from autogrocery.gateway.actions.issue_tokens import ISSUER, TokenSettings
from autogrocery.gateway.core.account import Audience
from autogrocery.gateway.core.alert_policy import AlertPolicy
from autogrocery.gateway.core.quote import LineError
from autogrocery.gateway.deps import AccountDeps, Deps
from autogrocery.gateway.loops import account_loops, operator_loops, order_loops, restock_loops, switch_loops
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.gateway.peers.notifier import check_message_settings, running_notifier
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.routes.accounts import account_routes, internal_account_routes
from autogrocery.gateway.routes.internal import ops_routes, probe_routes, webhook_routes
from autogrocery.gateway.routes.limits import RateLimits, make_rate_limits
from autogrocery.gateway.routes.ops.devices import device_routes
from autogrocery.gateway.routes.ops.reads import operator_read_routes
from autogrocery.gateway.routes.ops.writes import write_routes
from autogrocery.gateway.routes.orders import order_routes
from autogrocery.gateway.routes.trucks import truck_routes
from autogrocery.gateway.settings import PREFIX, GatewaySettings, RateSettings
from autogrocery.gateway.store import metrics_log
from autogrocery.gateway.store.order_store import OrderCache, OrderStore
from autogrocery.gateway.tuning import Tuning
from autogrocery.kit import bus
from autogrocery.kit.http.app import App
from autogrocery.kit.http.openapi import document, document_routes
from autogrocery.kit.http.route import Guard, Route
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.pg.start import explained, open_migrated
from autogrocery.kit.process import loops
from autogrocery.kit.process.background import background_tasks
from autogrocery.kit.process.log import log
from autogrocery.kit.process.ready import notify
from autogrocery.kit.process.settings import address, all_different, grpc_target, load, networks, secrets
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.security.curve import publisher_keys
from autogrocery.kit.security.login_backoff import LoginBackoff
from autogrocery.kit.security.passwords import open_password_hasher
from autogrocery.kit.security.tls import Identity, identity_of
from autogrocery.kit.security.tokens import MAX_CACHED_TOKENS, Verifier
from autogrocery.kit.security.webhooks import WebhookVerifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from autogrocery.kit.pg.db import Db

MIGRATIONS = "autogrocery.gateway.store.migrations"
SCHEMA = "public"
DEFAULT_TUNING = Tuning()
TITLE = "Autonomous Grocery Network: ordering gateway"
NO_TOKEN_PATHS = frozenset(
    {"/api/client/register", "/api/client/login", "/api/client/refresh", "/api/truck/login", "/api/truck/refresh"}
)


class Keys(Struct, frozen=True):
    """The decoded secrets, by what they sign: the first of each list signs, all of them verify."""

    devices: tuple[bytes, ...]
    robots: tuple[bytes, ...]
    webhooks: tuple[bytes, ...]


def read_keys(settings: GatewaySettings) -> Keys:
    """Return the decoded secrets; raises SettingsError if one is weak or used twice."""
    keys = Keys(
        secrets("JWT_SECRET", settings.jwt_secret),
        secrets("ROBOT_JWT_SECRET", settings.robot_jwt_secret),
        secrets("WEBHOOK_SECRET", settings.webhook_secret),
    )
    all_different(JWT_SECRET=keys.devices, ROBOT_JWT_SECRET=keys.robots, WEBHOOK_SECRET=keys.webhooks)
    return keys


async def main(environ: Mapping[str, str], stop: asyncio.Event, tuning: Tuning = DEFAULT_TUNING) -> None:
    """Serve until `stop` is set. Raises SettingsError and StartError with one line for the operator."""
    settings = load(GatewaySettings, environ, prefix=PREFIX)
    keys = read_keys(settings)
    if settings.notifier == "child":
        check_message_settings(load(notifier_settings.MessageSettings, environ, prefix=notifier_settings.PREFIX))
    public = address("ORDERING_HTTP_ADDR", settings.ordering_http_addr)
    internal = address("ORDERING_INTERNAL_ADDR", settings.ordering_internal_addr)
    proxies = networks("TRUSTED_PROXIES", settings.trusted_proxies)
    identity = identity_of(settings, identities.GATEWAY, _protected_links(settings))
    async with AsyncExitStack() as stack:
        deps = await _open_deps(stack, settings, identity, tuning)
        accounts = await stack.enter_async_context(
            open_accounts(deps.db, settings, keys.devices, keys.robots, tuning.max_cached_tokens)
        )
        await stack.enter_async_context(
            loops.running(
                [
                    *switch_loops(deps),
                    *order_loops(deps),
                    *restock_loops(deps),
                    *account_loops(accounts),
                    *operator_loops(deps),
                ]
            )
        )
        if settings.notifier == "child":
            await stack.enter_async_context(running_notifier(environ))
        internal_app = App(
            internal_routes(deps, accounts, WebhookVerifier(keys.webhooks), make_rate_limits(settings)),
            Guard(accounts.operator_verifier.verify, ("/internal/ops",)),
            max_in_flight=settings.max_in_flight,
        )
        public_app = App(
            public_routes(deps, accounts, make_rate_limits(settings)),
            guard(accounts),
            max_in_flight=settings.max_in_flight,
        )
        serve = partial(serve_http, max_connections=settings.max_connections)
        internal_port = await stack.enter_async_context(
            serve(internal_app, *internal, "ORDERING_INTERNAL_ADDR", identity=identity)
        )
        public_port = await stack.enter_async_context(
            serve(public_app, *public, "ORDERING_HTTP_ADDR", trusted_proxies=proxies)
        )
        log.info("gateway_started", public_port=public_port, internal_port=internal_port, epoch=deps.metrics.epoch)
        notify()
        await stop.wait()
        log.info("gateway_stopping", delay_s=settings.stop_delay_s)
        deps.stopping.set()
        public_app.leave()
        internal_app.leave()
        await asyncio.sleep(settings.stop_delay_s)


def guard(accounts: AccountDeps) -> Guard:
    """Return the public listener's guard: every path below the prefixes needs a token, except NO_TOKEN_PATHS."""
    return Guard(accounts.device_verifier.verify, ("/api/client", "/api/truck"), NO_TOKEN_PATHS)


def public_routes(deps: Deps, accounts: AccountDeps, limits: RateLimits) -> list[Route]:
    """Return every route of the public listener."""
    rows = [
        *account_routes(accounts, limits),
        *order_routes(deps, limits),
        *truck_routes(deps, limits),
        *probe_routes(deps),
    ]
    return [*rows, *document_routes(rows, title=TITLE, field_error=LineError)]


def openapi() -> dict[str, Any]:
    """Return the public listener's OpenAPI document, without opening a socket."""
    unopened: Any = None  # routes only bind it
    return document(public_routes(unopened, unopened, make_rate_limits(RateSettings())), TITLE, field_error=LineError)


def internal_routes(deps: Deps, accounts: AccountDeps, webhooks: WebhookVerifier, limits: RateLimits) -> list[Route]:
    """Return every route of the internal listener."""
    return [
        *webhook_routes(deps, webhooks),
        *internal_account_routes(accounts, limits),
        *probe_routes(deps),
        *ops_routes(deps),
        *write_routes(deps),
        *device_routes(accounts),
        *operator_read_routes(deps),
    ]


def internal_openapi() -> dict[str, Any]:
    """Return the internal listener's OpenAPI document, without opening a socket."""
    unopened: Any = None  # routes only bind it
    routes = internal_routes(unopened, unopened, unopened, make_rate_limits(RateSettings()))
    return document(routes, f"{TITLE}, internal listener")


def _protected_links(settings: GatewaySettings) -> dict[str, str]:
    """Return the addresses that must not carry plain text to other machines, by their settings.

    The public listener may: a proxy in front of it terminates TLS.
    """
    return {
        "ORDERING_INTERNAL_ADDR": settings.ordering_internal_addr,
        "INVENTORY_GRPC_TARGET": grpc_target(
            "INVENTORY_GRPC_TARGET", settings.inventory_grpc_target or settings.inventory_grpc_addr
        ),
        "PRICING_GRPC_TARGET": grpc_target(
            "PRICING_GRPC_TARGET", settings.pricing_grpc_target or settings.pricing_grpc_addr
        ),
    }


@asynccontextmanager
async def open_accounts(
    db: Db,
    settings: GatewaySettings,
    device_keys: tuple[bytes, ...],
    robot_keys: tuple[bytes, ...],
    max_cached_tokens: int = MAX_CACHED_TOKENS,
) -> AsyncIterator[AccountDeps]:
    """Start the password workers; the first key of each list signs, all of them verify."""
    token_settings = TokenSettings(
        device_keys[0], robot_keys[0], settings.access_token_ttl_s, settings.refresh_token_ttl_s
    )
    verifier = partial(Verifier, device_keys, issuer=ISSUER, max_cached=max_cached_tokens)
    async with open_password_hasher(settings.bcrypt_cost) as passwords:
        yield AccountDeps(
            db,
            passwords,
            token_settings,
            verifier(audience=Audience.ORDERING),
            verifier(audience=Audience.OPS),
            LoginBackoff(settings.login_wait_max_s),
            settings.registration,
        )


async def _open_deps(
    stack: AsyncExitStack, settings: GatewaySettings, identity: Identity | None, tuning: Tuning
) -> Deps:
    curve_keys = publisher_keys(settings, "ANALYTICS_ZMQ_ADDR", settings.analytics_zmq_addr)
    dsn = settings.database_url
    db = await stack.enter_async_context(
        open_migrated(
            "DATABASE_URL",
            dsn,
            MIGRATIONS,
            SCHEMA,
            application="gateway",
            max_size=settings.database_pool_size,
            batches=tuning.batch_writes,
            direct_dsn=settings.database_direct_url,
        )
    )
    publisher = await stack.enter_async_context(
        bus.open_publisher("ANALYTICS_ZMQ_ADDR", settings.analytics_zmq_addr, point="metrics.publish", keys=curve_keys)
    )
    metrics = Metrics(publisher, settings.store_id, tuning.encode_metric)
    with explained("DATABASE_URL", dsn):
        await metrics_log.add_epoch(db, metrics.epoch)
    open_peer = partial(open_channel, identity=identity, transport=settings.peer_transport)
    inventory = await stack.enter_async_context(
        open_peer(settings.inventory_grpc_target or settings.inventory_grpc_addr, name=identities.INVENTORY)
    )
    pricing = await stack.enter_async_context(
        open_peer(settings.pricing_grpc_target or settings.pricing_grpc_addr, name=identities.PRICING)
    )
    peers = (Inventory(inventory), Pricing(pricing, currency=settings.currency))
    orders = OrderStore(
        db, OrderCache(tuning.max_cached_orders), AlertPolicy(alert_full=settings.alert_completed == "on")
    )
    background = await stack.enter_async_context(background_tasks())  # last, so that it is drained first
    deps = Deps(settings, db, *peers, metrics, orders, background)
    deps.calls.watch(deps.inventory.peer, deps.pricing.peer)
    return deps
