"""Keystore: which one is active, whether it may hold a private key, and a round trip that proves it."""

from __future__ import annotations

from wizard.tui.screens.base import StageScreen


class Keystore(StageScreen):
    """The active keystore and its verdict."""

    place = "keystore"
    heading = "Keystore"
    lead = "The private key will live in the system's keystore. A value of the same size goes in and comes back first."
    advice = (
        "Only the system's own keystore is used: macOS Keychain, GNOME Keyring, KWallet. Files, encrypted or not, and "
        "collections that end with the session are refused, because whoever reads them has the key. The refusal names "
        "the active backend and the way to mend it."
    )
