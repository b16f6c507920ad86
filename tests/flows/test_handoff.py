"""The hand-off: a developer without rights, an administrator with one command, and the developer again (P12)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.entra import certificates, credentials
from core.entra.tokens import claims_of
from core.errors import SetupError
from core.events import ChangePlanned, Finding, Question, StepFinished
from core.flow import engine
from core.flow.engine import Result
from core.flow.journal import Journal
from core.flows import access_token, apply, migrate, onboard
from core.sandbox.directory import registrations
from core.sandbox.fake_machine.keystore import MemoryKeystore
from core.sandbox.faults import Fault
from core.sandbox.graph import roles
from core.sandbox.lab import Lab
from core.secret import Secret
from tests.machine import PROFILE, Crash, Machine, Snapshot, VirtualClock, killed
from wizard.cli import _parser

M7 = (
    "Migrated Provisioner from secret-auth to cert-auth. 3 password credentials removed from the app registration. "
    "PROVISIONER_CLIENT_SECRET purged from state file."
)
#: More lines than any of these runs writes to its journal.
MOST = 60


class No:
    """Somebody who answers no."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> bool:
        self.asked.append(question)
        return False


class Untouchable(MemoryKeystore):
    """The administrator's keystore: whoever opens it fails the test."""

    def read(self, service: str, account: str) -> Secret | None:
        raise AssertionError("the administrator's keystore was read")

    def write(self, service: str, account: str, value: Secret) -> None:
        raise AssertionError("the administrator's keystore was written to")


@dataclass
class Admin:
    """Somebody on a machine of their own: another home, no project, no key."""

    machine: Machine
    home: Path
    who: str = "alex"

    def apply(self, request: Path, answer: Callable[[Question], bool] | None = None, **options: Any) -> Result:
        """Apply a request like a new process there."""
        folder = self.home / "desk"
        folder.mkdir(parents=True, exist_ok=True)
        mine, home = self.machine.keystore, os.environ["HOME"]
        self.machine.keystore, os.environ["HOME"] = Untouchable(), str(self.home)
        try:
            options = {"who": self.who, "project": str(folder), "request": str(request)} | options
            text = request.read_text(errors="replace") if request.is_file() else ""
            if '"remove_passwords": true' in text:
                options = {"app_id": self.machine.app_id} | options  # a removal is for all machines (P12)
            with suppress(ValueError, KeyError):  # the developer has told it
                options = {"thumbprint": json.loads(text)["thumbprint"]} | options
            return self.machine.run(apply.FLOW, answer, **options)
        finally:
            self.machine.keystore, os.environ["HOME"] = mine, home


@pytest.fixture
def dev(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Machine:
    """A developer who neither owns the app nor is an administrator."""
    return Machine(start_lab("unprivileged"), clock)


@pytest.fixture
def admin(dev: Machine, tmp_path: Path) -> Admin:
    return Admin(dev, tmp_path / "alex")


def requests(machine: Machine) -> list[Path]:
    return sorted(machine.lab.project.glob("entraclaw-request-*.json"))


def request_of(machine: Machine) -> Path:
    (found,) = requests(machine)
    return found


def ask(machine: Machine) -> Path:
    """The developer's first run."""
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 5), result.errors
    return request_of(machine)


def open_runs(home: Path) -> list[Path]:
    """Journals whose undertaking is not closed."""
    found = home.glob(".local/state/entraclaw-setup/entraclaw/journal/*.jsonl")
    return [path for path in found if Journal(path, "test", VirtualClock()).resumed]


def rights_of(machine: Machine, *directory_roles: str) -> None:
    user = machine.tenant.latest("user", machine.tenant.signed_in_user)
    assert user is not None
    machine.tenant.commit("user", user["id"], user | {"_roles": list(directory_roles)})


