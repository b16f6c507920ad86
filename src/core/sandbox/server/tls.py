"""The sandbox's CA and its server's certificate (S1)."""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.sandbox.origins import BLOB

if TYPE_CHECKING:
    from cryptography.x509 import CertificateBuilder

LIFETIME: Final = datetime.timedelta(days=1)


def context(public: Sequence[str] = ()) -> tuple[str, ssl.SSLContext]:
    """A CA for this run and a server certificate: name-constrained, valid a day, the CA's key never on a disk (S1).

    :param public: host names besides loopback's; the CA may sign for them and for nothing else.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    loopback = ipaddress.IPv4Address("127.0.0.1")

    def builder(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> CertificateBuilder:
        # real time, not the tenant's: TLS clients check against their own clock
        start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = "entraclaw-setup sandbox CA"
    hosts = [x509.DNSName(name) for name in ("localhost", *public)]
    blobs = [x509.DNSName(f"*{BLOB}")] if public else []
    names = [*hosts, *blobs, x509.IPAddress(loopback)]
    below = [x509.DNSName(BLOB.removeprefix("."))] if public else []
    permitted = [*hosts, *below, x509.IPAddress(ipaddress.IPv4Network("127.0.0.1/32"))]
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    signing = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = (
        builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signing, critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        builder("localhost", ca_name, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    # Python's ssl loads keys from files only: this one is encrypted with a password that exists in memory alone
    password = secrets.token_bytes(32).hex()
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    descriptor, name = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encrypted + leaf.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(name, password=password)
    finally:
        Path(name).unlink()
    return ca.public_bytes(serialization.Encoding.PEM).decode(), context
