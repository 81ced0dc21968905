"""Whatever bytes a client sends, the server answers or closes within its deadlines, and serves the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autogrocery.kit.process.log import capture
from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.server_call import MAX_CALL_S
from autogrocery.kit.rpc.server_connection import ABANDON_S
from autogrocery.kit.rpc.status import Code
from tests.harness.raw_http2_client import PATIENCE_S, call, data, head, listening, message, ping, raw_client
from tests.harness.waiting import until

if TYPE_CHECKING:
    from autogrocery.kit.rpc.server_connection import ServerConnection

STREAMS = st.sampled_from([0, 1, 1, 2, 3, 3, 5, 7, frames.LAST_STREAM])
FLAGS = st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D, 0xFF])
WORDS = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"\0" * 4, b"\0" * 5, b"\0" * 8, message("x")]))
ANY_FRAME = st.builds(frames.frame, st.integers(0, 12), FLAGS, STREAMS, WORDS)
ODD_HEAD = st.builds(
    lambda stream, end, fields: head(stream, end=end, **fields),
    STREAMS,
    st.booleans(),
    st.dictionaries(
        st.sampled_from(["p_path", "p_method", "p_scheme", "content_type", "grpc_timeout", "grpc_encoding", "te", "X"]),
        st.one_of(st.none(), st.sampled_from(["", "GET", "/", "1n", "0S", "gzip", "application/grpc"])),
        max_size=3,
    ),
)
SETTING = st.builds(
    lambda name, value: frames.frame(frames.SETTINGS, 0, 0, name.to_bytes(2, "big") + value.to_bytes(4, "big")),
    st.integers(0, 8),
    st.sampled_from([0, 1, 100, 16_384, 65_535, frames.MAX_WINDOW, 0xFFFFFFFF]),
)
WINDOW = st.builds(frames.window_update, STREAMS, st.sampled_from([0, 1, 70_000, frames.MAX_WINDOW]))
CALL = st.builds(call, STREAMS, st.sampled_from(["a", "large", "held"]))
PIECE = st.builds(lambda stream, end: data(stream, message("b"), end=end), STREAMS, st.booleans())
RESET = st.builds(lambda stream: frames.frame(frames.RST_STREAM, 0, stream, b"\0\0\0\x08"), STREAMS)
OTHER = st.sampled_from(
    [frames.SETTINGS_ACK, ping(), ping(b"draining", frames.ACK), frames.goaway(0, frames.ErrorCode.NO_ERROR)]
)
PART = st.one_of(ANY_FRAME, ODD_HEAD, SETTING, WINDOW, CALL, CALL, PIECE, RESET, OTHER)
GREETING = frames.PREFACE + frames.settings({})


@st.composite
def conversations(draw: Any) -> list[bytes]:
    """Return what one client sends: a greeting, mostly whole, and frames, cut anywhere and perhaps damaged."""
    sent = bytearray(draw(st.sampled_from([GREETING, GREETING, GREETING, GREETING + frames.SETTINGS_ACK, b""])))
    sent += b"".join(draw(st.lists(PART, max_size=12)))
    if sent and draw(st.integers(0, 3)) == 0:
        sent[draw(st.integers(0, len(sent) - 1))] ^= draw(st.integers(1, 255))
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    return [bytes(sent[start:end]) for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(sent=conversations())
def test_no_client_breaks_the_server(sent: list[bytes]) -> None:
    asyncio.run(converse(sent))


async def converse(sent: list[bytes]) -> None:
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
    events: list[str] = []
    with capture(lambda _level, event, _fields: events.append(event)):
        async with listening() as listener:
            gate = listener.desk.gates["held"] = asyncio.Event()
            listener.desk.large["large"] = 100_000
            async with raw_client(listener.port, b"") as client:
                await until(lambda: listener.connections)
                (connection,) = listener.connections
                for part in sent:
                    client.send(part)
                    await asyncio.sleep(0)
                await settle(connection)
                gate.set()
                await settle(connection)
            async with raw_client(listener.port) as other:
                other.send(call(1, "after"))
                assert await other.status(1) == (Code.OK, "")
            await asyncio.wait_for(connection.gone, PATIENCE_S)
            assert connection._buffered == 0 or connection._lost
    assert failures == []
    assert set(events) <= {"http2_violated", "call_abandoned"}


async def settle(connection: ServerConnection) -> None:
    """Let the deadlines of everything pass; afterwards no stream may be open."""
    for _ in range(5):
        await asyncio.sleep(0)
    connection.check(asyncio.get_running_loop().time() + MAX_CALL_S + ABANDON_S + 1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert connection.idle
