"""A reference HMAC-SHA-256 written from FIPS 180-4 and FIPS 198-1, independent of the tested library; and test vectors.

The vectors are like those of Project Wycheproof: a key, a message, a tag, and whether the tag is valid.
"""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK: Final = 64
WORD: Final = (1 << 32) - 1


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _root(number: int, degree: int) -> int:
    """The first 32 bits of the fractional part of a root, in integer arithmetic (FIPS 180-4, 4.2.2 and 5.3.3)."""
    scaled = number << (32 * degree)
    low, high = 0, 1 << (32 + number.bit_length())
    while low < high:
        middle = (low + high + 1) // 2
        if middle**degree <= scaled:
            low = middle
        else:
            high = middle - 1
    return low & WORD


K: Final = [_root(prime, 3) for prime in _primes(64)]
H: Final = [_root(prime, 2) for prime in _primes(8)]


def _right(word: int, by: int) -> int:
    return (word >> by | word << (32 - by)) & WORD


def sha256(message: bytes) -> bytes:
    """Return the SHA-256 digest (FIPS 180-4, 6.2)."""
    padded = message + b"\x80" + b"\0" * ((55 - len(message)) % BLOCK) + (8 * len(message)).to_bytes(8, "big")
    state = list(H)
    for start in range(0, len(padded), BLOCK):
        w = [int.from_bytes(padded[at : at + 4], "big") for at in range(start, start + BLOCK, 4)]
        for t in range(16, 64):
            s0 = _right(w[t - 15], 7) ^ _right(w[t - 15], 18) ^ w[t - 15] >> 3
            s1 = _right(w[t - 2], 17) ^ _right(w[t - 2], 19) ^ w[t - 2] >> 10
            w.append((w[t - 16] + s0 + w[t - 7] + s1) & WORD)
        a, b, c, d, e, f, g, h = state
        for t in range(64):
            sum1 = _right(e, 6) ^ _right(e, 11) ^ _right(e, 25)
            t1 = (h + sum1 + (e & f ^ ~e & g) + K[t] + w[t]) & WORD
            sum0 = _right(a, 2) ^ _right(a, 13) ^ _right(a, 22)
            t2 = (sum0 + (a & b ^ a & c ^ b & c)) & WORD
            a, b, c, d, e, f, g, h = (t1 + t2) & WORD, a, b, c, (d + t1) & WORD, e, f, g
        state = [(was + now) & WORD for was, now in zip(state, (a, b, c, d, e, f, g, h), strict=True)]
    return b"".join(word.to_bytes(4, "big") for word in state)


@cache  # slow, and called with the same arguments repeatedly
def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA-256 tag (FIPS 198-1, section 4)."""
    key = (sha256(key) if len(key) > BLOCK else key).ljust(BLOCK, b"\0")
    inner = sha256(bytes(octet ^ 0x36 for octet in key) + message)
    return sha256(bytes(octet ^ 0x5C for octet in key) + inner)


class Vector(Struct, frozen=True):
    """A tag over a message, and whether a verifier with `key` must accept it; `comment` says why."""

    comment: str
    key: bytes
    message: bytes
    tag: bytes
    valid: bool


KEY_BYTES: Final = (32, 33, 48, 63, 64, 65, 100, 128, 200)
MESSAGE_BYTES: Final = (0, 1, 3, 31, 32, 54, 55, 56, 63, 64, 65, 118, 119, 120, 127, 128, 129, 500)


def vectors(seed: int) -> Iterator[Vector]:
    """Yield vectors around every boundary of key, block and tag lengths; deterministic for a seed."""
    draw = random.Random(seed)
    for key_bytes in KEY_BYTES:
        for message_bytes in MESSAGE_BYTES if key_bytes in {32, 64, 65} else MESSAGE_BYTES[::5]:
            key, message = draw.randbytes(key_bytes), draw.randbytes(message_bytes)
            tag = hmac_sha256(key, message)
            yield Vector(f"{message_bytes} bytes under {key_bytes}", key, message, tag, valid=True)
            bit = draw.randrange(256)
            yield Vector("another message", key, message + b"\0", tag, valid=False)
            yield Vector(f"bit {bit} flipped", key, message, _flipped(tag, bit), valid=False)
    key, message = draw.randbytes(32), draw.randbytes(40)
    yield from _of_one(key, message, hmac_sha256(key, message), draw)


def _of_one(key: bytes, message: bytes, tag: bytes, draw: random.Random) -> Iterator[Vector]:
    def wrong(comment: str, made: bytes) -> Vector:
        return Vector(comment, key, message, made, valid=False)

    for bit in range(256):
        yield wrong(f"bit {bit} flipped", _flipped(tag, bit))
    for length in range(32):
        yield wrong(f"truncated to {length} bytes", tag[:length])
    for more in (b"\0", b"\x80", tag[:1], tag):
        yield wrong(f"{len(more)} bytes appended", tag + more)
    yield wrong("all zero", b"\0" * 32)
    yield wrong("all one", b"\xff" * 32)
    yield wrong("reversed", tag[::-1])
    yield wrong("complement", bytes(octet ^ 0xFF for octet in tag))
    yield wrong("under the empty key", hmac_sha256(b"", message))
    yield wrong("under the first half of the key", hmac_sha256(key[:16], message))
    yield wrong("under the hash of the key", hmac_sha256(sha256(key), message))
    yield wrong("under another key", hmac_sha256(draw.randbytes(32), message))
    yield wrong("hash without a key", sha256(message))
    yield wrong("hash of key and message", sha256(key + message))
    yield wrong("hash of message and key", sha256(message + key))
    yield wrong("inner hash alone", sha256(bytes(octet ^ 0x36 for octet in key.ljust(BLOCK, b"\0")) + message))
    yield wrong("of the message's hash", hmac_sha256(key, sha256(message)))
    yield wrong("of the empty message", hmac_sha256(key, b""))
    yield Vector("key filled up with zeros is the same key", key + b"\0" * 8, message, tag, valid=True)


def _flipped(tag: bytes, bit: int) -> bytes:
    octets = bytearray(tag)
    octets[bit // 8] ^= 1 << bit % 8
    return bytes(octets)
