"""Every fault, switched on from a scenario file and seen by a client that nobody here wrote (S3, P7, P11)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from core.config.cloud import load as load_cloud
from core.config.profile import Profile
from core.entra.graph import Graph
from core.entra.http import Session
from core.entra.tokens import Token
from core.errors import Effected, GraphError, NetworkError
from core.events import Event, Waiting
from core.sandbox.directory.store import State
from core.sandbox.faults import Fault, Kind
from core.sandbox.lab import Lab
from core.sandbox.token_service.tokens import AZURE_CLI, user_token
from core.secret import Secret
from tests.machine import VirtualClock

ME = "^GET /v1.0/me"


class Stand:
    """A sandbox by a scenario file, a client of it, and the product's own."""

    def __init__(self, path: Path, clock: VirtualClock) -> None:
        self.clock = clock
        self.lab = Lab.start(str(path), clock=clock, sign_in=False)
        self.tenant = self.lab.tenant
        self.client = requests.Session()
        self.client.trust_env = False  # a CA of the environment would win over this one
        self.client.verify = str(self.lab.ca)
        self.events: list[Event] = []
        self.asked: list[bool] = []
        cloud = load_cloud(str(self.lab.cloud_file))
        self.session = Session(cloud, clock)
        self.graph = Graph(self.session, cloud, self._token, clock, self.events.append)

    def _token(self, again: bool) -> Token:
        self.asked.append(again)
        user = self.tenant.latest("user", self.tenant.signed_in_user)
        assert user is not None
        return Token(Secret(user_token(self.tenant, user, self.tenant.graph, AZURE_CLI)), {})

    def call(self, path: str = "/me", method: str = "GET", body: Any = None) -> requests.Response:
        """One request to Graph by `requests`."""
        headers = {"Authorization": f"Bearer {self._token(False).value.reveal()}"}
        return self.client.request(method, f"{self.tenant.graph}/v1.0{path}", headers=headers, json=body, timeout=20)

    def sign_in(self) -> requests.Response:
        """One request to the token endpoint: a device code."""
        url = f"{self.tenant.authority}/organizations/oauth2/v2.0/devicecode"
        return self.client.post(url, data={"client_id": "x", "scope": "y"}, timeout=20)

    def statuses(self, times: int, path: str = "/me") -> list[int]:
        """The status of one read after the other."""
        return [self.call(path).status_code for _ in range(times)]

    @property
    def app(self) -> State:
        found = self.tenant.find("application", "displayName", Profile.app_display_name)
        assert found is not None
        return found

    @property
    def principal(self) -> State:
        found = self.tenant.find("servicePrincipal", "displayName", Profile.app_display_name)
        assert found is not None
        return found

    @property
    def faults(self) -> list[Fault]:
        return self.tenant.faults.script

    def close(self) -> None:
        self.client.close()
        self.session.close()
        self.lab.close()


Start = Callable[[str], Stand]


@pytest.fixture
def start(tmp_path: Path, clock: VirtualClock) -> Iterator[Start]:
    """Start a sandbox by the text of a scenario file."""
    stands: list[Stand] = []

    def begin(text: str) -> Stand:
        path = tmp_path / f"{len(stands)}.toml"
        path.write_text(text, encoding="utf-8")
        stands.append(Stand(path, clock))
        return stands[-1]

    yield begin
    for stand in stands:
        stand.close()


def fault(kind: str, **keys: Any) -> str:
    """One fault as TOML."""
    return "\n".join(["[[fault]]", *(f"{key} = {json.dumps(value)}" for key, value in {"kind": kind, **keys}.items())])


def saboteur(do: str, **keys: Any) -> str:
    """One saboteur as TOML."""
    return "\n".join(["[[saboteur]]", *(f"{key} = {json.dumps(value)}" for key, value in {"do": do, **keys}.items())])


# which requests


