"""Nothing of others is lost: keys in a shared keystore, secrets that others write meanwhile (issue "mended at the root").

Each test is one example of a kind; what is decided on is compared with what is there at the deed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.entra import certificates
from core.events import StepFinished
from core.flow.engine import Result
from core.sandbox.graph import directory
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.machine import PROFILE, Machine, Snapshot, VirtualClock
from tests.provisioning import make

THUMBPRINT = PROFILE.thumbprint_member
CLIENT_ID = PROFILE.client_id_member
MEMBER = PROFILE.secret_member


@pytest.fixture
def fresh(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Machine:
    return Machine(start_lab("fresh"), clock)


def second_app(machine: Machine, name: str = PROFILE.app_display_name) -> Any:
    """Another app of the tenant with a secret of its own, and a project that names it; the app."""
    app = make(machine, name)
    entry, secret = directory.new_password(machine.tenant, "its own")
    machine.tenant.commit("application", app["id"], {**app, "passwordCredentials": [entry]})
    members = {"CLOUD": "sandbox", PROFILE.tenant_member: machine.tenant.id, CLIENT_ID: app["appId"]}
    machine.state_file.write_text(json.dumps({**members, MEMBER: secret.reveal()}))
    machine.chosen = app["appId"]
    return app


def another_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "another home") -> None:
    """The same keystore, seen by sudo, from a container, or after the home was cleaned."""
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))


def entry(machine: Machine) -> str | None:
    return machine.keystore.read(machine.service, machine.tenant.id)


def stopped(result: Result, id: str, code: int) -> str:
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", code, id), result.errors
    return f"{result.errors[0]['message']} {result.errors[0]['remedy']}"


@pytest.mark.parametrize("gone", [False, True], ids=["works", "left its app's list"])
@pytest.mark.parametrize("name", [PROFILE.app_display_name, "Another product"])
def test_P4_another_apps_only_key_is_not_destroyed_from_another_home(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, gone: bool
) -> None:
    assert machine.migrate().exit_code == 0
    first, key, thumbprint = machine.app_id, entry(machine), machine.state[THUMBPRINT]
    if gone:
        machine.change("application", keyCredentials=[])
    another_home(tmp_path, monkeypatch)
    second = second_app(machine, name)
    before = Snapshot.of(machine)
    message = stopped(machine.migrate(app_id=second["appId"]), "keystore.other-app", 3)
    assert first in message
    assert thumbprint in message
    assert "--profile" in message
    assert (entry(machine), machine.untouched(before)) == (key, True)
    assert "certificate.gone" not in machine.findings(), "nobody removed it"


@pytest.mark.parametrize("name", [PROFILE.app_display_name, "Another product"])
@pytest.mark.parametrize("age", [10, 400], ids=["valid", "expired"])
def test_P4_a_key_that_nothing_proves_to_be_this_apps_is_not_replaced(machine: Machine, name: str, age: int) -> None:
    """A certificate of the original does not say whose it is."""
    former = certificates.make(PROFILE.subject, machine.clock.now() - timedelta(days=age))
    machine.keystore.write(machine.service, machine.tenant.id, former.pem)
    owner = make(machine, name)
    held = {"keyId": machine.tenant.new_id(), "type": "AsymmetricX509Cert", "usage": "Verify"}
    held |= {"key": base64.b64encode(former.der).decode(), "displayName": "x"}
    held |= {"startDateTime": former.not_before.isoformat(), "endDateTime": former.not_after.isoformat()}
    machine.tenant.commit(
        "application", owner["id"], {**owner, "keyCredentials": directory.keys_of(machine.tenant, [held])}
    )
    before = Snapshot.of(machine)
    known = name == PROFILE.app_display_name
    message = stopped(machine.migrate(), *(("keystore.other-app", 3) if known else ("keystore.unproven", 4)))
    assert former.thumbprint in message
    assert "--profile" in message
    assert (owner["appId"] in message) == known
    assert machine.untouched(before)
    assert entry(machine) == former.pem.reveal()


def test_P4_a_private_key_of_an_unknown_kind_is_not_replaced(machine: Machine) -> None:
    kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    text = ec.generate_private_key(ec.SECP256R1()).private_bytes(*kind).decode()
    machine.keystore.write(machine.service, machine.tenant.id, Secret(text))
    before = Snapshot.of(machine)
    stopped(machine.migrate(), "keystore.unproven", 4)
    assert machine.untouched(before)
    assert entry(machine) == text


def test_P8_a_key_of_the_original_that_is_on_the_apps_list_is_replaced_when_it_has_expired(machine: Machine) -> None:
    former = certificates.make(PROFILE.subject, machine.clock.now() - timedelta(days=400))
    machine.keystore.write(machine.service, machine.tenant.id, former.pem)
    held = dict(machine.app["keyCredentials"][0]) | {
        "keyId": machine.tenant.new_id(),
        "key": base64.b64encode(former.der).decode(),
        "customKeyIdentifier": former.thumbprint,
    }
    machine.change("application", keyCredentials=[*machine.app["keyCredentials"], held])
    assert machine.migrate().exit_code == 0
    assert machine.verify().exit_code == 0


def test_P8_a_certificate_says_whose_it_is_so_its_own_app_registers_again_from_another_home(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.migrate().exit_code == 0
    assert certificates.app_of(certificates.parse(entry(machine) or "", "").der) == machine.app_id
    machine.change("application", keyCredentials=[])
    another_home(tmp_path, monkeypatch)
    assert machine.migrate().exit_code == 0
    assert "certificate.gone" in machine.findings()
    assert machine.verify().exit_code == 0


def test_P4_a_new_app_does_not_take_the_place_of_an_expired_key(fresh: Machine) -> None:
    former = certificates.make(PROFILE.subject, fresh.clock.now() - timedelta(days=400))
    fresh.keystore.write(fresh.service, fresh.tenant.id, former.pem)
    assert former.thumbprint in stopped(fresh.onboard(), "keystore.occupied", 4)
    assert entry(fresh) == former.pem.reveal()


@pytest.mark.parametrize("where", ["prove", "deletion-rights"])
def test_P4_a_key_that_another_program_stores_meanwhile_is_not_overwritten(machine: Machine, where: str) -> None:
    theirs = certificates.make("theirs", machine.clock.now()).pem

    def meanwhile(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == where and event.state == "done":
            machine.keystore.write(machine.service, machine.tenant.id, theirs)

    machine.watch = meanwhile
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert result.exit_code == 1, result.errors
    assert result.errors[0]["id"] == "keystore.changed"
    assert entry(machine) == theirs.reveal()
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id]
    assert machine.passwords
    assert json.loads(before.app) == machine.app
