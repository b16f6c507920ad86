"""The sandbox as the public cloud: its proxy, its names, admin consent (S1, S2, S4)."""

from __future__ import annotations

import asyncio
import gc
import http.client
import os
import shlex
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from core.clock import SystemClock
from core.config.cloud import BUILT_IN
from core.config.cloud import load as load_cloud
from core.config.profile import Profile
from core.entra.http import Session
from core.entra.tokens import Token, claims_of
from core.errors import NetworkError
from core.sandbox import consent, logs, origins
from core.sandbox.directory import registrations, users
from core.sandbox.directory.store import GRAPH_APP_ID
from core.sandbox.graph import consents, grants, roles
from core.sandbox.http import Request, Response
from core.sandbox.lab import Lab
from core.sandbox.server.proxy import Proxy
from core.sandbox.service import handle
from core.sandbox.token_service.tokens import AZURE_CLI, user_token
from core.secret import Secret
from tests.sandbox.client import Client

LOGIN, GRAPH = "https://login.microsoftonline.com", "https://graph.microsoft.com"
NAMES = {"login.microsoftonline.com", "graph.microsoft.com", "management.azure.com", "main.iam.ad.ext.azure.com"}


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab.start("legacy", sign_in=False, proxy=True)
    yield lab
    lab.close()