@pytest.mark.parametrize(
    ("keys", "struck"),
    [
        ({}, [1]),
        ({"nth": 3}, [3]),
        ({"every": 2}, [2, 4, 6]),
        ({"range": [2, 4]}, [2, 3, 4]),
        ({"range": [5, 0]}, [5, 6]),
        ({"host": "localhost", "nth": 2}, [2]),
        ({"host": "127.0.0.1", "every": 1}, []),
        ({"match": "^PATCH", "every": 1}, []),
        ({"match": "/v1[.]0/(me|organization)$", "nth": 4}, [4]),
    ],
    ids=str,
)
def test_S3_a_fault_strikes_the_requests_that_it_names(start: Start, keys: dict[str, Any], struck: list[int]) -> None:
    stand = start(fault("status", status=503, **keys))
    answers = stand.statuses(6)
    assert [n for n, status in enumerate(answers, 1) if status == 503] == struck
    assert {status for status in answers if status != 503} <= {200}
    assert stand.faults[0].struck == len(struck)


def test_S3_chance_is_decided_by_the_seed(start: Start) -> None:
    text = fault("status", status=503, chance=0.4)
    first, again, other = (start(f"seed = {seed}\n{text}").statuses(30) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert 3 <= first.count(503) <= 24


def test_S3_chance_does_not_depend_on_what_else_is_asked(start: Start) -> None:
    text = f"seed = 3\n{fault('status', status=503, chance=0.4)}"
    alone = start(text).statuses(10)
    stand, mixed = start(text), []
    for _ in range(10):
        stand.call("/organization")
        mixed.append(stand.call().status_code)
    assert mixed == alone


def test_S3_a_fault_between_two_moments_of_the_tenants_clock(start: Start, clock: VirtualClock) -> None:
    stand = start(fault("status", status=503, since=60, until=120))
    seen = []
    for _ in range(5):
        seen.append(stand.call().status_code)
        clock.wait(40)
    assert seen == [200, 200, 503, 200, 200]


# statuses


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "InvalidAuthenticationToken"),
        (403, "Authorization_RequestDenied"),
        (404, "Request_ResourceNotFound"),
        (405, "Request_BadRequest"),
        (409, "Directory_ConcurrencyViolation"),
        (410, "Gone"),
        (412, "resourceModified"),
        (413, "RequestEntityTooLarge"),
        (423, "Locked"),
        (429, "TooManyRequests"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        (504, "gatewayTimeout"),
    ],
)
def test_P11_a_status_has_graphs_envelope_and_surfaces_with_code_and_request_id(
    start: Start, status: int, code: str
) -> None:
    stand = start(fault("status", status=status, match="/me$", every=1))
    response = stand.call()
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error["innerError"]["request-id"] == response.headers["request-id"]
    assert ("WWW-Authenticate" in response.headers) is (status == 401)
    with pytest.raises(GraphError) as caught:
        stand.graph.get("/me", "read who is signed in")
    told = caught.value.as_dict()
    assert (told["status"], told["code"]) == (status, code)
    assert len(told["request_id"]) == 36
    assert told["request_id"] != "00000000-0000-0000-0000-000000000000"
    assert told["date"].startswith(str(stand.tenant.now().year))
    assert told["remedy"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (302, "Found"),
        (401, "InvalidAuthenticationToken"),
        (403, "AuthorizationFailed"),
        (404, "NotFound"),
        (405, "MethodNotAllowed"),
        (418, "UnknownError"),
        (502, "BadGateway"),
        (507, "InternalServerError"),
    ],
)
def test_S3_a_status_has_resource_managers_code(start: Start, status: int, code: str) -> None:
    stand = start(fault("status", status=status, match="/subscriptions$", message="Two\nlines."))
    url = f"{stand.tenant.authority}/subscriptions?api-version=2022-12-01"
    response = stand.client.get(url, timeout=20, allow_redirects=False)
    assert (response.status_code, response.json()["error"]) == (status, {"code": code, "message": "Two\nlines."})


@pytest.mark.parametrize("path", ["/subscriptions?api-version=2022-12-01", "/v1.0/me"])
def test_S3_a_scripted_401_has_the_challenge_of_a_genuine_one(start: Start, path: str) -> None:
    stand = start(fault("status", status=401, nth=2))
    origin = stand.tenant.graph if path.startswith("/v1.0") else stand.tenant.authority
    answers = [stand.client.get(f"{origin}{path}", headers={"Authorization": "Bearer x"}, timeout=20) for _ in range(2)]
    genuine, scripted = (response.headers["WWW-Authenticate"] for response in answers)
    assert genuine == scripted
    assert answers[0].json()["error"]["code"] == answers[1].json()["error"]["code"]
    assert answers[1].json()["error"]["message"] == "By script."


