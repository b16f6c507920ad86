"""What each scenario holds, and who can be signed in (U8, P1, P6, M16)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core import assemble
from core.config.cloud import load as load_cloud
from core.config.profile import Profile
from core.errors import SetupError
from core.machine.azure_cli import Account
from core.sandbox.directory import registrations, users
from core.sandbox.directory.store import GRAPH_APP_ID
from core.sandbox.fake_machine import azfolder
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.graph import roles
from core.sandbox.lab import Lab
from core.sandbox.scenarios import catalogue as scenarios
from core.sandbox.scenarios.catalogue import SCENARIOS
from core.sandbox.token_service.tokens import AZURE_CLI
from tests.machine import VirtualClock
from tests.sandbox.client import Client

LEGACY = ("legacy", "unprivileged", "saml")


def directory_roles(client: Client, name: str) -> set[str]:
    return set(users.find(client.tenant, name)["_roles"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_U8_every_scenario_has_its_user_an_administrator_and_graphs_roles(scenario: str) -> None:
    client = Client(scenario)
    assert client.get("/me")["userPrincipalName"] == "dana@contoso.onmicrosoft.com"
    assert directory_roles(client, "alex") == {roles.GLOBAL_ADMINISTRATOR}
    graph = client.get(f"/servicePrincipals(appId='{GRAPH_APP_ID}')?$select=appRoles")
    assert {role["value"]: role["id"] for role in graph["appRoles"]} == roles.OFFERED
    assert assemble.scenarios()[scenario]


@pytest.mark.parametrize("scenario", LEGACY)
def test_U8_a_machine_before_its_migration_signs_in_with_its_secret(scenario: str) -> None:
    client = Client(scenario)
    assert client.sign_in(client_secret=client.members[Profile.secret_member].reveal()).status == 200


@pytest.mark.parametrize("scenario", ["fresh", "taken"])
def test_P1_where_nothing_is_set_up_there_is_no_state_file_and_the_user_may_do_everything(
    start_lab: Callable[[str], Lab], scenario: str
) -> None:
    lab = start_lab(scenario)
    assert list(lab.project.iterdir()) == []
    client = Client(scenario)
    assert client.members == {}
    app = client.call("POST", "/applications", {"displayName": Profile.app_display_name}).json()
    principal = client.call("POST", "/servicePrincipals", {"appId": app["appId"]}).json()
    graph = client.get(f"/servicePrincipals(appId='{GRAPH_APP_ID}')")
    path = f"/servicePrincipals/{graph['id']}/appRoleAssignedTo"
    for role_id in roles.BASE.values():
        body = {"principalId": principal["id"], "resourceId": graph["id"], "appRoleId": role_id}
        assert client.call("POST", path, body).status == 201


def test_P1_a_fresh_tenant_has_no_app() -> None:
    assert Client("fresh").get("/applications")["value"] == []


def test_P1_the_name_is_taken_by_an_old_app_of_somebody_else() -> None:
    client = Client("taken")
    (app,) = client.get(f"/applications?$filter=displayName eq '{Profile.app_display_name}'")["value"]
    owners = [owner["userPrincipalName"] for owner in client.get(f"/applications/{app['id']}/owners")["value"]]
    assert owners == [f"mallory@{client.tenant.domain}"]
    age = client.tenant.now() - registrations.moment(app["createdDateTime"])
    assert timedelta(days=729) < age < timedelta(days=731)
    (password,) = app["passwordCredentials"]
    assert registrations.moment(password["endDateTime"]) > client.tenant.now()


def test_P7_an_unprivileged_user_changes_nothing_and_the_administrator_may() -> None:
    client = Client("unprivileged")
    path = f"/applications/{client.app['id']}"
    assert client.get(path)["passwordCredentials"]
    for method, where, body in (
        ("PATCH", path, {"notes": "x"}),
        ("POST", f"{path}/addPassword", {}),
        ("DELETE", path, None),
        ("PATCH", f"/servicePrincipals/{client.principal['id']}", {"notes": "x"}),
    ):
        assert client.refused(method, where, body) == (403, "Authorization_RequestDenied")
    client.tenant.signed_in_user = users.find(client.tenant, "alex")["id"]
    assert client.call("PATCH", path, {"notes": "x"}, client.user_token()).status == 204


def test_P6_drift_has_roles_that_are_declared_but_not_granted_and_roles_that_are_neither() -> None:
    client = Client("drift")
    client.tenant.switches.page_size = 100
    grants = client.get(f"/servicePrincipals/{client.principal['id']}/appRoleAssignments")["value"]
    (api,) = client.app["requiredResourceAccess"]
    wanted = roles.BASE | roles.AGENT
    names = {role_id: name for name, role_id in wanted.items()}
    declared = {names[access["id"]] for access in api["resourceAccess"]}
    granted = {names[grant["appRoleId"]] for grant in grants}
    assert wanted.keys() - declared == set(scenarios.UNDECLARED)
    assert declared - granted == set(scenarios.UNGRANTED)
    assert granted < declared


def test_P6_the_grants_of_drift_do_not_fit_one_page() -> None:
    client = Client("drift")
    assert "@odata.nextLink" in client.get(f"/servicePrincipals/{client.principal['id']}/appRoleAssignments")


def test_M4_saml_has_a_signing_key_and_its_password() -> None:
    principal = Client("saml").principal
    (signing,) = [entry for entry in principal["keyCredentials"] if entry["usage"] == "Sign"]
    paired = [entry for entry in principal["passwordCredentials"] if entry["keyId"] == signing["keyId"]]
    assert [entry["customKeyIdentifier"] for entry in paired] == [signing["customKeyIdentifier"]]
    assert len(principal["passwordCredentials"]) == 2, "and one that has nothing to do with it"


# who is signed in


@pytest.fixture
def lab(clock: VirtualClock) -> Iterator[Lab]:
    lab = Lab.start("fresh", clock=clock)
    yield lab
    lab.close()


def upn(lab: Lab, folder: Path) -> str:
    """Who Graph says is signed in, with a token that MSAL gets from that folder's cache."""
    import msal

    cache = msal.SerializableTokenCache()
    cache.deserialize((folder / "msal_token_cache.json").read_text())
    client = msal.PublicClientApplication(
        AZURE_CLI,
        authority=f"{lab.tenant.authority}/{lab.tenant.id}",
        instance_discovery=False,
        token_cache=cache,
        http_client=azfolder.InProcess(lab.tenant),
    )
    (account,) = client.get_accounts()
    token = client.acquire_token_silent([f"{lab.tenant.graph}//.default"], account)["access_token"]
    me = Client("fresh")
    me.tenant, me.token = lab.tenant, token
    profile = json.loads((folder / "azureProfile.json").read_text(encoding="utf-8-sig"))
    name: str = me.get("/me")["userPrincipalName"]
    assert [item["user"]["name"] for item in profile["subscriptions"]] == [name]
    return name