@pytest.fixture
def session(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """The product's own, in the public cloud, with nothing but the variables that the sandbox names."""
    for name in ("HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, lab.environment()[name])
    with Session(load_cloud("public"), SystemClock()) as session:
        yield session


def app_token(lab: Lab, session: Session, authority: str = LOGIN, graph: str = GRAPH) -> Token:
    """A token of the app, by the secret of its state file."""
    members = lab.machine.members
    form = {
        "grant_type": "client_credentials",
        "client_id": members[Profile.client_id_member],
        "client_secret": members[Profile.secret_member].reveal(),
        "scope": f"{graph}/.default",
    }
    response = session.call("POST", f"{authority}/{lab.tenant.id}/oauth2/v2.0/token", form=form)
    assert response.status == 200, response.body
    value = response.json()["access_token"]
    return Token(value, claims_of(value.reveal()))


def connect(lab: Lab, head: str) -> tuple[bytes, socket.socket]:
    """The first line that the proxy answers to a request's head."""
    address = urlsplit(lab.proxy)
    connection = socket.create_connection((str(address.hostname), address.port or 0), timeout=10)
    connection.sendall(f"{head}\r\nHost: x\r\n\r\n".encode())
    return connection.recv(4096).partition(b"\r\n")[0], connection


# names


def test_S4_the_public_clouds_names_are_the_products() -> None:
    public = BUILT_IN["public"]
    assert (public.authority, public.graph, public.arm) == tuple(vars(origins.PUBLIC).values())
    assert set(origins.PUBLIC_HOSTS) == NAMES


@pytest.mark.parametrize("proxy", [False, True])
def test_S1_the_certificate_and_the_ca_are_for_what_is_served(proxy: bool) -> None:
    lab = Lab.start("clean", sign_in=False, proxy=proxy)
    try:
        pem = ssl.get_server_certificate(("127.0.0.1", lab.tenant.port), ca_certs=str(lab.ca), timeout=10)
        names: Any = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_oid(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME
        )
        (ca,) = x509.load_pem_x509_certificates(lab.ca.read_bytes())
        constraints: Any = ca.extensions.get_extension_for_oid(ExtensionOID.NAME_CONSTRAINTS)
        served = {"localhost", *(NAMES if proxy else ())}
        blobs = {"*.blob.core.windows.net"} if proxy else set()
        assert {str(name.value) for name in names.value} == served | {"127.0.0.1"} | blobs
        assert constraints.critical
        assert {str(name.value) for name in constraints.value.permitted_subtrees} == served | {"127.0.0.1/32"} | {
            name.removeprefix("*.") for name in blobs
        }
        assert (lab.info()["proxy"] is not None) is proxy
        assert ("HTTPS_PROXY" in lab.environment()) is proxy
    finally:
        lab.close()


def test_S4_everything_carries_the_real_names(lab: Lab, session: Session) -> None:
    found = session.call("GET", f"{LOGIN}/{lab.tenant.id}/v2.0/.well-known/openid-configuration").json()
    assert {urlsplit(value).netloc for value in found.values() if str(value).startswith("https://")} == {
        "login.microsoftonline.com"
    }
    asked = f"{LOGIN}/common/discovery/instance?authorization_endpoint={LOGIN}/common/oauth2/v2.0/authorize"
    (metadata,) = session.call("GET", asked).json()["metadata"]
    assert metadata["aliases"] == ["login.microsoftonline.com"]
    token = app_token(lab, session)
    claims = token.claims
    assert (claims["aud"], claims["iss"]) == (GRAPH, f"https://sts.windows.net/{lab.tenant.id}/"), "a v1 token"
    v1 = session.call("GET", f"{LOGIN}/{lab.tenant.id}/.well-known/openid-configuration").json()
    assert v1["issuer"] == claims["iss"]
    assert v1["jwks_uri"] == f"{LOGIN}/common/discovery/keys"
    assert (v1["msgraph_host"], v1["cloud_instance_name"]) == ("graph.microsoft.com", "microsoftonline.com")
    assert session.call("GET", v1["jwks_uri"]).json() == session.call("GET", found["jwks_uri"]).json()
    page = session.call("GET", f"{GRAPH}/v1.0/servicePrincipals?$top=1", token=token).json()
    assert page["@odata.context"].startswith(f"{GRAPH}/v1.0/")
    assert page["@odata.nextLink"].startswith(f"{GRAPH}/v1.0/servicePrincipals?")
    following = session.call("GET", page["@odata.nextLink"], token=token)
    assert (following.status, len(following.json()["value"])) == (200, 1)
    assert lab.server.proxy is not None
    assert set(lab.server.proxy.led) == {"login.microsoftonline.com:443", "graph.microsoft.com:443"}
    assert lab.server.proxy.refused == []


def test_S4_both_names_of_one_tenant_work_at_once_and_their_tokens_stay_apart(lab: Lab, session: Session) -> None:
    tenant, path = lab.tenant, "/v1.0/servicePrincipals"
    with Session(load_cloud(str(lab.cloud_file)), SystemClock()) as own:
        here = app_token(lab, own, tenant.authority, tenant.graph)
        there = app_token(lab, session)
        assert [token.claims["aud"] for token in (here, there)] == [tenant.graph, GRAPH]
        answers = [
            own.call("GET", tenant.graph + path, token=here).status,
            session.call("GET", GRAPH + path, token=there).status,
            own.call("GET", tenant.graph + path, token=there).status,
            session.call("GET", GRAPH + path, token=here).status,
        ]
    assert answers == [200, 200, 401, 401]


def test_S4_arm_knows_tokens_for_its_own_name(lab: Lab, session: Session) -> None:
    arm = "https://management.azure.com"
    token = app_token(lab, session, graph=arm)
    assert token.claims["aud"] == arm
    (found,) = session.call("GET", f"{arm}/tenants?api-version=2022-12-01", token=token).json()["value"]
    assert found["tenantId"] == lab.tenant.id
    assert session.call("GET", f"{arm}/tenants?api-version=2022-12-01", token=app_token(lab, session)).status == 401


def test_S2_a_request_to_the_wrong_name_is_misdirected(lab: Lab, session: Session) -> None:
    arm = "https://management.azure.com"
    for url in (f"{LOGIN}/v1.0/me", f"{GRAPH}/common/v2.0/.well-known/openid-configuration", f"{arm}/v1.0/me"):
        assert session.call("GET", url).status == 421
    assert session.call("GET", f"{arm}/subscriptions").status == 401
    assert session.call("GET", f"{LOGIN}/subscriptions").status == 421


# the proxy


@pytest.mark.parametrize(
    "target", ["example.com:443", "graph.microsoft.com:80", "graph.microsoft.com.example:443", "127.0.0.1:1"]
)
def test_S4_every_other_host_is_refused_and_noted(lab: Lab, target: str) -> None:
    first, connection = connect(lab, f"CONNECT {target} HTTP/1.1")
    connection.close()
    assert first == b"HTTP/1.1 403 Forbidden"
    assert lab.server.proxy is not None
    assert (lab.server.proxy.refused, lab.server.proxy.led) == ([f"CONNECT {target}"], [])


def test_S4_a_refused_host_never_gets_a_connection(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for head in (f"CONNECT 127.0.0.1:{port} HTTP/1.1", f"GET http://127.0.0.1:{port}/?secret HTTP/1.1"):
            first, connection = connect(lab, head)
            connection.close()
            assert first == b"HTTP/1.1 403 Forbidden"
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    assert lab.server.proxy is not None
    assert lab.server.proxy.refused == [f"CONNECT 127.0.0.1:{port}", f"GET http://127.0.0.1:{port}/"], "no query"


@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_P4_what_was_refused_holds_no_secret(lab: Lab, method: str) -> None:
    secret = Secret("aB18Q~" + "xyz~.-" * 5 + "abcd").reveal()
    for target in (secret, secret.replace("Q", "%2551"), f"http://x/{'y' * 260}/{secret}"):
        connect(lab, f"{method} {target} HTTP/1.1")[1].close()
    assert lab.server.proxy is not None
    shown = unquote(unquote("".join(lab.server.proxy.refused))).lower()
    assert shown.count("[redacted") == 3
    assert not [part for part in (secret[:12].lower(), secret[-12:].lower()) if part in shown]


def test_S4_the_logs_of_the_proxy_are_bounded(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT", 4)
    for _ in range(20):
        for target in ("example.com:443", "GRAPH.microsoft.com:443"):
            connect(lab, f"CONNECT {target} HTTP/1.1")[1].close()
    proxy = lab.server.proxy
    assert proxy is not None
    assert (set(proxy.refused), set(proxy.led)) == ({"CONNECT example.com:443"}, {"graph.microsoft.com:443"})
    assert max(len(proxy.refused), len(proxy.led)) < 8


def test_S4_a_client_of_the_product_is_refused_too(lab: Lab, session: Session) -> None:
    with pytest.raises(NetworkError), Session(load_cloud("usgov"), SystemClock()) as other:
        other.call("GET", "https://graph.microsoft.us/v1.0/me")
    assert lab.server.proxy is not None
    assert lab.server.proxy.refused == ["CONNECT graph.microsoft.us:443"]


@pytest.mark.parametrize(
    "head",
    [
        "",
        "nonsense",
        "CONNECT",
        "GET graph.microsoft.com:443 HTTP/1.1",
        "\x00\xff",
        "CONNECT graph.microsoft.com:443:443 HTTP/1.1",
    ],
)
def test_S4_nonsense_ends_its_own_connection_alone(lab: Lab, session: Session, head: str) -> None:
    first, connection = connect(lab, head)
    connection.close()
    assert first == b"HTTP/1.1 403 Forbidden"
    assert app_token(lab, session).value


@pytest.mark.parametrize("sent", [b"", b"CONNECT graph.micro", b"x" * 20_000])
def test_S4_a_client_that_goes_away_or_never_ends_is_dropped_in_silence(
    lab: Lab, session: Session, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    address = urlsplit(lab.proxy)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert connection.recv(4096) == b""
    assert app_token(lab, session).value
    lab.close()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def test_S4_a_tunnel_outlives_its_client_until_the_other_side_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    async def tunnel(silent: socket.socket) -> None:
        proxy = Proxy(silent.getsockname()[1])
        await proxy.start()
        address = urlsplit(proxy.address)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"CONNECT graph.microsoft.com:443 HTTP/1.1\r\n\r\n")
        assert (await reader.readline()).endswith(b"established\r\n")
        writer.close()
        await writer.wait_closed()
        below, _ = silent.accept()
        assert await asyncio.to_thread(below.recv, 1) == b"", "the end is passed on"
        gc.collect()  # a task that nobody holds is lost here
        below.close()
        proxy.stop()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(tunnel(silent))
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def test_S1_it_listens_on_loopback_only_and_stops_with_the_sandbox() -> None:
    lab = Lab.start("clean", sign_in=False, proxy=True)
    address = urlsplit(lab.proxy)
    first, connection = connect(lab, "CONNECT graph.microsoft.com:443 HTTP/1.1")
    lab.close()
    assert (first, address.hostname) == (b"HTTP/1.1 200 Connection established", "127.0.0.1")
    connection.settimeout(10)
    with suppress(ConnectionResetError):
        assert connection.recv(1) == b"", "what was open is dropped"
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", address.port or 0), timeout=10)


def test_S4_the_sandboxs_own_hosts_may_be_asked_for_through_it(lab: Lab) -> None:
    address = urlsplit(lab.proxy)
    context = ssl.create_default_context(cafile=str(lab.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", address.port, context=context, timeout=10)
    connection.set_tunnel("localhost", lab.tenant.port)
    connection.request("GET", "/v1.0/me")
    answer = connection.getresponse()
    assert answer.status == 401
    answer.read()
    connection.close()


def test_C1_the_project_is_one_of_the_public_cloud(lab: Lab) -> None:
    text = (lab.project / Profile.state_file).read_text()
    assert '"CLOUD"' not in text
    assert lab.environment()["ENTRACLAW_SETUP_CLOUD"] == "public"


@pytest.mark.skipif(os.name != "posix", reason="stopped by a signal")
def test_S4_the_command_exports_what_clients_of_the_public_cloud_need() -> None:
    argv = [sys.executable, "-m", "wizard", "sandbox", "--scenario", "clean", "--proxy", "--env"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found: dict[str, str] = {}
            while not {"ENTRACLAW_SETUP_CLOUD", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "AZURE_CONFIG_DIR"} <= set(found):
                line = process.stdout.readline()
                assert line, "it has ended"
                name, _, value = shlex.split(line)[1].partition("=")
                found[name] = value
            assert load_cloud(found["ENTRACLAW_SETUP_CLOUD"]).name == "public"
            address = urlsplit(found["HTTPS_PROXY"])
            context = ssl.create_default_context(cafile=found["REQUESTS_CA_BUNDLE"])
            connection = http.client.HTTPSConnection("127.0.0.1", address.port, context=context, timeout=10)
            connection.set_tunnel("graph.microsoft.com", 443)
            connection.request("GET", "/v1.0/me")
            assert connection.getresponse().status == 401
            connection.close()
            assert (Path(found["AZURE_CONFIG_DIR"]) / "azureProfile.json").exists()
        finally:
            process.terminate()
    assert process.returncode == 0


# admin consent


class Admin(Client):
    """A client that also calls the consent back end."""

    def consent(self, who: str) -> Response:
        user = users.find(self.tenant, who)
        token = user_token(self.tenant, user, consent.RESOURCE, AZURE_CLI)
        return self.post(token)

    def post(self, token: str, app_id: str = "", query: str = "onBehalfOfAll=true") -> Response:
        url = f"https://{origins.CONSENT_HOST}/api/RegisteredApplications/{app_id or self.app_id}/Consent?{query}"
        return handle(self.tenant, Request.to("POST", url, {"Authorization": f"Bearer {token}"}))

    @property
    def granted(self) -> list[str]:
        return sorted(
            grant["appRoleId"]
            for grant in self.tenant.all_latest(grants.KIND)
            if grant["principalId"] == self.principal["id"]
        )

    def declare(self, *accesses: tuple[str, str], api: str = GRAPH_APP_ID) -> None:
        found = [{"id": access_id, "type": kind} for access_id, kind in accesses]
        self.change("application", requiredResourceAccess=[{"resourceAppId": api, "resourceAccess": found}])


@pytest.fixture
def admin() -> Admin:
    return Admin("drift")


def test_S4_consent_grants_what_is_declared_and_once(admin: Admin) -> None:
    before = admin.granted
    assert admin.consent("alex").status == 204
    declared = [access["id"] for access in admin.app["requiredResourceAccess"][0]["resourceAccess"]]
    assert admin.granted == sorted(declared)
    assert len(admin.granted) == len(before) + 3, "the scenario lacks three"
    assert admin.consent("alex").status == 204
    assert admin.granted == sorted(declared)


def test_S4_consent_to_scopes_keeps_those_of_before(admin: Admin) -> None:
    graph = admin.tenant.find("servicePrincipal", "appId", GRAPH_APP_ID)
    assert graph is not None
    old = consents.new_grant(admin.principal["id"], graph["id"], "Mail.Read")
    admin.tenant.commit(consents.KIND, old["id"], old)
    admin.declare((roles.SCOPES["User.Read"], "Scope"))
    assert admin.consent("alex").status == 204
    (grant,) = admin.tenant.all_latest(consents.KIND)
    assert (grant["scope"], grant["consentType"]) == ("Mail.Read User.Read", "AllPrincipals")


def test_S2_consent_to_graph_takes_an_administrator_of_the_tenant(admin: Admin) -> None:
    before = admin.granted
    refused = admin.consent("dana")  # Application Administrator
    assert (refused.status, refused.json()["ClientData"]["errorCode"]) == (403, "Authorization_RequestDenied")
    assert "errorCode=Authorization_RequestDenied" in refused.json()["Message"]
    assert admin.granted == before


def test_S2_an_application_administrator_consents_to_other_apis(admin: Admin) -> None:
    tenant = admin.tenant
    api = registrations.new_application(tenant, "an API")
    principal = registrations.new_principal(tenant, api)
    role_id = tenant.new_id()
    role = {"id": role_id, "value": "Do.All", "isEnabled": True, "allowedMemberTypes": ["Application"]}
    tenant.commit("servicePrincipal", principal["id"], principal | {"appRoles": [role]})
    admin.declare((role_id, "Role"), api=api["appId"])
    assert admin.consent("dana").status == 204
    assert role_id in admin.granted


def test_S2_consent_passes_over_a_scope_without_a_value(admin: Admin) -> None:
    tenant = admin.tenant
    api = registrations.new_application(tenant, "an API")
    scopes = [{"id": tenant.new_id(), "value": value} for value in (None, "Do.Some")]
    principal = registrations.new_principal(tenant, api) | {"oauth2PermissionScopes": scopes}
    tenant.commit("servicePrincipal", principal["id"], principal)
    admin.declare(*((str(scope["id"]), "Scope") for scope in scopes), api=api["appId"])
    assert admin.consent("dana").status == 204
    (grant,) = tenant.all_latest(consents.KIND)
    assert grant["scope"] == "Do.Some"


@pytest.mark.parametrize("case", ["app", "token", "audience", "query", "api"])
def test_S2_consent_is_refused(admin: Admin, case: str) -> None:
    before, alex = admin.granted, users.find(admin.tenant, "alex")
    right = user_token(admin.tenant, alex, consent.RESOURCE, AZURE_CLI)
    if case == "api":
        admin.declare((admin.tenant.new_id(), "Role"), api=admin.tenant.new_id())
    answer = {
        "app": lambda: admin.post(right, admin.tenant.new_id()),
        "token": lambda: admin.post("nobody's"),
        "audience": lambda: admin.post(admin.user_token()),
        "query": lambda: admin.post(right, query=""),
        "api": lambda: admin.post(right),
    }[case]()
    assert answer.status == {"app": 404, "token": 401, "audience": 401, "query": 404, "api": 400}[case]
    assert admin.granted == before


# what the Azure CLI asks of Graph besides


def test_S4_owners_are_added_and_removed_by_reference(admin: Admin) -> None:
    path, dana = f"/applications/{admin.app['id']}/owners", users.find(admin.tenant, "dana")["id"]
    alex = users.find(admin.tenant, "alex")["id"]
    reference = {"@odata.id": f"{admin.tenant.graph}/v1.0/directoryObjects/{alex}"}
    assert admin.call("POST", f"{path}/$ref", reference).status == 204
    assert admin.app["_owners"] == [dana, alex]
    assert admin.refused("POST", f"{path}/$ref", reference) == (400, "Request_BadRequest")
    nobody = {"@odata.id": f"{admin.tenant.graph}/v1.0/directoryObjects/{admin.tenant.new_id()}"}
    assert admin.refused("POST", f"{path}/$ref", nobody) == (404, "Request_ResourceNotFound")
    stranger = admin.scoped("User.Read")
    assert admin.refused("POST", f"{path}/$ref", reference, stranger) == (403, "Authorization_RequestDenied")
    assert admin.call("DELETE", f"{path}/{alex}/$ref").status == 204
    assert admin.app["_owners"] == [dana]
    assert admin.refused("DELETE", f"{path}/{alex}/$ref") == (404, "Request_ResourceNotFound")


def test_S4_a_doubled_slash_after_the_version_is_one() -> None:
    client = Client("clean")
    url = f"{client.tenant.graph}/v1.0//applications/{client.app['id']}"
    response = handle(client.tenant, Request.to("GET", url, {"Authorization": f"Bearer {client.token}"}))
    assert (response.status, response.json()["id"]) == (200, client.app["id"])
