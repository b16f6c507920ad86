"""What signs, wherever its key lies: a certificate, signatures, where the key is, whether it can be taken out (T2).

`core.entra.certificates.KeyPair` is the signer whose key the keystore itself holds. A key that stays in hardware is a
`HeldKey` of a `KeyProvider`; `core.entra.keys` makes a signer of it. Certificates, client assertions and proofs of
possession have one implementation on top of both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, Protocol

from core.renewal import Renewal, renewal
from core.secret import Secret

#: PKCS #1 v1.5, or PSS whose salt is as long as the digest: what RS256 and PS256 are made of (RFC 7518).
Padding = Literal["pkcs1", "pss"]


@dataclass(frozen=True)
class Certificate:
    """A certificate.

    :param der: the certificate itself.
    :param thumbprint: SHA-1, 40 upper-case hexadecimal digits.
    """

    der: bytes
    thumbprint: str
    not_before: datetime
    not_after: datetime

    @property
    def renewal(self) -> Renewal:
        """When it is to be replaced (P9)."""
        return renewal(self.not_before, self.not_after, self.thumbprint)

    def expired(self, now: datetime) -> bool:
        """Whether it is past its end."""
        return now >= self.not_after


@dataclass(frozen=True)
class Signer(Certificate, ABC):
    """A certificate whose private key can sign; every kind passes one suite (tests/contract/test_signer.py).

    :param entry: what the keystore keeps and the signer is opened from: the certificate, then the key or a reference.
    :param where: where the key lies, for people: a part of a sentence.
    :cvar exportable: whether the key can be taken out of where it lies.
    """

    entry: Secret
    where: str
    exportable: ClassVar[bool] = False

    @abstractmethod
    def sign(self, digest: bytes, padding: Padding) -> bytes:
        """The signature of a SHA-256 digest; several threads may ask for one at once.

        :raises SetupError: the key cannot be used.
        """


class HeldKey(Protocol):
    """An RSA key of 2048 bits or more that stays where it was made."""

    @property
    def reference(self) -> str:
        """What its provider finds it by; it begins with the provider's prefix and is no secret by itself."""

    @property
    def public(self) -> bytes:
        """SubjectPublicKeyInfo, DER, as the holder says it: never as a file beside it does."""

    def sign(self, digest: bytes, padding: Padding) -> bytes:
        """As `Signer.sign`."""


class KeyProvider(Protocol):
    """What makes keys that stay there, and finds them again."""

    @property
    def prefix(self) -> str:
        """What its references begin with, and nobody else's: `pkcs11:`."""

    @property
    def where(self) -> str:
        """Where its keys lie, for people: a part of a sentence, such as `in the TPM of this computer`."""

    def create(self) -> HeldKey:
        """A new key.

        :raises SetupError: it cannot be made.
        """

    def find(self, reference: str) -> HeldKey:
        """The key that a reference leads to.

        :raises SetupError: there is none, or it cannot be used now; never `keystore.bundle`.
        """
