"""The sandbox's page and `status.json`: everything about the pretend tenant, and no secret (S1, S3)."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from core.clock import SystemClock
from core.sandbox import logs
from core.sandbox.dashboard import endpoint, facts, page
from core.sandbox.directory.store import Tenant
from core.sandbox.faults import Fault
from core.sandbox.http import Request, Response
from core.sandbox.lab import Lab
from core.sandbox.logs import Served
from core.secret import Secret
from tests.machine import VirtualClock
from tests.sandbox.client import Client


@pytest.fixture
def client() -> Client:
    return Client("legacy")


def ask(tenant: Tenant, path: str = "/", *served: Served, host: str = "127.0.0.1", method: str = "GET") -> Response:
    return endpoint.handle(tenant, Request.to(method, f"https://{host}:1{path}"), served)


def facts_of(tenant: Tenant, *served: Served) -> dict[str, Any]:
    return ask(tenant, "/status.json", *served).json()


class Text(HTMLParser):
    """What of a page is markup and what is text."""

    def __init__(self, markup: bytes) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(markup.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


class Browser:
    """A client over TLS that trusts the sandbox's CA and nothing else."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(lab.ca)

    def __call__(self, path: str, *, graph: bool = False, method: str = "GET", **headers: str) -> requests.Response:
        origin = self._lab.tenant.graph if graph else self._lab.tenant.authority
        return self._session.request(method, origin + path, headers=headers, timeout=20)

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def lab(start_lab: Callable[[str], Lab]) -> Lab:
    return start_lab("legacy")


@pytest.fixture
def browse(lab: Lab) -> Iterator[Browser]:
    browser = Browser(lab)
    yield browser
    browser.close()


# what it shows


def test_S1_the_page_and_the_json_name_tenant_people_objects_and_grants(client: Client) -> None:
    before = client.tenant.stamp()
    found = facts_of(client.tenant)
    assert found["tenant"] == {"id": client.tenant.id, "name": "Contoso", "domain": "contoso.onmicrosoft.com"}
    assert before <= found["now"] <= client.tenant.stamp()
    assert [(one["name"], one["signed_in"]) for one in found["people"]] == [
        ("Dana Developer", True),
        ("Alex Admin", False),
    ]
    assert [one["roles"] for one in found["people"]] == [["Application administrator"], ["Global administrator"]]
    (app,) = [one for one in found["objects"] if one["kind"] == "application"]
    assert (app["appId"], app["owners"]) == (client.app_id, ["Dana Developer"])
    keys = {entry["keyId"] for member in ("keyCredentials", "passwordCredentials") for entry in client.app[member]}
    assert {entry["keyId"] for entry in app["credentials"]} == keys
    hints = {entry["hint"] for entry in client.app["passwordCredentials"]}
    assert {entry["hint"] for entry in app["credentials"] if entry["what"] == "password"} == hints
    (names,) = [sorted(name for grant in found["grants"] for name in grant["names"])]
    assert "Application.ReadWrite.All" in names
    text = Text(ask(client.tenant).body).text
    for shown in (client.tenant.id, client.app_id, "Dana Developer", "Application.ReadWrite.All", *keys, *hints):
        assert shown in text


def test_S1_credentials_say_how_long_they_live_and_when_they_were_used(client: Client) -> None:
    client.sign_in(client_secret=client.secret)
    client.clock.wait(86400 * 240 - 3600)
    rows = [entry for one in facts_of(client.tenant)["objects"] for entry in one["credentials"]]
    of = {entry["name"]: entry for entry in rows}
    assert of["first"]["last_used"].endswith("Z")
    assert of["pipeline"]["last_used"] == ""
    assert (of["setup 2024"]["expired"], of["first"]["expired"]) == (True, False)
    assert of["first"]["days_left"] == 730 - 240
    assert "expired" in Text(ask(client.tenant).body).text


def test_P7_replication_under_way_is_listed_until_everybody_knows(client: Client) -> None:
    client.tenant.lag = {"application": 30.0, "login": 60.0}
    client.change("application", notes="new")
    (row,) = facts_of(client.tenant)["pending"]
    assert (row["kind"], row["name"], row["deleted"], row["login"]) == (
        "application",
        client.app["displayName"],
        False,
        60,
    )
    assert len(row["replicas"]) == 3
    assert all(0 <= seconds <= 30 for seconds in row["replicas"])
    client.clock.wait(61)
    assert facts_of(client.tenant)["pending"] == []