def test_S4_the_azure_folder_is_signed_in_and_another_one_is_somebody_else(lab: Lab) -> None:
    domain = lab.tenant.domain
    assert upn(lab, lab.az_config_dir) == f"dana@{domain}"
    for name in ("alex", f"alex@{domain}"):
        folder = lab.az_folder(name)
        assert upn(lab, folder) == f"alex@{domain}"
        assert folder not in (lab.az_config_dir, lab.project)
    assert upn(lab, lab.az_config_dir) == f"dana@{domain}", "the scenario's user stays"


def account(signed_in: SandboxSignIn) -> Account:
    return Account.of(signed_in.graph_token(""))


def test_S4_a_sandbox_can_be_started_as_somebody_else(clock: VirtualClock) -> None:
    lab = Lab.start("legacy", clock=clock, user="alex")
    try:
        assert upn(lab, lab.az_config_dir) == f"alex@{lab.tenant.domain}"
        assert account(SandboxSignIn(lab.tenant, load_cloud(str(lab.cloud_file)))).user.startswith("alex@")
    finally:
        lab.close()


@pytest.mark.parametrize("name", ["nobody", "", "dana@elsewhere.example"])
def test_S4_nobody_can_be_signed_in_who_is_not_there(lab: Lab, name: str) -> None:
    with pytest.raises(SetupError, match="dana, alex") as caught:
        lab.az_folder(name)
    assert caught.value.id == "usage.settings"


def test_P7_the_demo_can_sign_in_as_the_administrator(start_lab: Callable[[str], Lab]) -> None:
    lab = start_lab("unprivileged")
    cloud = load_cloud(str(lab.cloud_file))
    dana, alex = SandboxSignIn(lab.tenant, cloud), SandboxSignIn(lab.tenant, cloud, "alex")
    assert (account(dana).user, account(alex).user) == (f"dana@{lab.tenant.domain}", f"alex@{lab.tenant.domain}")
    assert dana.graph_token(lab.tenant.id).claims["wids"] == []
    assert alex.graph_token(lab.tenant.id).claims["wids"] == [roles.GLOBAL_ADMINISTRATOR]


def test_M16_az_can_be_signed_in_as_an_app(start_lab: Callable[[str], Lab]) -> None:
    lab = start_lab("legacy")
    apps = lab.tenant.all_latest("servicePrincipal")
    (principal,) = [found for found in apps if found["appId"] != GRAPH_APP_ID]
    app = SandboxSignIn(lab.tenant, load_cloud(str(lab.cloud_file)), principal["appId"])
    assert (account(app).user, account(app).kind) == (principal["appId"], "service principal")
    token = app.graph_token(lab.tenant.id)
    assert (token.claims["idtyp"], token.claims["oid"]) == ("app", principal["id"])
    assert sorted(token.claims["roles"]) == sorted(roles.BASE)
    assert not {"scp", "upn", "wids"} & token.claims.keys()