def test_S3_ids_of_scripted_answers_differ_within_a_run_and_are_the_same_in_the_next(start: Start) -> None:
    text = "\n".join(fault("status", status=429, nth=1) for _ in range(3))
    first, again = ([stand.call().headers["request-id"] for _ in range(3)] for stand in (start(text), start(text)))
    assert first == again
    assert len(set(first)) == 3


def test_S3_any_status_with_any_code(start: Start) -> None:
    stand = start(fault("status", status=418, code="Teapot_Short", message="And stout."))
    response = stand.call()
    assert response.status_code == 418
    assert {key: response.json()["error"][key] for key in ("code", "message")} == {
        "code": "Teapot_Short",
        "message": "And stout.",
    }


def test_P11_a_200_with_an_error_is_an_error(start: Start) -> None:
    stand = start(fault("status", status=200, code="Odd_Success", match="/me$"))
    with pytest.raises(GraphError, match="Odd_Success"):
        stand.graph.get("/me", "read who is signed in")


def test_P7_retry_after_in_seconds_as_a_date_and_missing(start: Start, clock: VirtualClock) -> None:
    stand = start(
        "\n".join(
            (
                fault("status", status=429, retry_after=20, nth=1),
                fault("status", status=429, retry_after=40, retry_after_as="date", nth=1),
                fault("status", status=429, nth=1),
            )
        )
    )
    asked = [stand.call().headers.get("Retry-After") for _ in range(3)]
    assert asked[0] == "20"
    assert asked[1] is not None
    assert abs((parsedate_to_datetime(asked[1]) - clock.now()).total_seconds() - 40) < 3
    assert asked[2] is None
    for again in stand.faults:
        again.seen = 0
    assert stand.graph.get("/me", "read who is signed in")["userPrincipalName"].startswith("dana")
    waits = [event.expected for event in stand.events if isinstance(event, Waiting)]
    assert waits == [20, 40, 8], "as long as it was asked to, and by its own schedule where nothing was said"


def test_P7_a_refused_token_is_renewed_once(start: Start) -> None:
    stand = start(fault("status", status=401, match="/me$", nth=1))
    assert stand.graph.get("/me", "read who is signed in")["id"] == stand.tenant.signed_in_user
    assert stand.asked == [False, True, False]


