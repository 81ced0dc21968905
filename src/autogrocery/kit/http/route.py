"""The types of the HTTP layer: a route, its request and its answer, and the guard that checks tokens."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.http import reading
from autogrocery.kit.http.media import preferred
from autogrocery.kit.security.rate_limit import rate_limit_key

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from autogrocery.kit.http.reading import RequestHead
    from autogrocery.kit.security.rate_limit import RateLimit
    from autogrocery.kit.security.tokens import Claims

NO_TOKEN = "A bearer token is missing."  # noqa: S105 - a sentence


class Request(Struct):
    """A request as an action sees it. `query` is the route's query Struct, or a dict of texts if it has none.

    `peer_names` are the DNS names of the client's certificate, None if the listener requires none.
    """

    route: Route
    request_id: str
    client: str
    head: RequestHead
    params: dict[str, str]
    query: Any = None
    claims: Claims | None = None
    body: Any = None
    raw: bytes = b""
    idempotency_key: str | None = None
    peer_names: frozenset[str] | None = None

    @property
    def source(self) -> str:
        """The rate-limit key of the client's address."""
        return rate_limit_key(self.client)

    @property
    def bearer(self) -> str | None:
        """The bearer token as sent; unverified on a route without auth."""
        return reading.bearer(self.head)

    def preferred(self, *offers: str) -> str:
        """Return which media type of `offers` the client prefers; the first if it does not say."""
        return preferred(self.head.fields.get(b"accept", b"").decode("latin-1"), offers)

    @property
    def caller(self) -> Claims:
        """The verified claims; raises Unauthenticated on a route that is exempt."""
        if self.claims is None:
            raise Unauthenticated("invalid_token", NO_TOKEN)
        return self.claims

    def header(self, name: str) -> str | None:
        """Return a header field by its lower-case name; None if it is missing or repeated."""
        key = name.encode("ascii")
        value = self.head.fields.get(key)
        return value.decode("latin-1") if value is not None and key not in self.head.repeated else None


class Answer(Struct, frozen=True):
    """An action's answer that is more than a body.

    `status` 0 and `media` "" mean those of the route. `body` is encoded as JSON unless it is bytes; the parts of
    `stream` are sent as they come.
    """

    body: Any = None
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    media: str = ""
    stream: AsyncGenerator[bytes, None] | None = None


class Route(Struct, frozen=True):
    """One row of a route table.

    `action` takes the Request and returns an Answer or a body. `body`, `query` and `answer` are types; `also` are
    further statuses of success. `check` gets the raw body before it is decoded. `errors` are texts such as "409
    device_taken". `keyed` routes read Idempotency-Key; `takes_nul` routes accept U+0000 in texts. Under overload
    `urgent` routes are still answered, and `sheddable` ones, which start work that other requests continue, are refused
    first: so fewer orders are started, and those that are can end.
    """

    method: str
    path: str
    action: Callable[[Request], Awaitable[Any]]
    scope: str | None = None
    body: Any = None
    query: Any = None
    answer: Any = None
    status: int = 200
    also: tuple[int, ...] = ()
    auth: bool = True
    summary: str = ""
    errors: tuple[str, ...] = ()
    keyed: bool = False
    media: str = "application/json"
    limit: RateLimit | None = None
    check: Callable[[Request], None] | None = None
    urgent: bool = False
    sheddable: bool = False
    takes_nul: bool = False


class Guard(Struct, frozen=True, dict=True):
    """Requires a token that `verify` accepts for each path below `prefixes`, known or not, except those in `exempt`."""

    verify: Callable[[str], Claims]
    prefixes: tuple[str, ...] = ()
    exempt: frozenset[str] = frozenset()

    def covers(self, path: str) -> bool:
        """Return whether a path needs a token whatever the route table says."""
        return (path + "/").startswith(self._below) and path not in self.exempt

    @cached_property
    def _below(self) -> tuple[str, ...]:
        return tuple(f"{prefix}/" for prefix in self.prefixes)
