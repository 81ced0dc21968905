"""A development certificate authority: an ECDSA P-256 CA and the leaf certificates it signs, as PEM.

`cryptography` comes with the extra `pki` and is imported only when it is used. `trustme` does not replace this file:
its CA is valid until the year 3000, and each of its leaves is good for a server, a client and code signing alike.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from autogrocery.kit.process import clock
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder

SKEW: Final = timedelta(minutes=5)  # certificates are valid from this long ago: the clocks of two machines differ


class IssuedCertificate(Struct, frozen=True):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def make_authority(name: str, days: int) -> IssuedCertificate:
    """Make a CA that signs leaves and no further CA, valid for `days`.

    Raises StartError if `cryptography` is not installed.
    """
    x509, ec, _ = _cryptography()
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(subject, subject, key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return _sign(builder, key, key)


def issue(
    authority: IssuedCertificate, names: Sequence[str], days: int, *, server_auth: bool, client_auth: bool
) -> IssuedCertificate:
    """Issue a leaf certificate for `names`, DNS names and IP addresses; the first is its common name.

    Its extended key usage has serverAuth if `server_auth`, clientAuth if `client_auth`. It never outlives the CA.
    Raises StartError if the CA has expired or `cryptography` is not installed.
    """
    x509, ec, serialization = _cryptography()
    issuer: Certificate = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key: Any = serialization.load_pem_private_key(authority.key, password=None)
    left = issuer.not_valid_after_utc - clock.now()
    if left <= timedelta():
        raise StartError("the CA has expired: make another one in another directory")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    purposes = x509.ExtendedKeyUsageOID
    uses = [purposes.SERVER_AUTH] * server_auth + [purposes.CLIENT_AUTH] * client_auth
    signs = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(subject, issuer.subject, key, min(days, left.days))
        .add_extension(x509.SubjectAlternativeName([_general_name(x509, name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signs), critical=False)
    )
    return _sign(builder, key, issuer_key)


def _cryptography() -> tuple[Any, Any, Any]:
    try:
        from cryptography import x509  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    except ImportError:
        raise StartError("the package cryptography is missing: install autogrocery with its extra `pki`") from None
    return x509, ec, serialization


def _builder(subject: Any, issuer: Any, key: EllipticCurvePrivateKey, days: int) -> CertificateBuilder:
    x509, _, _ = _cryptography()
    now = clock.now()
    builder: CertificateBuilder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder


def _sign(builder: CertificateBuilder, key: Any, issuer_key: Any) -> IssuedCertificate:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - an extra

    _, _, serialization = _cryptography()
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return IssuedCertificate(
        builder.sign(issuer_key, SHA256()).public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, form, plain),
    )


def _general_name(x509: Any, name: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
