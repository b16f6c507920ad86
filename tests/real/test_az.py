"""The unmodified Azure CLI against the sandbox, as its own cloud and as the public one behind the proxy (S1, S4)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from core.entra import credentials
from core.entra.tokens import claims_of
from core.sandbox.directory import registrations, users
from core.sandbox.directory.store import GRAPH_APP_ID, State
from core.sandbox.fake_machine import azfolder
from core.sandbox.graph import grants, roles
from core.sandbox.graph.consents import KIND as CONSENT
from core.sandbox.lab import Lab
from tests.real.conftest import az_folder
from tests.sandbox.client import key_pair

pytestmark = pytest.mark.timeout(300)  # up to nine spawns, each of which takes seconds on a busy machine
ARM = "https://management.core.windows.net/"
USER_READ = roles.SCOPES["User.Read"]
READ_ALL = roles.OTHER["Application.Read.All"]


@dataclass
class Cli:
    """The real az in front of a sandbox, with a home and a configuration of its own.

    :param folder: for `AZURE_CONFIG_DIR`.
    """

    lab: Lab
    home: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """In the sandbox's own cloud a proxy that nobody answers catches what goes elsewhere."""
        bin_folder = az_folder()
        return {
            "HTTPS_PROXY": "http://127.0.0.1:1",
            **self.lab.environment(),
            "AZURE_CONFIG_DIR": str(self.folder),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONSAFEPATH": "1",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [str(az_folder() / "az"), *arguments]
        options: Any = {"env": self.environment, "cwd": self.home, "stdin": subprocess.DEVNULL}
        return subprocess.run(argv, **options, capture_output=True, text=True, timeout=60, check=False)

    def json(self, *arguments: str) -> Any:
        """What a command prints; None when that is nothing."""
        finished = self.run(*arguments, "-o", "json")
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout) if finished.stdout.strip() else None

    def fails(self, code: int, *arguments: str) -> str:
        """What a command that fails with this exit code says."""
        finished = self.run(*arguments)
        assert (finished.returncode, finished.stdout) == (code, ""), finished.stdout + finished.stderr
        assert "Traceback" not in finished.stderr
        return finished.stderr

    # the tenant behind it

    def app(self, name: str, *, principal: bool = False) -> State:
        """A new app registration of Alex, made behind Graph's back."""
        tenant = self.lab.tenant
        alex = users.find(tenant, "alex")["id"]
        app = registrations.new_application(tenant, name, alex)
        tenant.commit("application", app["id"], app)
        if principal:
            made = registrations.new_principal(tenant, app, alex)
            tenant.commit("servicePrincipal", made["id"], made)
        return app

    def now(self, app: State) -> State:
        """An app registration as it is now."""
        found = self.lab.tenant.latest("application", app["id"])
        assert found is not None
        return found

    def principal(self, app: State) -> State:
        """The service principal of an app."""
        found = self.lab.tenant.find("servicePrincipal", "appId", app["appId"])
        assert found is not None
        return found