def test_S3_faults_are_listed_with_how_often_they_struck(lab: Lab, browse: Browser) -> None:
    lab.tenant.faults.add(Fault("status", "^GET /v1.0/me", nth=0, status=429))
    lab.tenant.faults.add(Fault("cut-before", "^GET /v1.0/domains"))
    for _ in range(2):
        assert browse("/v1.0/me", graph=True).status_code == 429
    with pytest.raises(requests.ConnectionError):
        browse("/v1.0/domains", graph=True)
    found = browse("/status.json").json()
    assert [one["struck"] for one in found["faults"]] == [2, 1]
    newest = found["requests"]["newest"]
    assert [(one["method"], one["path"], one["status"]) for one in newest] == [
        ("GET", "/v1.0/domains", 0),
        ("GET", "/v1.0/me", 429),
        ("GET", "/v1.0/me", 429),
    ]
    assert [one["fault"] for one in newest] == [found["faults"][n]["fault"] for n in (1, 0, 0)]
    assert "429" in found["faults"][0]["fault"]
    assert "cut" in Text(browse("/").content).text


def test_S1_a_batch_shows_what_it_asks_for(lab: Lab, browse: Browser) -> None:
    body = json.dumps({"requests": [{"id": "1", "method": "GET", "url": "/me?$select=id"}]})
    browse._session.post(f"{lab.tenant.graph}/v1.0/$batch", data=body, timeout=20)
    (row,) = browse("/status.json").json()["requests"]["newest"]
    assert row["items"] == ["GET /me"]


# no secret


def test_S1_no_secret_and_no_digest_of_one_is_shown(client: Client) -> None:
    client.sign_in(client_secret=client.secret)
    made = client.call("POST", f"/applications/{client.app['id']}/addPassword", {}).json()["secretText"]
    client.call("POST", "/applications", {"displayName": f"my secret is {made}"})
    shown = ask(client.tenant).body.decode() + json.dumps(facts_of(client.tenant))
    digests = [entry["_digest"] for entry in client.app["passwordCredentials"]]
    tokens = [*client.tenant.issued]
    assert len(digests) == 5
    assert tokens
    (kept,) = [value.reveal() for value in client.members.values() if isinstance(value, Secret)]
    for secret in (made, client.secret, *digests, *tokens, kept):
        assert secret not in shown


def test_S1_the_log_keeps_no_query_no_body_and_no_secret_in_a_path(lab: Lab, browse: Browser) -> None:
    secret = lab.tenant.new_secret().reveal()
    browse(f"/v1.0/users/{secret}?code=in-the-query", graph=True, Authorization="Bearer in-a-header")
    shown = browse("/status.json").text + browse("/").text + repr(lab.server.served)
    for word in (secret, "in-the-query", "in-a-header"):
        assert word not in shown
    assert browse("/status.json").json()["requests"]["newest"][0]["path"] == "/v1.0/users/[redacted]"


@pytest.mark.parametrize("times", [1, 2, 3, 15, 40])
def test_P4_the_log_finds_a_secret_however_often_it_is_encoded(times: int) -> None:
    secret = Secret("aB18Q~" + "xyz~.-" * 5 + "abcd").reveal()
    coded = "".join(f"%{ord(letter):02X}" for letter in secret)
    for _ in range(times - 1):
        coded = coded.replace("%", "%25")
    kept = logs.line(f"GET /v1.0/users/{coded}")
    assert kept == ("GET /v1.0/users/[redacted]" if times < 16 else "GET [redacted]")
    assert logs.line("GET /a%2525b") == "GET /a%2525b"


def test_P4_no_log_of_the_server_holds_a_secret_that_is_encoded_twice(lab: Lab, browse: Browser) -> None:
    secret = lab.tenant.new_secret().reveal()
    coded = "".join(f"%25{ord(letter):02X}" for letter in secret)
    browse(f"/v1.0/users/{coded}", graph=True)
    body = json.dumps({"requests": [{"id": "1", "method": "POST", "url": f"/users/{coded}"}]})
    browse._session.post(f"{lab.tenant.graph}/v1.0/$batch", data=body, timeout=20)
    shown = repr(lab.server.served) + repr(lab.tenant.faults.log)
    assert unquote(unquote(shown)).count(secret) == 0
    assert shown.count("/users/[redacted]") == 4


# text stays text


NASTY = "<script>alert(1)</script>"


@pytest.mark.parametrize("name", [NASTY, '"><img src=x onerror=alert(1)>', "</style><b>", "&lt;b&gt;"])
def test_S1_names_from_the_tenant_stay_text(client: Client, name: str) -> None:
    plain = Text(ask(client.tenant).body)
    client.change("application", displayName=name, _owners=[name], _federated=[{"name": name}])
    entry = client.app["passwordCredentials"][0] | {
        "displayName": name,
        "hint": name,
        "keyId": name,
        "endDateTime": name,
    }
    client.change("application", passwordCredentials=[entry])
    client.tenant.scenario = name
    served = Served(f"{name} /{name}", 0, 1, client.tenant.now(), 200, (name,), name)
    response = ask(client.tenant, "/", served)
    seen = Text(response.body)
    assert seen.text.count(name) >= 8
    assert (seen.tags, seen.attributes) == (plain.tags | {"br"}, plain.attributes)
    assert html.escape(name) in response.body.decode()


