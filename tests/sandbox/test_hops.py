"""The three hops of an Agent User, by hand and by MSAL, and whatever breaks them (S1, S4; entra-protocol D.4)."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest

from core.entra.tokens import claims_of
from core.sandbox.directory.store import Issued
from core.sandbox.fake_machine.azfolder import InProcess
from core.sandbox.graph import consents
from core.sandbox.http import Response
from core.sandbox.token_service import resources
from tests.sandbox.agents import SCOPE, Chain, token
from tests.sandbox.client import key_pair


@pytest.fixture
def chain() -> Chain:
    return Chain()


def number(response: Response) -> int:
    (found,) = response.json()["error_codes"]
    return int(found)


def test_S1_t1_says_that_the_blueprint_vouches_for_the_agent(chain: Chain) -> None:
    tenant, claims = chain.client.tenant, claims_of(chain.hop1())
    principal = tenant.find("servicePrincipal", "appId", chain.blueprint["appId"])
    assert principal is not None
    assert claims["aud"] == resources.EXCHANGE
    assert (claims["idtyp"], claims["ver"], claims["azp"]) == ("app", "2.0", chain.blueprint["appId"])
    assert claims["oid"] == principal["id"]
    assert claims["iss"] == f"{tenant.authority}/{tenant.id}/v2.0"
    assert claims["sub"].endswith(f"/a/{chain.blueprint['appId']}/{chain.agent['id']}")
    assert not {"roles", "scp", "appid", "xms_par_app_azp"} & claims.keys()


def test_S1_t2_speaks_for_the_agent(chain: Chain) -> None:
    claims = claims_of(chain.hop2())
    assert claims["aud"] == resources.EXCHANGE
    assert (claims["idtyp"], claims["azp"], claims["oid"]) == ("app", chain.agent["id"], chain.agent["id"])
    assert claims["xms_par_app_azp"] == chain.blueprint["appId"]
    assert "11" in claims["xms_act_fct"].split()
    assert not {"roles", "scp"} & claims.keys()


@pytest.mark.parametrize("by", ["user_id", "username"])
def test_S1_t3_is_a_delegated_token_of_the_agent_user(chain: Chain, by: str) -> None:
    who = (
        {"user_id": chain.user["id"]}
        if by == "user_id"
        else {"user_id": "", "username": chain.user["userPrincipalName"]}
    )
    body = chain.hop3(**who).json()
    claims = claims_of(body["access_token"])
    assert (claims["idtyp"], claims["oid"], claims["appid"]) == ("user", chain.user["id"], chain.agent["id"])
    assert (claims["aud"], claims["scp"], claims["ver"]) == (chain.client.tenant.graph, "User.Read", "1.0")
    assert claims["xms_par_app_azp"] == chain.blueprint["appId"]
    assert "11" in claims["xms_act_fct"].split()
    assert "13" in claims["xms_sub_fct"].split()
    assert "refresh_token" not in body, "offline_access was not asked for"
    assert chain.client.get("/me", body["access_token"])["id"] == chain.user["id"]


def test_S1_an_agent_gets_a_token_of_its_own_in_two_hops(chain: Chain) -> None:
    got = token(chain.as_agent(chain.hop1(), scope=f"{chain.client.tenant.graph}/.default"))
    claims = claims_of(got)
    assert (claims["aud"], claims["idtyp"], claims["appid"]) == (chain.client.tenant.graph, "app", chain.agent["id"])
    assert claims["xms_par_app_azp"] == chain.blueprint["appId"]
    assert "roles" not in claims, "it has none"


@pytest.mark.parametrize(("guid", "audience"), [(False, resources.EXCHANGE), (True, resources.EXCHANGE_APP_ID)])
def test_S3_the_audience_of_t1_and_t2_in_both_forms(chain: Chain, guid: bool, audience: str) -> None:
    chain.client.tenant.switches.exchange_guid = guid
    assert {claims_of(chain.hop1())["aud"], claims_of(chain.hop2())["aud"]} == {audience}
    assert chain.hop3().status == 200


@pytest.mark.parametrize("on", [True, False])
def test_S3_a_tenant_without_agent_id_does_not_know_the_grant(chain: Chain, on: bool) -> None:
    chain.client.tenant.switches.agent_id = on
    response = chain.hop3()
    assert (response.status, response.json().get("error")) == ((200, None) if on else (400, "unsupported_grant_type"))


@pytest.mark.parametrize("needed", [True, False])
def test_S3_requested_token_use_may_be_needed(chain: Chain, needed: bool) -> None:
    chain.client.tenant.switches.token_use_required = needed
    assert chain.hop3().status == 200
    assert chain.hop3(requested_token_use="").status == (400 if needed else 200)


# what breaks them


def test_S2_a_first_hop_without_fmi_path_is_worth_nothing(chain: Chain) -> None:
    assert number(chain.as_agent(chain.hop1(path=""))) == 700211


def test_S2_another_blueprints_word_does_not_count(chain: Chain) -> None:
    other = Chain(chain.client)
    foreign = claims_of(other.hop1())
    held = Issued(foreign | {"sub": f"/a/{chain.agent['id']}"}, "access")
    t1 = other.hop1()
    chain.client.tenant.issued[t1] = held
    assert number(chain.as_agent(t1)) == 70021, "it names the right child, and is no parent of it"
    assert number(chain.as_agent(other.hop1())) == 700213


@pytest.mark.parametrize("which", ["blueprint", "app", "user", "nobody"])
def test_S2_the_path_of_the_first_hop_names_a_child_of_the_blueprint(chain: Chain, which: str) -> None:
    path = {
        "blueprint": chain.blueprint["appId"],
        "app": chain.client.app_id,
        "user": chain.user["id"],
        "nobody": "x",
    }[which]
    assert number(chain.as_blueprint(fmi_path=path)) == 70021


def _of_dana(chain: Chain) -> str:
    return chain.client.user_token()


SPOILT: dict[str, tuple[Callable[[Chain], str], int]] = {
    "garbage": (lambda chain: "x", 50027),
    "not issued": (lambda chain: chain.hop2()[:-8] + "AAAAAAAA", 50013),
    "a person's": (_of_dana, 700229),
    "for Graph": (lambda chain: token(chain.client.sign_in(client_secret=chain.client.secret)), 700212),
    "T1": (lambda chain: chain.hop1(), 700213),
    "another agent's": (lambda chain: Chain(chain.client).hop2(), 700213),
    "a refresh token": (lambda chain: "0.x", 50027),
}


@pytest.mark.parametrize("what", SPOILT)
def test_S2_t2_must_be_this_agents_own(chain: Chain, what: str) -> None:
    make, expected = SPOILT[what]
    assert number(chain.hop3(make(chain))) == expected


def test_S2_a_late_t1_or_t2_begins_the_hops_again(chain: Chain) -> None:
    t1, t2 = chain.hop1(), chain.hop2()
    chain.client.clock.waited += 3700
    assert number(chain.as_agent(t1)) == 500133
    assert number(chain.hop3(t2)) == 500133
    assert chain.hop3().status == 200


def test_S2_another_agents_user_a_person_and_nobody_are_refused(chain: Chain) -> None:
    other = chain.person(chain.child(chain.blueprint["appId"])["id"])
    assert number(chain.hop3(user_id=other["id"])) == 700213
    assert number(chain.hop3(user_id=chain.client.tenant.signed_in_user)) == 700213
    assert number(chain.hop3(user_id="x")) == 50034
    chain.client.tenant.commit("user", chain.user["id"], chain.user | {"accountEnabled": False})
    assert number(chain.hop3()) == 50057


def test_S2_consent_is_for_this_user_this_resource_and_these_scopes(chain: Chain) -> None:
    tenant = chain.client.tenant
    assert chain.hop3(scope=f"{tenant.graph}/User.Read").status == 200
    assert number(chain.hop3(scope=f"{tenant.graph}/Mail.Read")) == 65001
    other = chain.person("x")
    for values in ({"principalId": other["id"]}, {"resourceId": "x"}, {"clientId": "x"}):
        tenant.commit(consents.KIND, chain.grant["id"], chain.grant | values)
        assert number(chain.hop3()) == 65001, values
    tenant.commit(consents.KIND, chain.grant["id"], chain.grant | {"consentType": "AllPrincipals", "principalId": None})
    assert chain.hop3().status == 200


def test_S2_an_agent_signs_in_in_no_other_way(chain: Chain) -> None:
    agent = {"client_id": chain.agent["id"]}
    assert number(chain.client.sign_in(**agent, scope=SCOPE, client_secret="x")) == 82001
    assert number(chain.client.sign_in(**agent, scope=SCOPE)) == 7000216
    assert number(chain.as_agent(chain.client.assertion(key_pair(), iss=chain.agent["id"]))) == 82001
    assert number(chain.as_agent(chain.hop1(), grant_type="password", username="x", password="x")) == 82002
    assert number(chain.as_blueprint(scope=f"{chain.client.tenant.graph}/.default")) == 82001
    fic = {"user_federated_identity_credential": chain.hop2(), "user_id": chain.user["id"]}
    assert number(chain.as_blueprint(grant_type="user_fic", **fic)) == 82002


def test_S2_a_disabled_agent_and_a_blueprint_without_principal_are_refused(chain: Chain) -> None:
    tenant, t1 = chain.client.tenant, chain.hop1()
    tenant.commit("servicePrincipal", chain.agent["id"], chain.agent | {"accountEnabled": False})
    assert number(chain.as_agent(t1)) == 7000112
    principal = tenant.find("servicePrincipal", "appId", chain.blueprint["appId"])
    assert principal is not None
    tenant.commit("servicePrincipal", principal["id"], None)
    assert number(chain.as_blueprint()) == 7000229


def test_P7_a_new_agent_is_not_known_at_once(chain: Chain) -> None:
    chain.client.tenant.lag["login"] = 60.0
    new = chain.child(chain.blueprint["appId"])
    assert number(chain.as_blueprint(fmi_path=new["id"])) == 70021
    chain.client.clock.waited += 61
    assert chain.as_blueprint(fmi_path=new["id"]).status == 200


# by a client that nobody here wrote


def msal_client(chain: Chain, client_id: str, credential: Any) -> Any:
    import msal

    return msal.ConfidentialClientApplication(
        client_id,
        client_credential=credential,
        authority=f"{chain.client.tenant.authority}/{chain.client.tenant.id}",
        instance_discovery=False,
        http_client=InProcess(chain.client.tenant),
    )


def test_S4_msal_goes_all_three_hops(chain: Chain) -> None:
    tenant = chain.client.tenant
    tenant.port = 8443  # nothing listens there
    pem = {"private_key": key_pair().pem.reveal(), "public_certificate": ssl.DER_cert_to_PEM_cert(key_pair().der)}
    blueprint = msal_client(chain, chain.blueprint["appId"], pem)
    first = blueprint.acquire_token_for_client([SCOPE], fmi_path=chain.agent["id"])
    assert "access_token" in first, first
    agent = msal_client(chain, chain.agent["id"], {"client_assertion": lambda: first["access_token"]})
    second = agent.acquire_token_for_client([SCOPE])
    assert "access_token" in second, second
    third = agent.acquire_token_by_user_federated_identity_credential(
        [f"{tenant.graph}/.default"], second["access_token"], user_object_id=chain.user["id"]
    )
    assert "access_token" in third, third
    assert claims_of(third["access_token"])["oid"] == chain.user["id"]
    assert third["id_token_claims"]["oid"] == chain.user["id"]
    again = agent.acquire_token_silent(
        [f"{tenant.graph}/User.Read"], account=agent.get_accounts()[0], force_refresh=True
    )
    assert claims_of(again["access_token"])["scp"] == "User.Read", again
    refused = agent.acquire_token_by_user_federated_identity_credential(
        [f"{tenant.graph}/Mail.Read"], second["access_token"], user_object_id=chain.user["id"]
    )
    assert (refused["error"], refused["suberror"], refused["error_codes"]) == (
        "invalid_grant",
        "consent_required",
        [65001],
    )


def test_S1_storage_is_a_resource_once_the_tenant_has_it(chain: Chain) -> None:
    scope = "https://storage.azure.com/.default"
    assert number(chain.hop3(scope=scope)) == 500011
    storage = chain.child("") | {"@odata.type": "", "appId": resources.STORAGE_APP_ID}
    chain.client.tenant.commit("servicePrincipal", storage["id"], storage)
    chain.consent(chain.agent["id"], "", storage["id"], "user_impersonation")
    claims = claims_of(token(chain.hop3(scope=scope)))
    assert (claims["aud"], claims["scp"]) == ("https://storage.azure.com", "user_impersonation")
    assert chain.client.refused("GET", "/me", token=token(chain.hop3(scope=scope)))[0] == 401


def test_S1_ids_may_be_written_in_capitals_on_all_hops(chain: Chain) -> None:
    agent, user = chain.agent["id"].upper(), chain.user["id"].upper()
    assert (agent, user) != (chain.agent["id"], chain.user["id"])
    t2 = chain.hop2(chain.hop1(agent))
    claims = claims_of(chain.hop3(t2, client_id=agent, user_id=user).json()["access_token"])
    assert (claims["oid"], claims["appid"]) == (chain.user["id"], chain.agent["id"])
