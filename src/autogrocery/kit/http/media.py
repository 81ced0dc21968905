"""Media types in header fields: Content-Type and Accept (RFC 9110 §8.3.1, §12.4.2 and §12.5.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

QUOTED = r'"(?:[^"\\]|\\.?)*(?:"|$)'  # to the end of the text if it is not closed
ELEMENTS = re.compile(rf"(?:[^,\"]|{QUOTED})+", re.DOTALL)
PARTS = re.compile(rf"(?:[^;\"]|{QUOTED})+", re.DOTALL)
QUALITY = re.compile(r"0|1|[01]?\.[0-9]+|[01]\.")
BLANK = " \t"


def parse_media_type(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return a media type in lower case and its parameters: names in lower case, values without their quotes."""
    kind, *parts = PARTS.findall(text) or [""]
    return kind.strip(BLANK).lower(), [_parameter(part) for part in parts if part.strip(BLANK)]


def preferred(accept: str, offers: Sequence[str]) -> str:
    """Return which of `offers`, media types in lower case, a client prefers by its Accept field.

    The offer of the highest quality wins; of two alike the one that is named more exactly; of two named alike the
    later, so that a client which names an alternative to the first offer gets it. Without a field, and if the client
    accepts none of the offers, it is the first: an answer that it may not read is more use than none. Parameters
    other than `q` are ignored.
    """
    ranges = list(_ranges(accept))
    best, best_rank = offers[0], (0.0, 0)
    for offer in offers:
        exactness, quality = max((_match(offer, kind, quality) for kind, quality in ranges), default=(0, 0.0))
        rank = (quality, exactness)
        if quality and (rank > best_rank or (rank == best_rank and exactness > 1)):
            best, best_rank = offer, rank
    return best


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Yield each media range with its quality; one whose quality is malformed is skipped."""
    for element in ELEMENTS.findall(accept):
        kind, parameters = parse_media_type(element)
        quality = next((value for name, value in parameters if name == "q"), "1")
        if QUALITY.fullmatch(quality) and float(quality) <= 1:
            yield ("*/*" if kind == "*" else kind), float(quality)


def _match(offer: str, kind: str, quality: float) -> tuple[int, float]:
    """Return how exactly a range names an offer, 3 (itself), 2 (`text/*`), 1 (`*/*`) or 0, and its quality."""
    if kind == offer:
        return 3, quality
    if kind.endswith("/*") and offer.startswith(kind[:-1]):
        return 2, quality
    return (1, quality) if kind == "*/*" else (0, 0.0)


def _parameter(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    value = value.strip(BLANK)
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:].removesuffix('"'), flags=re.DOTALL)
    return name.strip(BLANK).lower(), value
