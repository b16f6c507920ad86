"""What went wrong in the original and in tools like it: every row that touches the Provisioner has its test.

`row N` is a row of the list of failures that really happened, `G N` one of the weaknesses of the original
(entra-protocol G). A row that other tests cover names them in `COVERED`; what does not exist in this version says so in
`NOT_BUILT`; every other row has a test here that carries its number. A test below keeps the three tables complete, and
the names in them real.
"""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import keyring.core
import pytest

from core.checks.verify import verify
from core.entra import certificates
from core.errors import InsecureKeyringBackendError, KeystoreError
from core.events import Finding
from core.flow.engine import Result
from core.flow.engine import run as run_flow
from core.flows import migrate, onboard
from core.flows.access_token import token
from core.machine import process
from core.machine.keystore.system import SystemKeystore
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.faults import Fault, Kind
from core.sandbox.lab import Lab
from core.sandbox.scenarios.catalogue import UNGRANTED
from core.secret import Secret
from tests.flows.test_bad_input import refused
from tests.machine import PROFILE, Machine, VirtualClock

ROOT: Final = Path(__file__).parents[2]
MIGRATE, ONBOARD, BAD = "tests/flows/test_migrate.py", "tests/flows/test_onboard.py", "tests/flows/test_bad_input.py"
MATRIX, REAL, KEYRING = "tests/faults/test_matrix.py", "tests/real/test_migration.py", "tests/real/test_keyring.py"
UNIT = "tests/unit/test_"

