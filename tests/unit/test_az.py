"""The Azure CLI behind a stand-in: what it says, what it fails with, and what it is not believed (U3, C2)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.clock import Cancel
from core.config.cloud import BUILT_IN, Cloud
from core.errors import SetupError
from core.machine.azure_cli import Account, AzureCli

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts")
TENANT = "8c1f5b0e-3f3c-4d4c-9a47-0b8f3f6d2a11"
PUBLIC = BUILT_IN["public"]
CUSTOM = Cloud("lab", "https://login.lab", "https://graph.lab:8443", "https://arm.lab")
Install = Callable[..., AzureCli]


def token(**claims: object) -> str:
    def part(data: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part({'aud': PUBLIC.graph, 'tid': TENANT, **claims})}.c2lnbmF0dXJl"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a stand-in for az on the PATH; it notes its arguments and variables."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(stdout: object, stderr: str = "", code: int = 0, body: str = "", cloud: Cloud = PUBLIC) -> AzureCli:
        text = stdout if isinstance(stdout, str) else json.dumps(stdout)
        (folder / "out").write_text(text)
        (folder / "err").write_text(stderr)
        program = folder / "az"
        program.write_text(
            f'#!/bin/sh\necho "$@" > {folder}/argv; echo "$PYTHONSAFEPATH" > {folder}/env\n{body}\n'
            f"cat {folder}/out; cat {folder}/err >&2; exit {code}\n"
        )
        program.chmod(0o755)
        return AzureCli(cloud, [tmp_path / "project"], Cancel(), seconds=30 if not body else 0.5)

    return make


def failure(act: Callable[[], Any]) -> SetupError:
    with pytest.raises(SetupError) as caught:
        act()
    assert caught.value.summary
    assert caught.value.remedy
    return caught.value


def test_U3_who_is_signed_in(install: Install, tmp_path: Path) -> None:
    value = token(upn="dana@contoso", scp="A", oid="1")
    az = install({"accessToken": value}, stderr="WARNING: You have 3 update(s) available.\n{not json}")
    assert Account.of(az.graph_token("")) == Account(TENANT, "dana@contoso", "user")
    argv = (tmp_path / "bin" / "argv").read_text()
    assert argv == f"account get-access-token --resource {PUBLIC.graph} --output json --only-show-errors\n"
    assert (tmp_path / "bin" / "env").read_text().strip() == "1"


@pytest.mark.parametrize(
    "claims",
    [{"idtyp": "app", "appid": "a1", "roles": ["R"], "oid": "2"}, {"azp": "a1", "oid": "2"}],
)
def test_M16_az_signed_in_as_a_service_principal_is_told_apart(install: Install, claims: dict[str, object]) -> None:
    az = install({"accessToken": token(**claims)})
    assert Account.of(az.graph_token(TENANT)) == Account(TENANT, "a1", "service principal")


def test_az_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = failure(lambda: AzureCli(PUBLIC, [], Cancel()).graph_token(TENANT))
    assert (error.id, error.exit_code) == ("az.missing", 3)


def test_C4_az_inside_the_project_is_refused(install: Install, tmp_path: Path) -> None:
    install({"accessToken": token()})
    assert failure(lambda: AzureCli(PUBLIC, [tmp_path / "bin"], Cancel()).graph_token(TENANT)).id == "program.untrusted"


@pytest.mark.parametrize(
    ("stderr", "id", "exit_code"),
    [
        ("ERROR: Please run 'az login' to setup account.", "az.signed-out", 4),
        ("ERROR: No subscription found. Run 'az account set' to select a subscription.", "az.signed-out", 4),
        ("ERROR: User 'x' does not exist in MSAL token cache. Run `az login`.", "az.signed-out", 4),
        ("ERROR: AADSTS50173: The provided grant has expired.\nRun: az logout", "az.expired", 4),
        ("ERROR: AADSTS700082: The refresh token has expired due to inactivity.", "az.expired", 4),
        ("ERROR: AADSTS50076: Due to a configuration change … you must use multi-factor", "az.expired", 4),
        ("ERROR: AADSTS90002: Tenant 'x' not found.\nRun: az logout", "az.refused", 2),
        ("ERROR: AADSTS53003: Access has been blocked by Conditional Access policies.", "az.refused", 5),
        ("ERROR: AADSTS90033: A transient error has occurred.", "az.refused", 7),
        ("ERROR: AADSTS99999: Something new.", "az.refused", 4),
        ("ERROR: Interactive authentication is needed. Please run: az login", "az.expired", 4),
        ("ERROR: HTTPSConnectionPool: Max retries exceeded", "network.unreachable", 7),
        ("ERROR: something else", "az.failed", 3),
        ("", "az.failed", 3),
    ],
)
def test_P11_a_refusal_is_named_by_what_az_says(install: Install, stderr: str, id: str, exit_code: int) -> None:
    az = install("", stderr, code=1)
    error = failure(lambda: az.graph_token(TENANT))
    assert (error.id, error.exit_code) == (id, exit_code)
    if exit_code == 4:
        assert f"az login --tenant {TENANT}" in error.remedy
    if "AADSTS" in stderr:
        assert stderr[7:20] in error.summary


def test_P11_the_ids_that_az_passes_on_are_kept(install: Install) -> None:
    trace, correlation = "0a1b2c3d-0000-1111-2222-333344445555", "9f8e7d6c-0000-1111-2222-333344445555"
    stderr = (
        f"ERROR: AADSTS70043: Old. Trace ID: {trace} Correlation ID: {correlation} Timestamp: 2026-02-03 04:05:06Z\n"
        "Run the command below to authenticate interactively:\naz logout\n" + "az login\n" * 200
    )
    error = failure(lambda: install("", stderr, code=1).graph_token(TENANT))
    found = error.as_dict()
    assert (found["codes"], found["trace_id"], found["correlation_id"]) == ([70043], trace, correlation)
    assert found["timestamp"] == "2026-02-03 04:05:06Z"
    assert trace in error.summary


def test_P11_the_claims_that_az_was_asked_for_are_in_the_command(install: Install) -> None:
    said = 'az logout\naz login --tenant "x" --scope "https://graph//.default" --claims-challenge "eyJhIjoxfQ=="'
    stderr = f"ERROR: AADSTS50076: You must use multi-factor.\nRun the command below to authenticate:\n{said}\n"
    error = failure(lambda: install("", stderr, code=1).graph_token(TENANT))
    assert f'az logout, then az login --tenant {TENANT} --claims-challenge "eyJhIjoxfQ=="' in error.remedy


@pytest.mark.parametrize("variable", ["", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_P11_a_certificate_that_az_does_not_trust_is_no_lost_network(
    install: Install, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "/etc/roots.pem")
    stderr = "ERROR: Max retries exceeded: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate in chain"
    error = failure(lambda: install("", stderr, code=1).graph_token(TENANT))
    assert error.id == "network.untrusted"
    assert "self-signed certificate in chain" in error.summary
    assert (f"/etc/roots.pem, which {variable} names" if variable else "REQUESTS_CA_BUNDLE") in error.remedy


def test_P4_what_az_says_is_redacted(install: Install) -> None:
    secret = "abc8Q~" + "x" * 34
    for refusal in ("refused", "AADSTS99999:"):
        az = install("", f"ERROR: {refusal} {secret} and {token()}", code=1)
        error = failure(partial(az.graph_token, TENANT))
        assert secret not in str(error)
        assert token() not in str(error)


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "not json",
        "[]",
        [{"accessToken": token()}],
        "null",
        "{",
        {},
        {"tenant": TENANT},
        {"accessToken": 7},
    ],
)
def test_output_that_is_not_what_az_documents(install: Install, stdout: object) -> None:
    az = install(stdout)
    error = failure(lambda: az.graph_token(TENANT))
    assert (error.id, error.exit_code) == ("az.garbage", 3)
    assert "az account get-access-token" in error.summary


def test_az_that_hangs(install: Install) -> None:
    az = install({"accessToken": token()}, body="sleep 600")
    assert failure(lambda: az.graph_token(TENANT)).id == "az.hangs"


def test_a_file_that_cannot_be_started(install: Install, tmp_path: Path) -> None:
    az = install({"accessToken": token()})
    (tmp_path / "bin" / "az").write_text("#!/no/such/interpreter\n")
    assert failure(lambda: az.graph_token(TENANT)).id == "az.failed"


@pytest.mark.parametrize(
    ("cloud", "resource"), [(PUBLIC, "https://graph.microsoft.com"), (CUSTOM, "https://graph.lab:8443/")]
)
def test_C2_the_token_is_asked_for_this_clouds_graph(
    install: Install, tmp_path: Path, cloud: Cloud, resource: str
) -> None:
    value = token(aud=resource, scp="A B")
    found = install({"accessToken": value}, cloud=cloud).graph_token(TENANT)
    assert found.value.reveal() == value
    assert found.scopes == {"A", "B"}
    assert value not in repr(found)
    argv = (tmp_path / "bin" / "argv").read_text()
    assert f"get-access-token --resource {resource} --tenant {TENANT}" in argv


@pytest.mark.parametrize(
    ("answer", "id", "exit_code"),
    [
        ({}, "az.garbage", 3),
        ({"accessToken": None}, "az.garbage", 3),
        ({"accessToken": "opaque"}, "az.garbage", 3),
        ({"accessToken": "a.b.c"}, "az.garbage", 3),
        ({"accessToken": "aaaa.bnVsbA.cccc"}, "az.garbage", 3),
        ({"accessToken": "aaaa.\u00e4.cccc"}, "az.garbage", 3),
        ({"accessToken": token(aud="https://management.azure.com")}, "az.wrong-audience", 4),
        ({"accessToken": token(aud=f"{PUBLIC.graph}.evil.example")}, "az.wrong-audience", 4),
        ({"accessToken": token(aud=None)}, "az.wrong-audience", 4),
        ({"accessToken": token(tid="11111111-1111-4111-8111-111111111111")}, "az.wrong-tenant", 4),
        ({"accessToken": token(tid=None)}, "az.wrong-tenant", 4),
    ],
)
def test_U3_a_token_for_something_else_is_refused(
    install: Install, answer: dict[str, object], id: str, exit_code: int
) -> None:
    az = install(answer)
    error = failure(lambda: az.graph_token(TENANT))
    assert (error.id, error.exit_code) == (id, exit_code)
    assert str(answer.get("accessToken", "?")) not in str(error.as_dict())


def test_C2_the_graph_app_id_is_no_audience_of_a_custom_cloud(install: Install) -> None:
    az = install({"accessToken": token(aud="00000003-0000-0000-c000-000000000000")}, cloud=CUSTOM)
    assert failure(lambda: az.graph_token(TENANT)).id == "az.wrong-audience"
