"""Route lookup: a dictionary for fixed paths, a regular expression for each path with parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from autogrocery.kit.errors import Malformed, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.http.route import Route


PARAMETER = re.compile(r"\{(\w+)\}")


class RouteEntry(Struct, frozen=True):
    """A route and its decoder; `reads` is whether its body is read."""

    route: Any
    decoder: Any
    reads: bool


class MethodNotAllowed(Malformed):
    """405 with the methods that are allowed."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__("method_not_allowed", "This path does not support the method.", status=405)
        self.headers = ((b"allow", ", ".join(sorted(allowed)).encode("ascii")),)


class RouteTable:
    """Finds the route of a request. Fixed paths win over patterns."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Compile `routes`; raises ValueError if one is repeated."""
        self._fixed: dict[str, dict[str, RouteEntry]] = {}
        self._patterns: dict[re.Pattern[str], dict[str, RouteEntry]] = {}
        for route in routes:
            methods = self._methods(route.path)
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} stands twice")
            decoder = msgspec.json.Decoder(route.body) if route.body is not None else None
            methods[route.method] = RouteEntry(route, decoder, decoder is not None or route.check is not None)
            if route.method == "GET":
                methods.setdefault("HEAD", methods["GET"])

    def _methods(self, path: str) -> dict[str, RouteEntry]:
        if "{" not in path:
            return self._fixed.setdefault(path, {})
        return self._patterns.setdefault(re.compile(PARAMETER.sub(r"(?P<\1>[^/]+)", path.replace(".", r"\."))), {})

    def find(self, method: str, path: str) -> tuple[RouteEntry, dict[str, str]]:
        """Return the entry and the path's parameters; raises NotFound, or Malformed (405) with Allow."""
        methods = self._fixed.get(path)
        params: dict[str, str] = {}
        if methods is None:
            methods, params = self._match(path)
        entry = methods.get(method)
        if entry is None:
            raise MethodNotAllowed(tuple(methods))
        return entry, params

    def _match(self, path: str) -> tuple[dict[str, RouteEntry], dict[str, str]]:
        for pattern, methods in self._patterns.items():
            if (match := pattern.fullmatch(path)) is not None:
                return methods, match.groupdict()
        raise NotFound("not_found", "There is no such path.")