COVERED: Final = {
    "row 2": [f"{MIGRATE}::test_P9_a_second_run_changes_nothing_and_says_so"],
    "row 3": [
        "tests/cli/test_bad_input.py::test_keystore_refused",
        f"{KEYRING}::test_K6_no_bus_is_refused_with_the_fix_for_this_system",
    ],
    "row 4": [f"{KEYRING}::test_K1_matrix", f"{KEYRING}::test_K1_session_collection_is_refused"],
    "row 6": [
        "tests/cli/test_command_line.py::test_core_alone_imports_no_user_interface",
        f"{REAL}::test_the_main_job",
    ],
    "row 7": [
        f"{MIGRATE}::test_P8_a_writer_that_replaces_the_list_is_noticed_and_repaired",
        f"{MIGRATE}::test_P8_a_list_of_keys_is_read_again_before_it_is_sent_again",
    ],
    "row 8": [f"{MIGRATE}::test_P8_a_key_that_somebody_removed_is_replaced_and_that_is_said"],
    "row 10": [
        "tests/faults/test_lag.py::test_P7_a_migration_reaches_its_end_at_the_first_try",
        f"{UNIT}wait.py::test_P7_pauses_grow_and_then_stay",
    ],
    "row 11": [
        f"{UNIT}az.py::test_U3_who_is_signed_in",
        f"{BAD}::test_az_that_is_a_shim",
        f"{REAL}::test_the_main_job",
    ],
    "row 12": [
        f"{BAD}::test_user_without_rights",
        f"{ONBOARD}::test_P12_who_may_create_but_not_grant_keeps_the_key_and_gets_a_request",
    ],
    "row 14": [
        f"{BAD}::test_two_apps_of_one_name",
        f"{ONBOARD}::test_P1_an_app_whose_name_merely_starts_with_ours_is_another",
    ],
    "row 15": [
        f"{MIGRATE}::test_M5_a_half_way_stop_says_what_is_left",
        f"{MIGRATE}::test_M5_a_later_deletion_that_is_refused_is_only_forward",
    ],
    "G 1": [
        f"{MIGRATE}::test_M4_the_steps_come_in_the_order_that_never_leaves_a_machine_without_credential",
        f"{MATRIX}::test_M8_a_crash_after_any_line_of_the_journal_converges_on_the_next_run",
    ],
    "G 2": [f"{BAD}::test_policy_that_forbids"],
    "G 3": [f"{MIGRATE}::test_M5_a_half_way_stop_says_what_is_left"],
    "G 4": [
        f"{MIGRATE}::test_M4_two_clean_reads_are_at_least_five_seconds_apart",
        f"{MIGRATE}::test_M6_a_password_that_appears_while_we_work_is_deleted_too",
    ],
    "G 5": [f"{MIGRATE}::test_M1_to_M7_a_legacy_machine_is_migrated"],
    "G 6": [f"{MIGRATE}::test_M5_a_run_that_cannot_prove_its_certificate_leaves_everything_as_it_was"],
    "G 13": [f"{MIGRATE}::test_P8_a_writer_that_replaces_the_list_is_noticed_and_repaired"],
    "G 16": ["tests/faults/test_lag.py::test_P7_a_migration_reaches_its_end_at_the_first_try"],
    "G 17": [f"{MATRIX}::test_M5_the_service_fails_for_good_from_every_request_on"],
    "G 18": [
        f"{UNIT}wait.py::test_P7_every_pause_is_announced_before_it",
        f"{MIGRATE}::test_P7_replication_lag_is_waited_for",
    ],
    "G 19": [
        f"{UNIT}graph.py::test_P11_a_read_is_repeated_after_a_transient_failure",
        f"{UNIT}graph.py::test_all_pages_are_read",
    ],
    "G 20": [
        f"{UNIT}graph.py::test_M8_a_write_that_was_cut_after_its_effect_is_not_repeated",
        f"{MATRIX}::test_M5_M8_one_fault_at_every_request",
    ],
    "G 21": [
        f"{BAD}::test_az_that_hangs",
        f"{UNIT}http.py::test_M8_an_answer_that_does_not_come_may_have_been_carried_out",
    ],
    "G 26": [f"{ONBOARD}::test_P6_a_failed_read_of_the_grants_is_never_none_granted"],
    "G 27": [f"{MATRIX}::test_M5_M8_one_fault_at_every_request"],
    "G 28": [f"{ONBOARD}::test_P6_an_agent_permission_that_nobody_knows_is_shown_and_asked_for"],
    "G 33": [
        f"{BAD}::test_clock_within_the_tolerance",
        f"{BAD}::test_clock_minutes_off",
        f"{UNIT}certificates.py::test_P3_what_is_made",
    ],
    "G 34": [f"{UNIT}az.py::test_U3_who_is_signed_in", f"{BAD}::test_az_that_is_a_shim"],
    "G 35": [
        f"{UNIT}process.py::test_P4_what_looks_like_a_secret_in_argv_is_an_error_with_a_remedy",
        f"{REAL}::test_D4_the_old_secret_and_the_key_are_in_no_output_and_no_file",
    ],
    "G 37": [f"{KEYRING}::test_K1_matrix"],
    "G 40": ["tests/faults/test_lag.py::test_P7_a_migration_reaches_its_end_at_the_first_try"],
    "G 42": [f"{ONBOARD}::test_P6_drift_is_repaired_after_a_yes_that_names_the_app"],
}
NOT_BUILT: Final = {
    "row 1": "the agent chain",
    "G 10": "keys on Windows",
    "G 15": "rotate",
    "G 23": "the .env file",
    "G 24": "MCP configuration",
    "G 25": "consent of the agent chain",
    "G 29": "the agent chain",
    "G 30": "the agent chain",
    "G 31": "the agent chain",
    "G 32": "licences of Agent Users",
    "G 36": "teardown",
    "G 38": "hardware keys",
    "G 39": "doctor",
    "G 41": "keys on Windows",
    "G 43": "licences of Agent Users",
    "G 44": "cloud memory",
    "G 45": "cloud memory",
}


