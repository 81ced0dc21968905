"""The search key is blind to case and to the form of Unicode, and to nothing else."""

from __future__ import annotations

import sys
from unicodedata import normalize

import pytest

from autogrocery.pricing.core.search_key import search_key

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
ALIKE = [
    ("MÜSLI", "müsli", "Müsli", "mU\u0308sLi"),
    ("Straße", "STRASSE", "STRA\u1e9eE", "strasse"),
    ("\u039f\u03b4\u03cc\u03c2", "\u039f\u0394\u038c\u03a3", "\u03bf\u03b4\u03cc\u03c3"),  # Greek, with either sigma
    ("\u0130stanbul", "istanbul", "ISTANBUL", "I\u0307stanbul"),
    ("\ufb01sh", "FISH", "fish"),
    ("\uff2d\uff29\uff2c\uff2b", "milk"),  # full-width letters
    ("\u212bngstr\u00f6m", "\u00e5NGSTR\u00d6M"),  # the sign for the unit and the letter
    ("\u1fb3", "\u1fbc", "\u03b1\u03b9"),  # alpha with iota below, capital, and beside it
    ("1\u00bd l", "11\u20442 L"),
    ("\u0412\u041e\u0414\u041a\u0410", "\u0432\u043e\u0434\u043a\u0430"),  # Cyrillic
]
DIFFERENT = [("müsli", "muesli"), ("müsli", "musli"), ("\u0131", "i"), ("milk", "mi1k"), ("a b", "ab")]


@pytest.mark.parametrize("texts", ALIKE)
def test_texts_that_are_alike_have_one_key(texts: tuple[str, ...]) -> None:
    assert len({search_key(normalize(form, text)) for text in texts for form in FORMS}) == 1


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_texts_have_other_keys(one: str, other: str) -> None:
    assert search_key(one) != search_key(other)


def test_key_of_every_character_is_stable_and_the_same_in_every_case_and_form() -> None:
    for code in range(sys.maxunicode + 1):
        text = chr(code)
        if 0xD800 <= code <= 0xDFFF or text.isascii():
            continue
        key = search_key(text)
        assert search_key(key) == key, hex(code)
        assert {search_key(normalize(form, text)) for form in FORMS} == {key}, hex(code)
        assert search_key(text.casefold()) == key, hex(code)


def test_ascii_is_only_folded() -> None:
    text = "".join(map(chr, range(128)))
    assert search_key(text) == text.lower()