def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that do not tell directory roles."""
    monkeypatch.setattr(
        "core.sandbox.fake_machine.az.claims_of",
        lambda value: {k: v for k, v in claims_of(value).items() if k != "wids"},
    )


# the developer asks


def test_P12_without_rights_the_key_is_kept_and_a_request_written(dev: Machine) -> None:
    app, principal, state = dev.app, dev.principal, dev.state_file.read_bytes()
    result = dev.migrate()
    assert (result.outcome, result.exit_code) == ("partial", 5)
    assert result.summary == ()
    path = request_of(dev)
    (error,) = result.errors
    assert error["id"] == "handoff.waiting"
    assert str(path) in error["message"]
    for part in ("Application Administrator", "entraclaw-setup apply FILE", "same command again"):
        assert part in error["remedy"]
    assert (dev.app, dev.principal, dev.state_file.read_bytes()) == (app, principal, state), "nothing was changed"
    (account,) = dev.keystore.accounts(dev.service)
    thumbprint = account.partition("#")[2]
    assert account == f"{dev.tenant.id}#{thumbprint}", "the pending key"
    assert dev.usable() == ["secret"]

    body = json.loads(path.read_text())
    key_pair = certificates.parse(dev.keystore.read(dev.service, account) or Secret(""), account)
    assert base64.b64decode(body["certificate"]) == key_pair.der
    asked = {name: body[name] for name in ("schema", "tenant", "app_id", "thumbprint", "roles", "remove_passwords")}
    assert asked == {
        "schema": 1, "tenant": dev.tenant.id, "app_id": dev.app_id, "thumbprint": thumbprint, "roles": {},
        "remove_passwords": False,
    }  # fmt: skip
    assert body["calls"] == [
        f"PATCH /applications(appId='{dev.app_id}') keyCredentials (every entry that is there stays)"
    ]
    assert body["role_needed"] in error["remedy"]
    assert (body["cloud"], body["authority"]) == ("sandbox", dev.tenant.authority)
    assert body["requested_by"].startswith("dana@")


def test_P12_the_request_holds_no_secret_and_everybody_may_read_it(dev: Machine) -> None:
    request = ask(dev).read_text()
    (account,) = dev.keystore.accounts(dev.service)
    pem = dev.keystore.read(dev.service, account) or Secret("")
    text = pem.reveal()
    private = text[text.index("-----BEGIN PRIVATE KEY") :]
    canaries = [dev.secret.reveal(), "PRIVATE KEY", *dev.tenant.issued]
    lines = [line for line in private.splitlines() if "-----" not in line and len(line) > 8]
    der = certificates.parse(pem, account).der
    canaries += [line for line in lines if base64.b64decode(line) not in der]  # the modulus is public
    assert len(canaries) > 20
    assert not [canary for canary in canaries if canary in request]
    assert os.name != "posix" or request_of(dev).stat().st_mode & 0o777 == 0o644


def test_P12_a_second_run_before_the_administrator_acts_asks_for_the_same(dev: Machine) -> None:
    first = json.loads(ask(dev).read_text())
    second = json.loads(ask(dev).read_text())
    assert first | {"created": ""} == second | {"created": ""}
    assert len(dev.keystore.accounts(dev.service)) == 1


def test_P12_M2_a_dry_run_says_who_makes_which_change_and_writes_nothing(dev: Machine) -> None:
    before = Snapshot.of(dev)
    result = dev.migrate(dry_run=True, yes=False)
    assert (result.outcome, result.exit_code) == ("planned", 0)
    assert dev.untouched(before)
    assert not requests(dev)
    rows = [event for event in dev.events if isinstance(event, ChangePlanned)]
    theirs = [row.what for row in rows if row.where.endswith("by an administrator")]
    assert theirs == ["certificate"]
    assert "request for an administrator" in [row.what for row in rows]
    assert "rights.missing" in dev.findings()


def test_P12_a_no_writes_nothing(dev: Machine) -> None:
    before, no = Snapshot.of(dev), No()
    assert dev.migrate(no, yes=False).exit_code == 4
    assert "writes a request" in no.asked[0].text
    assert dev.untouched(before)
    assert not requests(dev)


def test_P12_a_request_that_cannot_be_written_leaves_nothing(dev: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Snapshot.of(dev)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("core.files.tempfile.mkstemp", full)
        result = dev.migrate()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 1, "request.io")
    assert dev.untouched(before)

    ask(dev)
    asked = Snapshot.of(dev)
    with monkeypatch.context() as patch:
        patch.setattr("core.files.tempfile.mkstemp", full)
        result = dev.migrate()
    assert (result.outcome, result.exit_code, result.errors[-1]["id"]) == ("partial", 6, "handoff.kept")
    assert dev.untouched(asked), "the first request may be on its way: its key stays"


def test_P12_a_link_in_the_place_of_the_request_is_not_followed(dev: Machine) -> None:
    target = ask(dev)
    elsewhere = dev.lab.project / "elsewhere"
    elsewhere.write_text("mine")
    target.unlink()
    target.symlink_to(elsewhere)
    ask(dev)
    assert elsewhere.read_text() == "mine"
    assert not target.is_symlink()


@pytest.mark.parametrize("text", ["my notes", "{}", '["schema"]', "[" * 60_000], ids=range(4))
def test_P12_a_file_that_is_no_request_is_neither_replaced_nor_removed(dev: Machine, text: str) -> None:
    path = dev.lab.project / f"entraclaw-request-{dev.app_id[:8]}.json"
    path.write_text(text)
    before = Snapshot.of(dev)
    result = dev.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (1, "request.io")
    assert dev.untouched(before)
    path.unlink()
    ask(dev)
    path.write_text(text)
    result = dev.run(migrate.FLOW, act=engine.undo)
    assert result.exit_code == 6
    assert "no request by now" in json.dumps(result.errors)
    assert path.read_text() == text
    path.unlink()
    assert dev.run(migrate.FLOW, act=engine.undo).exit_code == 0


def test_P12_what_somebody_keeps_beside_the_request_stays(dev: Machine) -> None:
    target = ask(dev)
    kept = [target.with_name(f"{target.name}.{end}") for end in ("original", "20261130", "approved")]
    for path in kept:
        path.write_text("mine")
    ask(dev)
    assert [path.read_text() for path in kept] == ["mine"] * 3


def test_P12_an_app_with_a_strange_name_can_be_asked_for(dev: Machine, admin: Admin) -> None:
    dev.change("application", displayName="A\u202ename\x1b[31m " + "x" * 240)
    result = dev.migrate(app_id=dev.app_id)
    assert result.exit_code == 5, result.errors
    assert admin.apply(request_of(dev), app_id=dev.app_id).exit_code == 0


def test_P12_a_403_that_the_token_did_not_announce_ends_in_the_request_too(
    dev: Machine, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent(monkeypatch)
    before = dev.app
    path = ask(dev)
    assert dev.steps()["hand-off"] == "unchanged", "it was tried"
    assert dev.app == before
    key_id = json.loads(path.read_text())["key_id"]
    assert json.loads(ask(dev).read_text())["key_id"] == key_id
    assert admin.apply(path).exit_code == 0
    assert dev.migrate().exit_code == 0
    assert dev.passwords == []


def test_P12_whoever_gets_the_rights_meanwhile_finishes_alone(dev: Machine, admin: Admin) -> None:
    path = ask(dev)
    key_id = json.loads(path.read_text())["key_id"]
    kept = path.read_bytes()
    rights_of(dev, roles.APPLICATION_ADMINISTRATOR)
    assert dev.migrate().exit_code == 0
    assert key_id in dev.keys
    assert not requests(dev)
    path.write_bytes(kept)
    assert admin.apply(path).outcome == "unchanged"


# the administrator applies


def test_P12_an_administrator_applies_and_the_developer_finishes(dev: Machine, admin: Admin) -> None:
    path, others = ask(dev), dev.app["keyCredentials"]
    key_id = json.loads(path.read_text())["key_id"]
    result = admin.apply(path)
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    assert "now accepts the certificate" in result.summary[0]
    assert dev.app["keyCredentials"][: len(others)] == others, "byte for byte (P8)"
    assert set(dev.keys) == {entry["keyId"] for entry in others} | {key_id}
    assert len(dev.passwords) == 4
    assert "request.subject" in dev.findings()
    assert not open_runs(admin.home)
    assert not list((admin.home / "desk").iterdir())

    again = admin.apply(path)
    assert (again.outcome, again.exit_code) == ("unchanged", 0)
    assert len(dev.keys) == len(others) + 1

    finished = dev.migrate()
    assert (finished.outcome, finished.exit_code, finished.errors) == ("changed", 0, [])
    assert finished.summary[0] == M7
    assert "rights.missing" not in dev.findings(), "nothing is missing any more"
    assert sum(getattr(event, "action", "").endswith("removePassword") for event in dev.events) == 4
    assert dev.passwords == []
    assert not requests(dev)
    assert dev.keystore.accounts(dev.service) == [dev.tenant.id]
    assert dev.verify().exit_code == 0
    assert dev.migrate().outcome == "unchanged"


def test_P12_it_can_be_applied_on_the_developers_machine_too(dev: Machine) -> None:
    path = ask(dev)
    told = json.loads(path.read_text())["thumbprint"]
    assert dev.run(apply.FLOW, who="alex", request=str(path), thumbprint=told).exit_code == 0
    assert dev.migrate().exit_code == 0
    assert dev.verify().exit_code == 0


def test_P12_an_administrator_without_rights_is_told_the_role(dev: Machine, admin: Admin) -> None:
    path, before = ask(dev), Snapshot.of(dev)
    admin.who = "dana"
    result = admin.apply(path)
    assert (result.exit_code, result.errors[0]["id"]) == (5, "rights.apply")
    assert "Application Administrator" in result.errors[0]["remedy"]
    assert dev.untouched(before)


def test_P12_a_refusal_while_applying_undoes_and_asks_nobody_else(dev: Machine, admin: Admin) -> None:
    path, before = ask(dev), Snapshot.of(dev)
    dev.tenant.faults.add(Fault("status", "^PATCH", 0, 403))
    result = admin.apply(path)
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 5, "graph.forbidden")
    assert dev.untouched(before)
    assert not open_runs(admin.home)


def test_P12_a_dry_run_of_apply_and_a_no_change_nothing(dev: Machine, admin: Admin) -> None:
    path, before = ask(dev), Snapshot.of(dev)
    result = admin.apply(path, dry_run=True, yes=False)
    assert (result.outcome, result.exit_code) == ("planned", 0)
    assert result.plan is not None
    assert [change.action for change in result.plan.changes] == ["add", "keep"]
    no = No()
    refused = admin.apply(path, no, yes=False)
    assert (refused.exit_code, refused.errors[0]["id"]) == (4, "flow.no")
    assert dev.app_id in no.asked[0].text
    assert "dana@" in no.asked[0].text
    assert dev.untouched(before)


def test_P8_an_expired_entry_that_blocks_takes_the_administrators_yes(dev: Machine, admin: Admin) -> None:
    expired = certificates.make("gone", dev.clock.now() - timedelta(days=400))
    entry = credentials.entry_of(expired, dev.tenant.new_id(), "old laptop")
    dev.tenant.switches.expired_entry_blocks = True
    dev.change("application", keyCredentials=[*dev.app["keyCredentials"], *registrations.keys_of(dev.tenant, [entry])])
    path, before = ask(dev), Snapshot.of(dev)
    result = admin.apply(path)
    assert (result.exit_code, result.errors[0]["id"]) == (4, "app.expired-entry")
    assert dev.untouched(before)
    assert admin.apply(path, drop_expired=True).exit_code == 0
    assert entry["keyId"] not in dev.keys
    assert _parser().parse_args(["apply", "x", "--drop-expired"]).drop_expired


def test_M5_apply_takes_no_certificate_back_that_is_in_use_by_now(dev: Machine, admin: Admin, tmp_path: Path) -> None:
    """Cut off before its end; meanwhile the developer has migrated, and then the administrator's next run fails."""
    path = tmp_path / "mail.json"
    path.write_bytes(ask(dev).read_bytes())

    def kill(event: object) -> None:
        if getattr(event, "action", "") == "graph.application.addKey":
            raise Crash

    dev.watch = kill
    with pytest.raises(Crash):
        admin.apply(path)
    dev.watch = None
    assert dev.migrate().exit_code == 0
    assert open_runs(admin.home)

    def stop(event: object) -> None:
        assert dev.ctx is not None
        if getattr(event, "stage", "") == "apply":
            dev.ctx.cancel.ask(2)

    dev.watch = stop
    admin.apply(path)
    dev.watch = None
    assert dev.usable() == [dev.tenant.id]
    assert admin.apply(path).exit_code == 0
    assert not open_runs(admin.home)
    assert dev.verify().exit_code == 0