@pytest.fixture(scope="module", params=[False, True], ids=["own-cloud", "public-cloud"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """One sandbox for all: every test makes the apps that it looks at. Alex is signed in."""
    az_folder()
    lab = Lab.start("legacy", user="alex", proxy=request.param)
    yield lab
    lab.close()


@pytest.fixture
def az(lab: Lab, home: Path, tmp_path: Path) -> Iterator[Cli]:
    """Signed in, on a copy of the folder."""
    folder = shutil.copytree(lab.az_config_dir, tmp_path / "azure")
    yield Cli(lab, home, folder)
    assert lab.server.proxy is None or lab.server.proxy.refused == [], "nothing else was asked for"


@pytest.fixture
def nobody(az: Cli, tmp_path: Path) -> Cli:
    """Signed out."""
    az.folder = tmp_path / "nobody"
    azfolder.settings(az.lab.tenant, az.folder, public=az.lab.proxy != "")
    shutil.copy(az.lab.az_config_dir / "versionCheck.json", az.folder)
    return az


def graph_of(lab: Lab) -> str:
    return "https://graph.microsoft.com" if lab.proxy else lab.tenant.graph


def authority_of(lab: Lab) -> str:
    return "https://login.microsoftonline.com" if lab.proxy else lab.tenant.authority


def pem_of(number: int, path: Path) -> str:
    """A file with a key and its certificate."""
    path.write_text(key_pair(number).pem.reveal())
    return str(path)


def public_of(number: int, path: Path) -> str:
    """A file with the certificate alone."""
    certificate = x509.load_der_x509_certificate(key_pair(number).der)
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return str(path)


def with_key(az: Cli, app: State, number: int) -> str:
    """Put a certificate on an app behind Graph's back; its keyId."""
    tenant = az.lab.tenant
    (key,) = registrations.keys_of(tenant, [credentials.entry_of(key_pair(number), tenant.new_id(), "behind its back")])
    tenant.commit("application", app["id"], az.now(app) | {"keyCredentials": [key]})
    return str(key["keyId"])


# signing in


@pytest.mark.parametrize("named", [True, False], ids=["tenant", "no-tenant"])
def test_S4_a_person_signs_in_by_code_and_out_again(nobody: Cli, named: bool) -> None:
    tenant = nobody.lab.tenant
    chosen = ["--tenant", tenant.id] if named else []
    (account,) = nobody.json("login", "--use-device-code", "--allow-no-subscriptions", *chosen)
    assert account["user"] == {"name": "alex@contoso.onmicrosoft.com", "type": "user"}
    assert (account["tenantId"], account["state"]) == (tenant.id, "Enabled")
    shown = nobody.json("account", "show")
    assert shown["user"] == account["user"]
    assert [entry["tenantId"] for entry in nobody.json("account", "list")] == [tenant.id]
    assert nobody.json("ad", "signed-in-user", "show")["displayName"] == "Alex Admin"
    assert nobody.run("logout").returncode == 0
    assert "az login" in nobody.fails(1, "account", "show")


def test_S4_tokens_are_for_the_resource_that_was_asked_for(az: Cli) -> None:
    alex = users.find(az.lab.tenant, "alex")
    for arguments, audience in (
        ([], ARM),
        (["--resource-type", "ms-graph"], f"{graph_of(az.lab)}/"),
        (["--resource", f"{graph_of(az.lab)}/", "--tenant", az.lab.tenant.id], f"{graph_of(az.lab)}/"),
        (["--resource-type", "arm"], ARM),
    ):
        found = az.json("account", "get-access-token", *arguments)
        claims = claims_of(found["accessToken"])
        assert (claims["aud"], claims["tid"], claims["oid"]) == (audience, az.lab.tenant.id, alex["id"])
        issuer = authority_of(az.lab) if not az.lab.proxy else "https://sts.windows.net"
        assert claims["iss"] == f"{issuer}/{az.lab.tenant.id}/"
        assert az.lab.tenant.issued[found["accessToken"]].kind == "access", "this tenant issued it"


def test_S4_an_app_signs_in_with_its_secret_and_with_no_other(nobody: Cli) -> None:
    tenant, app = nobody.lab.tenant, nobody.app("signs in with a secret", principal=True)
    entry, secret = registrations.new_password(tenant, "first")
    tenant.commit("application", app["id"], app | {"passwordCredentials": [entry]})
    start = ["login", "--service-principal", "--allow-no-subscriptions", "--tenant", tenant.id, "-u", app["appId"]]
    wrong = nobody.fails(1, *start, "-p", "not-it-8Q~0000000000000000000000000000000")
    assert "AADSTS7000215" in wrong
    (account,) = nobody.json(*start, "-p", secret.reveal())
    assert account["user"] == {"name": app["appId"], "type": "servicePrincipal"}
    token = nobody.json("account", "get-access-token", "--resource-type", "ms-graph")["accessToken"]
    assert claims_of(token)["appid"] == app["appId"]
    assert claims_of(token)["appidacr"] == "1"


def test_S4_an_app_signs_in_with_its_certificate_and_with_no_other(nobody: Cli, tmp_path: Path) -> None:
    tenant, app = nobody.lab.tenant, nobody.app("signs in with a certificate", principal=True)
    with_key(nobody, app, 0)
    start = ["login", "--service-principal", "--allow-no-subscriptions", "--tenant", tenant.id, "-u", app["appId"]]
    wrong = nobody.fails(1, *start, "--certificate", pem_of(1, tmp_path / "other.pem"))
    assert "AADSTS700027" in wrong
    (account,) = nobody.json(*start, "--certificate", pem_of(0, tmp_path / "own.pem"))
    assert account["user"] == {"name": app["appId"], "type": "servicePrincipal"}
    token = nobody.json("account", "get-access-token", "--resource-type", "ms-graph")["accessToken"]
    assert (claims_of(token)["appid"], claims_of(token)["appidacr"]) == (app["appId"], "2")


# app registrations


def test_S4_apps_are_created_found_changed_and_deleted(az: Cli) -> None:
    name = "from nothing to nothing"
    made = az.json("ad", "app", "create", "--display-name", name)
    assert az.now(made)["displayName"] == name
    assert az.now(made)["_owners"] == [users.find(az.lab.tenant, "alex")["id"]]
    again = az.json("ad", "app", "create", "--display-name", name, "--web-redirect-uris", "https://localhost/back")
    assert again["appId"] == made["appId"], "az changes the app of that name"
    assert az.now(made)["web"]["redirectUris"] == ["https://localhost/back"]

    shown = [az.json("ad", "app", "show", "--id", made[key]) for key in ("appId", "id")]
    assert shown[0]["id"] == shown[1]["id"] == made["id"]
    assert [app["id"] for app in az.json("ad", "app", "list", "--display-name", name)] == [made["id"]]

    az.json("ad", "app", "update", "--id", made["appId"], "--display-name", f"{name}, by way of another name")
    assert az.now(made)["displayName"] == f"{name}, by way of another name"
    az.json("ad", "app", "delete", "--id", made["appId"])
    assert az.lab.tenant.latest("application", made["id"]) is None
    assert az.lab.tenant.latest("deletedApplication", made["id"]) is not None
    assert "does not exist" in az.fails(3, "ad", "app", "show", "--id", made["appId"])


def test_S4_a_list_has_every_page(az: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(az.lab.tenant.switches, "page_size", 2)
    made = {az.app(f"one of many {number}")["id"] for number in range(5)}
    before = len(az.lab.tenant.faults.log)
    found = az.json("ad", "app", "list", "--display-name", "one of many")
    assert {app["id"] for app in found} == made
    assert len(found) == 5
    assert az.lab.tenant.faults.log[before:].count("GET /v1.0/applications") == 3


def test_S4_passwords_are_reset_appended_listed_and_deleted(az: Cli) -> None:
    app = az.app("with passwords")
    reset = ["ad", "app", "credential", "reset", "--id", app["appId"]]
    first = az.json(*reset, "--display-name", "first")
    assert (first["appId"], first["tenant"]) == (app["appId"], az.lab.tenant.id)
    (entry,) = az.now(app)["passwordCredentials"]
    assert entry["_digest"] == hashlib.sha256(first["password"].encode()).hexdigest()
    assert (entry["displayName"], entry["hint"]) == ("first", first["password"][:3])
    az.json(*reset, "--append", "--display-name", "second")
    listed = az.json("ad", "app", "credential", "list", "--id", app["appId"])
    assert [item["displayName"] for item in listed] == ["first", "second"]
    assert {item["secretText"] for item in listed} == {None}, "a secret is shown once"
    az.json("ad", "app", "credential", "delete", "--id", app["appId"], "--key-id", entry["keyId"])
    assert [item["displayName"] for item in az.now(app)["passwordCredentials"]] == ["second"]
    az.json(*reset, "--display-name", "third")
    assert [item["displayName"] for item in az.now(app)["passwordCredentials"]] == ["third"], "without --append"
    gone = az.fails(1, "ad", "app", "credential", "delete", "--id", app["appId"], "--key-id", entry["keyId"])
    assert "No password credential found" in gone


def test_S4_certificates_are_added_listed_and_deleted(az: Cli, tmp_path: Path) -> None:
    app = az.app("with certificates")
    credential = ["ad", "app", "credential"]
    which = ["--id", app["appId"]]
    kept = with_key(az, app, 0)
    az.json(*credential, "reset", *which, "--append", "--cert", f"@{public_of(1, tmp_path / 'own.pem')}")
    ders = [base64.b64decode(entry["key"]) for entry in az.now(app)["keyCredentials"]]
    assert ders == [key_pair(0).der, key_pair(1).der], "the other one is kept, byte for byte (P8)"
    listed = az.json(*credential, "list", *which, "--cert")
    assert [item["key"] for item in listed] == [None, None]
    assert listed[0]["keyId"] == kept
    az.json(*credential, "delete", *which, "--cert", "--key-id", listed[1]["keyId"])
    assert [entry["keyId"] for entry in az.now(app)["keyCredentials"]] == [kept]
    # without --cert az takes the id for a password's
    assert "No password credential found" in az.fails(1, *credential, "delete", *which, "--key-id", kept)
    assert [entry["keyId"] for entry in az.now(app)["keyCredentials"]] == [kept]
    az.json(*credential, "reset", *which, "--cert", f"@{tmp_path / 'own.pem'}")
    assert [base64.b64decode(entry["key"]) for entry in az.now(app)["keyCredentials"]] == [key_pair(1).der]


def test_S4_a_certificate_that_az_made_signs_in(az: Cli) -> None:
    app = az.app("with a certificate of az", principal=True)
    made = az.json("ad", "app", "credential", "reset", "--id", app["appId"], "--create-cert")
    file = Path(made["fileWithCertAndPrivateKey"])
    assert (made["password"], file.parent) == (None, az.home)
    (key,) = az.now(app)["keyCredentials"]
    (certificate,) = x509.load_pem_x509_certificates(file.read_bytes())
    assert base64.b64decode(key["key"]) == certificate.public_bytes(Encoding.DER)
    start = ["login", "--service-principal", "--allow-no-subscriptions", "--tenant", az.lab.tenant.id]
    (account,) = az.json(*start, "-u", app["appId"], "--certificate", str(file))[-1:]
    assert account["user"]["name"] == app["appId"]


def test_S4_owners_are_added_listed_and_removed(az: Cli) -> None:
    app, dana = az.app("with owners"), users.find(az.lab.tenant, "dana")
    which = ["--id", app["appId"]]
    for _ in range(2):  # az looks first, so that the second time changes nothing
        az.json("ad", "app", "owner", "add", *which, "--owner-object-id", dana["id"])
    assert az.now(app)["_owners"] == [*app["_owners"], dana["id"]]
    listed = az.json("ad", "app", "owner", "list", *which)
    assert [owner["userPrincipalName"].partition("@")[0] for owner in listed] == ["alex", "dana"]
    az.json("ad", "app", "owner", "remove", *which, "--owner-object-id", dana["id"])
    assert az.now(app)["_owners"] == app["_owners"]
    nowhere = az.fails(1, "ad", "app", "owner", "remove", *which, "--owner-object-id", dana["id"])
    assert "does not exist" in nowhere


# service principals and permissions


def test_S4_service_principals_are_created_shown_and_listed(az: Cli) -> None:
    app = az.app("becomes a principal")
    assert "does not exist" in az.fails(3, "ad", "sp", "show", "--id", app["appId"])
    made = az.json("ad", "sp", "create", "--id", app["appId"])
    assert az.principal(app)["id"] == made["id"]
    assert az.json("ad", "sp", "show", "--id", app["appId"])["id"] == made["id"]
    for chosen in (["--display-name", "becomes a princ"], ["--spn", app["appId"]]):
        assert [found["id"] for found in az.json("ad", "sp", "list", *chosen)] == [made["id"]]
    assert "already in use" in az.fails(1, "ad", "sp", "create", "--id", app["appId"])


def test_S4_permissions_are_declared_and_consented_to_by_scope(az: Cli) -> None:
    app, graph = az.app("asks for scopes", principal=True), {"appId": GRAPH_APP_ID}
    permission, which = ["ad", "app", "permission"], ["--id", app["appId"]]
    api = ["--api", GRAPH_APP_ID]
    az.json(*permission, "add", *which, *api, "--api-permissions", f"{USER_READ}=Scope")
    az.json(*permission, "add", *which, *api, "--api-permissions", f"{READ_ALL}=Role")
    accesses = [{"id": USER_READ, "type": "Scope"}, {"id": READ_ALL, "type": "Role"}]
    declared = [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": accesses}]
    assert az.now(app)["requiredResourceAccess"] == declared
    assert az.json(*permission, "list", *which) == declared

    ends = {"clientId": az.principal(app)["id"], "resourceId": az.principal(graph)["id"]}
    for scope in ("User.Read", "User.Read profile"):  # the second time az deletes the first grant, in another spelling
        az.json(*permission, "grant", *which, *api, "--scope", *scope.split())
        (grant,) = [grant for grant in az.lab.tenant.all_latest(CONSENT) if ends.items() <= grant.items()]
        assert (grant["scope"], grant["consentType"], grant["principalId"]) == (scope, "AllPrincipals", None)
    (listed,) = az.json(*permission, "list-grants", *which)
    assert listed["scope"] == "User.Read profile"


def test_S4_admin_consent_grants_what_the_app_declares(az: Cli) -> None:
    tenant, app = az.lab.tenant, az.app("asks an administrator", principal=True)
    accesses = [{"id": USER_READ, "type": "Scope"}, {"id": READ_ALL, "type": "Role"}]
    declared = [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": accesses}]
    tenant.commit("application", app["id"], app | {"requiredResourceAccess": declared})
    consent = ["ad", "app", "permission", "admin-consent", "--id", app["appId"]]
    if not az.lab.proxy:
        assert "not yet supported on sovereign clouds" in az.fails(1, *consent)
        return
    az.json(*consent)
    client = az.principal(app)["id"]
    assert [grant["appRoleId"] for grant in tenant.all_latest(grants.KIND) if grant["principalId"] == client] == [
        READ_ALL
    ]
    assert [grant["scope"] for grant in tenant.all_latest(CONSENT) if grant["clientId"] == client] == ["User.Read"]


# any request


def test_S4_rest_reads_writes_and_shows_refusals(az: Cli) -> None:
    graph = f"{graph_of(az.lab)}/v1.0"
    app = az.app("by hand")
    chosen = az.json("rest", "-u", f"{graph}/applications/{app['id']}?$select=id,notes")
    assert (chosen["id"], chosen["notes"]) == (app["id"], None)
    assert "displayName" not in chosen
    assert az.json("rest", "-m", "patch", "-u", f"{graph}/applications/{app['id']}", "-b", '{"notes": "x"}') is None
    assert az.now(app)["notes"] == "x"
    made = az.json("rest", "-m", "post", "-u", f"{graph}/applications", "-b", '{"displayName": "by hand too"}')
    assert az.now(made)["displayName"] == "by hand too"
    refused = az.fails(1, "rest", "-m", "post", "-u", f"{graph}/applications", "-b", "{}")
    assert '"code":"Request_BadRequest"' in refused.replace('": "', '":"')
    az.json("rest", "-m", "delete", "-u", f"{graph}/applications/{made['id']}")
    assert az.lab.tenant.latest("application", made["id"]) is None
