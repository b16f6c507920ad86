"""Bad input: each is a clear error with its exit code, and nothing is changed (M2, P1, P11, U4, U5).

What a run can be given wrong, and the test of it, here or where the last column says:

state file
| missing                           | test_state_file_missing |
| empty, truncated, not JSON, a list | test_state_file_that_is_no_object[…] |
| read-only                         | test_state_file_read_only |
| a directory                       | test_state_file_a_directory |
| a symlink                         | test_state_file_a_symlink |
| another user's                    | test_state_file_of_another_user |
| BOM and CRLF                      | test_state_file_with_bom_and_crlf |
| without tenant                    | test_state_file_without_tenant[…] |
| without app id                    | test_state_file_without_app_id |
| ids that are not GUIDs            | test_ids_that_are_not_guids[…], test_ids_in_another_spelling |
| of another cloud                  | test_state_file_of_another_cloud[…], test_cloud_that_is_no_name[…] |
| project folder missing, or a file | test_project_that_is_no_folder[…] |
| project folder read-only          | test_project_folder_read_only |
| disk full                         | test_disk_full_for_the_journal, test_disk_full_for_the_state_file |
app
| deleted                           | test_app_deleted |
| soft-deleted                      | test_app_soft_deleted |
| two of one name                   | test_two_apps_of_one_name |
| a Blueprint                       | test_app_that_is_a_blueprint[…] |
| SAML pair                         | test_saml_pair |
| nothing to migrate                | test_nothing_to_migrate |
| no secret in the file             | test_no_secret_in_the_file_but_passwords_on_the_app |
| secret expired, wrong, dead       | test_secret_that_does_not_work[…] |
| policy that shortens lifetimes    | test_policy_that_shortens_and_may_not_be_read, |
|                                   | test_policy_that_shortens_and_may_be_read |
| policy that forbids               | test_policy_that_forbids |
who and when
| signed in to another tenant       | test_signed_in_to_another_tenant, test_tenant_option_of_another_tenant |
| user without rights               | test_user_without_rights |
| clock skew                        | test_clock_within_the_tolerance[…], test_clock_minutes_off[…], |
|                                   | test_clock_that_went_wrong_after_the_migration[…] |
keystore
| refused: twelve cases             | tests/real/test_keyring.py::test_K1_matrix; whole runs: test_keystore_refused[…] |
| locked, full, gone, unanswered    | test_keystore_that_fails[…]; real ones: test_K6_… of tests/real/test_keyring.py |
network
| no network                        | test_no_network |
| proxy that answers HTML           | test_proxy_that_answers_html[…], test_page_instead_of_graph |
| TLS interception                  | test_tls_interception |
| wrong CA                          | test_wrong_ca, test_ca_file_that_cannot_be_used[…] |
az and the terminal
| az a shim: warnings, garbage, nothing, hangs | test_az_that_prints_warnings_beside_its_answer, |
|                                   | test_az_that_is_a_shim[…], test_az_that_hangs, test_az_that_refuses[…] |
| no terminal and no --yes          | tests/cli/test_bad_input.py |
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import keyring.core
import pytest

from core import assemble
from core.clock import Cancel
from core.config.settings import Settings
from core.errors import SetupError, TokenError
from core.events import ChangePlanned, Finding
from core.flow.engine import Result
from core.flow.engine import run as run_flow
from core.flows import migrate, onboard
from core.flows.access_token import token
from core.machine.azure_cli import AzureCli
from core.machine.keystore import refusal
from core.machine.keystore.system import SystemKeystore
from core.sandbox.directory import registrations
from core.sandbox.directory.store import GRAPH_APP_ID
from core.sandbox.fake_machine.keystore import MemoryKeystore
from core.sandbox.graph import grants, roles
from core.sandbox.http import Request, Response, answer
from core.sandbox.lab import Lab
from core.sandbox.token_service.tokens import AZURE_CLI, user_token
from core.secret import Secret
from tests.machine import PROFILE, Machine, VirtualClock

OTHER = "11111111-2222-4333-8444-555555555555"
KINDS = ("application", "servicePrincipal", "appRoleAssignment", "deletedApplication", "appManagementPolicy")
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes and owners")


@dataclass(frozen=True)
class Everything:
    """All that a run could change: the directory, the keystore, and every file of the project."""

    directory: str
    keystore: dict[str, Secret | None]
    project: dict[str, tuple[int, int, bytes | str]]

    @classmethod
    def of(cls, machine: Machine) -> Everything:
        return cls(
            json.dumps([list(machine.tenant.all_latest(kind)) for kind in KINDS], sort_keys=True),
            {
                account: machine.keystore.read(machine.service, account)
                for account in machine.keystore.accounts(machine.service)
            },
            {str(path.relative_to(machine.lab.folder)): _file(path) for path in sorted(machine.lab.folder.rglob("*"))},
        )


def _file(path: Path) -> tuple[int, int, bytes | str]:
    status = path.lstat()
    content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
    return status.st_mode, status.st_ino if path.is_file() else 0, content


def refused(
    machine: Machine, id: str, code: int, *told: str, run: Callable[..., Result] | None = None, **options: Any
) -> dict[str, Any]:
    """Migrate, and see it refused: this id and exit code, these words, and not a byte changed.

    :param told: what the message or the remedy has to name.
    :returns: the error.
    """
    before = Everything.of(machine)
    result = (run or machine.migrate)(**options)
    assert [error["id"] for error in result.errors] == [id]
    assert (result.outcome, result.exit_code) == ("failed", code)
    (error,) = result.errors
    for words in told:
        assert words in f"{error['message']}\n{error['remedy']}"
    assert Everything.of(machine) == before
    return error


def write(machine: Machine, *without: str, **members: Any) -> None:
    """Write the state file with other members."""
    kept = {name: value for name, value in machine.state.items() if name not in without}
    machine.state_file.write_text(json.dumps(kept | members))


def test_the_table_above_names_every_test() -> None:
    here = {name for name, value in globals().items() if name.startswith("test_") and callable(value)}
    named = set(re.findall(r"\btest_[a-z]\w+", __doc__ or "")) - {"test_keyring", "test_bad_input"}
    assert here - {"test_the_table_above_names_every_test"} == named


# --- the state file and the project


def test_state_file_missing(machine: Machine) -> None:
    machine.state_file.unlink()
    refused(machine, "statefile.missing", 3, str(machine.state_file), "--project")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b" \r\n", "it is empty", id="empty but for a line end"),
        pytest.param(b"\xef\xbb\xbf", "it is empty", id="empty but for a BOM"),
        pytest.param(b'{"TENANT_ID": "8c1f5b0e-3f3c-4d', "line 1 column 15", id="truncated in a text"),
        pytest.param(b'{\n  "TENANT_ID": "x",\n', "line 3 column 1", id="truncated between members"),
        pytest.param(b"TENANT_ID=8c1f5b0e\n", "line 1 column 1", id="not JSON"),
        pytest.param(b"\x00\x01\xfe\xff", "not UTF-8", id="not text"),
        pytest.param("{}".encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b'["8c1f5b0e"]', "not a JSON object", id="a list"),
        pytest.param(b"null", "not a JSON object", id="null"),
    ],
)
def test_state_file_that_is_no_object(machine: Machine, content: bytes, what: str) -> None:
    machine.state_file.write_bytes(content)
    refused(machine, "statefile.broken", 3, str(machine.state_file), what, "left exactly as it is", "backup", "line ")


@posix
def test_state_file_read_only(machine: Machine) -> None:
    machine.state_file.chmod(0o444)
    refused(machine, "statefile.read-only", 3, str(machine.state_file), "the file is read-only", "chmod u+w")
    assert stat.S_IMODE(machine.state_file.stat().st_mode) == 0o444
    machine.state_file.chmod(0o600)
    assert machine.migrate().exit_code == 0, "the remedy helps"
    machine.state_file.chmod(0o400)
    assert (machine.migrate().outcome, machine.verify().exit_code) == ("unchanged", 0), "reading is all that is needed"


def test_state_file_a_directory(machine: Machine) -> None:
    machine.state_file.unlink()
    machine.state_file.mkdir()
    refused(machine, "statefile.unsafe", 3, str(machine.state_file), "a folder", "regular file")


def test_state_file_a_symlink(machine: Machine) -> None:
    machine.state_file.symlink_to(machine.state_file.rename(machine.lab.folder / "elsewhere.json"))
    refused(machine, "statefile.unsafe", 3, str(machine.state_file), "a symbolic link", "regular file")


@posix
def test_state_file_of_another_user(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(machine.state_file, 12345, 12345)
    else:  # only root can give a file away
        own = os.geteuid()
        monkeypatch.setattr("core.machine.state_file.os.geteuid", lambda: own + 1)
    refused(machine, "statefile.unsafe", 3, str(machine.state_file), "another user's", "its owner")


def test_state_file_with_bom_and_crlf(machine: Machine) -> None:
    content = json.dumps(machine.state, indent=2).replace("\n", "\r\n")
    machine.state_file.write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert machine.migrate().exit_code == 0, "that is how Windows editors write, and no error"
    assert PROFILE.secret_member not in machine.state
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("value", ["", None], ids=["empty", "null"])
def test_state_file_without_tenant(machine: Machine, value: str | None) -> None:
    members = {} if value is None else {PROFILE.tenant_member: value}
    write(machine, PROFILE.tenant_member, **members)
    told = (PROFILE.tenant_member, str(machine.state_file), "--tenant")
    refused(machine, "usage.unknown-tenant", 2, *told)
    assert machine.migrate(tenant=machine.tenant.id).exit_code == 0, "the remedy helps"


def test_state_file_without_app_id(machine: Machine) -> None:
    write(machine, PROFILE.client_id_member)
    refused(machine, "app.adopt", 4, "found by its name", f"--app-id {machine.app_id}")
    assert machine.migrate(app_id=machine.app_id).exit_code == 0, "the remedy helps"


@pytest.mark.parametrize("member", [PROFILE.tenant_member, PROFILE.client_id_member])
@pytest.mark.parametrize(
    "value",
    [
        "contoso.onmicrosoft.com",
        "8c1f5b0e-3f3c-4d4c-9a47",
        f"{{{OTHER}}}",
        OTHER.replace("-", ""),
        f"{OTHER}'",
        7,
        0,
        [],
        {},
        False,
    ],
    ids=repr,
)
def test_ids_that_are_not_guids(machine: Machine, member: str, value: object) -> None:
    write(machine, **{member: value})
    refused(machine, "usage.not-a-guid", 2, member, machine.state_file.name, str(value), "az account show")


def test_ids_in_another_spelling(machine: Machine) -> None:
    ids = {
        PROFILE.tenant_member: f" {machine.tenant.id.upper()}\n",
        PROFILE.client_id_member: f"{machine.app_id.upper()} ",
    }
    write(machine, **ids)
    assert machine.migrate().exit_code == 0, "capitals and spaces around it are still the same id"
    assert machine.verify().exit_code == 0
    assert machine.migrate().outcome == "unchanged"


@pytest.mark.parametrize(
    ("theirs", "option"),
    [("usgov", "--cloud usgov"), ("elsewhere", "--cloud FILE, the TOML file that describes 'elsewhere'")],
)
def test_state_file_of_another_cloud(machine: Machine, theirs: str, option: str) -> None:
    write(machine, CLOUD=theirs)
    machine.tenant.faults.log.clear()
    refused(machine, "usage.other-cloud", 2, str(machine.state_file), theirs, "sandbox", option)
    assert machine.tenant.faults.log == [], "before any request (C1)"


@pytest.mark.parametrize("value", [None, 7, ["public"], {"name": "public"}, True], ids=repr)
def test_cloud_that_is_no_name(machine: Machine, value: object) -> None:
    write(machine, CLOUD=value)
    refused(machine, "usage.no-cloud", 2, str(machine.state_file), json.dumps(value), "remove the member")


@pytest.mark.parametrize("flow", [migrate.FLOW, onboard.FLOW], ids=lambda flow: flow.name)
@pytest.mark.parametrize("kind", ["missing", "a file", "a dangling link"])
def test_project_that_is_no_folder(machine: Machine, kind: str, flow: Any) -> None:
    project = machine.lab.folder / "another"
    if kind == "a file":
        project.write_text("")
    elif kind == "a dangling link":
        project.symlink_to("nowhere")
    what = "not a folder" if kind == "a file" else "not there"
    refused(
        machine, "usage.project", 2, str(project), what, "--project", run=machine.run, flow=flow, project=str(project)
    )


@posix
@pytest.mark.parametrize("flow", [migrate.FLOW, onboard.FLOW], ids=lambda flow: flow.name)
def test_project_folder_read_only(
    start_lab: Callable[[str], Lab], clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, flow: Any
) -> None:
    machine = Machine(start_lab("legacy" if flow is migrate.FLOW else "fresh"), clock)
    machine.lab.project.chmod(0o555)
    if os.geteuid() == 0:  # nothing is read-only for root
        access, project = os.access, machine.lab.project
        monkeypatch.setattr(
            "core.machine.state_file.os.access", lambda path, mode: path != project and access(path, mode)
        )
    try:
        refused(machine, "statefile.read-only", 3, str(machine.lab.project), "chmod u+w", run=machine.run, flow=flow)
    finally:
        machine.lab.project.chmod(0o755)


def test_disk_full_for_the_journal(machine: Machine, home: Path) -> None:
    """No file may grow, which is what a full disk comes to: an effect that cannot be recorded does not happen."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = Everything.of(machine)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        result = machine.migrate()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (result.exit_code, result.errors[0]["id"]) == (3, "journal.io")
    assert str(home) in result.errors[0]["message"]
    assert "Make room" in result.errors[0]["remedy"]
    assert Everything.of(machine) == before
    assert machine.migrate().exit_code == 0, "the remedy helps"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_disk_full_for_the_state_file(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    before, mkstemp = Everything.of(machine), tempfile.mkstemp

    def full(**where: Any) -> tuple[int, str]:
        descriptor, name = mkstemp(**where)
        if where["dir"] != machine.lab.project:
            return descriptor, name
        os.close(descriptor)
        return os.open("/dev/full", os.O_WRONLY), name

    monkeypatch.setattr("core.files.tempfile.mkstemp", full)
    result = machine.migrate()
    monkeypatch.undo()
    assert (result.outcome, result.exit_code, result.errors[0]["id"]) == ("failed", 1, "statefile.io")
    assert "No space left" in result.errors[0]["message"]
    assert "Make room" in result.errors[0]["remedy"]
    assert Everything.of(machine).project == before.project
    assert machine.usable() == ["secret"]
    assert Everything.of(machine) == before, "found out before the point of no return, and undone"


# --- the app


def test_app_deleted(machine: Machine) -> None:
    machine.tenant.commit("application", machine.app["id"], None)
    refused(machine, "app.missing", 3, machine.app_id, machine.tenant.id, str(machine.state_file), "--app-id")


def test_app_soft_deleted(machine: Machine) -> None:
    app = machine.app
    machine.tenant.commit("application", app["id"], None)
    gone = {"id": app["id"], "appId": app["appId"], "deletedDateTime": "2026-11-01T00:00:00Z"}
    machine.tenant.commit("deletedApplication", app["id"], gone)
    refused(machine, "app.deleted", 3, machine.app_id, "2026-11-01", "Restore it")


def test_two_apps_of_one_name(machine: Machine) -> None:
    write(machine, PROFILE.client_id_member)
    twin = registrations.new_application(machine.tenant, PROFILE.app_display_name)
    machine.tenant.commit("application", twin["id"], twin)
    refused(machine, "app.several", 4, machine.app_id, twin["appId"], "--app-id")


@pytest.mark.parametrize("known", ["by the directory", "by the state file"])
def test_app_that_is_a_blueprint(machine: Machine, known: str) -> None:
    if known == "by the directory":
        machine.change("application", **{"@odata.type": "#microsoft.graph.agentIdentityBlueprint"})
    else:
        write(machine, **{PROFILE.blueprint_member: machine.app_id.upper()})
    refused(machine, "app.blueprint", 2, machine.app_id, "Blueprint", "--app-id")


def test_saml_pair(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    machine = Machine(start_lab("saml"), clock)
    refused(machine, "app.saml", 3, machine.principal["passwordCredentials"][0]["keyId"], "SAML", "app of its own")


def test_nothing_to_migrate(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    before = Everything.of(machine)
    result = machine.migrate(yes=False)
    assert (result.outcome, result.exit_code, result.errors) == ("unchanged", 0, [])
    assert result.summary[0].startswith("Nothing to do")
    assert Everything.of(machine) == before


def test_no_secret_in_the_file_but_passwords_on_the_app(machine: Machine) -> None:
    write(machine, PROFILE.secret_member)
    result = machine.migrate()
    assert (result.outcome, result.exit_code, machine.passwords) == ("changed", 0, [])
    assert "3 password credentials removed" in result.summary[0]
    assert "purged" not in result.summary[0]


@pytest.mark.parametrize(("kind", "number"), [("expired", "7000222"), ("wrong", "7000215"), ("dead", "7000215")])
def test_secret_that_does_not_work(machine: Machine, kind: str, number: str) -> None:
    """A secret that is refused needs no working secret to be replaced (M15)."""
    if kind == "expired":
        over = machine.tenant.stamp(machine.clock.now() - timedelta(days=1))
        entries = [entry | {"endDateTime": over} for entry in machine.app["passwordCredentials"]]
        machine.change("application", passwordCredentials=entries)
    elif kind == "wrong":
        write(machine, **{PROFILE.secret_member: machine.tenant.new_secret().reveal()})
    else:
        machine.change("application", passwordCredentials=[])
        machine.change("servicePrincipal", passwordCredentials=[])
    result = machine.migrate()
    assert (result.outcome, result.exit_code, machine.passwords) == ("changed", 0, [])
    (said,) = (event for event in machine.events if isinstance(event, Finding) and event.id == "secret.dead")
    assert number in said.message
    assert machine.verify().exit_code == 0


def test_policy_that_shortens_and_may_not_be_read(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    machine = Machine(start_lab("policy"), clock)
    told = ("CredentialInvalidLifetimeAsPerAppPolicy", "--certificate-days", "180")
    refused(machine, "graph.refused", 5, *told)
    assert machine.migrate(certificate_days=180).exit_code == 0, "the remedy helps"


def test_policy_that_shortens_and_may_be_read(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    machine = Machine(start_lab("policy"), clock)
    pipeline = registrations.new_application(machine.tenant, "pipeline")
    principal = registrations.new_principal(machine.tenant, pipeline)
    machine.tenant.commit("application", pipeline["id"], pipeline)
    machine.tenant.commit("servicePrincipal", principal["id"], principal)
    graph = machine.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert graph is not None
    offered = {role["value"]: role["id"] for role in roles.app_roles()}
    for name in ("Application.ReadWrite.All", "Policy.Read.All"):
        grant = grants.new_grant(machine.tenant, principal, graph, offered[name])
        machine.tenant.commit(grants.KIND, grant["id"], grant)
    before = Everything.of(machine)
    assert machine.migrate(dry_run=True, who=pipeline["appId"]).outcome == "planned"
    planned = [event.after for event in machine.events if isinstance(event, ChangePlanned)]
    assert "new, valid 180 days (the policy 'Short certificates, no secrets' allows no longer)" in planned
    assert Everything.of(machine) == before
    assert machine.migrate(who=pipeline["appId"]).exit_code == 0, "it is shortened without a word from anybody"


def test_policy_that_forbids(machine: Machine) -> None:
    serve = machine.lab.server.handle

    def handle(tenant: Any, request: Request) -> Response:
        if request.method == "PATCH" and b"keyCredentials" in request.body:
            error = {"code": "CredentialTypeNotAllowedAsPerAppPolicy", "message": "Credential type not allowed."}
            return answer(400, {"error": error})
        return serve(tenant, request)

    machine.lab.server.handle = handle
    refused(machine, "graph.refused", 5, "CredentialTypeNotAllowedAsPerAppPolicy", "administrator", "exception")
    assert machine.usable() == ["secret"]


# --- who and when


def test_signed_in_to_another_tenant(machine: Machine) -> None:
    write(machine, **{PROFILE.tenant_member: OTHER})
    refused(machine, "az.wrong-tenant", 4, machine.tenant.id, f"az login --tenant {OTHER}")


def test_tenant_option_of_another_tenant(machine: Machine) -> None:
    told = ("--tenant", OTHER, PROFILE.tenant_member, machine.tenant.id)
    refused(machine, "usage.settings", 2, *told, tenant=OTHER)


def test_user_without_rights(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    machine = Machine(start_lab("unprivileged"), clock)
    before = Everything.of(machine)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (5, "handoff.waiting")
    for role in ("owner", "Application Administrator"):
        assert role in result.errors[0]["remedy"], "which role"
    assert "entraclaw-setup apply" in result.errors[0]["remedy"]
    after = Everything.of(machine)
    assert after.directory == before.directory
    assert machine.usable() == ["secret"]
    new = after.project.keys() - before.project.keys()
    assert [Path(name).name for name in new] == [f"entraclaw-request-{machine.app_id[:8]}.json"]
    assert before.project.items() <= after.project.items()


class Shifted:
    """A clock that is wrong by some minutes."""

    def __init__(self, inner: VirtualClock, minutes: float) -> None:
        self._inner, self._off = inner, timedelta(minutes=minutes)

    def now(self) -> datetime:
        return self._inner.now() + self._off

    def monotonic(self) -> float:
        return self._inner.monotonic()

    def wait(self, seconds: float) -> None:
        self._inner.wait(seconds)


@pytest.fixture
def clock_off(clock: VirtualClock) -> Iterator[Callable[[float], Machine]]:
    """A machine whose clock is that many minutes ahead of the tenant's."""
    labs: list[Lab] = []

    def start(minutes: float) -> Machine:
        labs.append(Lab.start("legacy", clock=Shifted(clock, -minutes), sign_in=False))
        return Machine(labs[-1], clock)

    yield start
    for lab in labs:
        lab.close()


@pytest.mark.parametrize("minutes", [-4, 4])
def test_clock_within_the_tolerance(clock_off: Callable[[float], Machine], minutes: float) -> None:
    machine = clock_off(minutes)
    assert machine.migrate().exit_code == 0
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize(("minutes", "how"), [(10, "ahead of"), (-10, "behind"), (45, "ahead of"), (-45, "behind")])
def test_clock_minutes_off(clock_off: Callable[[float], Machine], minutes: float, how: str) -> None:
    machine = clock_off(minutes)
    error = refused(machine, "platform.clock", 3, f"s {how} the service's", "NTP", "Nothing was changed")
    off = int(error["message"].partition(" s ")[0].rpartition(" ")[2])
    assert abs(off - abs(minutes) * 60) <= 3
    assert not [line for line in machine.tenant.faults.log if "/token" in line], "nobody signed in with a wrong clock"


@pytest.mark.parametrize(("minutes", "how"), [(10, "ahead of"), (-20, "behind")])
def test_clock_that_went_wrong_after_the_migration(
    clock_off: Callable[[float], Machine], monkeypatch: pytest.MonkeyPatch, minutes: float, how: str
) -> None:
    """verify and token compare no clocks before they sign in, so the refusal itself has to say it."""
    machine = clock_off(minutes)
    machine.tenant.switches.skew = 10_000
    monkeypatch.setattr("core.steps.app.find.TOLERANCE", 10_000)
    assert machine.migrate().exit_code == 0
    machine.tenant.switches.skew = 300
    ctx = machine.build()
    with pytest.raises(TokenError) as caught:
        token(ctx)
    ctx.close()
    assert (caught.value.id, caught.value.exit_code) == ("token.clock", 3)
    assert "AADSTS700024" in caught.value.summary
    assert f"s {how} the service's" in caught.value.remedy


# --- the keystore


def in_system_keystore(machine: Machine) -> Callable[..., Result]:
    """Migrate with this system's own keystore behind the gate."""

    def run(**options: Any) -> Result:
        ctx = machine.build(**options)
        ctx.keystore = SystemKeystore()
        try:
            return run_flow(migrate.FLOW, ctx, ctx.run_id)
        finally:
            ctx.close()

    return run


@pytest.mark.parametrize(
    "backend", ["keyring.backends.fail.Keyring", "keyring.backends.null.Keyring", "no.such.Keyring"]
)
def test_keystore_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
    told = (backend, "PYTHON_KEYRING_BACKEND") if "no.such" not in backend else (backend, "Remove that setting")
    refused(machine, "keystore.insecure", 3, *told, run=in_system_keystore(machine))


class Failing(MemoryKeystore):
    """Fails at every write, as a backend would that raises this."""

    error: BaseException

    def write(self, service: str, account: str, value: Secret) -> None:
        refusal.translate(self.error, "write", 60)


def _raised(name: str, text: str, module: str = "backend") -> BaseException:
    error: BaseException = type(name, (Exception,), {"__module__": module})(text)
    return error


@pytest.mark.parametrize(
    ("error", "id", "told"),
    [
        pytest.param(_raised("KeyringLocked", "is locked"), "keystore.locked", "Unlock it", id="locked"),
        pytest.param(_raised("PromptDismissedException", ""), "keystore.locked", "Unlock it", id="prompt dismissed"),
        pytest.param(OSError(28, "No space left on device"), "keystore.full", "Make room", id="full"),
        pytest.param(
            _raised("DBusErrorResponse", "[org.freedesktop.DBus.Error.Failed] Couldn't set item secret"),
            "keystore.failed",
            "is full",
            id="full, and gnome-keyring does not say so",
        ),
        pytest.param(
            _raised("DBusErrorResponse", "[org.freedesktop.DBus.Error.ServiceUnknown] no such name"),
            "keystore.gone",
            "Start a D-Bus session",
            id="gone",
        ),
        pytest.param(ConnectionRefusedError(111, "refused"), "keystore.gone", "Start a D-Bus session", id="no bus"),
        pytest.param(TimeoutError(), "keystore.unanswered", "password prompt", id="unanswered"),
        pytest.param(_raised("Odd", "something else"), "keystore.failed", "its own tool", id="anything else"),
    ],
)
def test_keystore_that_fails(machine: Machine, error: BaseException, id: str, told: str) -> None:
    machine.keystore = Failing()
    machine.keystore.error = error
    refused(machine, id, 3, told)


# --- the network


def elsewhere(machine: Machine, **origins: Any) -> Callable[..., Result]:
    """Migrate with a cloud file that differs in this."""
    cloud = replace(machine.cloud, **origins)
    text = "".join(
        f"{name} = {json.dumps(str(getattr(cloud, name)))}\n" for name in ("name", "authority", "graph", "arm")
    )
    path = machine.lab.folder / "other.toml"
    path.write_text(f"{text}ca_bundle = {json.dumps(str(cloud.ca_bundle))}\n")
    return lambda **options: machine.migrate(**options, cloud=str(path))


def test_no_network(machine: Machine) -> None:
    machine.lab.server.close()
    refused(machine, "network.unreachable", 7, f"localhost:{machine.tenant.port}", "Connection refused", "HTTPS_PROXY")


@contextmanager
def proxy(reply: bytes) -> Iterator[str]:
    """A proxy that answers every CONNECT with this; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


PAGE = b"<html><body>Please log in to the guest network</body></html>"


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(b"200 OK", id="instead of TLS"),
        pytest.param(b"407 Proxy Authentication Required", id="a log-in"),
        pytest.param(b"403 Forbidden", id="a refusal"),
        pytest.param(b"302 Found\r\nLocation: http://portal.example/", id="a redirect"),
    ],
)
def test_proxy_that_answers_html(machine: Machine, monkeypatch: pytest.MonkeyPatch, status: bytes) -> None:
    head = b"HTTP/1.1 " + status + b"\r\nContent-Type: text/html\r\n\r\n"
    with proxy(head + PAGE) as address:
        monkeypatch.setenv("HTTPS_PROXY", address)
        refused(machine, "network.unreachable", 7, f"localhost:{machine.tenant.port}", "HTTPS_PROXY")


@pytest.mark.parametrize("status", [200, 403, 502])
def test_page_instead_of_graph(machine: Machine, status: int) -> None:
    """A portal whose certificate is trusted."""
    page = Response(status, {"Content-Type": "text/html"}, PAGE)
    machine.lab.server.handle = lambda tenant, request: page
    if status == 502:
        refused(machine, "graph.refused", 7, "502")
    else:
        refused(
            machine, "network.garbage", 7, f"localhost:{machine.tenant.port}", str(status), "proxy or captive portal"
        )


def test_tls_interception(machine: Machine) -> None:
    """Somebody else answers where the service was."""
    machine.lab.server.close()
    stranger = Lab.start("legacy", port=machine.tenant.port, sign_in=False)
    try:
        told = (f"localhost:{machine.tenant.port}", "intercepts TLS", str(machine.lab.ca))
        refused(machine, "network.untrusted", 7, *told)
        assert stranger.tenant.faults.log == [], "no token reached it (C4)"
    finally:
        stranger.close()


def test_wrong_ca(machine: Machine, start_lab: Callable[[str], Lab]) -> None:
    ca = start_lab("clean").ca
    told = (f"localhost:{machine.tenant.port}", str(ca), "cloud file")
    refused(machine, "network.untrusted", 7, *told, run=elsewhere(machine, ca_bundle=ca))


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAA\n"])
def test_ca_file_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    with pytest.raises(SetupError) as caught:
        assemble.real(Settings(), Cancel(), lambda event: None, lambda question: True)
    assert (caught.value.id, caught.value.exit_code) == ("network.roots", 3)
    assert str(path) in caught.value.summary
    assert "REQUESTS_CA_BUNDLE" in caught.value.remedy


# --- az


@dataclass
class Shim:
    """Stands where the Azure CLI should be."""

    machine: Machine
    path: Path
    seconds: float = 30

    def says(self, text: str, *, stderr: str = "", first: str = "", code: int = 0) -> None:
        """Print this, and end with that code."""
        (self.path.parent / "out").write_text(text)
        (self.path.parent / "err").write_text(stderr)
        folder = self.path.parent
        self.path.write_text(f"#!/bin/sh\n{first}\ncat {folder}/out; cat {folder}/err >&2; exit {code}\n")
        self.path.chmod(0o755)

    def token(self) -> str:
        """What the real one would print."""
        tenant = self.machine.tenant
        user = tenant.latest("user", tenant.signed_in_user)
        assert user is not None
        value = user_token(tenant, user, f"{tenant.graph}/", AZURE_CLI)
        return json.dumps({"accessToken": value, "tenant": tenant.id, "tokenType": "Bearer"}, indent=2)

    def migrate(self, **options: Any) -> Result:
        ctx = self.machine.build(**options)
        ctx.sign_in = AzureCli(ctx.cloud, ctx.untrusted, ctx.cancel, self.seconds)
        try:
            return run_flow(migrate.FLOW, ctx, ctx.run_id)
        finally:
            ctx.close()


@pytest.fixture
def shim(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    """A stand-in on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Shim(machine, folder / "az")


def test_az_that_prints_warnings_beside_its_answer(machine: Machine, shim: Shim) -> None:
    shim.says(shim.token(), stderr="WARNING: You have 3 update(s) available.\nWARNING: {not json}\n")
    assert shim.migrate().exit_code == 0, "on standard error they are no answer"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("WARNING: You have 3 update(s) available.\n{token}", id="warnings before it"),
        pytest.param("{token}\nWARNING: You have 3 update(s) available.", id="warnings after it"),
        pytest.param("<html>not az</html>", id="garbage"),
        pytest.param("\x1b[31m{token}\x1b[0m", id="colour"),
        pytest.param("", id="nothing"),
        pytest.param("\n", id="an empty line"),
        pytest.param("[{token}]", id="a list"),
        pytest.param('"text"', id="a text"),
        pytest.param('{"accessToken": null}', id="no token"),
        pytest.param('{"accessToken": "opaque"}', id="no JWT"),
    ],
)
@posix
def test_az_that_is_a_shim(machine: Machine, shim: Shim, text: str) -> None:
    shim.says(text.replace("{token}", shim.token()))
    told = ("az account get-access-token", "not a wrapper", str(shim.path))
    error = refused(machine, "az.garbage", 3, *told, run=shim.migrate)
    assert json.loads(shim.token())["accessToken"] not in json.dumps(error)


@posix
def test_az_that_hangs(machine: Machine, shim: Shim) -> None:
    shim.seconds = 0.5
    shim.says(shim.token(), first="exec sleep 600")
    refused(machine, "az.hangs", 3, str(shim.path), "was stopped", "Run it in a terminal", run=shim.migrate)


@posix
@pytest.mark.parametrize(
    ("stderr", "code", "id", "exit_code", "told"),
    [
        pytest.param(
            "ERROR: Please run 'az login' to setup account.", 1, "az.signed-out", 4, "az login", id="signed out"
        ),
        pytest.param("ERROR: AADSTS50020: not in tenant", 1, "az.expired", 4, "az login", id="of another tenant"),
        pytest.param("Traceback: No module named azure.cli", 1, "az.failed", 3, "in a terminal", id="broken"),
        pytest.param("ERROR: unrecognized arguments: --resource", 2, "az.failed", 3, "in a terminal", id="too old"),
    ],
)
def test_az_that_refuses(
    machine: Machine, shim: Shim, stderr: str, code: int, id: str, exit_code: int, told: str
) -> None:
    shim.says("", stderr=stderr, code=code)
    refused(machine, id, exit_code, told, run=shim.migrate)
