"""Streams: parts go out as they come, until the source ends, the client goes, or there is another reason to end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from autogrocery.kit.http.exchange import fields_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from autogrocery.kit.http.exchange import Exchange
    from autogrocery.kit.http.reading import Receive
    from autogrocery.kit.http.route import Answer

BEAT_S = 15.0
SEND_PATIENCE_S = 30.0
EVENT_STREAM = "text/event-stream"
BEAT = b":\n\n"  # a comment, which every reader of event streams skips


async def send_stream(
    answer: Answer, exchange: Exchange, receive: Receive, reasons: Sequence[Coroutine[Any, Any, object]]
) -> None:
    """Send the stream of `answer` until it ends, the client goes, or one of `reasons` to end it returns.

    A client that takes nothing for SEND_PATIENCE_S seconds is let go.
    """
    source = answer.stream
    assert source is not None
    media = answer.media or EVENT_STREAM
    await exchange.send(answer.status or 200, fields_of(answer, media), None)
    ends: set[asyncio.Future[Any]] = {asyncio.ensure_future(end) for end in (_until_gone(receive), *reasons)}
    following: asyncio.Future[Any] = asyncio.ensure_future(anext(source))
    try:
        while True:
            done, _ = await asyncio.wait({following, *ends}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if done & ends:
                break
            part = BEAT if media == EVENT_STREAM else b""
            if following in done:
                part = following.result()
                following = asyncio.ensure_future(anext(source))
            if part:
                async with asyncio.timeout(SEND_PATIENCE_S):
                    await exchange.more(part)
    except StopAsyncIteration:
        pass
    finally:
        await _let_go(source, {following, *ends})
    async with asyncio.timeout(SEND_PATIENCE_S):
        await exchange.more(b"", end=True)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _let_go(source: Any, futures: set[asyncio.Future[Any]]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.wait(futures)
    for future in futures:
        with suppress(asyncio.CancelledError):
            future.exception()  # fetched, so that nobody warns about it
    if (close := getattr(source, "aclose", None)) is not None:
        await close()
