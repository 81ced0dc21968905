"""No secret is committed: every tracked file is searched for text that looks like one.

The patterns are those of well-known scanners. A scanner as a dependency (detect-secrets, gitleaks) would bring a
growing baseline file or a binary from outside the lock files, in place of forty lines here.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
KINDS: Final = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s*[A-Za-z0-9+/]{20}"),
    "a token of AWS": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a token of GitHub": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{40,})"),
    "a token of GitLab, Slack or Stripe": re.compile(r"\b(?:glpat-[\w-]{20}|xox[abprs]-[\w-]{10,}|[rs]k_live_\w{16,})"),
    "a token of a package registry": re.compile(r"\b(?:pypi-AgEI\w{20,}|npm_[A-Za-z0-9]{36})"),
    "a signed token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    "a webhook's secret": re.compile(r"\bwhsec_[A-Za-z0-9+/]{43}="),
    "a bcrypt hash": re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"),
    "a password in an address": re.compile(r"\b[a-z][a-z+]*://[^\s:/@{}\"'$<…]+:([^\s:/@{}\"'$<…]{6,})@"),
    "an address of the inside": re.compile(r"https?://(?:[\w-]+\.)+(?:internal|corp|local)\b"),
}
RANDOM: Final = re.compile(
    r"(?<![\w/+.-])(?=[\w/+-]*\d)(?=[\w/+-]*[a-z])(?=[\w/+-]*[A-Z])[A-Za-z0-9_/+-]{32,}={0,2}(?![\w/+])"
)
BITS_A_LETTER: Final = 4.4
NOT_SEARCHED: Final = {
    "requirements": "hashes of packages",
    "docs/bench/": "figures",
    "src/autogrocery/contracts/": "generated from .proto and .fbs",
}
# Text that looks like a secret and is not, each with its reason.
PUBLIC: Final = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef": "the alphabet",
    "TOKEN@HOST": "the form of a URL, in a sentence",
    ":PASSWORD@": "likewise",
    ":password@": "the shape of an address, in a description",
    "to%2Fken": "a test's, at a server that it has just started",
    "mart:secret@": "a test's",
    "secret-7@": "a test's",
    "hunter2": "a well-known example password, in tests",
    "12#er2": "a part of it behind a reserved character, in tests",
    "12?er2": "likewise",
    "cAnArY": "a marked value of a test",
    "$2b$05$ZY0ieNX5QTEZTu2CVaOxbO": "a salt in a test",
}


def files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and not name.startswith(tuple(NOT_SEARCHED))]


def entropy(text: str) -> float:
    """Return the Shannon entropy in bits a character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def found_in(text: str) -> list[str]:
    """Return kind and line of each text that looks like a secret, without the text."""
    hits = [(match.start(), kind, match[0]) for kind, pattern in KINDS.items() for match in pattern.finditer(text)]
    hits += [
        (match.start(), "random letters", match[0])
        for match in RANDOM.finditer(text)
        if entropy(match[0]) > BITS_A_LETTER
    ]
    return [
        f"{kind} in line {text.count(chr(10), 0, start) + 1}"
        for start, kind, hit in hits
        if not any(known in hit for known in PUBLIC)
    ]


def test_no_tracked_file_contains_a_secret() -> None:
    known = files()
    assert len(known) > 300
    found = {}
    for path in known:
        if path.is_file() and (hits := found_in(path.read_text(encoding="utf-8", errors="replace"))):
            found[str(path.relative_to(ROOT))] = hits
    assert found == {}


def joined(*parts: str) -> str:
    """Join a sample, so that this file does not contain it literally."""
    return "".join(parts)


SAMPLES: Final = {
    "a private key": joined("-----BEGIN RSA PRIV", "ATE KEY-----\n", "MIIEpAIBAAKCAQEA7vQ3s"),
    "a token of AWS": joined("AKIA", "IOSFODNN7EXAMPLE"),
    "a token of GitHub": joined("gh", "p_", "a1B2" * 9),
    "a token of GitLab, Slack or Stripe": joined("xo", "xb-", "123456789012-abcdef"),
    "a token of a package registry": joined("np", "m_", "a1B2" * 9),
    "a signed token": joined("ey", "JhbGciOiJIUzI1NiJ9", ".ey", "JzdWIiOiIxMjM0In0", ".", "dozjgNryP4J3jVmNHl0w5N"),
    "a webhook's secret": joined("whs", "ec_", "C2FVsBQIhrscChlQIMV+b5sSYspob7oDYspob7oDabc", "="),
    "a bcrypt hash": joined("$2", "b$12$", "a1B2/" * 10, "xyz"),
    "a password in an address": joined("postgres", "ql://mart:", "Sup3rG3heim", "@db/x"),
    "an address of the inside": joined("http", "://registry.mart", ".internal/simple"),
    "random letters": joined("key = '", "q8Zr3TnV5xYw2KpL", "7mBd9HcJ4sFg6A0uE1", "'"),
}


@pytest.mark.parametrize(("kind", "text"), SAMPLES.items())
def test_scan_finds_a_sample_of_each_kind(kind: str, text: str) -> None:
    assert any(kind in hit for hit in found_in(f"one line\n{text}\n")), found_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "sha256:" + "0123456789abcdef" * 4,
        "a" * 60,
        "test_a_name_of_a_Test_that_1_is_long_enough",
        "DATABASE_URL=postgresql://u:…@h/x",
    ],
)
def test_scan_finds_nothing_in_harmless_text(text: str) -> None:
    assert found_in(text) == []
