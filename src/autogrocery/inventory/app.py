"""Inventory, one process: stock, orders and robots behind InventoryService."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from autogrocery.contracts import identities
from autogrocery.inventory import loops, rpc, settings
from autogrocery.inventory.peers.gateway import open_gateway
from autogrocery.inventory.peers.robots import POINT, Announcer
from autogrocery.kit.bus import open_publisher
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg import migrate
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.process import ready
from autogrocery.kit.process.log import log
from autogrocery.kit.process.loops import running
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import address, all_different, secrets
from autogrocery.kit.rpc.server import serve
from autogrocery.kit.security.curve import publisher_keys
from autogrocery.kit.security.tls import identity_of
from autogrocery.kit.security.tokens import Verifier

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Mapping

    from autogrocery.inventory.settings import Settings

MIGRATIONS: Final = "autogrocery.inventory.store.migrations"
SCHEMA: Final = "inventory"
ISSUER: Final = "autogrocery"
AUDIENCE: Final = "inventory"
LANES: Final = 4  # holds, dispatches, what robots begin and what they end with wait for each other as little as can be


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Serve until `stop`; raises SettingsError or StartError with what the operator has to change."""
    async with serving(settings.load(environ)) as port:
        log.info("inventory_started", port=port)
        ready.notify()
        await stop.wait()


@asynccontextmanager
async def serving(wanted: Settings) -> AsyncIterator[int]:
    """Open everything in order, serve, yield the bound port, and close in reverse."""
    host, port = address("INVENTORY_GRPC_ADDR", wanted.inventory_grpc_addr)
    webhook_keys = secrets("WEBHOOK_SECRET", wanted.webhook_secret)
    robot_keys = secrets("ROBOT_JWT_SECRET", wanted.robot_jwt_secret)
    all_different(WEBHOOK_SECRET=webhook_keys, ROBOT_JWT_SECRET=robot_keys)
    verifier = Verifier(robot_keys, issuer=ISSUER, audience=AUDIENCE)
    links = {"INVENTORY_GRPC_ADDR": wanted.inventory_grpc_addr, "GATEWAY_WEBHOOK_URL": wanted.gateway_webhook_url}
    identity = identity_of(wanted, identities.INVENTORY, links)
    listeners = publisher_keys(wanted, "ROBOTS_ZMQ_ADDR", wanted.robots_zmq_addr)
    times = rpc.Times(wanted.robot_seen_s, wanted.pick_lease_s, wanted.robot_queue_max)
    async with AsyncExitStack() as stack:
        db = await _open_store(stack, wanted)
        bus = await stack.enter_async_context(
            open_publisher("ROBOTS_ZMQ_ADDR", wanted.robots_zmq_addr, point=POINT, keys=listeners)
        )
        gateway = await stack.enter_async_context(open_gateway(wanted.gateway_webhook_url, webhook_keys[0], identity))
        telling, of_restocks = loops.telling(db, gateway), loops.telling_of_restocks(db, gateway)
        await stack.enter_async_context(
            running(
                (telling, of_restocks, loops.lapsing(db), loops.settling(db), loops.shutting_out(gateway, verifier))
            )
        )
        inventory = rpc.Inventory(
            db, Announcer(bus), verifier, times, on_finished=telling.wake, on_restocked=of_restocks.wake
        )
        yield await stack.enter_async_context(
            serve(
                "INVENTORY_GRPC_ADDR",
                host,
                port,
                rpc.adder(inventory),
                (rpc.SERVICE,),
                identity=identity,
                callers=rpc.CALLERS,
            )
        )


async def _open_store(stack: AsyncExitStack, wanted: Settings) -> Db:
    try:
        db = await stack.enter_async_context(
            open_db(
                wanted.dsn, application="autogrocery inventory", max_size=wanted.inventory_db_connections, lanes=LANES
            )
        )
        standing = await migrate.status(wanted.dsn, MIGRATIONS, SCHEMA)
    except (Unavailable, OSError):
        raise StartError("the database of INVENTORY_DATABASE_URL or DATABASE_URL gives no answer: is it up?") from None
    except migrate.MigrationError as error:
        raise StartError(str(error)) from None
    if not all(migration.applied for migration in standing):
        raise StartError("the database lacks inventory's tables: run autogrocery migrate")
    return db
