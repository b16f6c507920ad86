"""Certificates and the key bundle: make, parse, thumbprints (P3, T5).

A bundle is the PEM text that the keystore keeps: the certificate, then its PKCS#8 key, as
`azure.identity.CertificateCredential` takes it in `certificate_data`. Of a key that lies elsewhere the keystore keeps
the certificate, then a reference to the key (ADR-0007).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from core.errors import SetupError
from core.secret import ENTRA_SECRET, Secret
from core.signer import Certificate, Padding, Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate as X509

BACK_DATED: Final = timedelta(minutes=10)
LIFETIME: Final = timedelta(days=365)
#: A certificate and the URI of its key.
_REFERRED: Final = re.compile(
    r"(-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----)\s*([a-z][a-z0-9+.-]*:\S+)\s*"
)
SHA1_SHAPE: Final = re.compile(r"[A-F0-9]{40}")
#: The subject alternative name by which a certificate says whose it is: an app's own identifier URI.
_APP_URI: Final = "api://"
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)
#: What encodes 32 bytes or more: a private key, be it in PEM, DER, PFX or JWK. An entry without can sign in nobody.
_MATERIAL: Final = re.compile(r"[A-Za-z0-9+/=_-]{43,}")


@dataclass(frozen=True)
class KeyPair(Signer):
    """A certificate and its private key, as the keystore holds them; one that was read by `public` cannot sign."""

    exportable: ClassVar[bool] = True

    @property
    def pem(self) -> Secret:
        """Certificate and key."""
        return self.entry

    def sign(self, digest: bytes, padding: Padding) -> bytes:
        """As `Signer.sign`."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
        from cryptography.hazmat.primitives.hashes import SHA256

        # whoever made this instance has compared the key with the certificate
        key = serialization.load_pem_private_key(self.pem.reveal().encode(), None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        how = PKCS1v15() if padding == "pkcs1" else PSS(MGF1(SHA256()), SHA256.digest_size)
        return key.sign(digest, how, Prehashed(SHA256()))


def make(common_name: str, now: datetime, lifetime: timedelta = LIFETIME, app_id: str = "") -> KeyPair:
    """A new RSA-2048 key and its self-signed certificate (P3).

    :param common_name: CN of subject and issuer.
    :param now: current time; notBefore lies 10 minutes earlier, so that a slow clock at the service does not matter.
    :param lifetime: notAfter - notBefore.
    :param app_id: the app that it is for, which the certificate then names (`app_of`); empty while there is none.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = self_signed(key, common_name, now, lifetime, app_id)
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _bundle(Secret(pem.decode()), certificate)


def is_self_signed(der: bytes) -> bool:
    """Whether a certificate names itself as its issuer, and no authority (P13)."""
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(der)
    return certificate.issuer == certificate.subject


def self_signed(
    key: RSAPrivateKey, common_name: str, now: datetime, lifetime: timedelta = LIFETIME, app_id: str = ""
) -> X509:
    """A certificate of a key for itself (P3); the parameters are those of `make`.

    :param key: the key itself, or what stands for one that lies elsewhere (`core.entra.held_key`).
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    start = now.replace(microsecond=0) - BACK_DATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if app_id:
        whose = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(_APP_URI + app_id)])
        builder = builder.add_extension(whose, critical=False)
    return builder.sign(key, SHA256())


def parse(entry: Secret, account: str) -> KeyPair:
    """The bundle that a keystore entry holds.

    :param account: the entry's name, for the error.
    :raises SetupError: `keystore.bundle`: not PEM, not RSA, too short, or key and certificate do not belong together.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    try:
        pem = entry.reveal().encode()
        certificate = x509.load_pem_x509_certificate(pem)
        # validating an RSA key takes 45 ms; the comparison below and the proof by a token say what matters
        key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
        public = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SetupError("keystore.bundle", account=account, detail="it is not PEM of a kind that is known") from None
    if not isinstance(key, rsa.RSAPrivateKey) or not isinstance(public, rsa.RSAPublicKey) or key.key_size < 2048:
        raise SetupError("keystore.bundle", account=account, detail="it is not an RSA key of 2048 bits or more")
    if key.public_key().public_numbers() != public.public_numbers():
        raise SetupError("keystore.bundle", account=account, detail="key and certificate do not belong together")
    return _bundle(entry, certificate)


def may_sign_in(entry: Secret) -> bool:
    """Whether a keystore entry may hold a credential, of whatever kind and whosever."""
    rest = _CERTIFICATE.sub("", entry.reveal())
    return bool(_MATERIAL.search(rest) or ENTRA_SECRET.search(rest))


def entry_of(certificate: X509, reference: str) -> Secret:
    """What the keystore keeps of a key that lies elsewhere.

    :param reference: leads to the key; a URI.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    return Secret(certificate.public_bytes(Encoding.PEM).decode() + reference + "\n")


def referred(entry: Secret) -> tuple[X509, str] | None:
    """Certificate and reference of a key that lies elsewhere; None when an entry is anything else."""
    from cryptography import x509

    found = _REFERRED.fullmatch(entry.reveal())
    try:
        return (x509.load_pem_x509_certificate(found[1].encode()), found[2]) if found else None
    except ValueError:
        return None


def belongs(certificate: X509, public: bytes) -> bool:
    """Whether a certificate is of a key.

    :param public: the key's SubjectPublicKeyInfo, DER.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public


def public(der: bytes) -> KeyPair:
    """A certificate without its key.

    :raises ValueError: it is not a certificate with an RSA key of 2048 to 4096 bits and the usual exponent.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import rsa

    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
    except (UnsupportedAlgorithm, x509.InvalidVersion):
        raise ValueError("its certificate is of a kind that is not known") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        raise ValueError("its certificate has no RSA key of 2048 bits or more")
    if key.key_size > 4096 or key.public_numbers().e != 65537:  # with the exponent 1 everybody could sign
        raise ValueError("its certificate has an RSA key of a kind that no run makes")
    return _bundle(Secret(""), certificate)


def app_of(der: bytes) -> str:
    """Id of the app that a certificate says it is for; empty when it does not say."""
    from cryptography import x509

    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return next((uri.removeprefix(_APP_URI).lower() for uri in uris if uri.startswith(_APP_URI)), "")


def thumbprint(der: bytes) -> str:
    """SHA-1 thumbprint of a certificate, 40 upper-case hexadecimal digits, the way the portal shows it."""
    import hashlib

    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def thumbprint_of_identifier(identifier: str | None) -> str:
    """The thumbprint that a keyCredential's `customKeyIdentifier` names, or an empty text.

    Three encodings are documented: 40 hexadecimal digits, base64 of the 20 bytes, Edm.Binary (base64url).
    """
    if not identifier:
        return ""
    if SHA1_SHAPE.fullmatch(identifier.upper()):
        return identifier.upper()
    try:
        raw = base64.b64decode(identifier.replace("-", "+").replace("_", "/") + "=" * (-len(identifier) % 4))
    except ValueError:
        return ""
    if SHA1_SHAPE.fullmatch(raw.decode("ascii", "replace").upper()):
        return raw.decode("ascii").upper()
    return raw.hex().upper() if len(raw) == 20 else ""


def read(certificate: X509) -> Certificate:
    """What the product needs to know of a certificate."""
    from cryptography.hazmat.primitives.serialization import Encoding

    der = certificate.public_bytes(Encoding.DER)
    return Certificate(der, thumbprint(der), certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _bundle(pem: Secret, certificate: X509) -> KeyPair:
    return KeyPair(**vars(read(certificate)), entry=pem, where="in the keystore")