# provisioning


@pytest.fixture(params=["may create", "may not even create"])
def fresh(request: pytest.FixtureRequest, start_lab: Callable[[str], Lab], clock: VirtualClock) -> Machine:
    """A developer who may not grant."""
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    machine.tenant.switches.users_may_create_apps = request.param == "may create"
    return machine


def apps(machine: Machine) -> list[dict[str, Any]]:
    return list(machine.tenant.all_latest("application"))


def test_P12_P1_the_app_is_created_on_request(fresh: Machine, tmp_path: Path) -> None:
    admin = Admin(fresh, tmp_path / "alex")
    result = fresh.onboard()
    assert (result.outcome, result.exit_code) == ("partial", 5), result.errors
    assert apps(fresh) == []
    assert not fresh.state_file.exists()
    path = request_of(fresh)
    body = json.loads(path.read_text())
    assert "Privileged Role Administrator" in body["role_needed"]
    assert body["app_id"] == ""
    assert len(body["roles"]) == len(roles.BASE) + len(roles.AGENT)
    assert len(body["calls"]) == 2 + len(body["roles"])
    again = fresh.onboard()
    assert again.exit_code == 5
    assert json.loads(path.read_text())["unique_name"] == body["unique_name"]

    applied = admin.apply(path)
    assert (applied.outcome, applied.exit_code, applied.errors) == ("changed", 0, [])
    assert admin.apply(path).outcome == "unchanged"
    (app,) = apps(fresh)
    assert app["displayName"] == PROFILE.app_display_name
    assert [key["keyId"] for key in app["keyCredentials"]] == [body["key_id"]]

    finished = fresh.onboard()
    assert (finished.outcome, finished.exit_code, finished.errors) == ("changed", 0, [])
    assert fresh.state[PROFILE.client_id_member] == app["appId"]
    assert not requests(fresh)
    assert fresh.verify().exit_code == 0
    assert fresh.onboard().outcome == "unchanged"


