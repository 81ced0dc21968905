"""Starts with unusable keys or addresses, and the commands that make development keys."""

from __future__ import annotations

import asyncio
import secrets
import stat
import subprocess
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate

from autogrocery.__main__ import main as command
from autogrocery.cli.keys import operator_identity
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.tls import identity_of
from autogrocery.kit.security.transport import TlsSettings, is_local
from autogrocery.lab.authority import IssuedCertificate, issue, make_authority
from autogrocery.lab.network import pki
from autogrocery.lab.network.home import write_private

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = {name: secrets.token_hex(32) for name in ("JWT_SECRET", "ROBOT_JWT_SECRET", "WEBHOOK_SECRET")}
STARTS, PAUSE_S = 100, 0.05
BASE = {**SECRETS, "DATABASE_URL": "postgresql://u@127.0.0.1:1/x"}


def settings_of(directory: Path, name: str, **changed: str) -> TlsSettings:
    found = {key.lower(): value for key, value in pki.environment_of(name, directory).items() if "TLS" in key}
    return TlsSettings(**{**found, **changed})


def test_tls_files_must_be_set_all_or_none(keys: Path) -> None:
    assert identity_of(TlsSettings()) is None
    assert identity_of(settings_of(keys, "gateway")) is not None
    for missing in ("tls_ca", "tls_cert", "tls_key"):
        with pytest.raises(StartError, match=f"{missing.upper()} is not set: TLS_CA, TLS_CERT and TLS_KEY go together"):
            identity_of(settings_of(keys, "gateway", **{missing: ""}))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"tls_ca": "nowhere"}, "TLS_CA: the file can't be read"),
        ({"tls_cert": "nowhere"}, "TLS_CERT: the file can't be read"),
        ({"tls_key": "nowhere"}, "TLS_KEY: the file can't be read"),
        ({"tls_ca": "gateway.key"}, "TLS_CA: the file holds no certificate"),
        ({"tls_cert": "gateway.key"}, "TLS_CERT: the file holds no certificate"),
        ({"tls_key": "gateway.crt"}, "TLS_KEY: the file holds no key"),
        ({"tls_key": "inventory.key"}, "TLS_KEY: it is not the key of TLS_CERT"),
        ({"tls_key": "open.key"}, "TLS_KEY: others may read the file; chmod 600 it"),
        ({"tls_ca": "strange.crt"}, "TLS_CERT: unable to get local issuer certificate, by TLS_CA"),
        ({"tls_cert": "past.crt", "tls_key": "past.key"}, "TLS_CERT: certificate has expired, by TLS_CA"),
        ({"tls_cert": "nameless.crt", "tls_key": "nameless.key"}, "TLS_CERT: it has no DNS name"),
        ({"tls_cert": "inventory.crt", "tls_key": "inventory.key"}, "TLS_CERT: it is not for gateway.autogrocery"),
        ({"tls_key": "locked.key"}, "TLS_CERT or TLS_KEY can't be used"),
        ({"tls_cert": "torn.crt"}, "TLS_CERT or TLS_KEY can't be used"),
        ({"tls_ca": "torn.crt"}, "TLS_CA: the file holds no certificate that can be read"),
    ],
)
def test_unusable_tls_files_raise_naming_the_variable(
    own_keys: Path, strangers: Path, changed: dict[str, str], error: str
) -> None:
    add_unusable_files(own_keys, strangers)
    chosen = {name: str(own_keys / file) for name, file in changed.items()}
    with pytest.raises(StartError, match=error) as refusal:
        identity_of(settings_of(own_keys, "gateway", **chosen), "gateway.autogrocery")
    assert "PRIVATE" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_start_during_renewal_waits_for_the_matching_key(own_keys: Path, strangers: Path) -> None:
    for name in ("ca.crt", "gateway.crt"):
        write_private(own_keys / name, (strangers / name).read_bytes())
    arrives = threading.Timer(0.2, write_private, (own_keys / "gateway.key", (strangers / "gateway.key").read_bytes()))
    arrives.start()
    found = identity_of(settings_of(own_keys, "gateway"))
    arrives.join()
    assert found is not None
    assert found.current().key == (strangers / "gateway.key").read_bytes()


