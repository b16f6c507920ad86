"""Hardware key: what will hold the private key."""

from __future__ import annotations

from wizard.tui.screens.base import StageScreen


class Hardware(StageScreen):
    """What was found, what holds the key, and what that protects against."""

    place = "hardware"
    heading = "Hardware key"
    lead = "A key that is born in a TPM could not be copied, not even by programs that run as you."
    advice = (
        "A TPM 2.0 or a Secure Enclave is looked for, and what surrounds this computer: WSL, a container, a virtual "
        "machine. Looking changes nothing. This version cannot make a key in hardware yet, so the keystore of the "
        "screen before keeps it. ENTRACLAW_SETUP_HARDWARE=off leaves the look and the warning out; =require stops here."
    )
