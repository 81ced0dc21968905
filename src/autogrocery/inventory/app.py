"""Wiring of the inventory process: stock, orders and robots behind InventoryService."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from autogrocery.contracts import identities
from autogrocery.inventory import loops, rpc, rpc_operations, settings
from autogrocery.inventory.peers.gateway import open_gateway
from autogrocery.inventory.peers.robots import POINT, Announcer
from autogrocery.kit.bus import open_publisher
from autogrocery.kit.pg.start import open_migrated, open_read_only
from autogrocery.kit.process import ready
from autogrocery.kit.process.log import log
from autogrocery.kit.process.loops import running
from autogrocery.kit.process.settings import address, all_different, secrets, web_url
from autogrocery.kit.rpc.server import serve
from autogrocery.kit.security.curve import publisher_keys
from autogrocery.kit.security.tls import identity_of
from autogrocery.kit.security.tokens import Verifier

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Mapping

    from autogrocery.inventory.settings import Settings
    from autogrocery.kit.pg.db import Db

MIGRATIONS: Final = "autogrocery.inventory.store.migrations"
SCHEMA: Final = "inventory"
ISSUER: Final = "autogrocery"
AUDIENCE: Final = "inventory"
OPERATOR_CONNECTIONS: Final = 3
OPERATOR_STATEMENT_MS: Final = 4_000
BATCH_CONNECTIONS: Final = 4  # so that holds, dispatches, starts and reports rarely wait for each other


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises SettingsError or StartError naming what the operator must change."""
    async with serving(settings.load(environ)) as port:
        log.info("inventory_started", port=port)
        ready.notify()
        await stop.wait()


@asynccontextmanager
async def serving(wanted: Settings) -> AsyncIterator[int]:
    """Open every resource in order, serve, yield the bound port, and close in reverse."""
    host, port = address("INVENTORY_GRPC_ADDR", wanted.inventory_grpc_addr)
    webhook_keys = secrets("WEBHOOK_SECRET", wanted.webhook_secret)
    robot_keys = secrets("ROBOT_JWT_SECRET", wanted.robot_jwt_secret)
    all_different(WEBHOOK_SECRET=webhook_keys, ROBOT_JWT_SECRET=robot_keys)
    verifier = Verifier(robot_keys, issuer=ISSUER, audience=AUDIENCE)
    links = {
        "INVENTORY_GRPC_ADDR": wanted.inventory_grpc_addr,
        "GATEWAY_WEBHOOK_URL": web_url("GATEWAY_WEBHOOK_URL", wanted.gateway_webhook_url),
    }
    identity = identity_of(wanted, identities.INVENTORY, links)
    curve_keys = publisher_keys(wanted, "ROBOTS_ZMQ_ADDR", wanted.robots_zmq_addr)
    limits = rpc.RobotLimits(wanted.robot_seen_s, wanted.pick_lease_s, wanted.robot_queue_max)
    async with AsyncExitStack() as stack:
        db, operators_db = await stack.enter_async_context(_open_databases(wanted))
        bus = await stack.enter_async_context(
            open_publisher("ROBOTS_ZMQ_ADDR", wanted.robots_zmq_addr, point=POINT, keys=curve_keys)
        )
        gateway = await stack.enter_async_context(open_gateway(wanted.gateway_webhook_url, webhook_keys[0], identity))
        order_webhooks = loops.send_order_webhooks_loop(db, gateway)
        restock_webhooks = loops.send_restock_webhooks_loop(db, gateway)
        all_loops = (
            order_webhooks,
            restock_webhooks,
            loops.lapse_holds_loop(db),
            loops.write_off_lots_loop(db),
            loops.disable_robots_loop(gateway, verifier),
        )
        await stack.enter_async_context(running(all_loops))
        inventory = rpc.Inventory(
            db, Announcer(bus), verifier, limits, on_finished=order_webhooks.wake, on_restocked=restock_webhooks.wake
        )
        operations = rpc_operations.InventoryOperations(operators_db, verifier, seen_s=wanted.robot_seen_s)
        yield await stack.enter_async_context(
            serve(
                "INVENTORY_GRPC_ADDR",
                host,
                port,
                rpc.methods(inventory) | rpc_operations.methods(operations),
                identity=identity,
                callers={**rpc.CALLERS, **rpc.HISTORY_CALLERS, **rpc_operations.CALLERS},
            )
        )


@asynccontextmanager
async def _open_databases(wanted: Settings) -> AsyncIterator[tuple[Db, Db]]:
    """Open the pool of orders and robots, and a small one of operators, which only reads."""
    setting = "INVENTORY_DATABASE_URL" if wanted.inventory_database_url else "DATABASE_URL"
    async with (
        open_migrated(
            setting,
            wanted.dsn,
            MIGRATIONS,
            SCHEMA,
            application="autogrocery inventory",
            max_size=wanted.inventory_db_connections,
            batch_connections=BATCH_CONNECTIONS,
        ) as db,
        open_read_only(
            setting,
            wanted.dsn,
            application="autogrocery inventory operators",
            max_size=OPERATOR_CONNECTIONS,
            statement_timeout_ms=OPERATOR_STATEMENT_MS,
        ) as operators_db,
    ):
        yield db, operators_db
