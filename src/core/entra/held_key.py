"""A key that stays where it is, in the shape in which `cryptography` takes one: it signs certificates and requests."""

from __future__ import annotations

import hashlib
from typing import Any, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from core.signer import HeldKey


class HeldPrivateKey(RSAPrivateKey):
    """Stands for a key.

    :param held: the key.
    :raises ValueError: it is no RSA key.
    """

    def __init__(self, held: HeldKey) -> None:
        public = load_der_public_key(held.public)
        if not isinstance(public, RSAPublicKey):
            raise ValueError("it is not an RSA key")
        self._held, self._public = held, public

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> RSAPublicKey:
        return self._public

    def sign(self, data: bytes, padding: AsymmetricPadding, algorithm: Any) -> bytes:
        if not isinstance(algorithm, SHA256) or not isinstance(padding, PKCS1v15 | PSS):
            raise UnsupportedAlgorithm("only SHA-256 is signed, with PKCS #1 v1.5 or PSS")
        return self._held.sign(hashlib.sha256(data).digest(), "pkcs1" if isinstance(padding, PKCS1v15) else "pss")

    def decrypt(self, ciphertext: bytes, padding: AsymmetricPadding) -> NoReturn:
        raise UnsupportedAlgorithm("the key only signs")

    def private_numbers(self) -> NoReturn:
        raise UnsupportedAlgorithm("the key stays where it is")

    def private_bytes(self, *_: Any) -> NoReturn:
        raise UnsupportedAlgorithm("the key stays where it is")

    def __copy__(self) -> HeldPrivateKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> HeldPrivateKey:
        return self
