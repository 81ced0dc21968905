"""How a robot obtains access tokens and renews them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

from autogrocery.kit.backoff import equal_jitter_s
from autogrocery.kit.errors import Refused, TooMany, Unauthenticated, Unavailable
from autogrocery.kit.process.log import log
from autogrocery.robots.core.robot import Session, Tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.fleet import Fleet
    from autogrocery.robots.peers.gateway import Gateway

T = TypeVar("T")
FIRST_BACKOFF_S: Final = 0.25
CAP_BACKOFF_S: Final = 15.0
RENEW_SHARE: Final = 0.8  # of a token's lifetime, after which it is renewed
MIN_BETWEEN_LOGINS_S: Final = 5.0  # each login costs the gateway a password hash


async def log_in(fleet: Fleet, robot: Robot) -> None:
    """Log a robot in, with backoff and jitter until it succeeds; `fleet.login_slots` bounds concurrent logins."""
    attempt = 0
    while True:
        attempt += 1
        try:
            async with fleet.login_slots:
                tokens = await fleet.gateway.log_in(robot.account)
        except (Refused, Unavailable) as error:
            log.warning("robot_login_failed", robot_id=robot.robot_id, attempt=attempt, code=error.code)
            retry_after_s = error.retry_after_s if isinstance(error, TooMany) else 0.0
            await asyncio.sleep(retry_after_s + equal_jitter_s(attempt, FIRST_BACKOFF_S, CAP_BACKOFF_S))
            continue
        _store(robot, tokens)
        robot.logged_in_at = time.monotonic()
        log.info("robot_logged_in", robot_id=robot.robot_id, robot_class=robot.robot_class)
        return


async def with_token(fleet: Fleet, robot: Robot, call: Callable[[str], Awaitable[T]]) -> T:
    """Make a call with the robot's access token; if the token is refused, replace it and repeat the call once.

    Raises what the call raises; Unauthenticated only if a new token was refused too.
    """
    session = await _session(fleet, robot, refused=None)
    try:
        return await call(session.tokens.access_token)
    except Unauthenticated:
        session = await _session(fleet, robot, refused=session)
        return await call(session.tokens.access_token)


async def _session(fleet: Fleet, robot: Robot, *, refused: Session | None) -> Session:
    async with robot.session_lock:  # the robot's heartbeat and its work share one session
        session = robot.session
        if session is not None and session is refused:
            if time.monotonic() - robot.logged_in_at < MIN_BETWEEN_LOGINS_S:
                raise Unauthenticated("invalid_token", "inventory does not accept the tokens that the gateway issues")
            session = None
        if session is not None and time.monotonic() >= session.renew_at:
            session = await _renew(fleet.gateway, robot, session)
        if session is None:
            await log_in(fleet, robot)
        assert robot.session is not None
        return robot.session


async def _renew(gateway: Gateway, robot: Robot, session: Session) -> Session | None:
    try:
        _store(robot, await gateway.refresh(session.tokens.refresh_token))
    except Unavailable:
        return session  # a fifth of the old token's lifetime is left; the next call tries again
    except Refused:
        return None
    return robot.session


def _store(robot: Robot, tokens: Tokens) -> None:
    robot.session = Session(tokens, time.monotonic() + RENEW_SHARE * tokens.expires_in)