def test_P12_P1_an_app_created_half_way_is_finished_by_the_same_or_a_new_request(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    admin = Admin(machine, tmp_path / "alex")
    machine.onboard()
    path = request_of(machine)

    def kill(event: object) -> None:
        if getattr(event, "action", "") == "graph.servicePrincipal.create":
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        admin.apply(path)
    machine.watch = None
    waiting = machine.onboard()
    assert waiting.exit_code == 5, waiting.errors
    assert len(requests(machine)) == 2, "now it names the app"
    (newer,) = set(requests(machine)) - {path}
    (app,) = apps(machine)
    assert json.loads(newer.read_text())["app_id"] == app["appId"]
    assert machine.onboard().exit_code == 5, "and its name is not forgotten"

    refused = admin.apply(newer)
    assert (refused.exit_code, refused.errors[0]["id"]) == (4, "app.roles-unconfirmed"), "P1: --yes is not enough"
    assert admin.apply(path).exit_code == 0, "this run's own app"
    assert admin.apply(newer).outcome == "unchanged"
    assert machine.onboard().exit_code == 0
    assert len(apps(machine)) == 1
    assert not requests(machine)


def test_P7_replication_lag_between_the_two(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    machine.onboard()
    path, admin = request_of(machine), Admin(machine, tmp_path / "alex")
    machine.tenant.lag = dict.fromkeys(("application", "servicePrincipal", "appRoleAssignment"), 40.0)
    result = admin.apply(path)
    assert result.exit_code == 0, result.errors
    early = machine.onboard()
    assert early.exit_code in (0, 5), early.errors
    clock.waited += 60
    assert admin.apply(path).outcome == "unchanged"
    assert machine.onboard().exit_code == 0
    assert len(apps(machine)) == 1
    clock.waited += 60
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("create", [True, False], ids=["may create", "may not even create"])
def test_P12_an_unannounced_refusal_to_provision_ends_in_a_request(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create: bool
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    machine.tenant.switches.users_may_create_apps = create
    silent(monkeypatch)
    result = machine.onboard()
    assert (result.outcome, result.exit_code) == ("partial", 5), result.errors
    assert len(apps(machine)) == int(create), "what could be done is kept"
    path = request_of(machine)
    applied = Admin(machine, tmp_path / "alex").apply(path, app_id=json.loads(path.read_text())["app_id"])
    assert applied.exit_code == 0, applied.errors
    finished = machine.onboard()
    assert (finished.exit_code, finished.errors) == (0, [])
    assert len(apps(machine)) == 1
    assert machine.verify().exit_code == 0


def test_P1_apply_with_yes_grants_to_an_app_that_is_there_only_by_its_id(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("drift"), clock)
    rights_of(machine)
    admin = Admin(machine, tmp_path / "alex")
    assert machine.onboard().exit_code == 5
    path = request_of(machine)
    before = Snapshot.of(machine)
    refused = admin.apply(path)
    assert (refused.exit_code, refused.errors[0]["id"]) == (4, "app.roles-unconfirmed")
    assert machine.untouched(before)
    assert admin.apply(path, app_id=machine.app_id).exit_code == 0
    assert machine.onboard().exit_code == 0
    assert machine.verify().exit_code == 0


def test_P4_a_second_app_does_not_overwrite_the_key_of_one_that_an_administrator_created(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    machine.onboard()
    Admin(machine, tmp_path / "alex").apply(request_of(machine))
    assert machine.onboard().exit_code == 0
    second = registrations.new_application(machine.tenant, PROFILE.app_display_name, machine.tenant.signed_in_user)
    principal = registrations.new_principal(machine.tenant, second, machine.tenant.signed_in_user)
    machine.tenant.commit("application", second["id"], second)
    machine.tenant.commit("servicePrincipal", principal["id"], principal)
    members = machine.state | {PROFILE.client_id_member: second["appId"]}
    machine.state_file.write_text(json.dumps(members))
    assert machine.migrate().errors[0]["id"] == "keystore.other-app"


# removal


@pytest.fixture
def owner(machine: Machine) -> Machine:
    _owned(machine)
    return machine


def _owned(machine: Machine) -> None:
    """A Provisioner without roles, and a developer who owns the app but not its service principal."""
    for grant in list(machine.tenant.all_seen("appRoleAssignment", 0)):
        machine.tenant.commit("appRoleAssignment", grant["id"], None)
    rights_of(machine)
    machine.change("application", _owners=[machine.tenant.signed_in_user])
    machine.change("servicePrincipal", _owners=[])


def test_P12_M4_an_administrator_removes_what_the_developer_may_not(owner: Machine, tmp_path: Path) -> None:
    admin = Admin(owner, tmp_path / "alex")
    result = owner.migrate()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("partial", 5, "handoff.waiting")
    path = request_of(owner)
    body = json.loads(path.read_text())
    assert (body["remove_passwords"], body["roles"]) == (True, {})
    assert set(owner.usable()) >= {"secret", owner.tenant.id}, "the certificate is proven and adopted"
    assert len(owner.passwords) == 4
    assert owner.migrate().exit_code == 5
    assert json.loads(path.read_text())["key_id"] == body["key_id"]

    admin.who = "dana"
    assert admin.apply(path).errors[0]["id"] == "rights.apply", "one of the two objects is not hers"
    assert len(owner.passwords) == 4, "known before the first deletion (M4)"
    admin.who = "alex"
    moments: list[str] = []

    def note(event: object) -> None:
        if isinstance(event, StepFinished):
            moments.append(event.step)

    owner.watch = note
    applied = admin.apply(path)
    owner.watch = None
    assert (applied.outcome, applied.exit_code, applied.errors) == ("changed", 0, [])
    assert moments.index("marker") < moments.index("delete-passwords") < moments.index("clean-reads")
    assert "4 password credential(s) removed" in applied.summary[0]
    assert owner.passwords == []
    assert admin.apply(path).outcome == "unchanged"

    finished = owner.migrate()
    assert (finished.outcome, finished.exit_code, finished.errors) == ("changed", 0, [])
    assert "PROVISIONER_CLIENT_SECRET purged from state file." in finished.summary[0]
    assert "removed from the app registration" not in finished.summary[0], "not by this machine (M7)"
    assert owner.try_secret().state == "dead"
    assert owner.verify().exit_code == 0


def test_P12_a_removal_before_the_certificate_is_on_the_app_is_refused(owner: Machine, tmp_path: Path) -> None:
    admin = Admin(owner, tmp_path / "alex")
    owner.migrate()
    owner.change("application", keyCredentials=[])
    before = Snapshot.of(owner)
    result = admin.apply(request_of(owner))
    assert (result.exit_code, result.errors[0]["id"]) == (4, "request.too-early")
    assert owner.untouched(before)


def test_P12_a_removal_with_yes_alone_names_no_app(owner: Machine, tmp_path: Path) -> None:
    owner.migrate()
    before = owner.passwords
    result = Admin(owner, tmp_path / "alex").apply(request_of(owner), app_id="")
    assert (result.exit_code, result.errors[0]["id"]) == (4, "app.removal-unconfirmed")
    assert owner.passwords == before


def test_M6_a_newcomer_during_the_removal_is_removed_by_the_administrator_too(owner: Machine, tmp_path: Path) -> None:
    owner.migrate()

    def add(event: object) -> None:
        if getattr(event, "step", "") == "delete-passwords" and hasattr(event, "detail"):
            entry, _ = registrations.new_password(owner.tenant, "newcomer")
            owner.change("application", passwordCredentials=[entry])

    owner.watch = add
    assert Admin(owner, tmp_path / "alex").apply(request_of(owner)).exit_code == 0
    assert owner.passwords == []


# the developer gives up


def test_U2_undo_before_the_administrator_acted_leaves_nothing(dev: Machine, home: Path) -> None:
    before = Snapshot.of(dev)
    ask(dev)
    result = dev.run(migrate.FLOW, act=engine.undo)
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    assert dev.untouched(before)
    assert not requests(dev)
    assert not open_runs(home)


def test_U2_undo_after_the_administrator_acted_says_what_is_left_and_keeps_the_key(
    dev: Machine, admin: Admin, home: Path
) -> None:
    path = ask(dev)
    body = json.loads(path.read_text())
    others = dev.app["keyCredentials"]
    admin.apply(path)
    before = Snapshot.of(dev)
    result = dev.run(migrate.FLOW, act=engine.undo)
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("partial", 6, "flow.undo-failed")
    assert body["thumbprint"] in result.errors[0]["message"]
    command = f"az ad app credential delete --id {dev.app_id} --key-id {body['key_id']} --cert"
    assert command in result.errors[0]["remedy"]
    assert dev.untouched(before)
    assert path.exists()
    assert open_runs(home)
    dev.change("application", keyCredentials=others)  # the administrator runs that
    assert dev.run(migrate.FLOW, act=engine.undo).exit_code == 0
    assert dev.keystore.accounts(dev.service) == []
    assert not requests(dev)


def test_U2_undo_after_the_administrator_created_the_app_names_it(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    machine.onboard()
    Admin(machine, tmp_path / "alex").apply(request_of(machine))
    result = machine.run(onboard.FLOW, act=engine.undo)
    assert result.exit_code == 6
    assert f"az ad app delete --id {apps(machine)[0]['appId']}" in result.errors[0]["remedy"]
    assert machine.onboard().exit_code == 0, "or it is finished after all"


@pytest.mark.parametrize("silently", [False, True])
def test_U2_undo_of_an_onboarding_that_waits(
    start_lab: Callable[[str], Lab], clock: VirtualClock, home: Path, monkeypatch: pytest.MonkeyPatch, silently: bool
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    if silently:
        silent(monkeypatch)  # then the app is there already
    machine.onboard()
    assert len(apps(machine)) == int(silently)
    result = machine.run(onboard.FLOW, act=engine.undo)
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    assert apps(machine) == []
    assert machine.keystore.accounts(machine.service) == []
    assert not requests(machine)
    assert not open_runs(home)


def test_U2_undo_of_a_removal_request_takes_the_certificate_back(owner: Machine) -> None:
    before = Snapshot.of(owner)
    owner.migrate()
    result = owner.run(migrate.FLOW, act=engine.undo)
    assert (result.exit_code, result.errors) == (0, [])
    assert owner.untouched(before)
    assert not requests(owner)


def test_U2_after_the_removal_was_applied_there_is_no_way_back(owner: Machine, tmp_path: Path) -> None:
    owner.migrate()
    Admin(owner, tmp_path / "alex").apply(request_of(owner))
    result = owner.run(migrate.FLOW, act=engine.undo)
    assert (result.exit_code, result.errors[0]["id"]) == (6, "migrate.vanished")
    assert owner.usable()
    assert owner.migrate().exit_code == 0


def test_P12_another_flow_does_not_begin_while_the_hand_off_is_open(dev: Machine) -> None:
    ask(dev)
    result = dev.onboard()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 4, "journal.other-flow")
    for command in ("resume", "undo"):
        assert f"entraclaw-setup {command}" in result.errors[0]["remedy"]


def test_P12_a_failure_after_the_request_keeps_the_key(dev: Machine, admin: Admin) -> None:
    path = ask(dev)
    admin.apply(path)
    before = Snapshot.of(dev)
    dev.tenant.faults.add(Fault("status", r"^POST /[^/]+/oauth2/v2.0/token", nth=0, status=503))
    result = dev.migrate()
    dev.tenant.faults.script.clear()
    assert (result.outcome, result.exit_code, result.errors[-1]["id"]) == ("partial", 6, "handoff.kept")
    assert "entraclaw-setup undo" in result.errors[-1]["remedy"]
    assert dev.untouched(before)
    assert dev.migrate().exit_code == 0


def test_P12_verify_and_token_name_the_open_request(dev: Machine) -> None:
    path = ask(dev)
    result = dev.verify()
    assert result.exit_code == 8
    assert "handoff.open" in dev.findings()
    (finding,) = (event for event in dev.events if isinstance(event, Finding) and event.id == "handoff.open")
    assert str(path) in finding.message
    ctx = dev.build()
    with pytest.raises(SetupError) as caught:
        access_token.token(ctx)
    ctx.close()
    assert caught.value.id == "handoff.open"


# killed


@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", ["the developer asks", "the administrator applies", "the developer finishes"])
@pytest.mark.parametrize("scenario", ["unprivileged", "fresh"])
def test_M8_P12_a_crash_after_any_line_of_either_journal_converges(
    start_lab: Callable[[str], Lab], tmp_path: Path, who: str, scenario: str
) -> None:
    machine: Machine
    admin: Admin

    def develop() -> Result:
        return machine.migrate() if scenario == "unprivileged" else machine.onboard()

    def administer() -> Result:
        return admin.apply(request_of(machine))

    run = {"the administrator applies": administer}.get(who, develop)
    for nth in range(1, MOST):
        machine = Machine(start_lab(scenario), VirtualClock())
        if scenario == "fresh":
            rights_of(machine)
        admin = Admin(machine, tmp_path / f"alex{nth}")
        others = machine.keys if scenario == "unprivileged" else {}
        if who != "the developer asks":
            develop()
        if who == "the developer finishes":
            administer()
        if not killed(nth, run):
            assert nth > 3
            return
        assert scenario == "fresh" or machine.usable(), "zero usable credentials"
        if who == "the developer asks":
            assert develop().exit_code == 5
        if who != "the developer finishes":
            result = administer()
            assert result.exit_code == 0, result.errors
            assert not open_runs(admin.home)
        result = develop()
        assert result.exit_code == 0, result.errors
        assert others.items() <= machine.keys.items()
        assert len(machine.keys) == len(others) + 1
        assert len(apps(machine)) == 1
        assert machine.keystore.accounts(machine.service) == [machine.tenant.id]
        assert not requests(machine)
        assert machine.verify().exit_code == 0
        machine.session.close()
        machine.lab.close()
    pytest.fail(f"a run writes more than {MOST} lines")


@pytest.mark.timeout(600)
def test_M8_P12_a_removal_killed_at_any_line_converges(start_lab: Callable[[str], Lab], tmp_path: Path) -> None:
    machine: Machine
    admin: Admin

    def administer() -> Result:
        return admin.apply(request_of(machine))

    for nth in range(1, MOST):
        machine = Machine(start_lab("legacy"), VirtualClock())
        _owned(machine)
        admin = Admin(machine, tmp_path / f"alex{nth}")
        machine.migrate()
        if not killed(nth, administer):
            assert nth > 6
            return
        assert machine.usable()
        assert administer().exit_code == 0
        assert machine.passwords == []
        assert not open_runs(admin.home)
        assert machine.migrate().exit_code == 0
        machine.session.close()
        machine.lab.close()
    pytest.fail(f"a run writes more than {MOST} lines")


# what a request may try


def _edit(path: Path, **members: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | members))
    return path


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"cloud": "public"}, "request.other-cloud"),
        ({"authority": "https://login.example"}, "request.other-cloud"),
        ({"app_id": "", "unique_name": ""}, "request.broken"),
        ({"thumbprint": "0" * 40}, "request.broken"),
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nMIIE"}, "request.broken"),
        ({"roles": {"User.ReadWrite.All": roles.BASE["Application.ReadWrite.All"]}}, "request.broken"),
        ({"roles": {"No.Such.Role": roles.BASE["Application.ReadWrite.All"]}}, "request.broken"),
        ({"roles": {"No.Such.Role": "11111111-2222-4333-8444-555555555555"}}, "permissions.not-offered"),
        ({"roles": {"Policy.Read.All": roles.OTHER["Policy.Read.All"]}}, "permissions.beyond"),
        ({"machine": "a\x1b[2Jb"}, "request.ambiguous"),
        ({"requested_by": "x\u202e"}, "request.ambiguous"),
        ({"tenant": "11111111-2222-4333-8444-555555555555"}, "az.wrong-tenant"),
        ({"app_id": "11111111-2222-4333-8444-555555555555"}, "app.missing"),
        ({"created": "yesterday"}, "request.broken"),
        ({"note": "an administrator has seen this already"}, "request.broken"),
        ({"valid_until": "2999-01-01"}, "request.broken"),
    ],
    ids=str,
)
def test_P12_an_edited_request_changes_nothing(dev: Machine, admin: Admin, members: Any, error: str) -> None:
    path, before = ask(dev), Snapshot.of(dev)
    dev.tenant.faults.log.clear()
    result = admin.apply(_edit(path, **members), app_id=dev.app_id if error == "permissions.beyond" else "")
    assert result.errors[0]["id"] == error
    assert result.exit_code
    assert dev.untouched(before)
    if error.startswith("request."):
        assert result.exit_code == 2
        assert dev.tenant.faults.log == [], "refused before any request"


