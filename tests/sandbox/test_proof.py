"""addKey and removeKey of the pretend Graph: no proof, no key (S1, S2, P8; entra-protocol B.4)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from core.sandbox.directory import registrations
from core.sandbox.directory.store import State
from tests.sandbox.chain import BLUEPRINTS, EVERY, Chain
from tests.sandbox.client import Client, expired, key_pair, x5t

MALFORMED = (401, "Authentication_MissingOrMalformed")
BAD = (400, "Request_BadRequest")
BP = "AgentIdentityBlueprint"


@pytest.fixture
def client() -> Client:
    """Calls as the app itself, without any role."""
    client = Client()
    client.token = client.app_token()
    return client


@pytest.fixture(params=["application", "servicePrincipal"])
def kind(request: pytest.FixtureRequest, client: Client) -> str:
    """What has the key `bundle(1)`."""
    client.add_key(key_pair(1), request.param)
    return str(request.param)


def path_of(client: Client, kind: str) -> str:
    return f"/{kind}s/{client.latest(kind)['id']}"


def keys(client: Client, kind: str) -> list[str]:
    return [entry["keyId"] for entry in client.latest(kind)["keyCredentials"]]


def adding(client: Client, proof: Any, **values: Any) -> State:
    entry = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(key_pair(2).der).decode()}
    return {"keyCredential": entry, "passwordCredential": None, "proof": proof, **values}


def test_P8_a_key_is_added_beside_the_others_and_signs_in(client: Client, kind: str) -> None:
    before = keys(client, kind)
    proof = client.proof(key_pair(1), client.latest(kind)["id"])
    made = client.call("POST", f"{path_of(client, kind)}/addKey", adding(client, proof))
    assert made.status == 200
    body = made.json()
    assert (body["key"], body["type"], body["usage"]) == (None, "AsymmetricX509Cert", "Verify")
    assert body["customKeyIdentifier"] == key_pair(2).thumbprint
    assert keys(client, kind) == [*before, body["keyId"]]
    assert client.sign_in_with(key_pair(2)).status == 200
    again = adding(client, proof)
    again["keyCredential"]["keyId"] = body["keyId"]
    assert client.refused("POST", f"{path_of(client, kind)}/addKey", again) == BAD


def test_P8_a_key_is_removed_by_the_new_one(client: Client, kind: str) -> None:
    old = keys(client, kind)[-1]
    new = client.add_key(key_pair(2), kind)["keyId"]
    body = {"keyId": old, "proof": client.proof(key_pair(2), client.latest(kind)["id"])}
    path = f"{path_of(client, kind)}/removeKey"
    unnamed = client.call("POST", path, {"proof": body["proof"]}).json()["error"]
    assert unnamed["message"] == "Property 'keyId' is required."
    assert client.call("POST", path, body).status == 204
    assert old not in keys(client, kind)
    assert new in keys(client, kind)
    assert client.refused("POST", path, body) == BAD, "it is not there any more"
    assert client.sign_in_with(key_pair(1)).json()["error_codes"] == [700027]


@pytest.mark.parametrize("allowed", [False, True])
def test_S2_the_key_that_signs_may_remove_itself_with_a_switch(client: Client, kind: str, allowed: bool) -> None:
    client.tenant.switches.remove_signing_key = allowed
    key = keys(client, kind)[-1]
    body = {"keyId": key, "proof": client.proof(key_pair(1), client.latest(kind)["id"])}
    assert client.call("POST", f"{path_of(client, kind)}/removeKey", body).status == (204 if allowed else 400)
    assert (key in keys(client, kind)) is not allowed


@pytest.mark.parametrize("allowed", [False, True])
def test_S2_a_proof_is_signed_rs256_and_ps256_with_a_switch(client: Client, kind: str, allowed: bool) -> None:
    client.tenant.switches.proof_ps256 = allowed
    holder = client.latest(kind)["id"]
    path = f"{path_of(client, kind)}/addKey"
    modern = adding(client, client.proof(key_pair(1), holder, alg="PS256"))
    assert client.call("POST", path, modern).status == (200 if allowed else 401)
    assert client.call("POST", path, adding(client, client.proof(key_pair(1), holder))).status == 200


@pytest.mark.parametrize(
    "header",
    [
        {},
        x5t(key_pair(1)),
        x5t(key_pair(1), padded=True),
        x5t(key_pair(1), sha256=True),
        {"kid": key_pair(1).thumbprint},
        {"kid": key_pair(1).thumbprint, **x5t(key_pair(1))},
    ],
    ids=["none", "x5t", "padded", "sha256", "kid", "both"],
)
def test_S1_the_key_is_named_in_any_usual_way(client: Client, kind: str, header: dict[str, str]) -> None:
    proof = client.proof(key_pair(1), client.latest(kind)["id"], header=header)
    assert client.call("POST", f"{path_of(client, kind)}/addKey", adding(client, proof)).status == 200


Spoil = Callable[[Client, str], Any]
SPOILT: dict[str, Spoil] = {
    "no proof": lambda client, holder: None,
    "no JWT": lambda client, holder: "x.y",
    "padded": lambda client, holder: client.proof(key_pair(1), holder) + "==",
    "another's signature": lambda client, holder: client.proof(key_pair(1), holder, signed_by=key_pair(3)),
    "another's key": lambda client, holder: client.proof(key_pair(3), holder),
    "another's key, unnamed": lambda client, holder: client.proof(key_pair(3), holder, header={}),
    "another's name": lambda client, holder: client.proof(key_pair(1), holder, header=x5t(key_pair(3))),
    "the app id": lambda client, holder: client.proof(key_pair(1), client.app_id),
    "no issuer": lambda client, holder: client.proof(key_pair(1), holder, iss=None),
    "Microsoft Graph": lambda client, holder: client.proof(key_pair(1), holder, aud=client.tenant.graph),
    "its GUID": lambda client, holder: client.proof(key_pair(1), holder, aud="00000003-0000-0000-c000-000000000000"),
    "no audience": lambda client, holder: client.proof(key_pair(1), holder, aud=None),
    "no beginning": lambda client, holder: client.proof(key_pair(1), holder, nbf=None),
    "no end": lambda client, holder: client.proof(key_pair(1), holder, exp=None),
    "eleven minutes": lambda client, holder: client.proof(key_pair(1), holder, exp=_now(client) + 660),
    "over": lambda client, holder: client.proof(key_pair(1), holder, nbf=_now(client) - 1200, exp=_now(client) - 600),
    "not yet": lambda client, holder: client.proof(key_pair(1), holder, nbf=_now(client) + 600, exp=_now(client) + 900),
    "backwards": lambda client, holder: client.proof(key_pair(1), holder, nbf=_now(client), exp=_now(client) - 10),
    "text for a time": lambda client, holder: client.proof(key_pair(1), holder, exp="soon"),
}


def _now(client: Client) -> int:
    return int(client.tenant.now().timestamp())


@pytest.mark.parametrize("spoilt", SPOILT)
def test_S2_a_proof_that_does_not_hold_is_401_and_changes_nothing(client: Client, kind: str, spoilt: str) -> None:
    before = client.latest(kind)
    client.tenant.switches.remove_signing_key = True
    proof = SPOILT[spoilt](client, before["id"])
    path = path_of(client, kind)
    assert client.refused("POST", f"{path}/addKey", adding(client, proof)) == MALFORMED
    assert client.refused("POST", f"{path}/removeKey", {"keyId": keys(client, kind)[-1], "proof": proof}) == MALFORMED
    assert client.latest(kind) == before
    good = client.proof(key_pair(1), before["id"])
    assert client.call("POST", f"{path}/addKey", adding(client, good)).status == 200


@pytest.mark.parametrize(
    "change", [{"endDateTime": "past"}, {"startDateTime": "2099-01-01T00:00:00Z"}, {"usage": "Sign"}]
)
def test_S2_a_key_that_is_not_valid_now_proves_nothing(client: Client, change: State) -> None:
    entry = change if change.get("endDateTime") != "past" else {"endDateTime": expired(key_pair(1))}
    client.add_key(key_pair(1), **entry)
    proof = client.proof(key_pair(1), client.app["id"])
    assert client.refused("POST", f"{path_of(client, 'application')}/addKey", adding(client, proof)) == MALFORMED


def test_S2_without_any_key_there_is_nothing_to_prove_with(client: Client) -> None:
    client.change("application", keyCredentials=[])
    proof = client.proof(key_pair(1), client.app["id"])
    assert client.refused("POST", f"{path_of(client, 'application')}/addKey", adding(client, proof)) == MALFORMED


def test_S2_the_applications_key_proves_nothing_for_its_principal(client: Client) -> None:
    client.add_key(key_pair(1))
    for holder in (client.app["id"], client.principal["id"]):
        body = adding(client, client.proof(key_pair(1), holder))
        assert client.refused("POST", f"{path_of(client, 'servicePrincipal')}/addKey", body) == MALFORMED


def test_S2_a_person_is_refused_whatever_the_role(client: Client, kind: str) -> None:
    body = adding(client, client.proof(key_pair(1), client.latest(kind)["id"]))
    assert client.refused("POST", f"{path_of(client, kind)}/addKey", body, client.user_token()) == MALFORMED


def test_S2_another_app_needs_the_right_to_write(client: Client) -> None:
    other = registrations.new_application(client.tenant, "other")
    other["keyCredentials"] = registrations.keys_of(client.tenant, [client.entry(key_pair(1))])
    client.tenant.commit("application", other["id"], other)
    body = adding(client, client.proof(key_pair(1), other["id"]))
    path = f"/applications/{other['id']}/addKey"
    assert client.refused("POST", path, body) == (403, "Authorization_RequestDenied")
    assert client.call("POST", path, body, client.app_token("Application.ReadWrite.All")).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"keyCredential": None},
        {"keyCredential": {"type": "X509CertAndPassword", "usage": "Sign", "key": "AAAA"}},
        {"keyCredential": {"type": "AsymmetricX509Cert", "usage": "Verify", "key": "AAAA"}},
        {"passwordCredential": {"secretText": "x"}},
    ],
    ids=["none", "with password", "no certificate", "password"],
)
def test_S2_only_a_certificate_is_added(client: Client, change: State) -> None:
    client.add_key(key_pair(1))
    body = adding(client, client.proof(key_pair(1), client.app["id"]), **change)
    assert client.refused("POST", f"{path_of(client, 'application')}/addKey", body) == BAD


def test_S2_a_policy_counts_for_added_keys_too() -> None:
    client = Client("policy")
    client.token = client.app_token()
    client.add_key(key_pair(1))
    body = adding(client, client.proof(key_pair(1), client.app["id"]))
    refused = client.refused("POST", f"{path_of(client, 'application')}/addKey", body)
    assert refused == (400, "CredentialInvalidLifetimeAsPerAppPolicy")


def test_S3_a_replica_that_has_not_seen_the_key_takes_no_proof_of_it(client: Client) -> None:
    client.tenant.lag = {"application": 40}
    client.add_key(key_pair(1))
    body = adding(client, client.proof(key_pair(1), client.app["id"]))
    path = f"{path_of(client, 'application')}/addKey"
    assert client.refused("POST", path, body) == MALFORMED
    client.clock.waited += 41
    assert client.call("POST", path, adding(client, client.proof(key_pair(1), client.app["id"]))).status == 200


def test_A9_a_blueprints_key_is_added_by_whoever_may_change_its_credentials() -> None:
    chain = Chain(Client())
    client = chain.client
    blueprint = chain.blueprint(keyCredentials=[client.entry(key_pair(1))])
    path = f"{BLUEPRINTS}/{blueprint['id']}"
    body = adding(client, client.proof(key_pair(1), blueprint["id"]))
    others = [role for role in EVERY if role not in (f"{BP}.AddRemoveCreds.All", f"{BP}.ReadWrite.All")]
    assert client.refused("POST", f"{path}/addKey", body, client.app_token(*others))[0] == 403
    added = client.call("POST", f"{path}/addKey", body, client.app_token(f"{BP}.AddRemoveCreds.All"))
    assert added.status == 200
    removal = {"keyId": added.json()["keyId"], "proof": body["proof"]}
    assert client.call("POST", f"{path}/removeKey", removal).status == 204
