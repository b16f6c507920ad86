"""The gate starts no program: `keyring` would look for Apple's libraries with any `gcc` on the PATH (C4, K1)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
from core.errors import KeystoreError
from core.machine.keystore.system import gate
try:
    gate({})
except KeystoreError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="there the libraries are looked for without a program")
def test_C4_a_compiler_on_the_path_is_not_started(tmp_path: Path, home: Path) -> None:
    marker = tmp_path / "started"
    for name in ("gcc", "cc", "ld", "objdump", "ldconfig"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "$0" >> {marker}\n')
        program.chmod(0o700)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(home)}
    finished = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert not marker.exists(), marker.read_text()
