"""Leftovers in weak keystores, written by keyrings.alt itself and read without it (K3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from keyrings.alt.file import PlaintextKeyring  # type: ignore[import-untyped]

from core.machine.keystore.weak_files import find

SERVICE = "entraclaw-provisioner-cert"
TENANT = "8C1F5B0E-3f3c-4d4c-9a47-0b8f3f6d2a11"


def store(folder: Path, service: str, account: str, name: str = "keyring_pass.cfg") -> Path:
    """Store an entry as keyrings.alt does."""
    backend = PlaintextKeyring()
    backend.file_path = str(folder / "python_keyring" / name)
    backend.set_password(service, account, "-----BEGIN PRIVATE KEY-----\n" + "A" * 3000)
    return Path(backend.file_path)


@pytest.fixture
def data(home: Path) -> Path:
    return home / ".local/share"


@pytest.mark.parametrize("name", ["keyring_pass.cfg", "crypted_pass.cfg", "cryptfile_pass.cfg"])
def test_K3_a_key_in_a_file_of_keyrings_alt_is_found(data: Path, name: str) -> None:
    path = store(data, SERVICE, TENANT, name)
    store(data, "something else", "somebody", name)
    (found,) = find(SERVICE)
    assert (found.path, found.sections, found.unreadable) == (path, ("entraclaw_2Dprovisioner_2Dcert",), "")
    assert found.holds(TENANT)
    assert not found.holds("00000000-0000-0000-0000-000000000000")
    assert found.encrypted is (name != "keyring_pass.cfg")


def test_K3_a_pending_key_counts_and_an_account_with_signs_is_understood(data: Path) -> None:
    store(data, SERVICE, f"{TENANT}#ABCDEF")
    store(data, f"{SERVICE}@127.0.0.1:8443", "ä: [x]=;#%")
    assert find(SERVICE)[0].holds(TENANT)
    assert find(f"{SERVICE}@127.0.0.1:8443")[0].accounts == ("ä: [x]=;#%",)


def test_K3_the_folder_of_an_earlier_run_without_the_variable_is_searched_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = store(data, SERVICE, TENANT), store(tmp_path / "xdg", SERVICE, TENANT)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert {file.path for file in find(SERVICE)} == {first, second}


def test_K3_other_services_and_deleted_entries_are_no_finding(data: Path) -> None:
    assert find(SERVICE) == ()
    path = store(data, f"{SERVICE}-2", TENANT)
    backend = PlaintextKeyring()
    backend.file_path = str(path)
    backend.set_password(SERVICE, TENANT, "x")
    backend.delete_password(SERVICE, TENANT)
    assert "[entraclaw_2Dprovisioner_2Dcert]" in path.read_text(), "an empty section is left"
    assert find(SERVICE) == ()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"no section", b"[broken\nx = y"])
def test_K3_what_cannot_be_read_is_said_and_not_taken_for_empty(data: Path, content: bytes) -> None:
    path = data / "python_keyring/keyring_pass.cfg"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (found,) = find(SERVICE)
    assert (found.path, found.accounts) == (path, ())
    assert found.unreadable


GNOME = f"""\
[keyring]
display-name=old
[1]
item-type=0
display-name=Password for 'x' on 'y'
secret=-----BEGIN PRIVATE KEY-----\\nAAAA
[1:attribute0]
name=service
type=string
value={SERVICE}
[1:attribute1]
name=username
type=string
value={TENANT}
[2:attribute0]
name=service
type=string
value=other
"""


def test_K3_a_plain_text_collection_of_GNOME_is_found_and_an_encrypted_one_is_none(data: Path) -> None:
    folder = data / "keyrings"
    folder.mkdir(parents=True)
    (folder / "login.keyring").write_bytes(b"GnomeKeyring\n\r\0\n" + SERVICE.encode())
    assert find(SERVICE) == ()
    (folder / "old.keyring").write_text(GNOME)
    (found,) = find(SERVICE)
    assert (found.path.name, found.sections) == ("old.keyring", ("1",))
    assert found.holds(TENANT)