def test_starts_during_repeated_renewals_read_matching_pairs(own_keys: Path) -> None:
    over = threading.Event()

    def renew() -> None:
        while not over.wait(PAUSE_S):
            pki.renew(own_keys)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        for _ in range(STARTS):
            found = identity_of(settings_of(own_keys, "gateway"))
            assert found is not None
            material = found.current()
            shown = load_pem_x509_certificate(material.certificate)
            assert shown.public_key() == load_pem_private_key(material.key, None).public_key()
    finally:
        over.set()
        renewing.join()


def add_unusable_files(directory: Path, strangers: Path) -> None:
    """Add unusable files, each with one defect."""
    authority = IssuedCertificate((directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes())
    past = issue(authority, ("gateway.autogrocery",), 0, server_auth=True, client_auth=True)
    nameless = issue(authority, ("127.0.0.1",), 1, server_auth=True, client_auth=True)
    for name, made in {"past": past, "nameless": nameless}.items():
        write_private(directory / f"{name}.crt", made.certificate)
        write_private(directory / f"{name}.key", made.key)
    key = (directory / "gateway.key").read_bytes()
    locked = load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    write_private(directory / "locked.key", locked)
    write_private(directory / "torn.crt", (directory / "gateway.crt").read_bytes()[:200])
    write_private(directory / "strange.crt", (strangers / "ca.crt").read_bytes())
    write_private(directory / "open.key", key)
    (directory / "open.key").chmod(0o644)


def test_certificate_for_servers_only_is_accepted(keys: Path) -> None:
    assert identity_of(settings_of(keys, "pricing"), "pricing.autogrocery") is not None


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:50051", True),
        ("127.8.8.8:1", True),
        ("[::1]:50051", True),
        ("localhost:1", True),
        ("unix:/run/x", True),
        ("ipc:///run/x", True),
        ("tcp://127.0.0.1:5556", True),
        ("http://localhost:5051/", True),
        ("dns:///localhost:1", True),
        ("ipv4:127.0.0.1:1", True),
        ("0.0.0.0:50051", False),
        ("[::]:1", False),
        ("10.0.0.7:1", False),
        ("*:1", False),
        ("tcp://*:5557", False),
        ("tcp://eth0:1", False),
        ("inventory:50051", False),
        ("dns:///inventory:1", False),
        ("http://gateway:5051", False),
        ("localhost.example:1", False),
        ("http://127.0.0.1@example:1", False),
        ("", False),
    ],
)
def test_is_local(address: str, *, local: bool) -> None:
    assert is_local(address) is local


REFUSED = [
    ("gateway", "ORDERING_INTERNAL_ADDR", "0.0.0.0:5051"),
    ("gateway", "INVENTORY_GRPC_TARGET", "inventory:50051"),
    ("gateway", "PRICING_GRPC_TARGET", "pricing:50052"),
    ("gateway", "ANALYTICS_ZMQ_ADDR", "tcp://127.0.0.1:5557,>tcp://analytics:5557"),
    ("inventory", "INVENTORY_GRPC_ADDR", "[::]:50051"),
    ("inventory", "GATEWAY_WEBHOOK_URL", "http://gateway:5051"),
    ("inventory", "ROBOTS_ZMQ_ADDR", "tcp://*:5556"),
    ("pricing", "PRICING_GRPC_ADDR", "0.0.0.0:50052"),
    ("robots", "INVENTORY_GRPC_TARGET", "inventory:50051"),
    ("robots", "GATEWAY_WEBHOOK_URL", "http://gateway:5051"),
    ("robots", "ROBOTS_ZMQ_TARGET", "tcp://inventory:5556"),
    ("analytics", "GATEWAY_WEBHOOK_URL", "http://gateway:5051"),
    ("analytics", "INVENTORY_GRPC_TARGET", "inventory:50051"),
    ("analytics", "ANALYTICS_ZMQ_TARGET", "tcp://gateway:5557"),
]


async def started(role: str, environ: dict[str, str]) -> None:
    """Start a role whose database is unreachable: a database error means that its addresses were accepted."""
    main: Any = import_module(f"autogrocery.{role}.app").main
    stop = asyncio.Event()
    stop.set()
    await main(environ, stop)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    robots = tmp_path / "robots.json"
    write_private(robots, b'[{"robot_id":"r","robot_class":"meat","password":"p"}]')
    return {**BASE, "ROBOTS_CREDENTIALS_FILE": str(robots)}


