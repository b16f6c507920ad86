"""Keys and passwords of the pretend directory: what it keeps, shows, and refuses (S1, S2, P8)."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from core.sandbox.directory import registrations
from core.sandbox.directory.store import State
from tests.sandbox.client import Client, expired, key_pair

HOLDERS = [("application", "applications"), ("servicePrincipal", "servicePrincipals")]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture(params=HOLDERS, ids=lambda holder: holder[0])
def holder(request: pytest.FixtureRequest, client: Client) -> tuple[str, str]:
    """Kind and path of the app registration or of its service principal."""
    kind, collection = request.param
    return kind, f"/{collection}/{client.latest(kind)['id']}"


def patch(client: Client, path: str, entries: list[State]) -> int:
    return client.call("PATCH", path, {"keyCredentials": entries}).status


def certificate(key: Any, days: int = 10) -> str:
    """A self-signed certificate of any kind of key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    start = key_pair().not_before
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=days))
    return base64.b64encode(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)).decode()


def test_S1_a_patch_replaces_the_list(client: Client, holder: tuple[str, str]) -> None:
    kind, path = holder
    client.add_key(key_pair(1), kind)
    assert patch(client, path, [client.entry(key_pair(2))]) == 204
    assert [entry["key"] for entry in client.latest(kind)["keyCredentials"]] == [
        base64.b64encode(key_pair(2).der).decode()
    ]
    assert patch(client, path, []) == 204
    assert client.latest(kind)["keyCredentials"] == []


def test_P8_an_entry_sent_back_with_its_id_stays_with_and_without_its_key(
    client: Client, holder: tuple[str, str]
) -> None:
    kind, path = holder
    client.add_key(key_pair(1), kind)
    before = client.latest(kind)["keyCredentials"]
    shown = client.get(f"{path}?$select=keyCredentials")["keyCredentials"]
    listed = client.get(path)["keyCredentials"]
    assert [entry["key"] for entry in listed] == [None] * len(before)
    minimal = [{"keyId": entry["keyId"]} for entry in before]
    for sent in (shown, listed, minimal):
        assert patch(client, path, sent) == 204
        assert client.latest(kind)["keyCredentials"] == before
    assert patch(client, path, [*listed, client.entry(key_pair(2))]) == 204
    assert client.latest(kind)["keyCredentials"][:-1] == before


@pytest.mark.parametrize(
    "change",
    [
        {"displayName": "renamed"},
        {"endDateTime": "2030-01-01T00:00:00Z"},
        {"startDateTime": "2020-01-01T00:00:00Z"},
        {"usage": "Sign"},
        {"type": "Symmetric"},
        {"customKeyIdentifier": "0" * 40},
        {"key": base64.b64encode(key_pair(9).der).decode()},
        {"key": "not base64"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_S2_no_property_of_an_existing_entry_may_change(client: Client, change: State) -> None:
    entry = client.add_key(key_pair(1))
    before = client.app
    sent = [*before["keyCredentials"][:-1], entry | change]
    path = f"/applications/{before['id']}"
    assert client.refused("PATCH", path, {"keyCredentials": sent}) == (400, "Request_BadRequest")
    assert client.app == before


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"endDateTime": "2099-01-01T00:00:00Z"}, "KeyCredentialsInvalidEndDate"),
        ({"endDateTime": "2001-01-01T00:00:00Z"}, "KeyCredentialsInvalidEndDate"),
        ({"endDateTime": "soon"}, "Request_BadRequest"),
        ({"type": "Symmetric"}, "Request_BadRequest"),
        ({"usage": "Encrypt"}, "Request_BadRequest"),
        ({"key": None}, "Request_BadRequest"),
        ({"key": "AAAA"}, "Request_BadRequest"),
        ({"key": "not base64 \u00e4"}, "Request_BadRequest"),
        ({"key": certificate(ec.generate_private_key(ec.SECP256R1()))}, "Request_BadRequest"),
        ({"key": certificate(rsa.generate_private_key(public_exponent=65537, key_size=1024))}, "Request_BadRequest"),
    ],
    ids=["late", "early", "no-date", "type", "usage", "no-key", "no-der", "no-base64", "ec", "rsa-1024"],
)
def test_S2_a_new_entry_that_the_directory_does_not_take(client: Client, change: State, code: str) -> None:
    before = client.app
    body = {"keyCredentials": [*before["keyCredentials"], client.entry(key_pair(1)) | change]}
    assert client.refused("PATCH", f"/applications/{before['id']}", body) == (400, code)
    assert client.app == before


def test_S2_an_expired_entry_blocks_the_write_behind_a_switch(client: Client) -> None:
    old = client.add_key(key_pair(1), endDateTime=expired(key_pair(1)))
    sent = {"keyCredentials": [*client.app["keyCredentials"], client.entry(key_pair(2))]}
    path = f"/applications/{client.app['id']}"
    client.tenant.switches.expired_entry_blocks = True
    assert client.refused("PATCH", path, sent) == (400, "KeyCredentialsInvalidEndDate")
    sent["keyCredentials"].remove(old)
    assert client.call("PATCH", path, sent).status == 204


