"""Each failure that really happened shows its facts where a program meets them (U8, D1): row by row, see `ROW`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from keyrings.alt.file import PlaintextKeyring  # type: ignore[import-untyped]

from core.clock import Cancel
from core.config.cloud import load as load_cloud
from core.config.profile import Profile
from core.entra import certificates
from core.entra.certificates import KeyPair
from core.entra.tokens import Token, mint
from core.errors import GraphError, SetupError, TokenError
from core.machine.azure_cli import AzureCli
from core.machine.keystore import refusal, weak_files
from core.machine.keystore.system import BUNDLE_SIZE, WINDOWS_LIMIT, Backend, probe
from core.machine.prerequisites import AZ, BUS, SECRETS
from core.sandbox.fake_machine.az import SandboxSignIn, tools_of
from core.sandbox.fake_machine.keystore import MemoryKeystore
from core.sandbox.fake_machine.machine import BROKEN, NOISE
from core.sandbox.fake_machine.machine import Machine as Computer
from core.sandbox.graph import roles
from core.sandbox.lab import Lab
from core.sandbox.scenarios import failures
from core.sandbox.scenarios.catalogue import SCENARIOS
from core.sandbox.scenarios.failures import FAILURES, LAG, ROW
from core.secret import Secret
from core.steps.context import Context
from core.steps.facts import MachineKey, Proof, SignedIn, Target
from tests.machine import Machine, VirtualClock
from wizard.workspace import Demo

Begin = Callable[[str], Machine]
posix = pytest.mark.skipif(os.name != "posix", reason="shell scripts, XDG folders")


def unloadable() -> SetupError:
    """What a keystore fails with whose library cannot be imported."""
    with pytest.raises(SetupError) as caught:
        refusal.translate(ImportError(BROKEN), "open", 1)
    return caught.value


UNLOADABLE = unloadable()
#: Where a migration of each gets to: its exit code, and the id of its error.
MIGRATED = {
    1: (0, ""),
    2: (0, ""),
    3: (3, "keystore.insecure"),
    4: (3, "keystore.insecure"),
    5: (3, "keystore.insecure"),
    6: (3, UNLOADABLE.id),
    7: (0, ""),
    8: (0, ""),
    9: (0, ""),
    10: (0, ""),
    11: (3, "az.garbage"),
    12: (5, "handoff.waiting"),
    13: (3, "keystore.too-large"),
    14: (4, "app.several"),
    15: (0, ""),
}


@pytest.fixture
def begin(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Begin:
    return lambda scenario: Machine(start_lab(scenario), clock)


@pytest.fixture
def ctx(request: pytest.FixtureRequest, begin: Begin) -> Iterator[Context]:
    """The world of the scenario that the test names."""
    machine = begin(request.param)
    ctx = machine.build()
    ctx.facts.put(Target(machine.tenant.id, machine.app_id))
    yield ctx
    ctx.close()


def failure(act: Callable[[], object]) -> SetupError:
    with pytest.raises(SetupError) as caught:
        act()
    assert caught.value.summary
    assert caught.value.remedy
    return caught.value


def own(machine: Machine) -> KeyPair:
    """The key in the machine's keystore."""
    entry = machine.keystore.read(machine.service, machine.tenant.id)
    assert entry is not None
    return certificates.parse(entry, machine.tenant.id)


def minted(machine: Machine, key_pair: KeyPair | None = None) -> Token:
    return mint(machine.session, machine.cloud, machine.tenant.id, machine.app_id, key_pair or own(machine))


def refused(machine: Machine) -> tuple[int, ...]:
    """AADSTS codes of the refusal to sign in."""
    error = failure(lambda: minted(machine))
    assert isinstance(error, TokenError)
    return error.codes


