"""How a robot comes by a token and keeps one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

from autogrocery.kit.errors import Refused, TooMany, Unauthenticated, Unavailable
from autogrocery.kit.process.log import log
from autogrocery.robots.core.backoff import backoff_s
from autogrocery.robots.core.robot import Session, Tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.robots.actions.pick import World
    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.peers.gateway import Gateway

T = TypeVar("T")
FIRST_BACKOFF_S: Final = 0.25
CAP_BACKOFF_S: Final = 15.0
RENEW_SHARE: Final = 0.8  # of a token's life, after which it is renewed
MIN_BETWEEN_LOGINS_S: Final = 5.0  # each costs the gateway a password hash


async def log_in(world: World, robot: Robot) -> None:
    """Log a robot in, however long it takes: with backoff and jitter, and through at most as many doors at once as the world has."""
    attempt = 0
    while True:
        attempt += 1
        try:
            async with world.doors:
                tokens = await world.gateway.log_in(robot.account)
        except (Refused, Unavailable) as trouble:
            log.warning("robot_login_failed", robot_id=robot.robot_id, attempt=attempt, code=trouble.code)
            asked_s = trouble.retry_after_s if isinstance(trouble, TooMany) else 0.0
            await asyncio.sleep(asked_s + backoff_s(attempt, FIRST_BACKOFF_S, CAP_BACKOFF_S))
            continue
        _remember(robot, tokens)
        robot.logged_in_at = time.monotonic()
        log.info("robot_logged_in", robot_id=robot.robot_id, robot_class=robot.robot_class)
        return


async def with_token(world: World, robot: Robot, call: Callable[[str], Awaitable[T]]) -> T:
    """Make a call with the robot's token, renewed in time; a token that is not accepted is replaced once and the call repeated.

    Raises what the call raises; Unauthenticated only if a fresh login did not help either.
    """
    session = await _session(world, robot, refused=None)
    try:
        return await call(session.tokens.access_token)
    except Unauthenticated:
        session = await _session(world, robot, refused=session)
        return await call(session.tokens.access_token)


async def _session(world: World, robot: Robot, *, refused: Session | None) -> Session:
    async with robot.login_turn:  # its heartbeat and its work share one session
        session = robot.session
        if session is not None and session is refused:
            if time.monotonic() - robot.logged_in_at < MIN_BETWEEN_LOGINS_S:
                raise Unauthenticated("invalid_token", "the inventory does not accept what the gateway issues")
            session = None
        if session is not None and time.monotonic() >= session.renew_at:
            session = await _renew(world.gateway, robot, session)
        if session is None:
            await log_in(world, robot)
        assert robot.session is not None
        return robot.session


async def _renew(gateway: Gateway, robot: Robot, session: Session) -> Session | None:
    try:
        _remember(robot, await gateway.refresh(session.tokens.refresh_token))
    except Unavailable:
        return session  # the old token has a fifth of its life left; the next call tries again
    except Refused:
        return None
    return robot.session


def _remember(robot: Robot, tokens: Tokens) -> None:
    robot.session = Session(tokens, time.monotonic() + RENEW_SHARE * tokens.expires_in)
