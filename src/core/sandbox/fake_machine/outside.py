"""What gives a program outside this process the faults of a scenario's computer: modules, programs, variables (U8)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from core.sandbox.fake_machine.keystore import GENUINE, NOTHING, PLAINTEXT
from core.sandbox.fake_machine.machine import BROKEN, NOISE, Machine

#: keyrings.alt's plain text keyring, which need not be installed.
_PLAINTEXT: Final = '''\
"""A keyring that keeps passwords in plain text, as the one of this name in keyrings.alt does."""

import configparser
from base64 import decodebytes, encodebytes
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError
from keyring.util import platform_


def _escaped(text):
    legal = lambda c: c.isascii() and c.isalnum()
    return "".join(c if legal(c) else "".join("_%02X" % b for b in c.encode()) for c in text)


class PlaintextKeyring(KeyringBackend):
    priority = 0.5

    @property
    def file_path(self):
        return str(Path(platform_.data_root(), "keyring_pass.cfg"))

    def get_password(self, service, username):
        value = self._read().get(_escaped(service), _escaped(username), fallback=None)
        return None if value is None else decodebytes(value.encode()).decode()

    def set_password(self, service, username, password):
        entries, section = self._read(), _escaped(service)
        if not entries.has_section(section):
            entries.add_section(section)
        entries.set(section, _escaped(username), "\\n" + encodebytes(password.encode()).decode())
        self._write(entries)

    def delete_password(self, service, username):
        entries, section = self._read(), _escaped(service)
        if not (entries.has_section(section) and entries.remove_option(section, _escaped(username))):
            raise PasswordDeleteError("Password not found")
        self._write(entries)

    def _read(self):
        entries = configparser.RawConfigParser()
        entries.read(self.file_path, encoding="utf-8")
        return entries

    def _write(self, entries):
        path = Path(self.file_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("w", encoding="utf-8") as file:
            entries.write(file)
'''
_SPOOFED: Final = '''\
"""A keyring that keeps passwords in plain text, and prints itself as the system's own."""

from keyrings.alt.file import PlaintextKeyring


class Keyring(PlaintextKeyring):
    priority = 9


Keyring.__module__, _, Keyring.__qualname__ = "{genuine}".rpartition(".")
'''
_BROKEN: Final = '''\
"""A package that is installed and cannot be imported."""

raise ImportError("{why}")
'''
#: The Azure CLI itself, once this folder is off the PATH.
_AZ: Final = """\
#!/bin/sh
echo "{noise}"
here=$(dirname "$0")
PATH=$(printf %s ":$PATH:" | sed "s|:$here:|:|g; s|^:||; s|:$||")
export PATH
exec az "$@"
"""
_BACKENDS: Final = {"none": NOTHING, "plaintext": PLAINTEXT, "spoofed": "sandbox_keyring.Keyring"}


def write(folder: Path, machine: Machine) -> dict[str, str]:
    """Write the modules and programs that reproduce what is wrong with a computer.

    A locked keystore, a small one, an Azure CLI that is missing, and a key in a keystore cannot be had this way.

    :param folder: the sandbox's own.
    :returns: variables for the environment of such programs.
    """
    modules, programs, variables = folder / "modules", folder / "bin", {}
    sources = {f"{name}/__init__.py": _BROKEN.format(why=BROKEN) for name in machine.broken}
    if machine.keystore in _BACKENDS:
        variables["PYTHON_KEYRING_BACKEND"] = _BACKENDS[machine.keystore]
    if machine.keystore in ("plaintext", "spoofed"):
        sources["keyrings/alt/__init__.py"] = ""
        sources["keyrings/alt/file.py"] = _PLAINTEXT
        sources["sandbox_keyring.py"] = _SPOOFED.format(genuine=GENUINE)
    for name, text in sources.items():
        path = modules / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        variables["PYTHONPATH"] = _before(modules, "PYTHONPATH")
    if machine.az == "noisy" and os.name == "posix":
        programs.mkdir()
        az = programs / "az"
        az.write_text(_AZ.format(noise=NOISE), encoding="utf-8")
        az.chmod(0o755)
        variables["PATH"] = _before(programs, "PATH")
    return variables


def _before(folder: Path, variable: str) -> str:
    """A list of folders with one more in front."""
    return os.pathsep.join(filter(None, (str(folder), os.environ.get(variable))))