@pytest.mark.parametrize("name", ["half \ud800", "nul \x00", "turned \u202e around"], ids=["half", "nul", "turned"])
def test_S1_characters_that_cannot_be_shown_are_replaced(client: Client, name: str) -> None:
    client.change("application", displayName=name)
    shown = ask(client.tenant).body.decode()
    assert name.split(maxsplit=1)[0] in shown
    assert name not in shown
    assert not set(shown) & {"\ud800", "\x00", "\u202e"}
    whole = name.encode("utf-8", "backslashreplace").decode()  # half a character is spelled as an escape
    assert any(one["name"] == whole for one in facts_of(client.tenant)["objects"])


# who may look


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_S1_it_answers_to_both_of_its_names(client: Client, host: str) -> None:
    assert ask(client.tenant, host=host).status == 200


@pytest.mark.parametrize("path", ["/", "/status.json"])
@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.example", "localhost.example", "", "[::1]"])
def test_S1_another_name_that_leads_here_is_refused(client: Client, host: str, path: str) -> None:
    response = ask(client.tenant, path, host=host)
    assert (response.status, response.body) == (421, b"")


def test_S1_a_rebound_name_is_refused_over_TLS(browse: Browser) -> None:
    assert browse("/", Host="rebound.example").status_code == 421
    assert browse("/", graph=True).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_S1_it_is_only_looked_at(browse: Browser, method: str) -> None:
    response = browse("/", method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")


def test_S1_HEAD_has_the_headers_alone(browse: Browser) -> None:
    head, whole = browse("/", method="HEAD"), browse("/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.content))


@pytest.mark.parametrize("path", ["/", "/status.json"])
def test_S1_nothing_is_stored_and_nothing_is_loaded(browse: Browser, path: str) -> None:
    response = browse(path)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in response.headers
    if path == "/":
        assert response.headers["Content-Security-Policy"] == page.POLICY
        assert page.POLICY.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in page.POLICY
        assert not re.search(r"https?://(?!127\.0\.0\.1|localhost)", response.text), "no address but its own"
        assert "<script" not in response.text
        assert not re.search(r"\sstyle=", response.text), "which the policy would not let through"


@pytest.mark.parametrize(
    ("query", "seconds"), [("", 0), ("?refresh=5", 5), ("?refresh=x", 0), ("?refresh=-1", 0), ("?refresh=99999", 0)]
)
def test_it_is_loaded_anew_only_when_asked_for(client: Client, query: str, seconds: int) -> None:
    shown = ask(client.tenant, f"/{query}").body.decode()
    assert re.findall(r'http-equiv="refresh" content="(.*?)"', shown) == ([str(seconds)] if seconds else [])


def test_S3_looking_changes_nothing(lab: Lab, browse: Browser) -> None:
    lab.tenant.faults.add(Fault("status", "", nth=0))
    first = browse("/status.json").json()
    assert browse("/").status_code == 200
    second = browse("/status.json").json()
    assert (second["requests"], second["faults"]) == (first["requests"], first["faults"])
    assert (lab.tenant.faults.log, lab.server.served) == ([], [])


# what runs for days


def test_the_logs_of_a_sandbox_are_bounded() -> None:
    log: list[int] = []
    for number in range(5 * logs.KEPT):
        log.append(number)
        logs.bound(log)
        assert len(log) < 2 * logs.KEPT
    assert log[-logs.KEPT :] == list(range(4 * logs.KEPT, 5 * logs.KEPT))


def test_the_page_shows_the_newest_requests_and_counts_the_others() -> None:
    tenant = Tenant(VirtualClock())
    served = [Served(f"GET /{number}", 0, 0.0015, SystemClock().now(), 200) for number in range(facts.SHOWN + 7)]
    found = facts.of(tenant, served)["requests"]
    assert (found["answered"], len(found["newest"])) == (facts.SHOWN + 7, facts.SHOWN)
    assert (found["newest"][0]["path"], found["newest"][0]["ms"]) == (f"/{facts.SHOWN + 6}", 1.5)
    assert "7 older ones are not shown" in Text(ask(tenant, "/", *served).body).text


def test_the_servers_logs_are_bounded(lab: Lab, browse: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT", 3)
    for number in range(20):
        browse(f"/v1.0/users/{number}", graph=True)
    assert len(lab.server.served) < 6
    assert len(lab.tenant.faults.log) < 6
    assert lab.tenant.faults.log[-1] == lab.server.served[-1].line == "GET /v1.0/users/19"
