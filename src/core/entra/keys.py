"""This machine's key: made, and opened again from what the keystore keeps, wherever it lies (T2, T6, ADR-0007)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.entra import certificates
from core.errors import SetupError
from core.secret import Secret
from core.signer import HeldKey, KeyProvider, Padding, Signer


@dataclass(frozen=True)
class HeldSigner(Signer):
    """A certificate whose key stays with its provider.

    :param key: the key, which was compared with the certificate.
    """

    key: HeldKey

    def sign(self, digest: bytes, padding: Padding) -> bytes:
        """As `Signer.sign`."""
        return self.key.sign(digest, padding)


@dataclass(frozen=True)
class Keys:
    """Makes keys and opens them.

    :param provider: holds what is made; None: the key is made here, and the keystore's entry is the key itself. Such
        entries are opened with every provider.
    """

    provider: KeyProvider | None = None

    @property
    def made(self) -> str:
        """What a plan says of a key that is to be made."""
        if self.provider is None:
            return "RSA 2048, made here"
        return f"RSA 2048, made {self.provider.where}, which it never leaves; the entry only leads to it"

    def make(self, common_name: str, now: datetime, lifetime: timedelta, app_id: str = "") -> Signer:
        """A new key and its self-signed certificate (P3); the parameters are those of `certificates.make`.

        :raises SetupError: the provider cannot make it.
        """
        if self.provider is None:
            return certificates.make(common_name, now, lifetime, app_id)
        from core.entra.held_key import HeldPrivateKey

        key = self.provider.create()
        certificate = certificates.self_signed(HeldPrivateKey(key), common_name, now, lifetime, app_id)
        entry = certificates.entry_of(certificate, key.reference)
        return HeldSigner(**vars(certificates.read(certificate)), entry=entry, where=self.provider.where, key=key)

    def open(self, entry: Secret, account: str) -> Signer:
        """The signer that a keystore entry holds or leads to.

        :param account: the entry's name, for the error.
        :raises SetupError: `keystore.bundle`: it is neither; anything else: it leads to a key that cannot be used now,
            and nobody makes or deletes one because of that (T6).
        """
        found = certificates.referred(entry)
        if found is None:
            return certificates.parse(entry, account)
        certificate, reference = found
        what = f"the keystore entry {account}"
        if self.provider is None or not reference.startswith(self.provider.prefix):
            detail = f"nothing here holds keys of the kind '{reference.partition(':')[0]}'"
            raise SetupError("hardware.key", what=what, detail=detail)
        key = self.provider.find(reference)
        if not certificates.belongs(certificate, key.public):
            raise SetupError("hardware.key", what=what, detail="it is not the key of the certificate there")
        return HeldSigner(**vars(certificates.read(certificate)), entry=entry, where=self.provider.where, key=key)