def test_S3_a_gateways_page_instead_of_an_error(start: Start) -> None:
    stand = start(fault("status", status=502, body="html", match="/me$", range=[1, 2]))
    response = stand.call()
    assert (response.status_code, response.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert "<h1>502 Bad Gateway</h1>" in response.text
    assert stand.graph.get("/me", "read who is signed in")["id"] == stand.tenant.signed_in_user, "a read is repeated"


def test_S3_a_status_without_a_body(start: Start) -> None:
    response = start(fault("status", status=503, body="empty")).call()
    assert (response.status_code, response.content) == (503, b"")


@pytest.mark.parametrize(
    ("keys", "error", "number"),
    [
        ({"status": 429}, "temporarily_unavailable", 90055),
        ({"status": 503}, "temporarily_unavailable", 90033),
        ({"status": 400}, "invalid_request", 90023),
        ({"status": 400, "code": "AADSTS50196"}, "invalid_request", 50196),
        ({"status": 401}, "invalid_client", 700027),
    ],
    ids=str,
)
def test_S3_the_token_endpoint_words_its_errors_in_its_own_way(
    start: Start, keys: dict[str, Any], error: str, number: int
) -> None:
    body = start(fault("status", match="/devicecode$", **keys)).sign_in().json()
    assert (body["error"], body["error_codes"]) == (error, [number])
    assert body["error_description"].startswith(f"AADSTS{number}: ")
    assert f"Trace ID: {body['trace_id']} Correlation ID: {body['correlation_id']}" in body["error_description"]


@pytest.mark.parametrize(("effect", "named"), [(None, False), (False, False), (True, True)])
def test_S3_a_status_after_the_effect(start: Start, effect: bool | None, named: bool) -> None:
    keys = {} if effect is None else {"effect": effect}
    stand = start(fault("status", status=504, match="^PATCH", **keys))
    path = f"/applications/{stand.app['id']}"
    assert stand.call(path, "PATCH", {"notes": "changed"}).status_code == 504
    assert (stand.app["notes"] == "changed") is named


@pytest.mark.parametrize("effect", [False, True])
def test_P11_an_ambiguous_answer_is_looked_after_before_it_is_repeated(start: Start, effect: bool) -> None:
    stand = start(fault("status", status=504, match="^PATCH", effect=effect))
    path, looked = f"/applications/{stand.app['id']}", []

    def settled() -> bool:
        looked.append(True)
        return bool(stand.graph.get(path, "look")["notes"] == "changed")

    stand.graph.write("PATCH", path, {"notes": "changed"}, "change the notes", settled)
    patches = [line for line in stand.tenant.faults.log if line.startswith("PATCH")]
    assert (len(looked), len(patches)) == (1, 1 if effect else 2)
    assert stand.app["notes"] == "changed"


# a batch


def _batch(stand: Stand, *urls: str) -> dict[str, Any]:
    items = [{"id": url, "method": "GET", "url": url} for url in urls]
    return {reply["id"]: reply for reply in stand.call("/$batch", "POST", {"requests": items}).json()["responses"]}


def test_S3_an_item_of_a_batch_is_struck_alone(start: Start) -> None:
    stand = start(fault("status", status=429, retry_after=7, match="^GET /me$", nth=2))
    for expected in (200, 429, 200):
        replies = _batch(stand, "/me", "/organization")
        assert replies["/organization"]["status"] == 200
        assert replies["/me"]["status"] == expected
        assert (replies["/me"]["headers"].get("Retry-After") == "7") is (expected == 429)
    assert stand.faults[0].struck == 1


@pytest.mark.parametrize("body", ["html", "empty"])
def test_P11_an_item_of_a_batch_without_json_is_an_error_of_that_item(start: Start, body: str) -> None:
    stand = start(fault("status", status=502, match="^GET /me$", every=1, body=body))
    here, there = stand.graph.batch([("/me", "read the user"), ("/organization", "read the tenant")])
    assert isinstance(here, GraphError)
    assert (here.status, here.code) == (502, "unknown")
    assert not isinstance(there, GraphError)


def test_S3_an_item_of_a_batch_is_carried_out_although_it_fails(start: Start) -> None:
    stand = start(fault("status", status=500, match="^PATCH /applications", effect=True))
    url = f"/applications/{stand.app['id']}"
    item = {"id": "1", "method": "PATCH", "url": url, "body": {"notes": "changed"}}
    item["headers"] = {"Content-Type": "application/json"}
    (reply,) = stand.call("/$batch", "POST", {"requests": [item]}).json()["responses"]
    assert reply["status"] == 500
    assert stand.app["notes"] == "changed"


@pytest.mark.parametrize(("method", "url"), [("get", "organization"), ("GET", "/%6Frganization")])
def test_S3_a_batch_is_cut_however_the_item_is_spelled(start: Start, method: str, url: str) -> None:
    stand = start(fault("cut-before", match="^GET /organization$"))
    with pytest.raises(requests.ConnectionError):
        stand.call("/$batch", "POST", {"requests": [{"id": "1", "method": method, "url": url}]})
    assert stand.tenant.faults.log == ["POST /v1.0/$batch"], "it reads, whatever its spelling"


def test_S3_a_batch_is_cut_when_it_carries_an_item(start: Start) -> None:
    stand = start(fault("cut-before", match="^GET /organization$"))
    assert set(_batch(stand, "/me")) == {"/me"}
    with pytest.raises(requests.ConnectionError):
        _batch(stand, "/me", "/organization")


# answers that are none


@pytest.mark.parametrize(("kind", "carried_out"), [("cut-before", False), ("cut-after", True)])
def test_S3_a_connection_is_cut_before_or_after_the_effect(start: Start, kind: str, carried_out: bool) -> None:
    stand = start(fault(kind, match="^PATCH"))
    with pytest.raises(requests.ConnectionError):
        stand.call(f"/applications/{stand.app['id']}", "PATCH", {"notes": "changed"})
    assert (stand.app["notes"] == "changed") is carried_out
    with pytest.raises(NetworkError) as caught:
        start(fault(kind, match="/me$", every=1)).graph.get("/me", "read who is signed in")
    assert (caught.value.id, caught.value.effected) == ("network.unreachable", Effected.UNKNOWN)


@pytest.mark.parametrize(("path", "method"), [("/me", "GET"), ("/applications/{}", "PATCH")])
def test_S3_half_a_body(start: Start, path: str, method: str) -> None:
    stand = start(fault("half-body", match=f"^{method}"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        stand.call(path.format(stand.app["id"]), method, {"notes": "changed"} if method == "PATCH" else None)
    assert stand.app["notes"] == ("changed" if method == "PATCH" else None)
    assert stand.call().status_code == 200


def test_P11_half_a_body_may_have_been_carried_out_and_a_read_is_repeated(start: Start) -> None:
    stand = start(fault("half-body", match="/me$", range=[1, 2]))
    assert stand.graph.get("/me", "read who is signed in")["id"] == stand.tenant.signed_in_user
    other = start(fault("half-body", match="/me$", every=1))
    with pytest.raises(NetworkError) as caught:
        other.session.call("GET", f"{other.tenant.graph}/v1.0/me")
    assert (caught.value.id, caught.value.effected) == ("network.unreachable", Effected.UNKNOWN)


SPOILED: list[tuple[Kind, str | None, bytes]] = [
    ("not-json", "text/html; charset=utf-8", b"<h1>Sign in to the network</h1>"),
    ("wrong-type", "text/html; charset=utf-8", b'"userPrincipalName"'),
    ("empty", None, b""),
]


@pytest.mark.parametrize(("kind", "content_type", "body"), SPOILED)
def test_S3_a_200_that_is_not_what_it_says(start: Start, kind: Kind, content_type: str | None, body: bytes) -> None:
    response = start(fault(kind)).call()
    assert (response.status_code, response.headers.get("Content-Type")) == (200, content_type)
    assert body in response.content


@pytest.mark.parametrize("kind", ["not-json", "empty"])
def test_P11_what_is_no_json_is_never_taken_for_an_object(start: Start, kind: str) -> None:
    stand = start(fault(kind, match="/me$"))
    assert stand.graph.get("/me", "read who is signed in")["id"] == stand.tenant.signed_in_user, "a read is repeated"
    with pytest.raises(NetworkError) as caught:
        start(fault(kind, match="/me$", every=1)).graph.get("/me", "read who is signed in")
    assert (caught.value.id, caught.value.effected) == ("network.garbage", Effected.UNKNOWN)
    assert caught.value.remedy


@pytest.mark.parametrize("kind", ["not-json", "empty", "half-body"])
@pytest.mark.parametrize("effect", [False, True])
def test_S3_a_spoiled_answer_before_or_after_the_effect(start: Start, kind: str, effect: bool) -> None:
    stand = start(fault(kind, match="^PATCH", effect=effect))
    path = f"/applications/{stand.app['id']}"
    if kind == "half-body":
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            stand.call(path, "PATCH", {"notes": "changed"})
    else:
        assert stand.call(path, "PATCH", {"notes": "changed"}).status_code == 200
    assert (stand.app["notes"] == "changed") is effect


@pytest.mark.parametrize("kind", ["tls-handshake", "tls-stranger"])
def test_S3_a_connection_that_fails_in_its_handshake(start: Start, kind: str) -> None:
    stand = start(fault(kind, nth=2))
    assert stand.call().status_code == 200
    reason = "CERTIFICATE_VERIFY_FAILED" if kind == "tls-stranger" else "EOF|alert"
    with pytest.raises(requests.exceptions.SSLError, match=reason):
        stand.call()
    assert stand.call().status_code == 200
    assert stand.tenant.faults.log == ["GET /v1.0/me"] * 2, "no request came with that connection"


def test_P11_a_stranger_is_named_and_not_asked_again(start: Start) -> None:
    stand = start(fault("tls-stranger", every=1))
    with pytest.raises(NetworkError) as caught:
        stand.graph.get("/me", "read who is signed in")
    assert caught.value.id == "network.untrusted"
    assert stand.faults[0].struck == 1


def test_S3_only_the_connections_to_one_host_fail(start: Start) -> None:
    stand = start(fault("tls-handshake", every=1, host="127.0.0.1"))
    assert stand.call().status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        stand.sign_in()


def test_S3_latency_fixed_and_in_a_range(start: Start, clock: VirtualClock) -> None:
    stand = start(fault("latency", seconds=0.3, nth=1) + "\n" + fault("latency", seconds=[0.1, 0.2], nth=2))
    took = []
    for _ in range(3):
        begin = clock.monotonic()
        assert stand.call().status_code == 200
        took.append(clock.monotonic() - begin)
    assert took[0] >= 0.3
    assert took[1] >= 0.1
    delays = [stand.faults[1].delay("GET /v1.0/me") for _ in range(5)]
    assert len(set(delays)) == 5
    assert all(0.1 <= delay <= 0.2 for delay in delays)


def test_S3_latency_and_a_status_strike_together(start: Start, clock: VirtualClock) -> None:
    stand = start(fault("latency", seconds=0.2, every=1) + "\n" + fault("status", status=503, every=1))
    begin = clock.monotonic()
    assert stand.call().status_code == 503
    assert clock.monotonic() - begin >= 0.2
    assert [each.struck for each in stand.faults] == [1, 1]


# a directory that is not of one mind


def test_P7_a_stale_replica_sees_does_not_see_and_sees_again(start: Start) -> None:
    stand = start(fault("stale", of="application", seconds=60, match="^GET /v1.0/applications/", range=[2, 3]))
    created = stand.call("/applications", "POST", {"displayName": "new"}).json()
    assert stand.statuses(5, f"/applications/{created['id']}") == [200, 404, 404, 200, 200]
    assert stand.faults[0].struck == 2


def test_P7_a_stale_replica_knows_what_was_there_before_and_the_former_state(start: Start, clock: VirtualClock) -> None:
    stand = start(fault("stale", of="application", seconds=60, match="^GET", every=2))
    path = f"/applications/{stand.app['id']}"
    assert stand.statuses(2, path) == [200, 200], "what was there at the start is known everywhere"
    clock.wait(100)
    for notes in ("first", "second", "third"):
        stand.call(path, "PATCH", {"notes": notes})
        clock.wait(25)
    assert [stand.call(path).json()["notes"] for _ in range(4)] == ["third", "first", "third", "first"]
    clock.wait(60)
    assert [stand.call(path).json()["notes"] for _ in range(2)] == ["third", "third"]
    assert stand.call(f"/servicePrincipals/{stand.principal['id']}").status_code == 200, "that kind does not lag"


def test_P7_lag_is_seeded_and_belongs_to_a_kind_of_object(start: Start, clock: VirtualClock) -> None:
    def pattern(text: str) -> list[int]:
        stand = start(text)
        created = stand.call("/applications", "POST", {"displayName": "new"}).json()
        seen = []
        for _ in range(15):
            clock.wait(3)
            seen += stand.statuses(1, f"/applications/{created['id']}")
        return seen

    lagging = "seed = {}\n[lag]\napplication = 40\n"
    first = pattern(lagging.format(5))
    assert 404 in first
    assert first[-1] == 200
    assert pattern(lagging.format(5)) == first
    assert 404 not in pattern("[lag]\nservicePrincipal = 40\n")


@pytest.mark.parametrize("minutes", [-10, 10])
def test_S3_a_clock_that_is_wrong_shows_in_dates_and_in_tokens(start: Start, clock: VirtualClock, minutes: int) -> None:
    stand = start(f"clock_skew = {minutes * 60}\n" + fault("status", status=503, nth=2))
    for response in (stand.call(), stand.call()):  # a fault's answer is dated likewise
        off = parsedate_to_datetime(response.headers["Date"]) - clock.now()
        assert abs(off - timedelta(minutes=minutes)) < timedelta(seconds=3)
    token = stand.tenant.issued[stand._token(False).value.reveal()].claims
    assert abs(datetime.fromtimestamp(token["iat"], clock.now().tzinfo) - clock.now()) > timedelta(minutes=9)
    stand.graph.get("/me", "read who is signed in")
    assert abs(stand.session.skew - minutes * 60) < 3


# a saboteur


@pytest.mark.parametrize("on", ["application", "servicePrincipal"])
@pytest.mark.parametrize(("when", "seen"), [("before", 1), ("after", 0)])
def test_S3_a_saboteur_adds_a_password_before_or_after_a_request(start: Start, on: str, when: str, seen: int) -> None:
    stand = start('scenario = "clean"\n' + saboteur("add-password", on=on, when=when, match="^GET"))
    path = f"/applications/{stand.app['id']}" if on == "application" else f"/servicePrincipals/{stand.principal['id']}"
    assert len(stand.call(path).json()["passwordCredentials"]) == seen
    (entry,) = stand.call(path).json()["passwordCredentials"]
    assert entry["displayName"] == "Mallory Malice"
    assert stand.faults[0].struck == 1


def test_S3_a_saboteur_replaces_the_keys_and_removes_one(start: Start) -> None:
    stand = start("\n".join((saboteur("replace-keys", nth=2), saboteur("remove-key", key="oldest", nth=3))))
    path = f"/applications/{stand.app['id']}"
    names = []
    for _ in range(4):
        names.append([key["displayName"] for key in stand.call(path).json()["keyCredentials"]])
    assert names == [[f"{Profile.subject} build-agent-7"]] * 2 + [["Mallory Malice"], []]


@pytest.mark.parametrize(("key", "left"), [("newest", "build-agent-7"), ("oldest", "another")])
def test_S3_a_saboteur_removes_the_newest_or_the_oldest_key(start: Start, key: str, left: str) -> None:
    stand = start(saboteur("remove-key", key=key))
    other = stand.app["keyCredentials"][0] | {"keyId": stand.tenant.new_id(), "displayName": "another"}
    keys = [*stand.app["keyCredentials"], other]
    stand.tenant.commit("application", stand.app["id"], stand.app | {"keyCredentials": keys})
    stand.call()
    (entry,) = stand.app["keyCredentials"]
    assert left in entry["displayName"]


def test_S3_a_saboteur_deletes_the_app_and_its_principal(start: Start) -> None:
    stand = start(saboteur("delete-app"))
    path, principal = f"/applications/{stand.app['id']}", f"/servicePrincipals/{stand.principal['id']}"
    assert [stand.call(each).status_code for each in (path, path, principal)] == [200, 404, 404]
    assert stand.call(f"/directory/deletedItems/{path.rpartition('/')[2]}").json()["deletedDateTime"]


def test_S3_a_saboteur_changes_the_owner(start: Start) -> None:
    stand = start(saboteur("change-owner"))
    path = f"/applications/{stand.app['id']}/owners"
    owners = [[each["displayName"] for each in stand.call(path).json()["value"]] for _ in range(2)]
    assert owners == [["Dana Developer"], ["Mallory Malice"]]


def test_S3_a_saboteur_without_an_app_does_nothing(start: Start) -> None:
    stand = start('scenario = "fresh"\n' + saboteur("delete-app"))
    assert stand.call().status_code == 200


# what the status page shows


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            fault("status", status=429, code="Slow", retry_after=20, match="^PATCH", every=3),
            "429 Slow, Retry-After 20 s: 1 in 3 of ^PATCH",
        ),
        (fault("cut-after", range=[2, 0]), "connection cut after the effect: from number 2 on of all requests"),
        (
            fault("latency", seconds=[0.5, 3], host="localhost", chance=0.5),
            "0.5 to 3 s late: every one of all requests, to localhost, with chance 0.5",
        ),
        (
            fault("stale", of="application", seconds=60, since=10, until=30),
            "application as of 60 s ago: every one of all requests, from 10 s, until 30 s",
        ),
        (fault("tls-stranger", nth=2), "certificate of another CA: number 2 of connections"),
        (
            saboteur("remove-key", match="^PATCH"),
            "somebody: remove-key newest on application after the effect: number 1 of ^PATCH",
        ),
    ],
)
def test_S3_a_fault_says_in_one_line_what_it_does(start: Start, text: str, shown: str) -> None:
    (each,) = start(text).faults
    assert str(each) == shown
    assert each.struck == 0
