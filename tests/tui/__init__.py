"""Tests of the wizard's screens. What changes how Textual draws is dropped here, before Textual is imported."""

import os

for _name in list(os.environ):
    if _name.startswith("TEXTUAL_") or _name in ("NO_COLOR", "COLORTERM", "FORCE_COLOR"):
        del os.environ[_name]
