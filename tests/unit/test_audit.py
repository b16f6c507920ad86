"""The audit log: told before an effect and after it, also where it fails; no effect without it (D3)."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Final

import keyring
import pytest

from core.audit.log import AuditLog
from core.clock import Cancel
from core.config.cloud import BUILT_IN
from core.entra.tokens import Token
from core.errors import Effected, KeystoreError, SetupError
from core.flow.facts import Facts
from core.flow.journal import Journal
from core.machine.azure_cli import Account, AzureCli
from core.machine.keystore.system import SystemKeystore, probe
from core.secret import Secret
from core.steps.facts import SignedIn, Target
from tests.machine import VirtualClock

VALUE: Final = "one-very-special-value"


@pytest.fixture
def path(home: Path) -> Path:
    return home / ".x" / "setup" / "audit" / "audit.jsonl"


@pytest.fixture
def facts() -> Facts:
    return Facts()


@pytest.fixture
def audit(path: Path, clock: VirtualClock, facts: Facts) -> AuditLog:
    return AuditLog(path, "run-1", clock, facts)


@pytest.fixture
def journal(home: Path, clock: VirtualClock, audit: AuditLog) -> Journal:
    return Journal(home / ".x" / "setup" / "journal" / "j.jsonl", "run-1", clock, "migrate", audit)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def states(path: Path) -> list[tuple[int, str]]:
    return [(line["n"], line["state"]) for line in lines(path)]


def in_the_way(path: Path) -> None:
    """Nothing can be written any more."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir()


def test_D3_an_effect_is_told_before_it_happens_and_when_it_is_over(journal: Journal, path: Path) -> None:
    with journal.effect("graph.application.addKey", VALUE, key_id=VALUE):
        assert states(path) == [(1, "begun")]
    assert states(path) == [(1, "begun"), (1, "done")]
    begun, done = lines(path)
    assert (begun["resource"], begun["run"], done["run"]) == ("graph.application.addKey", "run-1", "run-1")
    assert VALUE not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (SetupError("az.missing", effected=Effected.NO), "failed"),
        (SetupError("az.missing"), "unknown"),
    ],
)
def test_D3_an_effect_that_fails_is_closed_too(journal: Journal, path: Path, error: SetupError, ending: str) -> None:
    with pytest.raises(SetupError), journal.effect("add", "x"):
        raise error
    assert states(path) == [(1, "begun"), (1, ending)]


def test_D3_what_is_undone_says_so(journal: Journal, path: Path) -> None:
    with journal.effect("add", "x") as effect:
        pass
    journal.undone(effect)
    assert states(path) == [(1, "begun"), (1, "done"), (1, "undone")]


def test_D3_what_an_earlier_run_began_is_told_by_the_run_that_ends_it(
    journal: Journal, clock: VirtualClock, path: Path, facts: Facts
) -> None:
    journal.intend("add", "x")
    later = Journal(journal.path, "run-2", clock, "migrate", AuditLog(path, "run-2", clock, facts))
    later.undone(later.effects[0])
    assert [(line["run"], line["state"]) for line in lines(path)] == [
        ("run-1", "begun"),
        ("run-2", "begun"),
        ("run-2", "undone"),
    ]


def test_D3_without_the_log_the_effect_does_not_happen(journal: Journal, path: Path, clock: VirtualClock) -> None:
    in_the_way(path)
    happened = []
    with pytest.raises(SetupError) as error, journal.effect("add", "x"):
        happened.append("x")
    assert (error.value.id, error.value.exit_code, happened) == ("file.unsafe", 3, [])
    assert not Journal(journal.path, "run-2", clock).resumed, "the journal knows that it did not happen"


def test_D3_a_line_names_who_is_at_work_as_far_as_it_is_known(audit: AuditLog, facts: Facts, path: Path) -> None:
    audit.begin("a")
    facts.put(Target("tenant-1", "app-1"))
    audit.begin("b")
    facts.put(SignedIn(Account("tenant-1", "me@example.org", "user"), Token(Secret("t" * 40), {})))
    audit.begin("c")
    app = {"tenant": "tenant-1", "app": "app-1"}
    assert [line["by"] for line in lines(path)] == [{}, app, {"session": "me@example.org", **app}]


PLAINTEXT: Final = "keyrings.alt.file.PlaintextKeyring"


@pytest.fixture
def keystore(audit: AuditLog, monkeypatch: pytest.MonkeyPatch) -> SystemKeystore:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", PLAINTEXT)
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)  # keyring remembers the one of another test
    return SystemKeystore(allowlist={PLAINTEXT: "--a-flag"}, audit=audit)


def test_D3_key_reads_are_told_their_failures_included(keystore: SystemKeystore, audit: AuditLog, path: Path) -> None:
    keystore.write("service", "tenant", Secret(VALUE))
    assert keystore.has("service", "tenant")
    assert keystore.read("service", "tenant") == Secret(VALUE)
    with pytest.raises(KeystoreError):
        SystemKeystore(audit=audit).read("service", "tenant")
    assert [(line.get("resource"), line["state"]) for line in lines(path)] == [
        ("keystore.read", "begun"),
        (None, "done"),
        ("keystore.read", "begun"),
        (None, "unknown"),
    ]
    assert VALUE not in path.read_text()


def test_K4_the_test_of_the_keystore_is_no_read_of_a_key(keystore: SystemKeystore, path: Path) -> None:
    assert probe(keystore).ok
    assert lines(path) == []


def test_D3_without_the_log_no_key_is_read(keystore: SystemKeystore, path: Path) -> None:
    in_the_way(path)
    with pytest.raises(SetupError) as error:
        keystore.read("service", "tenant")
    assert error.value.id == "file.unsafe"


def test_D3_tokens_of_the_azure_cli_are_told_their_failures_included(
    audit: AuditLog, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "az"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ntest "$1" = logout && exit 0\necho "Please run \'az login\'" >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    sign_in = AzureCli(BUILT_IN["public"], (), Cancel(), audit=audit)
    with pytest.raises(SetupError) as error:
        sign_in.graph_token("")
    assert error.value.id == "az.signed-out"
    sign_in.logout()
    assert [line.get("resource") or line["state"] for line in lines(path)] == [
        "azure.token",
        "unknown",
        "azure.logout",
        "done",
    ]
