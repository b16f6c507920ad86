"""One suite that every keystore passes: the demo's, and the real one in tests/real/test_keyring.py (K4)."""

from __future__ import annotations

import pytest

from core.machine.keystore import BUNDLE_SIZE, PROBE_SERVICE, Keystore, probe
from core.sandbox.keystore import MemoryKeystore
from core.secret import Secret


class KeystoreSuite:
    """Subclass it and give a `keystore` fixture."""

    def test_an_entry_that_does_not_exist_is_none(self, keystore: Keystore) -> None:
        assert keystore.read("suite", "nobody") is None

    def test_deleting_what_does_not_exist_is_nothing(self, keystore: Keystore) -> None:
        keystore.delete("suite", "nobody")

    @pytest.mark.parametrize("value", ["x", "ä€😀 \n\t line", "-----BEGIN X-----\n" + "A" * BUNDLE_SIZE])
    def test_a_value_comes_back_byte_for_byte(self, keystore: Keystore, value: str) -> None:
        keystore.write("suite", "somebody", Secret(value))
        assert keystore.read("suite", "somebody") == value

    def test_a_write_replaces(self, keystore: Keystore) -> None:
        keystore.write("suite", "somebody", Secret("first value"))
        keystore.write("suite", "somebody", Secret("second value"))
        assert keystore.read("suite", "somebody") == "second value"
        keystore.delete("suite", "somebody")
        assert keystore.read("suite", "somebody") is None

    def test_accounts_and_services_are_apart(self, keystore: Keystore) -> None:
        keystore.write("suite", "tenant", Secret("the current one"))
        keystore.write("suite", "tenant#ABC", Secret("the pending one"))
        keystore.write("suite@127.0.0.1:1", "tenant", Secret("another cloud"))
        assert keystore.read("suite", "tenant") == "the current one"
        keystore.delete("suite", "tenant#ABC")
        assert keystore.read("suite", "tenant") == "the current one"
        assert keystore.read("suite@127.0.0.1:1", "tenant") == "another cloud"

    def test_the_probe_succeeds_and_leaves_nothing(self, keystore: Keystore) -> None:
        result = probe(keystore)
        assert (result.ok, result.size, result.backend) == (True, BUNDLE_SIZE, keystore.backend())
        assert keystore.read(PROBE_SERVICE, "probe") is None


class TestMemory(KeystoreSuite):
    @pytest.fixture
    def keystore(self) -> Keystore:
        return MemoryKeystore()
