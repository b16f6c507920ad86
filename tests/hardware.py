"""Hardware that holds keys and gives none away, for tests of what has to do with a reference alone (T2)."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import padding as paddings
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.errors import SetupError
from core.signer import HeldKey, Padding


class FakeKey:
    """A key in it."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self.signatures = 0
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, digest: bytes, padding: Padding) -> bytes:
        self.signatures += 1
        pss = paddings.PSS(paddings.MGF1(SHA256()), 32)
        return self._key.sign(digest, paddings.PKCS1v15() if padding == "pkcs1" else pss, Prehashed(SHA256()))


class FakeHardware:
    """A chip; its keys are there as long as it is.

    :ivar absent: whether it was taken out.
    """

    prefix = "fake:"
    where = "in a chip that only tests have"

    def __init__(self) -> None:
        self.keys: dict[str, FakeKey] = {}
        self.absent = False

    def create(self) -> HeldKey:
        reference = f"fake:slot={len(self.keys)}"
        self.keys[reference] = key = FakeKey(reference)
        return key

    def find(self, reference: str) -> HeldKey:
        if self.absent or reference not in self.keys:
            raise SetupError("hardware.key", what=reference, detail="the chip is not there")
        return self.keys[reference]
