"""The key that signs tokens, its certificate, and how clients get to know it (D.1).

Tenants of a process share it: each knows its tokens by what it issued.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

#: The first and the last year of the certificate; the pretend world's clock may stand anywhere between them.
_YEARS: Final = (2000, 2100)


class _Signer(NamedTuple):
    key: RSAPrivateKey
    der: bytes

    @property
    def name(self) -> str:
        """What tokens call it: the thumbprint of its certificate, so that no two keys share a name."""
        return base64.urlsafe_b64encode(hashlib.sha1(self.der).digest()).decode().rstrip("=")  # noqa: S324  as Entra


def sign(claims: dict[str, Any]) -> str:
    """A JWT; its header names the key by `kid` and `x5t`."""
    import jwt

    signer = _signer()
    return jwt.encode(claims, signer.key, algorithm="RS256", headers={"kid": signer.name, "x5t": signer.name})


def jwk() -> dict[str, Any]:
    """The public key that goes with it."""
    from jwt.algorithms import RSAAlgorithm

    signer = _signer()
    public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(signer.key.public_key()))
    public.pop("key_ops", None)
    chain = [base64.b64encode(signer.der).decode()]
    return public | {"kid": signer.name, "use": "sig", "x5t": signer.name, "x5c": chain}


@cache
def _signer() -> _Signer:
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "entraclaw-setup sandbox tokens")])
    begins, ends = (datetime(year, 1, 1, tzinfo=UTC) for year in _YEARS)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    return _Signer(key, certificate.public_bytes(serialization.Encoding.DER))
