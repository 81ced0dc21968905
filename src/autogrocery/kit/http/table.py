"""Route lookup: a dictionary for fixed paths, a comparison of segments for paths with parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from autogrocery.kit.errors import Malformed, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.http.route import Route


class RouteEntry(Struct, frozen=True):
    """A route and its decoder; `reads` is whether its body is read."""

    route: Any
    decoder: Any
    reads: bool


class PathPattern(Struct, frozen=True):
    """A path with parameters: each segment is a fixed text, or None for a parameter."""

    segments: tuple[str | None, ...]
    names: tuple[str, ...]
    methods: dict[str, RouteEntry]


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
        self._patterns: dict[int, list[PathPattern]] = {}
        for route in routes:
            methods = self._methods(route.path)
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} stands twice")
            decoder = msgspec.json.Decoder(route.body) if route.body is not None else None
            methods[route.method] = RouteEntry(route, decoder, decoder is not None or route.check is not None)
            if route.method == "GET":
                methods.setdefault("HEAD", methods["GET"])

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

    def _methods(self, path: str) -> dict[str, RouteEntry]:
        if "{" not in path:
            return self._fixed.setdefault(path, {})
        parts = path.split("/")
        segments = tuple(None if part.startswith("{") else part for part in parts)
        patterns = self._patterns.setdefault(len(parts), [])
        for pattern in patterns:
            if pattern.segments == segments:
                return pattern.methods
        names = tuple(part.strip("{}") for part in parts if part.startswith("{"))
        patterns.append(PathPattern(segments, names, {}))
        return patterns[-1].methods

    def _match(self, path: str) -> tuple[dict[str, RouteEntry], dict[str, str]]:
        parts = path.split("/")
        for pattern in self._patterns.get(len(parts), ()):
            if all(segment in (None, part) for segment, part in zip(pattern.segments, parts, strict=True)):
                found = [part for segment, part in zip(pattern.segments, parts, strict=True) if segment is None]
                if all(found):
                    return pattern.methods, dict(zip(pattern.names, found, strict=True))
        raise NotFound("not_found", "There is no such path.")
