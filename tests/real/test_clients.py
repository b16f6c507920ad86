"""azure-identity, msal and msgraph-sdk, as they are published, in programs of their own (S1, S4)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from core.config.profile import Profile
from core.entra import credentials
from core.entra.tokens import claims_of
from core.sandbox.directory import registrations
from core.sandbox.directory.store import State, Tenant
from core.sandbox.http import Request, Response
from core.sandbox.lab import Lab
from core.sandbox.token_service.tokens import AZURE_CLI
from tests.real.conftest import clients_folder
from tests.sandbox.client import key_pair

PROGRAMS = Path(__file__).parent / "clients"


@dataclass
class Bench:
    """A sandbox whose app has a secret and a certificate.

    :ivar asked: what was asked of the token endpoint: the forms, in order.
    """

    lab: Lab
    home: Path

    def __post_init__(self) -> None:
        tenant = self.lab.tenant
        entry, self.secret = registrations.new_password(tenant, "for the clients")
        keys = registrations.keys_of(tenant, [credentials.entry_of(key_pair(0), tenant.new_id(), "for the clients")])
        app = self.app | {"passwordCredentials": [entry], "keyCredentials": keys}
        tenant.commit("application", app["id"], app)
        self.asked: list[dict[str, str]] = []
        handle = self.lab.server.handle

        def note(tenant: Tenant, request: Request) -> Response:
            if request.path.endswith("/oauth2/v2.0/token"):
                self.asked.append(request.form())
            return handle(tenant, request)

        self.lab.server.handle = note

    @property
    def app(self) -> State:
        app_id = self.lab.machine.members[Profile.client_id_member]
        found = self.lab.tenant.find("application", "appId", app_id)
        assert found is not None
        return found

    @property
    def origins(self) -> tuple[str, str]:
        """Of authority and Graph."""
        if self.lab.proxy:
            return "https://login.microsoftonline.com", "https://graph.microsoft.com"
        return self.lab.tenant.authority, self.lab.tenant.graph

    def run(self, program: str, **more: Any) -> Any:
        """What a program saw."""
        authority, graph = self.origins
        given = {
            "public": bool(self.lab.proxy),
            "authority": authority,
            "graph": graph,
            "tenant": self.lab.tenant.id,
            "app": self.app["appId"],
            "cli": AZURE_CLI,
            "secret": self.secret.reveal(),
            "pem": key_pair(0).pem.reveal(),
            "other_pem": key_pair(1).pem.reveal(),
            **more,
        }
        environment = {
            "HTTPS_PROXY": "http://127.0.0.1:1",
            **self.lab.environment(),
            "SSL_CERT_FILE": str(self.lab.ca),
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
        }
        argv = [str(clients_folder() / "python"), "-I", str(PROGRAMS / f"{program}.py")]
        options: Any = {"input": json.dumps(given), "env": environment, "cwd": self.home, "timeout": 100}
        finished = subprocess.run(argv, **options, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)


@pytest.fixture(params=[False, True], ids=["own-cloud", "public-cloud"])
def bench(request: pytest.FixtureRequest, home: Path) -> Iterator[Bench]:
    clients_folder()
    lab = Lab.start("clean", sign_in=False, proxy=request.param)
    yield Bench(lab, home)
    lab.close()
    assert lab.server.proxy is None or lab.server.proxy.refused == [], "nothing else was asked for"


def header(form: dict[str, str]) -> dict[str, Any]:
    return dict(jwt.get_unverified_header(form["client_assertion"]))


def test_S4_azure_identity_signs_in_in_every_way(bench: Bench) -> None:
    saw, lab = bench.run("identity"), bench.lab
    authority, graph = bench.origins
    issuer = authority if lab.server.proxy is None else "https://sts.windows.net"
    kinds = {"certificate": "2", "secret": "1", "assertion": "2", "device": "0"}
    for name, (token, again) in saw["tokens"].items():
        assert token == again, f"{name}: the second one is from the cache"
        claims = claims_of(token)
        assert lab.tenant.issued[token].claims == claims
        assert (claims["aud"], claims["iss"]) == (graph, f"{issuer}/{lab.tenant.id}/")
        assert (claims["tid"], claims["appidacr"]) == (lab.tenant.id, kinds.pop(name))
    assert kinds == {}
    assert claims_of(saw["tokens"]["device"][0])["oid"] == lab.tenant.signed_in_user
    (prompt,) = saw["prompts"]
    assert prompt.startswith(f"{authority}/devicelogin ")
    assert saw["calls"] == 1
    assert "AADSTS700027" in saw["refused"]
    signed = [header(form) for form in bench.asked if "client_assertion" in form]
    assert [found["alg"] for found in signed] == ["RS256", "PS256", "RS256"], (
        "certificate, by hand, the other certificate"
    )


def test_S4_msal_alone_signs_in_and_caches(bench: Bench) -> None:
    saw, tenant = bench.run("plain"), bench.lab.tenant
    authority, graph = bench.origins
    results = saw["results"]
    wrong = results.pop("wrong")
    assert (wrong["error"], wrong["error_codes"]) == ("invalid_client", [7000215])
    for result in results.values():
        assert claims_of(result["access_token"])["aud"] == graph
        assert result["access_token"] in tenant.issued
    assert results["certificate again"]["access_token"] == results["certificate"]["access_token"]
    assert results["certificate again"]["token_source"] == "cache"
    assert results["silent"]["access_token"] == results["device"]["access_token"]
    assert results["refreshed"]["access_token"] != results["device"]["access_token"]
    assert results["device"]["id_token_claims"]["preferred_username"] == saw["account"]["username"]
    assert saw["account"]["home_account_id"] == f"{tenant.signed_in_user}.{tenant.id}"
    assert authority in saw["message"]
    grants = [form["grant_type"] for form in bench.asked]
    assert grants.count("client_credentials") == 3
    assert grants.count("refresh_token") == 1
    (assertion,) = [form for form in bench.asked if "client_assertion" in form]
    assert header(assertion)["alg"] == "PS256"
    assert {"x5t#S256", "x5c"} <= set(header(assertion))


def test_S4_the_graph_sdk_reads_and_writes(bench: Bench) -> None:
    tenant = bench.lab.tenant
    for number in range(5):
        app = registrations.new_application(tenant, f"one of many {number}")
        tenant.commit("application", app["id"], app)
    saw = bench.run("sdk", start="one of many")
    assert saw["listed"] == [f"one of many {number}" for number in range(5)]
    assert bench.lab.tenant.faults.log.count("GET /v1.0/applications") == 3, "pages of two"
    assert saw["read"] == {"name": "changed by the SDK", "tags": ["one"], "notes": "x"}
    assert (saw["passwords"], saw["left"]) == (["by the SDK"], [])
    assert saw["password"]["hint"] == saw["password"]["secret"][:3]
    assert saw["principal"]["notes"] == "y"
    assert saw["by app id"] == saw["principal"]["id"]
    assert saw["gone"] == [404, "Request_ResourceNotFound", True]
    gone = tenant.latest("deletedApplication", saw["made"]["id"])
    assert gone is not None
    assert (gone["appId"], gone["displayName"]) == (saw["made"]["app_id"], "changed by the SDK")
    assert tenant.latest("application", saw["made"]["id"]) is None
    assert tenant.latest("deletedServicePrincipal", saw["principal"]["id"]) is not None
    digests = {entry["_digest"] for entry in gone["passwordCredentials"]}
    assert hashlib.sha256(saw["password"]["secret"].encode()).hexdigest() not in digests
