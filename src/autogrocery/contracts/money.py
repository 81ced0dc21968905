"""Amounts of money as text. Pure."""

from __future__ import annotations

from typing import Final

# ISO 4217, list one: the currencies whose number of minor digits is not two.
WITHOUT_MINOR_DIGITS: Final = (
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
    **dict.fromkeys(WITHOUT_MINOR_DIGITS, 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def format_amount(cents: int, currency: str, *, grouped: bool = False) -> str:
    """Return an amount in minor units as text, such as `1234.56 USD`, or `1,234.56 USD` if its digits are `grouped`.

    `currency` is its ISO 4217 code.
    """
    digits = MINOR_DIGITS.get(currency, 2)
    whole, rest = divmod(cents, 10**digits)
    units = f"{whole:,}" if grouped else f"{whole}"
    return f"{units}.{rest:0{digits}} {currency}" if digits else f"{units} {currency}"
