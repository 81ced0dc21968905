"""Streamed responses: parts are sent as they come, until the source ends, the client hangs up or the server stops."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from autogrocery.kit.http.exchange import EVENT_STREAM

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from autogrocery.kit.http.exchange import Exchange
    from autogrocery.kit.http.route import Answer

HEARTBEAT_S = 15.0
HEARTBEAT = b":\n\n"  # a comment, which every reader of event streams skips


async def send_stream(exchange: Exchange, answer: Answer, reasons: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Send the stream of `answer` until it ends, the client hangs up, or one of the coroutines `reasons` returns.

    A client that does not read is disconnected by its connection.
    """
    source = answer.stream
    assert source is not None
    is_event_stream = (answer.media or EVENT_STREAM) == EVENT_STREAM
    exchange.begin_stream(answer)
    ends: set[asyncio.Future[Any]] = {asyncio.ensure_future(end) for end in (exchange.connection.gone(), *reasons)}
    following: asyncio.Future[Any] = asyncio.ensure_future(anext(source))
    try:
        while True:
            done, _ = await asyncio.wait({following, *ends}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if done & ends:
                break
            part = HEARTBEAT if is_event_stream else b""
            if following in done:
                part = following.result()
                following = asyncio.ensure_future(anext(source))
            if part:
                await exchange.send_part(part)
    except StopAsyncIteration:
        pass
    finally:
        await _close(source, {following, *ends})
    exchange.end_stream()


async def send_stream_head(exchange: Exchange, answer: Answer) -> None:
    """Answer HEAD: send the header fields of a stream and close its source, which has not begun."""
    exchange.begin_stream(answer)
    await _close_source(answer.stream)


async def _close(source: Any, futures: set[asyncio.Future[Any]]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.wait(futures)
    for future in futures:
        with suppress(asyncio.CancelledError):
            future.exception()  # retrieved, so that asyncio does not warn about it
    await _close_source(source)


async def _close_source(source: Any) -> None:
    if (close := getattr(source, "aclose", None)) is not None:
        await close()