def test_S2_passwords_are_not_patched(client: Client, holder: tuple[str, str]) -> None:
    kind, path = holder
    before = client.latest(kind)
    body = {"passwordCredentials": [{"displayName": "mine"}]}
    assert client.refused("PATCH", path, body) == (400, "Request_BadRequest")
    assert client.refused("PATCH", path, {"nonsense": 1}) == (400, "Request_BadRequest")
    assert client.latest(kind) == before


@pytest.mark.parametrize(
    "body",
    [{"keyCredentials": "x"}, {"keyCredentials": 1}, {"keyCredentials": ["x"]}, {"keyCredentials": {"a": 1}}, [1], "x"],
)
def test_S2_a_malformed_body_is_refused_in_graphs_envelope(client: Client, body: Any) -> None:
    before = client.app
    status, _ = client.refused("PATCH", f"/applications/{before['id']}", body)
    assert status == 400
    assert client.app["passwordCredentials"] == before["passwordCredentials"]


@pytest.mark.parametrize(("kind", "collection"), HOLDERS)
def test_S1_a_key_is_shown_only_for_a_single_object_that_selects_it(client: Client, kind: str, collection: str) -> None:
    client.add_key(key_pair(1), kind)
    path, by_app = f"/{collection}/{client.latest(kind)['id']}", f"/{collection}(appId='{client.app_id}')"
    listed = f"/{collection}?$filter=appId eq '{client.app_id}'"
    views = [client.get(path), client.get(by_app)]
    views += client.get(f"{listed}&$select=id,keyCredentials")["value"] + client.get(listed)["value"]
    assert len(views) == 4
    assert all(entry["key"] is None for view in views for entry in view["keyCredentials"])
    for single in (path, by_app):
        shown = client.get(f"{single}?$select=keyCredentials")["keyCredentials"]
        assert base64.b64decode(shown[-1]["key"]) == key_pair(1).der
        assert shown[-1]["customKeyIdentifier"] == key_pair(1).thumbprint


def test_S1_passwords_are_added_and_removed_on_each_object_for_itself(client: Client, holder: tuple[str, str]) -> None:
    kind, path = holder
    others = {k: client.latest(k)["passwordCredentials"] for k, _ in HOLDERS if k != kind}
    before = client.latest(kind)["passwordCredentials"]
    response = client.call("POST", f"{path}/addPassword", {"passwordCredential": {"displayName": "new"}})
    added = response.json()
    assert response.status == 200
    assert added["secretText"].startswith(added["hint"])
    assert (len(added["secretText"]), added["displayName"]) == (40, "new")
    shown = client.get(path)["passwordCredentials"]
    del added["@odata.context"]
    assert shown[-1] == added | {"secretText": None}, "the value is given once"
    assert not any(name.startswith("_") for entry in shown for name in entry)
    assert client.sign_in(client_secret=added["secretText"]).status == 200
    body = {"keyId": added["keyId"]}
    assert client.call("POST", f"{path}/removePassword", body).status == 204
    assert client.latest(kind)["passwordCredentials"] == before
    assert client.sign_in(client_secret=added["secretText"]).status == 401
    assert client.refused("POST", f"{path}/removePassword", body) == (400, "Request_BadRequest")
    for other, entries in others.items():
        assert client.latest(other)["passwordCredentials"] == entries


def test_S1_the_applications_password_is_not_one_of_its_principal(client: Client) -> None:
    entry = client.app["passwordCredentials"][0]
    path = f"/servicePrincipals/{client.principal['id']}/removePassword"
    assert client.refused("POST", path, {"keyId": entry["keyId"]}) == (400, "Request_BadRequest")


def test_S1_a_password_has_the_dates_that_were_asked_for(client: Client) -> None:
    wanted = {
        "displayName": "x",
        "startDateTime": "2096-01-01T00:00:00.1234567Z",
        "endDateTime": "2096-01-02T01:00:00+01:00",
    }
    path = f"/applications/{client.app['id']}/addPassword"
    added = client.call("POST", path, {"passwordCredential": wanted}).json()
    assert (added["startDateTime"], added["endDateTime"]) == ("2096-01-01T00:00:00Z", "2096-01-02T00:00:00Z")
    bad = {"passwordCredential": {"endDateTime": "never"}}
    assert client.refused("POST", path, bad) == (400, "Request_BadRequest")


def test_S1_only_a_digest_of_a_password_is_kept(client: Client) -> None:
    assert client.secret
    assert client.secret not in str(client.app)
    entry, secret = registrations.new_password(client.tenant, "x")
    assert secret.reveal() not in str(entry)
