"""Client assertions that somebody tampered with, and that none of them is ever accepted (S1, S2, T5)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.sandbox.http import Response
from core.sandbox.token_service.assertion import ASSERTION_TYPE
from tests.sandbox.client import Client, key_pair, x5t


@pytest.fixture(scope="module")
def trusted() -> Client:
    """A client whose certificate is on the app; its clock stands still, and nothing here changes the app."""
    client = Client()
    client.add_key(key_pair())
    return client


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def send(client: Client, assertion: str) -> Response:
    return client.sign_in(client_assertion_type=ASSERTION_TYPE, client_assertion=assertion)


def refused(response: Response) -> int:
    assert response.status == 401, response.body
    assert response.json()["error"] == "invalid_client"
    (number,) = response.json()["error_codes"]
    return int(number)


def test_T5_what_everything_here_is_made_from_is_accepted(trusted: Client) -> None:
    assert send(trusted, trusted.assertion(key_pair())).status == 200


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.+/ %\n"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_S1_a_changed_assertion_is_never_accepted(trusted: Client, data: st.DataObject) -> None:
    good = trusted.assertion(key_pair())
    place = data.draw(st.integers(0, len(good) - 1))
    change = data.draw(st.sampled_from(["replace", "insert", "delete", "swap", "cut"]))
    letter = data.draw(st.sampled_from(ALPHABET))
    bad = {
        "replace": good[:place] + letter + good[place + 1 :],
        "insert": good[:place] + letter + good[place:],
        "delete": good[:place] + good[place + 1 :],
        "swap": good[:place] + good[place : place + 2][::-1] + good[place + 2 :],
        "cut": good[:place],
    }[change]
    if bad == good:
        return
    response = send(trusted, bad)
    assert response.status in (400, 401), bad
    assert "access_token" not in response.json()


CLAIMS = ("aud", "iss", "sub", "jti", "nbf", "iat", "exp")
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.text(max_size=5), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(claim=st.sampled_from(("aud", "iss", "sub", "exp")), value=JUNK)
def test_S2_a_claim_of_any_kind_is_refused_in_the_services_own_words(trusted: Client, claim: str, value: Any) -> None:
    now = trusted.tenant.now().timestamp()
    if claim == "exp" and isinstance(value, (int, float)) and now - 300 <= value <= now + 86400:
        return
    assert refused(trusted.sign_in_with(key_pair(), **{claim: value})) in (50027, 50048, 700024)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(claim=st.sampled_from(CLAIMS), value=JUNK)
def test_S1_no_claim_breaks_the_service(trusted: Client, claim: str, value: Any) -> None:
    assert trusted.sign_in_with(key_pair(), **{claim: value}).status in (200, 401)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["x5t", "x5t#S256", "x5c", "kid", "crit", "b64", "typ", "jku"]), value=JUNK)
def test_S1_no_header_breaks_the_service(trusted: Client, name: str, value: Any) -> None:
    good = trusted.assertion(key_pair())
    head = json.loads(base64.urlsafe_b64decode(good.split(".")[0] + "=="))
    forged = b64(json.dumps(head | {name: value}).encode()) + good[good.index(".") :]
    assert refused(send(trusted, forged)) in (700027, 50027), "the signature covers the header"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=60), st.lists(st.binary(max_size=30).map(b64), max_size=4).map(".".join)))
def test_S1_garbage_is_refused(trusted: Client, text: str) -> None:
    response = send(trusted, text)
    assert response.status in (400, 401)
    assert "access_token" not in response.json()


# known attacks


def test_S2_a_signature_has_one_spelling(trusted: Client) -> None:
    good = trusted.assertion(key_pair())
    other = {"A": "B", "Q": "R", "g": "h", "w": "x"}[good[-1]]  # 256 bytes leave four bits of the last letter unused
    assert base64.urlsafe_b64decode(good.rpartition(".")[2][:-1] + other + "==") == base64.urlsafe_b64decode(
        good.rpartition(".")[2] + "=="
    )
    assert refused(send(trusted, good[:-1] + other)) == 50027


def test_S2_alg_none_is_refused_whatever_its_case(trusted: Client) -> None:
    good = trusted.assertion(key_pair())
    for name in ("none", "None", "NONE", "nOnE", ""):
        head = b64(json.dumps({"alg": name, **x5t(key_pair())}).encode())
        for signature in ("", good.rpartition(".")[2]):
            assert refused(send(trusted, f"{head}.{good.split('.')[1]}.{signature}")) in (700027, 50027)


@pytest.mark.parametrize("form", ["pem", "der", "certificate"])
def test_S2_the_public_key_is_no_password(trusted: Client, form: str) -> None:
    import hmac

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    certificate = x509.load_der_x509_certificate(key_pair().der)
    secret = {
        "pem": certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "certificate": certificate.public_bytes(Encoding.PEM),
    }[form]
    payload = trusted.assertion(key_pair()).split(".")[1]
    signed = b64(json.dumps({"alg": "HS256", **x5t(key_pair())}).encode()) + f".{payload}"
    forged = f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"
    assert refused(send(trusted, forged)) == 700027


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS384", "PS512"])
def test_T5_other_algorithms_are_refused(trusted: Client, alg: str) -> None:
    assert refused(trusted.sign_in_with(key_pair(), alg=alg)) == 700027


def chain_of(*pairs: Any) -> dict[str, Any]:
    return {"x5c": [base64.b64encode(pair.der).decode() for pair in pairs]}


def test_S2_x5c_must_begin_with_the_certificate_of_the_thumbprint(trusted: Client) -> None:
    own, other = key_pair(), key_pair(1)
    assert trusted.sign_in_with(own, header=x5t(own) | chain_of(own)).status == 200
    assert trusted.sign_in_with(own, header=x5t(own) | chain_of(own, other)).status == 200
    lines = {"x5c": [base64.encodebytes(own.der).decode()]}
    assert trusted.sign_in_with(own, header=x5t(own) | lines).status == 200, "as MSAL sends it"
    bad: list[Any] = [chain_of(other), chain_of(other, own), *({"x5c": value} for value in ([], "x", [1], None))]
    for header in bad:
        assert refused(trusted.sign_in_with(own, header=x5t(own) | header)) == 700027
    assert refused(trusted.sign_in_with(own, header=chain_of(own))) == 700027, "x5c names no key"
    assert refused(trusted.sign_in_with(other, header=x5t(own) | chain_of(other))) == 700027


def test_S2_two_thumbprints_must_be_of_one_key(trusted: Client) -> None:
    own, other = key_pair(), key_pair(1)
    assert trusted.sign_in_with(own, header=x5t(own) | x5t(own, sha256=True)).status == 200
    for header in (x5t(own) | x5t(other, sha256=True), x5t(other) | x5t(own, sha256=True)):
        assert refused(trusted.sign_in_with(own, header=header)) == 700027


def test_T5_times(trusted: Client) -> None:
    now = int(trusted.tenant.now().timestamp())
    assert trusted.sign_in_with(key_pair(), nbf=None, iat=float(now), exp=now + 600.5).status == 200, (
        "as MSAL writes them"
    )
    assert trusted.sign_in_with(key_pair(), nbf=None, iat=None).status == 200
    for claims in (
        {"exp": None},
        {"exp": now + 86400 * 2},
        {"exp": 1e400},
        {"exp": True},
        {"exp": str(now + 300)},
        {"nbf": "0"},
        {"nbf": True},
        {"nbf": None, "iat": now + 86400},
    ):
        assert refused(trusted.sign_in_with(key_pair(), **claims)) == 700024, claims


def test_T5_an_audience_is_one_text_and_this_endpoint(trusted: Client) -> None:
    here = f"{trusted.tenant.authority}/{trusted.tenant.id}/oauth2/v2.0/token"
    bad: list[Any] = [[here], f"{here}/", here.upper(), f"{trusted.tenant.authority}/common/oauth2/v2.0/token", {}]
    for audience in bad:
        assert refused(trusted.sign_in_with(key_pair(), aud=audience)) == 50027


def test_S1_an_assertion_is_of_its_own_app_alone(trusted: Client) -> None:
    other = Client(seed=2)
    other.add_key(key_pair())
    assert refused(send(other, trusted.assertion(key_pair()))) in (50027, 50048)


PAST, FUTURE = {"endDateTime": "2020-01-01T00:00:00Z"}, {"startDateTime": "2999-01-01T00:00:00Z"}


@pytest.mark.parametrize("others", [[PAST], [FUTURE], [PAST, FUTURE]])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", ["application", "servicePrincipal"])
def test_S1_of_two_entries_with_one_certificate_the_one_in_time_counts(
    others: list[dict[str, str]], first: bool, kind: str
) -> None:
    client = Client()
    for values in [{}, *others] if first else [*others, {}]:
        client.add_key(key_pair(), "application" if values else kind, **values)
    assert client.sign_in_with(key_pair()).status == 200


@pytest.mark.parametrize("others", [[PAST], [FUTURE], [PAST, FUTURE]])
def test_S1_of_two_entries_with_one_certificate_one_must_be_in_time(others: list[dict[str, str]]) -> None:
    client = Client()
    for values in others:
        client.add_key(key_pair(), **values)
    assert refused(client.sign_in_with(key_pair())) == 700027