@pytest.mark.parametrize(("role", "setting", "value"), REFUSED)
async def test_plaintext_address_of_other_machine_raises_unless_allowed(
    environ: dict[str, str], role: str, setting: str, value: str
) -> None:
    if "URL" not in setting and "_ADDR" in setting and "ZMQ" not in setting:
        value = value.rpartition(":")[0] + ":0"
    with pytest.raises(StartError, match=f"{setting}: it would be plain text to other machines: set (TLS|CURVE)_"):
        await started(role, {**environ, setting: value})
    if role in {"robots", "analytics"}:
        await started(role, {**environ, setting: value, "PLAINTEXT_PEERS": "allow"})
    else:
        with pytest.raises(StartError, match="database"):
            await started(role, {**environ, setting: value, "PLAINTEXT_PEERS": "allow"})


@pytest.mark.parametrize("role", ["gateway", "inventory", "pricing", "robots", "analytics"])
async def test_role_with_another_roles_certificate_raises(keys: Path, environ: dict[str, str], role: str) -> None:
    other = "pricing" if role != "pricing" else "inventory"
    url = {"GATEWAY_WEBHOOK_URL": "https://127.0.0.1:1"}
    with pytest.raises(StartError, match=f"TLS_CERT: it is not for {role}.autogrocery, but for {other}.autogrocery"):
        await started(role, {**environ, **url, **pki.environment_of(other, keys)})


@pytest.mark.parametrize("role", ["inventory", "robots", "analytics"])
async def test_http_url_with_tls_set_raises(keys: Path, environ: dict[str, str], role: str) -> None:
    with pytest.raises(StartError, match="GATEWAY_WEBHOOK_URL: it begins with http://, and TLS_"):
        await started(role, {**environ, **pki.environment_of(role, keys)})


def test_pki_init_writes_private_files_and_overwrites_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "new" / "keys"
    assert command(["pki", "init", "--dir", str(place)]) == 0
    printed = capsys.readouterr().out
    assert "365 days" in printed
    assert "90 days" in printed
    files = {path.name: path.read_bytes() for path in place.iterdir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}
    assert stat.S_IMODE(place.stat().st_mode) & 0o066 == 0
    assert files.keys() >= {f"{name}.{kind}" for name in ("ca", *pki.LEAVES) for kind in ("crt", "key")}
    for name in files.keys() - {"ca.crt"}:
        (place / name).unlink()
    assert command(["pki", "init", "--dir", str(place)]) == 2
    assert "exists: nothing is overwritten" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {"ca.crt": files["ca.crt"]}


def test_pki_renew_replaces_leaves_and_keeps_the_ca(own_keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in own_keys.iterdir()}
    assert command(["pki", "renew", "--dir", str(own_keys)]) == 0
    after = {path.name: path.read_bytes() for path in own_keys.iterdir()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"{name}.{kind}" for name in pki.LEAVES for kind in ("crt", "key")}
    assert identity_of(settings_of(own_keys, "robots")) is not None
    assert command(["pki", "renew", "--dir", str(own_keys / "nowhere")]) == 2
    assert "pki init" in capsys.readouterr().err


def test_expired_ca_raises_on_issue() -> None:
    with pytest.raises(StartError, match="the CA has expired"):
        issue(make_authority("old", 0), ("a",), 1, server_auth=True, client_auth=True)


def test_leaf_expires_no_later_than_its_ca() -> None:
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    authority = make_authority("young", 3)
    leaf = issue(authority, ("a",), 90, server_auth=True, client_auth=True)
    ends = [load_pem_x509_certificate(pem).not_valid_after_utc for pem in (leaf.certificate, authority.certificate)]
    assert ends == sorted(ends)


def test_pki_without_cryptography_names_the_extra_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['cryptography'] = None;"
        " from autogrocery.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, "pki", "init", "--dir", str(tmp_path / "keys")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.strip().endswith("install autogrocery with its extra `pki`")
    assert not (tmp_path / "keys").exists()


def test_commands_use_tls_settings_if_set(keys: Path, tmp_path: Path) -> None:
    home = {"AUTOGROCERY_HOME": str(tmp_path)}
    assert operator_identity(home) is None
    found = operator_identity({**home, **pki.environment_of("operator", keys)})
    assert found is not None
    assert found.current().names == {"operator.autogrocery"}
    with pytest.raises(StartError, match="--internal-url: it would be plain text to other machines"):
        operator_identity(home, {"--internal-url": "http://gateway:5051"})