def functions_of(file: str) -> set[str]:
    """Names of the test functions in a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_row_has_its_test_and_every_test_that_is_named_exists() -> None:
    rows = {f"row {n}" for n in range(1, 16)} | {f"G {n}" for n in range(1, 46)}
    mine = "\n".join(functions_of("tests/flows/test_real_failures.py"))
    here = {f"row {n}" for n in re.findall(r"test_row_(\d+)_", mine)} | {
        f"G {n}" for n in re.findall(r"test_G(\d+)_", mine)
    }
    assert here | COVERED.keys() | NOT_BUILT.keys() == rows
    assert not here & (COVERED.keys() | NOT_BUILT.keys())
    for row, names in COVERED.items():
        for name in names:
            file, _, test = name.partition("::")
            assert test in functions_of(file), f"{row}: there is no {name}"


# --- failures that really happened


def refused_backend(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    machine.keystore = SystemKeystore()  # type: ignore[assignment]


@pytest.mark.parametrize("command", ["migrate", "onboard", "verify", "token"])
def test_row_5_the_refusal_of_a_keystore_surfaces_in_every_command(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    refused_backend(machine, monkeypatch)
    before = machine.state_file.read_bytes()
    if command == "token":
        ctx = machine.build()
        with pytest.raises(InsecureKeyringBackendError):
            token(ctx)
        ctx.close()
    elif command == "verify":
        assert machine.verify().exit_code == 8
        key = next(event for event in machine.events if getattr(event, "step", "") == "key")
        assert "[keystore.insecure]" in str(getattr(key, "detail", ""))
    else:
        result = machine.run(migrate.FLOW if command == "migrate" else onboard.FLOW)
        assert (result.exit_code, result.errors[0]["id"]) == (3, "keystore.insecure")
    assert machine.state_file.read_bytes() == before
    assert not [line for line in machine.tenant.faults.log if "PATCH" in line]


def test_row_9_missing_grants_are_found_over_all_pages(start_lab: Callable[[str], Lab], clock: VirtualClock) -> None:
    machine = Machine(start_lab("drift"), clock)
    machine.migrate(dry_run=True)
    (drift,) = (e for e in machine.events if isinstance(e, Finding) and e.id == "permissions.drift")
    assert set(re.findall(r"[A-Z]\w+(?:\.\w+)+", drift.message)) == set(UNGRANTED)
    assert "--repair-permissions" in drift.remedy


@pytest.mark.parametrize("match", ["^GET .*/appRoleAssignments", r"^POST /v1.0/\$batch"])
def test_row_9_a_failed_read_is_never_none_granted(machine: Machine, match: str) -> None:
    machine.tenant.faults.add(Fault("status", match, 0, 500))
    refused(machine, "graph.refused", 7, "500")


def test_row_13_windows_without_a_place_for_the_key_stops_before_any_change(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.steps.prerequisites.sys", SimpleNamespace(platform="win32", version_info=(3, 12)))
    refused(machine, "platform.no-keystore-key", 3, "Credential Manager", "Nothing was changed")


def test_row_13_a_value_over_the_limit_of_credential_manager_is_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.machine.keystore.system.sys", SimpleNamespace(platform="win32"))
    with pytest.raises(KeystoreError) as caught:
        SystemKeystore().write("service", "account", Secret("x" * 1281, learn=False))
    assert (caught.value.id, caught.value.exit_code) == ("keystore.too-large", 3)
    assert "1280" in caught.value.summary


def test_row_13_az_is_found_under_the_name_that_the_path_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.machine.process.shutil.which", lambda name: str(tmp_path / f"{name}.cmd"))
    assert process.find("az", []) == tmp_path / "az.cmd"


# --- weaknesses of the original


def former(machine: Machine, days: int) -> Secret:
    """Put a key of an earlier time into the keystore, made so many days ago; its bundle."""
    then = machine.clock.now() - timedelta(days=days)
    made = certificates.make(PROFILE.subject, then, app_id=machine.app_id)
    machine.keystore.write(machine.service, machine.tenant.id, made.pem)
    return made.pem


def another(machine: Machine) -> str:
    """The bundle of some other key."""
    return certificates.make("other", machine.clock.now()).pem.reveal()


@pytest.mark.parametrize("kind", ["expired", "not on the app", "no bundle", "of another certificate"])
def test_G7_an_existing_bundle_is_checked_before_it_is_used(machine: Machine, kind: str) -> None:
    key_pair = former(machine, 400 if kind == "expired" else 10)
    if kind == "no bundle":
        machine.keystore.write(machine.service, machine.tenant.id, Secret("not a bundle at all", learn=False))
    elif kind == "of another certificate":
        certificate = re.search(r"-----BEGIN CERT.*?-----END CERT\S* ?\S*-----\n", key_pair.reveal(), re.DOTALL)
        key = re.search(r"-----BEGIN (?:RSA )?PRIV.*?-----END .*?-----\n", another(machine), re.DOTALL)
        assert certificate
        assert key
        machine.keystore.write(machine.service, machine.tenant.id, Secret(key[0] + certificate[0], learn=False))
        refused(machine, "keystore.unproven", 4)  # whosever the private key is
        return
    result = machine.migrate()
    assert (result.outcome, result.exit_code) == ("changed", 0), result.errors
    said = {"expired": "certificate.expired", "not on the app": "certificate.gone"}.get(kind, "keystore.bundle")
    assert said in machine.findings()
    assert machine.verify().exit_code == 0


@pytest.mark.parametrize("name", ["{} (old)", "{}2", "My {}"])
def test_G8_an_app_whose_name_merely_holds_ours_is_not_taken(machine: Machine, name: str) -> None:
    machine.change("application", displayName=name.format(PROFILE.app_display_name))
    machine.state_file.write_text(f'{{"CLOUD": "sandbox", "{PROFILE.tenant_member}": "{machine.tenant.id}"}}')
    refused(machine, "app.not-found", 3, PROFILE.app_display_name, "--app-id")


@pytest.mark.parametrize(
    ("kind", "status", "id", "code"),
    [
        ("status", 500, "graph.refused", 7),
        ("status", 503, "graph.refused", 7),
        ("status", 429, "graph.refused", 7),
        ("status", 403, "graph.forbidden", 5),
        ("cut-before", 0, "network.unreachable", 7),
    ],
)
def test_G9_only_a_definite_404_means_that_the_app_is_gone(
    machine: Machine, kind: Kind, status: int, id: str, code: int
) -> None:
    assert machine.migrate().exit_code == 0
    machine.tenant.faults.add(Fault(kind, r"^(GET /applications\(|POST /v1.0/\$batch)", 0, status))
    machine.tenant.faults.add(Fault(kind, "^GET /v1.0/applications", 0, status))
    error = refused(machine, id, code)
    assert "no app registration" not in error["message"]
    machine.tenant.faults.script.clear()
    assert machine.usable() == [machine.tenant.id], "no key is deleted on a guess"
    assert machine.migrate().outcome == "unchanged"


def test_G9_nor_does_a_sign_in_that_fails(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0

    class Nobody(SandboxSignIn):
        def graph_token(self, tenant: str) -> Any:
            raise KeystoreError("az.signed-out", tenant_option="")

    def run(**options: Any) -> Result:
        ctx = machine.build(**options)
        ctx.sign_in = Nobody(machine.tenant, ctx.cloud)
        try:
            return run_flow(migrate.FLOW, ctx, ctx.run_id)
        finally:
            ctx.close()

    refused(machine, "az.signed-out", 4, "az login", run=run)
    assert machine.usable() == [machine.tenant.id]


def test_G11_verify_opens_no_weak_keystore_either(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    refused_backend(machine, monkeypatch)
    ctx = machine.build()
    assert verify(ctx).exit_code == 8
    ctx.close()
    with pytest.raises(InsecureKeyringBackendError):
        SystemKeystore().read(machine.service, machine.tenant.id)
    with pytest.raises(InsecureKeyringBackendError):
        SystemKeystore().delete(machine.service, machine.tenant.id)


def test_G12_no_temporary_file_is_left_and_none_is_made_outside_the_folders_that_are_written(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, made = tmp_path / "temporary", []
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    mkstemp = tempfile.mkstemp

    def note(*arguments: Any, **where: Any) -> tuple[int, str]:
        made.append(Path(str(where["dir"])))
        return mkstemp(*arguments, **where)

    monkeypatch.setattr(tempfile, "mkstemp", note)
    assert machine.migrate().exit_code == 0
    assert not list(folder.iterdir())
    assert machine.lab.project in made
    assert [path.name for path in machine.lab.project.iterdir()] == [PROFILE.state_file]


@pytest.mark.parametrize(("status", "code"), [(400, 7), (403, 5), (503, 7)])
def test_G14_the_former_key_stays_until_the_new_one_is_proven(machine: Machine, status: int, code: int) -> None:
    key_pair = former(machine, 10)
    machine.tenant.faults.add(Fault("status", "^PATCH", 0, status))
    result = machine.migrate()
    assert result.exit_code == code
    assert machine.keystore.read(machine.service, machine.tenant.id) == key_pair


def test_G22_two_runs_at_once_do_not_mix(machine: Machine) -> None:
    other: list[Result] = []

    def meanwhile(event: object) -> None:
        if getattr(event, "step", "") == "register" and not other:
            other.append(Result())
            second = Machine(machine.lab, machine.clock, machine.keystore)
            other.append(second.migrate())

    machine.watch = meanwhile
    assert machine.migrate().exit_code == 0
    assert (other[1].exit_code, other[1].errors[0]["id"]) == (3, "lock.held")
    assert "released when that process ends" in other[1].errors[0]["remedy"]
    assert len(machine.keys) == 2


def test_G22_broken_json_is_never_taken_for_nothing(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    machine.state_file.write_text(machine.state_file.read_text()[:-4])
    for flow in (migrate.FLOW, onboard.FLOW):
        refused(machine, "statefile.broken", 3, "left exactly as it is", run=machine.run, flow=flow)
    assert machine.keystore.accounts(machine.service) == [machine.tenant.id]
