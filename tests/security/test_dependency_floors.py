"""No version with a known vulnerability is allowed by pyproject.toml or pinned by the lock files.

The list below says which vulnerabilities matter here; the workflow .github/workflows/audit.yml asks the public
database.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

ROOT: Final = Path(__file__).resolve().parents[2]
# The first version without the vulnerability, and the vulnerability.
FIXED: Final = {
    "aiohttp": ("3.12.14", "request smuggling by trailers in the pure-Python parser (CVE-2025-53643)"),
    "bcrypt": ("5.0.0", "earlier versions cut passwords at 72 bytes silently"),
    "cryptography": ("44.0.1", "OpenSSL's RFC 7250 handshakes did not abort (CVE-2024-12797)"),
    "grpcio": ("1.65.4", "HPACK tables of one client poisoned by another behind a proxy (CVE-2024-11407 and before)"),
    "jinja2": ("3.1.6", "a sandbox left by |attr (CVE-2025-27516)"),
    "protobuf": ("6.31.1", "unbounded recursion in the pure-Python parser (CVE-2025-4565)"),
    "pyjwt": ("2.10.1", "an issuer accepted in part (CVE-2024-53861)"),
    "orjson": ("3.9.15", "unbounded recursion in loads (CVE-2024-27454)"),
    "requests": ("2.32.4", ".netrc sent to other hosts (CVE-2024-47081); a development dependency"),
    "urllib3": ("2.5.0", "redirects not disabled where asked (CVE-2025-50181); a development dependency"),
    "h11": ("0.16.0", "malformed chunks accepted (CVE-2025-43859)"),
    "idna": ("3.7", "quadratic time in encode (CVE-2024-3651)"),
    "certifi": ("2024.7.4", "roots that are no longer trusted (CVE-2024-39689)"),
    "setuptools": ("78.1.1", "paths left in PackageIndex (CVE-2025-47273)"),
    "starlette": ("0.49.1", "quadratic time in Range headers (CVE-2025-62727); a development dependency"),
    "werkzeug": ("3.0.6", "unbounded multipart memory (CVE-2024-49767); a development dependency"),
    "lxml": ("4.9.1", "NULL dereference on bad input (CVE-2022-2309); a development dependency"),
}
PIN: Final = re.compile(r"^([a-zA-Z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def name_of(written: str) -> str:
    return re.sub(r"[-_.]+", "-", written).lower()


def declared() -> dict[str, SpecifierSet]:
    """Every run-time dependency of pyproject.toml, the extras' too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(line) for lines in lists for line in lines]
    return {name_of(one.name): one.specifier for one in found if name_of(one.name) != "autogrocery"}


def pinned(file: str) -> dict[str, Version]:
    return {name_of(name): Version(version) for name, version in PIN.findall((ROOT / file).read_text(encoding="utf-8"))}


def test_every_dependency_has_a_minimum_version() -> None:
    assert [
        name for name, wanted in declared().items() if not any(one.operator in {">=", "=="} for one in wanted)
    ] == []


def allowed(wanted: SpecifierSet, below: Version) -> bool:
    """Whether a specifier lets in something older than `below`."""
    floors = [Version(one.version) for one in wanted if one.operator in {">=", "=="}]
    return not floors or max(floors) < below


@pytest.mark.parametrize("name", sorted(FIXED.keys() & declared().keys()))
def test_minimum_version_excludes_known_vulnerabilities(name: str) -> None:
    fixed, vulnerability = FIXED[name]
    assert not allowed(declared()[name], Version(fixed)), vulnerability


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-build.txt", "requirements-dev.txt"])
def test_pinned_version_has_no_known_vulnerability(file: str) -> None:
    found = pinned(file)
    assert len(found) >= 2
    assert {name: FIXED[name][1] for name in FIXED.keys() & found.keys() if found[name] < Version(FIXED[name][0])} == {}


@pytest.mark.parametrize(
    "file", ["requirements.txt", "requirements-build.txt", "requirements-dev.txt", "requirements-uv.txt"]
)
def test_every_pin_has_a_hash_and_no_url(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[a-zA-Z0-9])", text)
    assert [
        block.split("==")[0] for block in blocks if "==" in block.split("\n")[0] and "--hash=sha256:" not in block
    ] == []
    assert "://" not in text
