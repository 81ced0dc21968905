"""Streamed responses: parts are sent as they come, until the source ends, the client hangs up or the server stops."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from autogrocery.kit.http.exchange import EVENT_STREAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.kit.http.exchange import Exchange
    from autogrocery.kit.http.route import Answer

HEARTBEAT_S = 15.0
HEARTBEAT = b":\n\n"  # a comment, which every reader of event streams skips


async def send_stream(exchange: Exchange, answer: Answer, may_go_on: Callable[[], bool], recheck_s: float) -> None:
    """Send the stream of `answer` until it ends, the client hangs up or `may_go_on()` returns False.

    Both are asked after each part, and every `recheck_s` seconds. HEAD gets the header fields only.
    """
    source = answer.stream
    assert source is not None
    async with aclosing(source):
        if not exchange.begin_stream(answer):
            return
        following = asyncio.ensure_future(anext(source))
        is_event_stream = (answer.media or EVENT_STREAM) == EVENT_STREAM
        silent_s = 0.0
        try:
            while may_go_on() and not exchange.connection.is_closed:
                done, _ = await asyncio.wait({following}, timeout=recheck_s)
                if done:
                    part = following.result()
                    following = asyncio.ensure_future(anext(source))
                else:
                    silent_s += recheck_s
                    part = HEARTBEAT if silent_s > HEARTBEAT_S and is_event_stream else b""
                if part:
                    silent_s = 0.0
                    await exchange.send_part(part)
        except StopAsyncIteration:
            pass
        finally:
            following.cancel()
            await asyncio.wait({following})
            with suppress(asyncio.CancelledError):
                following.exception()  # retrieved, so that asyncio does not warn about it
    exchange.end_stream()
