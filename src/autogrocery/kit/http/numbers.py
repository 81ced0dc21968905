"""Integers in requests: a JSON number without a fractional part is an integer, in a body as in a query.

OpenAPI 3.1 says `integer`, which JSON Schema defines by value (2020-12 validation §6.1.1): 2, 2.0 and 2e0 are the same.
msgspec decodes the first only, so the others are converted here, on the slow path. The values are exact: a float would
take 1.0000000000000000001 for 1.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<more>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")  # RFC 8259 §6
LARGEST = 2.0**63  # a larger one is left as a float, which no integer field takes


def parse_real(text: str) -> int | float:
    """Return a number that is written with a fraction or an exponent: an int if its value is one."""
    near = float(text)
    if abs(near) <= LARGEST:
        exact = Decimal(text)
        if exact == (whole := exact.to_integral_value()):
            return int(whole)
    return near


def decode_with_integers(raw: bytes, shape: Any) -> Any:
    """Decode JSON that is known to be valid into `shape`; raises msgspec.ValidationError."""
    return msgspec.convert(json.loads(raw.decode("utf-8"), parse_float=parse_real), shape)


def convert_texts(fields: Mapping[str, str], shape: Any) -> Any:
    """Convert texts into `shape`, those of a Struct's integers as JSON numbers; raises msgspec.ValidationError."""
    integers = _integer_fields(shape)
    return msgspec.convert({name: _number(text) if name in integers else text for name, text in fields.items()}, shape)


def _number(text: str) -> int | float | str:
    match = NUMBER.fullmatch(text)
    if match is None:
        return text  # which is no integer
    return parse_real(text) if match["more"] else int(text)


@cache
def _integer_fields(shape: Any) -> frozenset[str]:
    if not (isinstance(shape, type) and issubclass(shape, msgspec.Struct)):
        return frozenset()
    return frozenset(field.encode_name for field in msgspec.structs.fields(shape) if _is_integer(field.type))


def _is_integer(kind: Any) -> bool:
    found = msgspec.inspect.type_info(kind)
    types = found.types if isinstance(found, msgspec.inspect.UnionType) else (found,)
    return any(isinstance(one, msgspec.inspect.IntType) for one in types)
