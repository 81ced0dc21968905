"""Money as people write it. Pure."""

from __future__ import annotations

from typing import Final

# ISO 4217, list one: the currencies that have not two minor digits.
WHOLE: Final = (
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "ISK",
    "JPY",
    "KMF",
    "KRW",
    "PYG",
    "RWF",
    "UGX",
    "UYI",
    "VND",
    "VUV",
    "XAF",
    "XOF",
    "XPF",
)
MINOR_DIGITS: Final = {
    **dict.fromkeys(WHOLE, 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def money(cents: int, currency: str) -> str:
    """Return an amount of minor units as people write it, `12.34 USD`."""
    digits = MINOR_DIGITS.get(currency, 2)
    whole, rest = divmod(cents, 10**digits)
    return f"{whole}.{rest:0{digits}} {currency}" if digits else f"{whole} {currency}"
