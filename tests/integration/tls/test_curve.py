"""CURVE between publishers and subscribers on real sockets. Tests wait for the handshake's event."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from autogrocery.kit.bus import open_publisher, open_subscriber
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.curve import publisher_keys, subscriber_keys
from autogrocery.kit.security.transport import PublisherSettings, SubscriberSettings
from autogrocery.lab.network import pki
from autogrocery.lab.network.home import write_private

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from autogrocery.kit.bus import Publisher
    from autogrocery.kit.security.curve import SubscriberKeys

PATIENCE_S = 20.0
WATCHED = {
    zmq.Event.HANDSHAKE_SUCCEEDED: "accepted",
    zmq.Event.HANDSHAKE_FAILED_AUTH: "refused",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: "refused",
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: "refused",
    zmq.Event.DISCONNECTED: "refused",
}


def keys_of_subscriber(directory: Path, name: str) -> SubscriberKeys:
    chosen = {key.lower(): value for key, value in pki.environment_of(name, directory).items() if "CURVE" in key}
    found = subscriber_keys(SubscriberSettings(**chosen), "", "")
    assert found is not None
    return found


@asynccontextmanager
async def publishing(
    directory: Path, name: str, value: str = "tcp://127.0.0.1:*"
) -> AsyncIterator[tuple[Publisher, str]]:
    """Open the publisher `name` with its keys of a directory, and return it with its address."""
    chosen = {key.lower(): value for key, value in pki.environment_of(name, directory).items() if "CURVE" in key}
    keys = publisher_keys(PublisherSettings(**chosen), "", "")
    async with open_publisher("ADDR", value, point="test.publish", keys=keys) as publisher:
        yield publisher, publisher._socket.getsockopt_string(zmq.LAST_ENDPOINT)


async def handshake(subscriber: zmq.asyncio.Socket, address: str) -> str:
    """Connect, and return the result of the first handshake, `accepted` or `refused`."""
    monitor: Any = subscriber.get_monitor_socket()
    subscriber.connect(address)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event = parse_monitor_message(await monitor.recv_multipart())["event"]
                if event in WATCHED:
                    return WATCHED[zmq.Event(event)]
    finally:
        subscriber.disable_monitor()
        monitor.close()


LINKS = pki.SUBSCRIBER_OF.items()


@pytest.mark.parametrize(("publisher", "subscriber"), LINKS)
async def test_subscriber_with_allowed_key_receives_messages(keys: Path, publisher: str, subscriber: str) -> None:
    async with (
        publishing(keys, publisher) as (bus, address),
        open_subscriber((), keys=keys_of_subscriber(keys, subscriber)) as socket,
    ):
        assert await handshake(socket, address) == "accepted"
        await receive_one(bus, socket)


async def receive_one(bus: Publisher, socket: zmq.asyncio.Socket) -> None:
    """Send until a message is received: a subscription becomes active some time after the handshake."""
    receiving = asyncio.ensure_future(socket.recv_multipart())
    async with asyncio.timeout(PATIENCE_S):
        while not receiving.done():
            bus.send(b"meat", b"payload")
            await asyncio.wait((receiving,), timeout=0.02)
    assert receiving.result() == [b"meat", b"payload"]


@pytest.mark.parametrize(("publisher", "subscriber"), LINKS)
async def test_subscriber_without_key_is_refused(keys: Path, publisher: str, subscriber: str) -> None:
    del subscriber
    async with publishing(keys, publisher) as (_, address), open_subscriber(()) as socket:
        assert await handshake(socket, address) == "refused"


@pytest.mark.parametrize(("publisher", "subscriber"), LINKS)
async def test_subscriber_with_unlisted_key_is_refused(keys: Path, publisher: str, subscriber: str) -> None:
    other = next(name for name in pki.PUBLISHER_OF if name != subscriber)
    good = keys_of_subscriber(keys, subscriber)
    stranger = type(good)(keys_of_subscriber(keys, other).secret, good.server)
    async with publishing(keys, publisher) as (_, address), open_subscriber((), keys=stranger) as socket:
        assert await handshake(socket, address) == "refused"


@pytest.mark.parametrize(("publisher", "subscriber"), LINKS)
async def test_subscriber_refuses_publisher_with_another_key(
    keys: Path, strangers: Path, publisher: str, subscriber: str
) -> None:
    async with (
        publishing(strangers, publisher) as (_, address),
        open_subscriber((), keys=keys_of_subscriber(keys, subscriber)) as socket,
    ):
        assert await handshake(socket, address) == "refused"


async def test_subscriber_with_keys_refuses_plain_text_publisher(keys: Path) -> None:
    async with (
        open_publisher("ADDR", "tcp://127.0.0.1:*", point="test.publish") as bus,
        open_subscriber((), keys=keys_of_subscriber(keys, "analytics")) as socket,
    ):
        assert await handshake(socket, bus._socket.getsockopt_string(zmq.LAST_ENDPOINT)) == "refused"


async def test_keys_are_checked_if_the_publisher_connects(keys: Path) -> None:
    async with open_subscriber(
        ("tcp://127.0.0.1:*",), binds=True, keys=keys_of_subscriber(keys, "analytics")
    ) as socket:
        address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        async with publishing(keys, "gateway", f">{address}") as (bus, _):
            await receive_one(bus, socket)


async def test_key_added_to_the_allow_list_is_accepted_without_restart(keys: Path, own_keys: Path) -> None:
    allowed = own_keys / "gateway.curve.allowed"
    write_private(allowed, b"# no subscriber yet\n")
    async with publishing(own_keys, "gateway") as (bus, address):
        async with open_subscriber((), keys=keys_of_subscriber(keys, "analytics")) as socket:
            assert await handshake(socket, address) == "refused"
        write_private(allowed, (keys / "analytics.curve.pub").read_bytes().strip() + b" analytics\n")
        async with open_subscriber((), keys=keys_of_subscriber(keys, "analytics")) as socket:
            assert await handshake(socket, address) == "accepted"
            await receive_one(bus, socket)
        write_private(allowed, b"not a key\n")  # a list that can't be read leaves the last one in force
        async with open_subscriber((), keys=keys_of_subscriber(keys, "analytics")) as socket:
            assert await handshake(socket, address) == "accepted"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"curve_secret_key_file": ""}, "CURVE_SECRET_KEY_FILE is not set"),
        ({"curve_allowed_keys_file": ""}, "CURVE_ALLOWED_KEYS_FILE is not set"),
        ({"curve_secret_key_file": "/nowhere"}, "CURVE_SECRET_KEY_FILE: the file can't be read"),
        ({"curve_secret_key_file": "ca.crt"}, "CURVE_SECRET_KEY_FILE: the file holds no key"),
        ({"curve_secret_key_file": "gateway.curve.pub"}, "CURVE_SECRET_KEY_FILE: others may read the file"),
        ({"curve_allowed_keys_file": "ca.crt"}, "CURVE_ALLOWED_KEYS_FILE: the file holds no key"),
    ],
)
def test_unusable_curve_keys_raise_naming_the_variable(own_keys: Path, changed: dict[str, str], error: str) -> None:
    (own_keys / "gateway.curve.pub").chmod(0o644)
    chosen = {key.lower(): value for key, value in pki.environment_of("gateway", own_keys).items() if "CURVE" in key}
    chosen |= {name: str(own_keys / value) if value else "" for name, value in changed.items()}
    with pytest.raises(StartError, match=error) as refusal:
        publisher_keys(PublisherSettings(**chosen), "ADDR", "tcp://127.0.0.1:1")
    secret = (own_keys / "gateway.curve").read_text().strip()
    assert secret not in str(refusal.value)
