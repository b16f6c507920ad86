"""Where a secret is handed out as text: nowhere but in the modules listed here (P4)."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import core

SOURCES: Final = Path(core.__file__).parents[1]
#: Each sends, stores or parses what it reveals.
REVEALING: Final = {
    "core/entra/certificates.py": "parses the PEM of a keystore entry",
    "core/entra/tokens.py": "puts a token into a header, the old secret into a form, the PEM into azure-identity",
    "core/machine/keystore/system.py": "hands a value to the system's keystore",
    "core/machine/state_file.py": "writes the secret of a rollback",
    "core/sandbox/disclosure.py": "answers and writes files as the pretend world does",
    "wizard/commands.py": "prints the token that `token` was asked for",
}


def test_P4_a_secret_is_revealed_in_these_modules_alone() -> None:
    found = {
        path.relative_to(SOURCES).as_posix()
        for package in ("core", "wizard")
        for path in (SOURCES / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("reveal", "_Secret__value")
    }
    assert found == set(REVEALING)
