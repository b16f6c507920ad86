"""One suite that every keystore passes: the demo's, and the real one in tests/real/test_keyring.py (K4)."""

from __future__ import annotations

import keyring.core
import pytest

from core.errors import InsecureKeyringBackendError, KeystoreError
from core.events import Event, Finding
from core.machine.keystore.system import BUNDLE_SIZE, PROBE_SERVICE, Backend, Keystore, SystemKeystore, probe
from core.sandbox.fake_machine.keystore import MemoryKeystore
from core.secret import Secret, looks_secret


class KeystoreSuite:
    """Subclass it and give a `keystore` fixture."""

    def test_an_entry_that_does_not_exist_is_none(self, keystore: Keystore) -> None:
        assert keystore.read("suite", "nobody") is None

    def test_deleting_what_does_not_exist_is_nothing(self, keystore: Keystore) -> None:
        keystore.delete("suite", "nobody")

    @pytest.mark.parametrize("value", ["x", "ä€😀 \n\t line", "-----BEGIN X-----\n" + "A" * BUNDLE_SIZE])
    def test_a_value_comes_back_byte_for_byte(self, keystore: Keystore, value: str) -> None:
        keystore.write("suite", "somebody", Secret(value))
        assert keystore.read("suite", "somebody") == Secret(value)

    def test_a_write_replaces(self, keystore: Keystore) -> None:
        keystore.write("suite", "somebody", Secret("first value"))
        keystore.write("suite", "somebody", Secret("second value"))
        assert keystore.read("suite", "somebody") == Secret("second value")
        keystore.delete("suite", "somebody")
        assert keystore.read("suite", "somebody") is None

    def test_accounts_and_services_are_apart(self, keystore: Keystore) -> None:
        keystore.write("suite", "tenant", Secret("the current one"))
        keystore.write("suite", "tenant#ABC", Secret("the pending one"))
        keystore.write("suite@127.0.0.1:1", "tenant", Secret("another cloud"))
        assert keystore.read("suite", "tenant") == Secret("the current one")
        keystore.delete("suite", "tenant#ABC")
        assert keystore.read("suite", "tenant") == Secret("the current one")
        assert keystore.read("suite@127.0.0.1:1", "tenant") == Secret("another cloud")

    def test_what_is_there_is_known_without_its_value(self, keystore: Keystore) -> None:
        assert not keystore.has("suite", "somebody")
        keystore.write("suite", "somebody", Secret("a value"))
        assert keystore.has("suite", "somebody")
        assert not keystore.has("suite", "nobody")

    def test_the_probe_succeeds_and_leaves_nothing(self, keystore: Keystore) -> None:
        result = probe(keystore)
        assert (result.ok, result.size, result.backend) == (True, BUNDLE_SIZE, keystore.backend())
        assert not keystore.has(PROBE_SERVICE, "probe")


class TestMemory(KeystoreSuite):
    @pytest.fixture
    def keystore(self) -> Keystore:
        return MemoryKeystore()


PLAINTEXT = "keyrings.alt.file.PlaintextKeyring"


class TestAllowed(KeystoreSuite):
    """A backend that an operator allows does what the system's own does, loudly (K5)."""

    @pytest.fixture(autouse=True)
    def active(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", PLAINTEXT)
        monkeypatch.setattr(keyring.core, "_keyring_backend", None)  # keyring remembers the one of another test

    @pytest.fixture
    def keystore(self) -> Keystore:
        return SystemKeystore(allowlist={PLAINTEXT: "--a-flag"})

    def test_P4_what_is_read_is_known_to_the_redactor(self, keystore: Keystore) -> None:
        keystore.write("suite", "somebody", Secret("read from the keystore and quoted", learn=False))
        assert not looks_secret("read from the keystore and quoted")
        keystore.read("suite", "somebody")
        assert looks_secret("it is: read from the keystore and quoted!")

    def test_K5_it_is_named_together_with_who_allowed_it(self, keystore: Keystore) -> None:
        backend = keystore.backend()
        assert (backend.name, backend.allowed_by) == (PLAINTEXT, "--a-flag")
        assert str(backend) == f"{PLAINTEXT} (not the system's own; allowed by --a-flag)"

    def test_K5_it_is_told_once_whatever_is_done_first(self) -> None:
        events: list[Event] = []
        keystore = SystemKeystore(emit=events.append, allowlist={PLAINTEXT: "--a-flag"})
        keystore.read("suite", "nobody")
        keystore.write("suite", "somebody", Secret("a value"))
        (finding,) = events
        assert isinstance(finding, Finding)
        assert (finding.id, finding.severity) == ("keystore.allowed", "warning")
        for named in (PLAINTEXT, "--a-flag", "keyring_pass.cfg"):
            assert named in finding.message

    def test_K5_without_the_operator_it_is_refused_and_the_last_resort_is_named(self) -> None:
        with pytest.raises(InsecureKeyringBackendError) as caught:
            SystemKeystore().backend()
        assert f"--allow-keyring-backend {PLAINTEXT}" in caught.value.remedy
        assert "has the key" in caught.value.remedy
        assert caught.value.remedy.index("unset PYTHON_KEYRING_BACKEND") < caught.value.remedy.index("Last resort")

    def test_K5_what_is_allowed_is_a_class_and_not_its_relatives(self) -> None:
        with pytest.raises(InsecureKeyringBackendError):
            SystemKeystore(allowlist={"keyrings.alt.file_base.Keyring": "--a-flag"}).backend()

    def test_K5_properties_from_the_environment_are_refused_all_the_same(
        self, keystore: Keystore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KEYRING_PROPERTY_FILE_PATH", "/tmp/x")
        with pytest.raises(InsecureKeyringBackendError) as caught:
            keystore.backend()
        assert "--allow-keyring-backend" not in caught.value.remedy, "nobody can allow that"

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("keyring.backends.null.Keyring", "never allowed"),
            ("keyring.backends.fail.Keyring", "never allowed"),
            ("keyring.backends.chainer.ChainerBackend", "never allowed"),
            ("no.such.Keyring", "ModuleNotFoundError"),
            ("keyrings.alt.file.NoSuchKeyring", "AttributeError"),
            ("pathlib.Path", "not a keyring backend"),
            ("os.getcwd", "not a keyring backend"),
        ],
    )
    def test_K5_what_cannot_be_allowed_is_an_error_that_names_who_wanted_it(self, path: str, why: str) -> None:
        with pytest.raises(KeystoreError) as caught:
            SystemKeystore(allowlist={PLAINTEXT: "--a-flag", path: "config.toml"}).backend()
        assert (caught.value.id, caught.value.exit_code) == ("keystore.allowlist", 3)
        for named in (path, "config.toml", why):
            assert named in caught.value.summary


def test_the_sandboxs_keystore_is_labelled_as_such() -> None:
    assert MemoryKeystore().backend() == Backend("in-memory keystore (sandbox only)")
