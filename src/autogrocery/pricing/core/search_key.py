"""The form in which texts are compared by a search: blind to case and to how Unicode spells a character."""

from __future__ import annotations

from typing import Final
from unicodedata import normalize

DOTTED_I: Final = "i\u0307"  # what İ folds to; it counts as i, so that Turkish and English keyboards find the same


def search_key(text: str) -> str:
    """Return `text` for a caseless comparison of compatible characters (Unicode, section 3.13, D146).

    MÜSLI and müsli are alike, precomposed or not; so are ß, ẞ and ss, the two small sigmas, ﬁ and fi, full-width and
    plain letters, and İ, I and i. Accents count: muesli and musli are other words. The dotless i is another letter.
    """
    folded = normalize("NFKC", normalize("NFD", text).casefold()).casefold()
    return normalize("NFKC", folded).replace(DOTTED_I, "i")
