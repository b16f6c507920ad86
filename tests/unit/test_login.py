"""`az login` and `az logout` behind a stand-in for az: prompts, refusals, and what becomes of the code (U3, D4)."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from core.clock import Cancel
from core.config.cloud import BUILT_IN
from core.errors import Interrupted, SetupError
from core.machine.azure_cli import AzureCli
from core.machine.azure_login import Prompt
from tests.unit.test_process import gone, script

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts")
TENANT = "8c1f5b0e-3f3c-4d4c-9a47-0b8f3f6d2a11"
CODE = "C7PX9DKQM"
PAGE = "https://microsoft.com/devicelogin"
SAYS = f"To sign in, use a web browser to open the page {PAGE} and enter the code {CODE} to authenticate."
SHOWN = Prompt(CODE, PAGE, SAYS)
Install = Callable[[str], AzureCli]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a stand-in for az on the PATH; it notes its arguments and variables, and does what it is given."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def make(body: str) -> AzureCli:
        note = f'echo "$@" > {tmp_path}/argv; echo "$AZURE_CORE_LOGIN_EXPERIENCE_V2 $PYTHONSAFEPATH" > {tmp_path}/env'
        script(tmp_path / "bin" / "az", f"{note}\n{body}")
        return AzureCli(BUILT_IN["public"], [tmp_path / "project"], Cancel())

    return make


def login(az: AzureCli, tenant: str = "", *, device_code: bool = True) -> list[Prompt]:
    """Sign in; what was shown."""
    shown: list[Prompt] = []
    az.login(tenant, device_code=device_code, tell=shown.append, cancel=Cancel())
    return shown


@pytest.mark.parametrize("line", [SAYS, f"\x1b[33m{SAYS}\x1b[0m", f"WARNING: {SAYS}", f"{SAYS}\r"])
def test_U3_the_device_prompt_is_shown(install: Install, tmp_path: Path, line: str) -> None:
    az = install(f"echo noise >&2; printf '%s\\n' '{line}' >&2; echo '[]'")
    assert login(az, TENANT) == [SHOWN]
    argv = (tmp_path / "argv").read_text()
    assert argv == f"login --use-device-code --output none --allow-no-subscriptions --tenant {TENANT}\n"
    assert (tmp_path / "env").read_text() == "off 1\n"


def test_U3_a_prompt_in_another_language_is_shown_as_it_is(install: Install) -> None:
    text = f"Öffnen Sie {PAGE}. Geben Sie den Code {CODE} ein."
    assert login(install(f"echo '{text}' >&2")) == [Prompt("", PAGE, text)]


def test_U3_the_browser_prompt_is_shown(install: Install, tmp_path: Path) -> None:
    text = (
        "A web browser has been opened at https://login.microsoftonline.com/x/oauth2/v2.0/authorize. Please continue."
    )
    shown = login(install(f"echo 'WARNING: {text}' >&2"), device_code=False)
    assert shown == [Prompt("", "https://login.microsoftonline.com/x/oauth2/v2.0/authorize", text)]
    assert (tmp_path / "argv").read_text() == "login --output none --allow-no-subscriptions\n"


def test_U3_az_falls_back_to_a_device_code_where_it_finds_no_browser(install: Install) -> None:
    assert login(install(f"echo '{SAYS}' >&2"), device_code=False) == [SHOWN]


@pytest.mark.parametrize(
    ("said", "id", "exit_code"),
    [
        ("ERROR: AADSTS50076: must use multi-factor", "az.expired", 4),
        ("ERROR: AADSTS53003: Access has been blocked by Conditional Access policies.", "az.refused", 5),
        (f"ERROR: AADSTS70019: the code {CODE} expired", "az.expired", 4),
        ("ERROR: HTTPSConnectionPool: Max retries exceeded", "network.unreachable", 7),
        (f"ERROR: unrecognized arguments {CODE}", "az.failed", 3),
        (f"Traceback: {CODE}", "az.failed", 3),
        ("", "az.failed", 3),
    ],
)
@pytest.mark.parametrize("device_code", [True, False])
def test_D4_a_refusal_is_named_and_does_not_quote_the_code(
    install: Install, said: str, id: str, exit_code: int, device_code: bool
) -> None:
    az = install(f"echo 'WARNING: noise' >&2; echo '{SAYS}' >&2; echo '{said}' >&2; exit 1")
    with pytest.raises(SetupError) as caught:
        login(az, TENANT, device_code=device_code)
    assert (caught.value.id, caught.value.exit_code) == (id, exit_code)
    everything = str(caught.value.as_dict()) + "".join(traceback.format_exception(caught.value))
    assert CODE not in everything
    assert "noise" not in everything
    if exit_code == 4:
        assert f"az login --tenant {TENANT}" in caught.value.remedy


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_U3_a_sign_in_that_is_cancelled_leaves_no_process(install: Install) -> None:
    az = install(f"sleep 600 & echo \"WARNING: $$ $!\" >&2; echo '{SAYS}' >&2; wait")
    pids: list[int] = []
    cancel = Cancel()

    def tell(prompt: Prompt) -> None:
        if prompt == SHOWN:
            cancel.ask(2)
        else:
            pids.extend(map(int, prompt.text.split()))

    with pytest.raises(Interrupted) as caught:
        az.login("", device_code=False, tell=tell, cancel=cancel)
    assert caught.value.exit_code == 130
    assert len(pids) == 2
    assert [pid for pid in pids if not gone(pid)] == []


def test_az_that_prints_without_end(install: Install) -> None:
    with pytest.raises(SetupError) as caught:
        login(install("exec yes >&2"))
    assert caught.value.id == "az.floods"


def test_az_that_is_missing_or_cannot_be_started_or_lies_in_the_project(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    az = install("")
    for act in (lambda: login(az), az.logout):
        (tmp_path / "bin" / "az").write_text("#!/no/such/interpreter\n")
        with pytest.raises(SetupError) as caught:
            act()
        assert caught.value.id == "az.failed"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", str(tmp_path))
            with pytest.raises(SetupError) as caught:
                act()
        assert caught.value.id == "az.missing"
    with pytest.raises(SetupError) as caught:
        AzureCli(BUILT_IN["public"], [tmp_path / "bin"], Cancel()).logout()
    assert caught.value.id == "program.untrusted"


def test_U3_signing_out(install: Install, tmp_path: Path) -> None:
    install("").logout()
    assert (tmp_path / "argv").read_text().startswith("logout ")
    install("echo 'ERROR: There are no active accounts.' >&2; exit 1").logout()
    with pytest.raises(SetupError) as caught:
        install("echo 'ERROR: disk' >&2; exit 1").logout()
    assert (caught.value.id, caught.value.exit_code) == ("az.failed", 3)