def test_P12_P6_what_is_beyond_the_known_list_takes_a_yes_of_its_own(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    machine.onboard()
    path = request_of(machine)
    extra = {"Policy.Read.All": roles.OTHER["Policy.Read.All"]}
    _edit(path, roles=json.loads(path.read_text())["roles"] | extra)
    admin = Admin(machine, tmp_path / "alex")
    refused = admin.apply(path)
    assert (refused.exit_code, refused.errors[0]["id"]) == (4, "permissions.beyond")
    no = No()
    assert admin.apply(path, no, yes=False).exit_code == 4
    assert [question.id for question in no.asked] == ["extra-roles"]
    assert apps(machine) == []
    assert admin.apply(path, extra_roles=True).exit_code == 0


def test_P12_the_calls_in_the_file_are_never_executed(dev: Machine, admin: Admin) -> None:
    path = ask(dev)
    dev.tenant.faults.log.clear()
    assert admin.apply(_edit(path, calls=["DELETE /applications/x", "POST /users"])).exit_code == 0
    writes = [line for line in dev.tenant.faults.log if not line.startswith("GET") and "$batch" not in line]
    assert all(line.startswith("PATCH /v1.0/applications/") for line in writes), writes


def test_P8_a_key_id_of_another_certificate_is_refused(dev: Machine, admin: Admin) -> None:
    path, before = ask(dev), Snapshot.of(dev)
    result = admin.apply(_edit(path, key_id=dev.app["keyCredentials"][0]["keyId"]))
    assert (result.exit_code, result.errors[0]["id"]) == (2, "request.broken")
    assert dev.untouched(before)


def test_M18_a_request_about_a_blueprint_is_refused(dev: Machine, admin: Admin) -> None:
    path = ask(dev)
    dev.change("application", **{"@odata.type": "#microsoft.graph.agentIdentityBlueprint"})
    before = Snapshot.of(dev)
    result = admin.apply(path)
    assert (result.exit_code, result.errors[0]["id"]) == (2, "app.blueprint")
    assert dev.untouched(before)


def test_P1_an_app_of_another_name_takes_its_id(dev: Machine, admin: Admin) -> None:
    victim = registrations.new_application(dev.tenant, "Payroll")
    principal = registrations.new_principal(dev.tenant, victim)
    dev.tenant.commit("application", victim["id"], victim)
    dev.tenant.commit("servicePrincipal", principal["id"], principal)
    path = _edit(ask(dev), app_id=victim["appId"])
    result = admin.apply(path)
    assert (result.exit_code, result.errors[0]["id"]) == (4, "app.adopt")
    assert "Payroll" in result.errors[0]["message"]
    assert dev.tenant.latest("application", victim["id"]) == victim
    contradicted = admin.apply(path, app_id=dev.app_id)
    assert (contradicted.exit_code, contradicted.errors[0]["id"]) == (2, "usage.settings")


def test_P12_a_certificate_that_ended_is_refused(dev: Machine, admin: Admin, clock: VirtualClock) -> None:
    path = ask(dev)
    clock.waited += timedelta(days=366).total_seconds()
    result = admin.apply(path)
    assert (result.exit_code, result.errors[0]["id"]) == (2, "request.broken")
    assert "expired" in result.errors[0]["message"]


def test_P3_a_certificate_for_longer_than_a_year_is_refused(dev: Machine, admin: Admin) -> None:
    long = certificates.make("x", dev.clock.now(), timedelta(days=3650))
    der = base64.b64encode(long.der).decode()
    result = admin.apply(_edit(ask(dev), certificate=der, thumbprint=long.thumbprint))
    assert (result.exit_code, result.errors[0]["id"]) == (2, "request.broken")


def test_P1_an_app_that_somebody_else_put_in_the_place_of_the_new_one_is_not_granted_anything(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine)
    machine.onboard()
    path = request_of(machine)
    planted = registrations.new_application(machine.tenant, PROFILE.app_display_name)
    planted["uniqueName"] = json.loads(path.read_text())["unique_name"]
    other = certificates.make("mallory", clock.now())
    planted["keyCredentials"] = registrations.keys_of(
        machine.tenant, [credentials.entry_of(other, machine.tenant.new_id(), "m")]
    )
    machine.tenant.commit("application", planted["id"], planted)
    result = Admin(machine, tmp_path / "alex").apply(path)
    assert (result.exit_code, result.errors[0]["id"]) == (4, "app.roles-unconfirmed")
    assert machine.tenant.latest("application", planted["id"]) == planted


# whose certificate it is


def asked_for_new(machine: Machine) -> Path:
    """The request of a developer whose app is to be created."""
    rights_of(machine)
    machine.onboard()
    return request_of(machine)


def test_P1_yes_alone_creates_no_app_and_adds_no_certificate_for_a_request(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    """An edited request without an app id asked for a new app for the certificate of whoever edited it."""
    machine = Machine(start_lab("fresh"), clock)
    path, admin = asked_for_new(machine), Admin(machine, tmp_path / "alex")
    mallory = certificates.make("mallory", clock.now())
    day, der = mallory.not_after.strftime("%Y-%m-%d"), base64.b64encode(mallory.der).decode()
    told = json.loads(path.read_text())["thumbprint"]
    edited = _edit(path, certificate=der, thumbprint=mallory.thumbprint, valid_until=day)
    for thumbprint, error in (("", "request.unconfirmed"), (told, "request.other-certificate")):
        result = admin.apply(edited, thumbprint=thumbprint)
        assert (result.exit_code, result.errors[0]["id"]) == (4, error)
        assert mallory.thumbprint not in result.errors[0]["message"] + result.errors[0]["remedy"], "to be copied"
    assert apps(machine) == []


def test_P1_yes_alone_adds_no_certificate_to_an_app_that_is_there(dev: Machine, admin: Admin) -> None:
    path, before = ask(dev), Snapshot.of(dev)
    refused = admin.apply(path, thumbprint="")
    assert (refused.exit_code, refused.errors[0]["id"]) == (4, "request.unconfirmed")
    assert dev.untouched(before)
    assert admin.apply(path, thumbprint="", dry_run=True).exit_code == 0, "whoever looks need not know it yet"


def test_P12_a_person_types_the_thumbprint_before_the_plan_shows_it(dev: Machine, admin: Admin) -> None:
    path, before, no = ask(dev), Snapshot.of(dev), No()
    refused = admin.apply(path, no, yes=False, thumbprint="")
    assert (refused.exit_code, refused.errors[0]["id"]) == (4, "request.unconfirmed")
    (question,) = no.asked
    assert question.typed == json.loads(path.read_text())["thumbprint"]
    assert question.typed not in question.text
    said = [event for event in dev.events if not isinstance(event, Question)]
    assert not [event for event in said if question.typed in str(event)]
    assert dev.untouched(before)
    assert admin.apply(path, yes=False, thumbprint="").exit_code == 0


def test_P12_the_developer_is_shown_the_thumbprint_to_tell(dev: Machine) -> None:
    (error,) = dev.migrate().errors
    assert json.loads(request_of(dev).read_text())["thumbprint"] in error["remedy"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Microsoft Intune", "an app of Microsoft's own"),
        ("EntraClaw Agent ID Provisi\u043ener", "CYRILLIC SMALL LETTER O"),
        ("EntraClaw Agent lD Provisioner", "is another name"),
        ("Payroll", "'Payroll'"),
    ],
)
def test_P1_a_new_app_of_another_name_than_the_profiles_is_refused_and_the_look_alike_named(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path, name: str, why: str
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    path, admin = asked_for_new(machine), Admin(machine, tmp_path / "alex")
    result = admin.apply(_edit(path, app_name=name))
    assert (result.exit_code, result.errors[0]["id"]) == (4, "request.another-name")
    assert why in result.errors[0]["message"]
    assert apps(machine) == []


def test_P1_an_adopted_app_with_the_name_of_another_is_named(dev: Machine, admin: Admin) -> None:
    path = ask(dev)
    dev.change("application", displayName="EntraClaw Agent ID Provisi\u043ener")
    refused = admin.apply(path)
    assert refused.errors[0]["id"] == "app.adopt"
    assert "U+043E CYRILLIC SMALL LETTER O" in refused.errors[0]["message"]
    assert admin.apply(path, app_id=dev.app_id).exit_code == 0
    assert "app.odd-name" in dev.findings()


def test_P12_free_text_of_a_request_is_one_short_quotation_wherever_it_is_shown(dev: Machine, admin: Admin) -> None:
    path = ask(dev)
    text = "dana'   is fine. " + "All checks passed. " * 12
    no = No()
    _edit(path, machine=text[:250], requested_by=text[:250])
    assert admin.apply(path, no, yes=False).exit_code == 4
    assert admin.apply(path).exit_code == 0
    shown = [str(event) for event in dev.events if "is fine" in str(event)]
    assert shown
    for said in (*shown, no.asked[-1].text):
        assert "dana'" not in said
        assert "   " not in said
        assert said.count("All checks passed") <= 8, said
    assert all(len(entry["displayName"]) <= 120 for entry in dev.app["keyCredentials"])


def test_M14_a_takeover_is_a_finding_also_where_the_app_has_the_permissions_already(dev: Machine, admin: Admin) -> None:
    admin.apply(ask(dev), dry_run=True)
    (finding,) = [e for e in dev.events if isinstance(e, Finding) and e.id == "request.takeover"]
    assert finding.severity == "warning", "shown with --quiet, too"
    assert "AppRoleAssignment.ReadWrite.All" in finding.message


def test_M14_the_plan_names_the_most_dangerous_permissions_first(
    start_lab: Callable[[str], Lab], clock: VirtualClock, tmp_path: Path
) -> None:
    machine = Machine(start_lab("fresh"), clock)
    Admin(machine, tmp_path / "alex").apply(asked_for_new(machine), dry_run=True)
    rows = [e.after for e in machine.events if isinstance(e, ChangePlanned) and e.what == "permission"]
    taking = ["take over" in row for row in rows]
    assert any(taking)
    assert taking == sorted(taking, reverse=True)
    assert "request.takeover" in machine.findings()


def test_P12_calls_that_are_not_what_will_be_done_are_named(dev: Machine, admin: Admin) -> None:
    path = ask(dev)
    admin.apply(path, dry_run=True)
    assert "request.calls" not in dev.findings()
    admin.apply(_edit(path, calls=["GET /me"]), dry_run=True)
    assert "request.calls" in dev.findings()


# what is called like a secret

TOKEN = "eyJ0eXAiOiJKV1Qi.eyJhdWQiOiJod.c2lnbmF0dXJl"


def test_P4_an_app_that_is_called_like_a_token_is_an_error_with_a_remedy_and_leaves_nothing(dev: Machine) -> None:
    dev.change("application", displayName=TOKEN)
    before = Snapshot.of(dev)
    result = dev.migrate(app_id=dev.app_id)
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 1, "request.secret")
    assert "Rename" in result.errors[0]["remedy"]
    assert dev.untouched(before)
    assert not requests(dev)


def test_P4_a_project_that_is_called_like_a_token_is_an_error_with_a_remedy_and_leaves_nothing(dev: Machine) -> None:
    folder = dev.lab.project / TOKEN
    folder.mkdir()
    (folder / PROFILE.state_file).write_bytes(dev.state_file.read_bytes())
    (folder / PROFILE.state_file).chmod(0o600)
    before = Snapshot.of(dev)
    result = dev.migrate(project=str(folder))
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 1, "journal.secret")
    assert "Rename" in result.errors[0]["remedy"]
    assert dev.untouched(before)
    assert not requests(dev)


