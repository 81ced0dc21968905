"""The nouns of HTTP: a route, what its action may know of a request, what it answers, and who may pass."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.http import reading
from autogrocery.kit.security.rates import source_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from autogrocery.kit.http.reading import Head
    from autogrocery.kit.security.rates import Limit
    from autogrocery.kit.security.tokens import Claims

# Two ASGI extensions of our server: all of the body came with the head; the DNS names of the client's certificate.
WHOLE, PEER_NAMES = "body_is_here", "peer_names"
NO_TOKEN = "A bearer token is missing."  # noqa: S105 - a sentence


class Request(Struct):
    """What an action may know of a request. `query` is the route's query Struct, or a dict of texts if it has none.

    `peer_names` are those of the client's certificate, None if the listener asks for none.
    """

    route: Route
    request_id: str
    client: str
    head: Head
    headers: list[tuple[bytes, bytes]]
    params: dict[str, str]
    query: Any = None
    claims: Claims | None = None
    body: Any = None
    raw: bytes = b""
    idempotency_key: str | None = None
    peer_names: frozenset[str] | None = None

    @property
    def source(self) -> str:
        """Whom the caller's address stands for, in limits."""
        return source_of(self.client)

    @property
    def bearer(self) -> str | None:
        """The bearer token as sent: unverified where the route is exempt."""
        return reading.bearer(self.head)

    @property
    def accept(self) -> str:
        """The Accept header, or an empty text."""
        return self.head.fields.get(b"accept", b"").decode("latin-1")

    @property
    def caller(self) -> Claims:
        """The verified claims; raises Unauthenticated on a route that is exempt."""
        if self.claims is None:
            raise Unauthenticated("invalid_token", NO_TOKEN)
        return self.claims

    def header(self, name: str) -> str | None:
        """Any header by its lower-case name; None if it is missing or stands twice."""
        wanted = name.encode("ascii")
        found = [value for key, value in self.headers if key == wanted]
        return found[0].decode("latin-1") if len(found) == 1 else None


class Answer(Struct, frozen=True):
    """An action's answer where a bare body does not say enough.

    `status` 0 and `media` "" are the route's. `body` is encoded as JSON unless it is bytes; `stream` goes out as it comes.
    """

    body: Any = None
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    media: str = ""
    stream: AsyncIterator[bytes] | None = None


class Route(Struct, frozen=True):
    """One row of a route table.

    `action` takes the Request and returns an Answer, or a body. `body`, `query` and `answer` are types, `also` further
    statuses of success. `check` sees the raw body before it is decoded. `errors` are "409 device_taken". `keyed` routes read
    Idempotency-Key, `urgent` ones are answered under overload too, `takes_nul` ones see U+0000 in texts. One that `begins` work
    which other requests go on with is refused first when the process falls behind: better fewer orders than none that ends.
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
    limit: Limit | None = None
    check: Callable[[Request], None] | None = None
    urgent: bool = False
    begins: bool = False
    takes_nul: bool = False


class Guard(Struct, frozen=True, dict=True):
    """Who may pass: every path below `prefixes`, known or not, needs a token that `verify` accepts, but those in `exempt`."""

    verify: Callable[[str], Claims]
    prefixes: tuple[str, ...] = ()
    exempt: frozenset[str] = frozenset()

    def covers(self, path: str) -> bool:
        """Say whether a path needs a token whatever the route table says."""
        return (path + "/").startswith(self._below) and path not in self.exempt

    @cached_property
    def _below(self) -> tuple[str, ...]:
        return tuple(f"{prefix}/" for prefix in self.prefixes)
