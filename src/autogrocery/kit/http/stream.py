"""Streamed responses: parts are sent as they come, until the source ends, the client hangs up or the server stops."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from autogrocery.kit.http.response_writer import fields_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from autogrocery.kit.http.reading import Receive
    from autogrocery.kit.http.response_writer import ResponseWriter
    from autogrocery.kit.http.route import Answer

HEARTBEAT_S = 15.0
SEND_TIMEOUT_S = 30.0
EVENT_STREAM = "text/event-stream"
HEARTBEAT = b":\n\n"  # a comment, which every reader of event streams skips


async def send_stream(
    answer: Answer, response: ResponseWriter, receive: Receive, reasons: Sequence[Coroutine[Any, Any, object]]
) -> None:
    """Send the stream of `answer` until it ends, the client hangs up, or one of the coroutines `reasons` returns.

    Raises TimeoutError if the client reads nothing for SEND_TIMEOUT_S seconds.
    """
    source = answer.stream
    assert source is not None
    media = answer.media or EVENT_STREAM
    await response.send(answer.status or 200, fields_of(answer, media), None)
    ends: set[asyncio.Future[Any]] = {asyncio.ensure_future(end) for end in (_until_gone(receive), *reasons)}
    following: asyncio.Future[Any] = asyncio.ensure_future(anext(source))
    try:
        while True:
            done, _ = await asyncio.wait({following, *ends}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if done & ends:
                break
            part = HEARTBEAT if media == EVENT_STREAM else b""
            if following in done:
                part = following.result()
                following = asyncio.ensure_future(anext(source))
            if part:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await response.more(part)
    except StopAsyncIteration:
        pass
    finally:
        await _close(source, {following, *ends})
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await response.more(b"", end=True)


async def send_stream_head(answer: Answer, response: ResponseWriter) -> None:
    """Answer HEAD: send the header fields of a stream and close its source, which has not begun."""
    await response.send(answer.status or 200, fields_of(answer, answer.media or EVENT_STREAM), None)
    await response.more(b"", end=True)
    await _close_source(answer.stream)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