# what no token tells


def may_change(machine: Machine, *ids: str) -> None:
    """A custom role for everything, or one for some objects: the token shows neither (P15)."""
    user = machine.tenant.latest("user", machine.tenant.signed_in_user)
    assert user is not None
    machine.tenant.commit("user", user["id"], user | {"_may_change": list(ids)})


@pytest.mark.parametrize("where", ["everything", "this app alone"])
def test_P12_P15_a_role_that_no_token_shows_is_not_refused_by_the_token(dev: Machine, where: str) -> None:
    may_change(dev, *(["/"] if where == "everything" else [dev.app["id"], dev.principal["id"]]))
    result = dev.migrate()
    assert (result.outcome, result.exit_code, result.errors) == ("changed", 0, [])
    assert "rights.missing" not in dev.findings()
    assert dev.passwords == []


def test_P12_P15_the_rehearsal_changes_nothing_and_a_refusal_ends_in_the_request(dev: Machine) -> None:
    before = dev.app, dev.principal, list(dev.tenant.all_latest("appRoleAssignment"))
    assert dev.migrate(dry_run=True).outcome == "planned"
    assert "rights.missing" in dev.findings()
    assert (dev.app, dev.principal, list(dev.tenant.all_latest("appRoleAssignment"))) == before


def test_P15_a_guest_registers_no_app(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    machine = Machine(start_lab("fresh"), clock)
    rights_of(machine, roles.PRIVILEGED_ROLE_ADMINISTRATOR)
    user = machine.tenant.latest("user", machine.tenant.signed_in_user)
    assert user is not None
    machine.tenant.commit("user", user["id"], user | {"userType": "Guest"})
    assert machine.onboard().errors[0]["id"] == "handoff.waiting"
    assert apps(machine) == []