def outside(machine: Machine, source: str) -> dict[str, Any]:
    """What a program says in the environment that the sandbox prints, in a home of its own."""
    environment = {"PATH": os.defpath, "HOME": str(Path.home()), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    finished = subprocess.run(
        [sys.executable, "-c", source],
        env=environment | machine.lab.environment(),
        cwd=Path.home(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    said: dict[str, Any] = json.loads(finished.stdout)
    return said


ASK_KEYSTORE = """
import json
from core.errors import SetupError
from core.machine.keystore.system import SystemKeystore
try:
    SystemKeystore().backend()
except SetupError as error:
    print(json.dumps({"id": error.id, **error.details}))
"""
ASK_PACKAGES = """
import json
from core.machine import python_packages as packages
print(json.dumps({package.name: [package.ok, package.why] for package in packages.look()}))
"""


# all of them


def test_every_row_has_its_scenario_and_every_scenario_its_row() -> None:
    assert list(ROW) == list(range(1, 16))
    assert set(ROW.values()) <= SCENARIOS.keys()
    assert FAILURES.keys() <= set(ROW.values())
    assert len(set(ROW.values())) == 15


@pytest.mark.parametrize("row", ROW)
def test_U8_a_migration_of_each_ends_as_on_a_real_machine(begin: Begin, row: int) -> None:
    machine = begin(ROW[row])
    result = machine.migrate()
    code, id = MIGRATED[row]
    assert (result.exit_code, [error["id"] for error in result.errors]) == (code, [id] if id else [])


@pytest.mark.parametrize("scenario", ["no-keystore", "noisy-az", "half-done"])
def test_P4_what_lies_in_the_project_is_this_users_alone(begin: Begin, scenario: str) -> None:
    machine = begin(scenario)
    files = {Profile.state_file, *machine.lab.machine.files}
    assert {path.name: path.stat().st_mode & 0o777 for path in machine.lab.project.iterdir()} == dict.fromkeys(
        files, 0o600
    )


# the directory and the sign-in


def test_row_1_the_agent_id_apis_refuse_the_persons_token_whatever_its_roles(begin: Begin) -> None:
    machine = begin(ROW[1])
    apps = len(list(machine.tenant.all_latest("application")))
    ctx = machine.build(who="alex")  # a global administrator
    ctx.facts.put(Target(machine.tenant.id))
    graph = ctx.user_graph()
    typed = {"@odata.type": "#microsoft.graph.agentIdentityBlueprint", "displayName": "x"}
    for act in (
        lambda: graph.get("/applications/microsoft.graph.agentIdentityBlueprint", "list Blueprints"),
        lambda: graph.get("/servicePrincipals/microsoft.graph.agentIdentity", "list Agent Identities"),
        lambda: graph.write("POST", "/users/microsoft.graph.agentUser", {}, "create an Agent User"),
        lambda: graph.write("POST", "/applications", typed, "create a Blueprint"),
    ):
        error = failure(act)
        assert isinstance(error, GraphError)
        assert (error.status, error.code) == (403, "Authorization_RequestDenied")
    assert graph.get("/me", "read who I am")["displayName"] == "Alex Admin"
    assert "Directory.AccessAsUser.All" in ctx.facts.get(SignedIn).token.scopes
    ctx.close()
    assert len(list(machine.tenant.all_latest("application"))) == apps


def test_row_1_the_apps_own_token_has_the_roles_and_is_not_refused_for_want_of_them(begin: Begin) -> None:
    machine = begin(ROW[1])
    ctx = machine.build()
    ctx.facts.put(Target(machine.tenant.id, machine.app_id))
    ctx.facts.put(MachineKey(own(machine)))
    path = "/applications/microsoft.graph.agentIdentityBlueprint"
    assert ctx.app_graph().get(path, "list Blueprints")["value"] == []
    assert ctx.facts.get(Proof).token.roles == roles.BASE.keys() | roles.AGENT.keys()
    ctx.close()


def test_row_2_null_stands_where_the_secret_was_and_the_passwords_are_still_there(begin: Begin) -> None:
    machine = begin(ROW[2])
    assert json.loads(machine.state_file.read_text())[Profile.secret_member] is None
    assert len(machine.passwords) == 4
    assert machine.usable() == []


@pytest.mark.parametrize(("row", "newer"), [(7, True), (8, False)])
def test_row_7_and_8_the_certificate_is_gone_and_anothers_is_there(begin: Begin, row: int, newer: bool) -> None:
    machine = begin(ROW[row])
    key_pair = own(machine)
    assert refused(machine) == (700027,)
    assert machine.state[Profile.thumbprint_member] == key_pair.thumbprint
    (there,) = machine.keys.values()
    assert there != key_pair.der
    assert (certificates.public(there).not_before > key_pair.not_before) is newer


def test_row_10_graph_shows_the_certificate_and_the_sign_in_does_not_know_it_yet(begin: Begin) -> None:
    machine = begin(ROW[10])
    key_pair = own(machine)
    assert list(machine.keys.values()) == [key_pair.der]
    assert refused(machine) == (700027,)
    machine.clock.waited += LAG / 2
    assert refused(machine) == (700027,)
    machine.clock.waited += LAG / 2
    assert minted(machine).claims["appid"] == machine.app_id


def test_S3_the_sign_in_forgets_no_older_version_while_it_lags(begin: Begin) -> None:
    machine = begin("agent-forbidden")
    key_pair = own(machine)
    machine.tenant.lag["login"] = 60
    for name in ("a", "b"):
        machine.change("application", keyCredentials=[], notes=name)
    assert minted(machine, key_pair).claims["appid"] == machine.app_id
    machine.clock.waited += 60
    assert refused(machine) == (700027,)


def test_row_14_two_apps_have_the_name_a_third_begins_with_it_and_no_id_says_which(begin: Begin) -> None:
    machine = begin(ROW[14])
    names = [app["displayName"] for app in machine.tenant.all_latest("application")]
    assert names.count(Profile.app_display_name) == 2
    assert [name.startswith(Profile.app_display_name) for name in names] == [True] * 3
    assert Profile.client_id_member not in machine.state
    assert Profile.secret_member in machine.state


def test_row_15_the_certificate_works_and_a_password_is_left_although_the_run_said_success(begin: Begin) -> None:
    machine = begin(ROW[15])
    assert minted(machine).claims["appid"] == machine.app_id
    assert Profile.secret_member not in machine.state
    assert machine.state[Profile.thumbprint_member] == own(machine).thumbprint
    assert len(machine.passwords) == 1
    assert "Setup complete" in (machine.lab.project / "setup.log").read_text()
    result = machine.verify()
    assert (result.exit_code, result.errors[0]["checks"]) == (8, ["passwords"])


# the keystore


def test_row_3_the_secret_lies_beside_a_note_that_says_why(begin: Begin) -> None:
    machine = begin(ROW[3])
    assert "No keyring" in machine.state[failures.NOTE_MEMBER]
    assert machine.usable() == ["secret"]
    missing = [tool.name for tool in tools_of(machine.lab.machine) if not tool.ok]
    assert missing == [SECRETS, BUS]


@posix
@pytest.mark.parametrize("row", [3, 4, 5])
def test_K1_a_keystore_is_refused_in_a_demo_as_it_is_outside(begin: Begin, row: int) -> None:
    machine = begin(ROW[row])
    operations: list[Callable[[], object]] = [
        machine.keystore.backend,
        lambda: machine.keystore.read("a service", "somebody"),
        lambda: machine.keystore.write("a service", "somebody", Secret("a value", learn=False)),
        lambda: machine.keystore.delete("a service", "somebody"),
    ]
    said = outside(machine, ASK_KEYSTORE)
    for operation in operations:
        error = failure(operation)
        assert error.id == said["id"] == "keystore.insecure"
        assert {name: error.details[name] for name in ("backend", "why")} == {
            name: said[name] for name in ("backend", "why")
        }
    assert said["fix"].startswith("unset PYTHON_KEYRING_BACKEND")
    assert ("Last resort" in failure(machine.keystore.backend).remedy) is ("Last resort" in said["fix"]) is (row == 5)


@pytest.mark.skipif(sys.platform != "linux", reason="the fix is the system's own")
@pytest.mark.parametrize(
    ("row", "fix"),
    [(3, "There is no D-Bus session."), (4, "unset PYTHON_KEYRING_BACKEND"), (5, "Install and start a Secret Service")],
)
def test_K2_in_a_demo_the_fix_is_that_of_the_pretend_computer(begin: Begin, row: int, fix: str) -> None:
    assert failure(begin(ROW[row]).keystore.backend).remedy.startswith(fix)


@posix
def test_row_4_a_class_that_prints_itself_as_the_systems_own_is_a_plain_text_file(begin: Begin) -> None:
    machine = begin(ROW[4])
    source = """
import json, keyring
keyring.set_password("a service", "somebody", "a value")
kind = type(keyring.get_keyring())
value = keyring.get_password("a service", "somebody")
print(json.dumps({"name": f"{kind.__module__}.{kind.__qualname__}", "value": value}))
"""
    said = outside(machine, source)
    assert said == {"name": failure(machine.keystore.backend).details["backend"], "value": "a value"}
    (file,) = Path.home().rglob("keyring_pass.cfg")
    assert "somebody" in file.read_text()


@posix
def test_row_5_the_key_lies_in_the_file_of_keyrings_alt_in_this_home_and_in_the_one_outside(begin: Begin) -> None:
    machine = begin(ROW[5])
    data = Path(machine.lab.environment()["XDG_DATA_HOME"])
    (weak,) = weak_files.find(machine.service)
    assert weak.path.is_relative_to(Path.home())
    for path in (weak.path, data / "python_keyring" / "keyring_pass.cfg"):
        assert path.stat().st_mode & 0o777 == 0o600
        backend = PlaintextKeyring()
        backend.file_path = str(path)
        text = backend.get_password(machine.service, machine.tenant.id)
        assert minted(machine, certificates.parse(Secret(text), "weak")).claims["appid"] == machine.app_id
    assert weak.holds(machine.tenant.id)
    assert machine.keystore.accounts(machine.service) == []


def test_row_6_the_package_cannot_be_imported_and_neither_can_the_keystore_be_reached(begin: Begin) -> None:
    machine = begin(ROW[6])
    ctx = machine.build()
    broken = [(package.name, package.why) for package in ctx.packages() if not package.ok]
    ctx.close()
    ((name, why),) = broken
    assert name == "keyring"
    assert "ImportError" in why
    error = failure(machine.keystore.backend)
    assert (error.id, error.details) == (UNLOADABLE.id, UNLOADABLE.details)
    assert BROKEN in error.summary


def test_row_6_outside_it_is_so_too(begin: Begin) -> None:
    machine = begin(ROW[6])
    said = outside(machine, ASK_PACKAGES)
    assert [name for name, (ok, _) in said.items() if not ok] == ["keyring"]
    why = said["keyring"][1]
    assert str(machine.lab.folder / "modules" / "keyring") in why
    keystore = outside(machine, ASK_KEYSTORE)
    assert keystore == {"id": UNLOADABLE.id, **failure(machine.keystore.backend).details}


def test_row_13_a_key_bundle_does_not_fit_and_what_fits_is_kept(begin: Begin) -> None:
    machine = begin(ROW[13])
    assert machine.keystore.backend().limit == WINDOWS_LIMIT == 1280
    error = failure(lambda: probe(machine.keystore))
    assert (error.id, error.details) == ("keystore.too-large", {"limit": 1280, "size": BUNDLE_SIZE})
    machine.keystore.write("a service", "somebody", Secret("x" * 1280, learn=False))
    assert machine.keystore.read("a service", "somebody") == Secret("x" * 1280, learn=False)


def test_row_13_the_limit_is_that_of_credential_manager_and_of_no_other_keystore() -> None:
    from keyring.backends.SecretService import Keyring
    from keyring.backends.Windows import WinVaultKeyring

    assert Backend.own(WinVaultKeyring) == Backend("keyring.backends.Windows.WinVaultKeyring", limit=1280)
    assert Backend.own(Keyring) == Backend("keyring.backends.SecretService.Keyring")


def test_K6_a_keystore_that_stays_locked_refuses_every_operation() -> None:
    keystore = MemoryKeystore(fault="locked")
    for act in (keystore.backend, lambda: keystore.read("a", "b"), lambda: keystore.delete("a", "b")) * 2:
        assert failure(act).id == "keystore.locked"


# the Azure CLI


def test_row_11_az_is_not_believed_and_its_note_is_in_the_env_file(begin: Begin) -> None:
    machine = begin(ROW[11])
    ctx = machine.build()
    error = failure(lambda: ctx.sign_in.graph_token(machine.tenant.id))
    (az,) = (tool for tool in ctx.tools() if not tool.ok)
    ctx.close()
    assert (error.id, error.details["detail"]) == ("az.garbage", "not a JSON object")
    assert (az.name, az.required) == (AZ, True)
    assert "does not tell its version" in az.why
    lines = (machine.lab.project / ".env").read_text().splitlines()
    assert f"{Profile.client_id_member}={NOISE}" in lines
    assert machine.app_id in lines, "what was wanted is torn off"


@posix
def test_row_11_outside_the_real_az_answers_behind_its_warnings(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = begin(ROW[11])
    (real := tmp_path / "real").mkdir()
    (real / "az").write_text('#!/bin/sh\necho "{\\"asked\\": \\"$2\\"}"\n')
    (real / "az").chmod(0o755)
    folder = machine.lab.environment()["PATH"].partition(os.pathsep)[0]
    assert Path(folder).is_relative_to(machine.lab.folder)
    monkeypatch.setenv("PATH", os.pathsep.join((folder, str(real), os.defpath)))
    cloud = load_cloud(str(machine.lab.cloud_file))
    error = failure(lambda: AzureCli(cloud, (), Cancel()).graph_token(""))
    assert (error.id, error.details["detail"]) == ("az.garbage", "not a JSON object")
    said = subprocess.run(["az", "account", "get-access-token"], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [NOISE, '{"asked": "get-access-token"}']


def test_U3_an_az_that_is_missing_is_missing_to_everything(begin: Begin) -> None:
    machine = begin("clean")
    sign_in = SandboxSignIn(machine.tenant, machine.cloud, fault="missing")
    for act in (
        lambda: sign_in.graph_token(""),
        lambda: sign_in.login("", device_code=False, tell=lambda prompt: None, cancel=Cancel()),
        sign_in.logout,
    ):
        assert failure(act).id == "az.missing"
    (az,) = (tool for tool in tools_of(Computer(az="missing")) if not tool.ok)
    assert (az.name, az.why) == (AZ, "it is not on the PATH")


# the demo


def test_U8_a_demo_has_the_key_and_the_weak_file_and_nothing_of_them_stays(home: Path) -> None:
    demo = Demo({}, ROW[8])
    try:
        for scenario, held in ((ROW[8], True), (ROW[5], False), (ROW[15], True)):
            demo.move(scenario)
            ctx = demo.context(Cancel(), lambda event: None, lambda question: True)
            weak = weak_files.find(ctx.service)
            ctx.close()
            assert bool(weak) is not held
            if held:
                assert ctx.keystore.read(ctx.service, demo.lab.tenant.id)
    finally:
        demo.close()
    assert list(home.iterdir()) == []


def test_U8_a_computer_with_nothing_wrong_changes_no_environment(start_lab: Callable[[str], Lab]) -> None:
    lab = start_lab("legacy")
    assert lab.variables == {} == lab.info()["variables"]
    assert not {"PATH", "PYTHONPATH", "PYTHON_KEYRING_BACKEND", "XDG_DATA_HOME"} & lab.environment().keys()
    assert all(tool.ok for tool in tools_of(lab.machine))
    assert {path.name for path in lab.folder.iterdir()} == {"ca.pem", "cloud.toml", "project"}
