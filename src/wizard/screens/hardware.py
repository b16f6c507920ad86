"""Hardware key: what will hold the private key."""

from __future__ import annotations

from wizard.screens.base import StageScreen


class Hardware(StageScreen):
    """What holds the key, and what that protects against."""

    place = "hardware"
    heading = "Hardware key"
    lead = "A key that is born in a TPM could not be copied, not even by programs that run as you."
    advice = "Detection of hardware is not part of this version. The key is kept by the keystore of the screen before."
