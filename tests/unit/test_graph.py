"""Microsoft Graph over TLS: what is repeated, what is asked again, and what is an error (P11, M8, C4)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from core.config.cloud import GRAPH_APP_ID
from core.config.cloud import load as load_cloud
from core.entra import application, permissions
from core.entra.answers import read
from core.entra.graph import TRIES, Graph
from core.entra.http import Credential, Response, Session
from core.entra.tokens import Token
from core.errors import Caller, Effected, GraphError, NetworkError, SetupError
from core.events import Event, Waiting
from core.sandbox import http
from core.sandbox.directory import registrations
from core.sandbox.faults import Fault, Kind
from core.sandbox.lab import Lab
from core.sandbox.token_service.tokens import AZURE_CLI, user_token
from core.secret import Secret
from tests.machine import VirtualClock


@dataclass
class Site:
    """A client in front of a sandbox."""

    lab: Lab
    clock: VirtualClock
    events: list[Event] = field(default_factory=list)
    tokens: list[bool] = field(default_factory=list)
    value: Token | None = None

    def __post_init__(self) -> None:
        cloud = self.cloud = load_cloud(str(self.lab.cloud_file))
        self.graph = Graph(Session(cloud, self.clock), cloud, self.token, self.clock, self.events.append)
        self.app = next(iter(self.lab.tenant.all_seen("application", 0)))
        self.path = f"/applications/{self.app['id']}"

    def token(self, again: bool) -> Token:
        self.tokens.append(again)
        if again or self.value is None:
            user = self.lab.tenant.latest("user", self.lab.tenant.signed_in_user)
            assert user is not None
            self.value = Token(Secret(user_token(self.lab.tenant, user, self.lab.tenant.graph, AZURE_CLI)), {})
        return self.value

    def asked(self, method: str = "") -> int:
        return sum(line.startswith(method) for line in self.lab.tenant.faults.log)

    def fail(self, kind: Kind, nth: int = 1, match: str = "", **how: Any) -> None:
        self.lab.tenant.faults.add(Fault(kind, match, nth, **how))

    def rename(self, name: str, settled: Callable[[], bool] | None = None) -> dict[str, Any]:
        return self.graph.write("PATCH", self.path, {"displayName": name}, "rename", settled)

    def renamed(self, name: str) -> bool:
        return bool(self.graph.get(self.path, "read")["displayName"] == name)

    @property
    def pauses(self) -> list[float]:
        return [event.next_in for event in self.events if isinstance(event, Waiting)]

    def pretend(self, change: Callable[[http.Request, http.Response], http.Response]) -> None:
        """Change the sandbox's answers on their way."""
        handle = self.lab.server.handle
        self.lab.server.handle = lambda tenant, request: change(request, handle(tenant, request))


@pytest.fixture
def site(start_lab: Callable[[str], Lab], clock: VirtualClock) -> Site:
    return Site(start_lab("clean"), clock)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
@pytest.mark.parametrize("retry_after", [None, 7])
def test_P11_a_read_is_repeated_after_a_transient_failure(site: Site, status: int, retry_after: int | None) -> None:
    site.fail("status", status=status, retry_after=retry_after)
    site.fail("status", status=status, retry_after=retry_after)
    assert site.renamed(site.app["displayName"])
    assert site.asked() == 3
    assert site.pauses == ([2, 4] if retry_after is None else [7, 7])
    assert site.clock.waited == sum(site.pauses)


def test_a_read_is_given_up_after_some_tries(site: Site) -> None:
    site.fail("status", nth=0, status=503)
    with pytest.raises(GraphError) as caught:
        site.graph.get(site.path, "read the app")
    assert (caught.value.status, caught.value.exit_code, caught.value.effected) == (503, 7, Effected.UNKNOWN)
    assert site.asked() == TRIES
    assert site.pauses == [2, 4, 8, 15]


def test_a_wait_that_nobody_would_sit_through_is_not_begun(site: Site) -> None:
    site.fail("status", nth=0, status=429, retry_after=3600)
    with pytest.raises(GraphError) as caught:
        site.graph.get(site.path, "read")
    assert (caught.value.retry_after, site.asked(), site.clock.waited) == (3600, 1, 0)


@pytest.mark.parametrize("kind", ["cut-before", "cut-after"])
def test_M8_a_read_is_repeated_after_a_cut(site: Site, kind: Kind) -> None:
    site.fail(kind)
    assert site.renamed(site.app["displayName"])


def test_M8_a_write_that_was_cut_after_its_effect_is_not_repeated(site: Site) -> None:
    site.fail("cut-after", match="^PATCH")
    assert site.rename("new", lambda: site.renamed("new")) == {}
    assert (site.asked("PATCH"), site.asked("GET")) == (1, 1)


@pytest.mark.parametrize("fault", [("cut-before", 0), ("status", 500), ("status", 503)])
def test_M8_a_write_without_effect_is_repeated_after_a_look(site: Site, fault: tuple[Kind, int]) -> None:
    site.fail(fault[0], match="^PATCH", status=fault[1])
    site.rename("new", lambda: site.renamed("new"))
    assert (site.asked("PATCH"), site.asked("GET")) == (2, 1)
    assert site.renamed("new")


@pytest.mark.parametrize("fault", [("cut-after", 0), ("status", 500)])
def test_M8_a_write_whose_effect_cannot_be_seen_is_not_repeated(site: Site, fault: tuple[Kind, int]) -> None:
    site.fail(fault[0], match="^PATCH", status=fault[1])
    with pytest.raises(SetupError) as caught:
        site.rename("new")
    assert caught.value.effected is Effected.UNKNOWN, "it may have happened"
    assert site.asked("PATCH") == 1


def test_a_throttled_write_is_repeated_without_a_look(site: Site) -> None:
    site.fail("status", match="^PATCH", status=429, retry_after=3)
    site.rename("new")
    assert (site.asked("PATCH"), site.asked("GET"), site.pauses) == (2, 0, [3])


@pytest.mark.parametrize(
    ("status", "effected"),
    [
        (400, Effected.NO),
        (403, Effected.NO),
        (404, Effected.NO),
        (501, Effected.UNKNOWN),
        (507, Effected.UNKNOWN),
    ],
)
def test_M5_only_an_answer_that_proves_it_says_that_nothing_happened(
    site: Site, status: int, effected: Effected
) -> None:
    site.fail("status", match="^PATCH", status=status)
    with pytest.raises(GraphError) as caught:
        site.rename("new", lambda: False)
    assert (caught.value.status, caught.value.effected, site.asked("PATCH")) == (status, effected, 1)


def test_M5_a_refusal_after_a_doubtful_try_proves_nothing(site: Site) -> None:
    site.fail("cut-after", match="^PATCH")
    site.fail("status", match="^PATCH", status=403)
    with pytest.raises(GraphError) as caught:
        site.rename("new", lambda: False)
    assert caught.value.status == 403
    assert caught.value.effected is Effected.UNKNOWN


@pytest.mark.parametrize(("doubtful", "effected"), [(False, Effected.NO), (True, Effected.UNKNOWN)])
@pytest.mark.parametrize("status", [403, 409, 429])
def test_M5_after_an_earlier_request_no_refusal_proves_anything(
    site: Site, doubtful: bool, effected: Effected, status: int
) -> None:
    site.fail("status", match="^PATCH", status=status)
    with pytest.raises(GraphError) as caught:
        site.graph.write("PATCH", site.path, {"displayName": "new"}, "rename", once=True, doubtful=doubtful)
    assert (caught.value.status, caught.value.effected) == (status, effected)


def test_M5_of_several_writes_each_answer_tells_of_its_own(site: Site) -> None:
    told = [{"id": str(n), "status": status, "body": {}} for n, status in enumerate((204, 400, 403, 429, 503))]
    site.pretend(lambda request, response: http.answer(200, {"responses": told}))
    answers = site.graph.batch_once([("PATCH", site.path, {}, "rename")] * len(told))
    effected = [answer.effected if isinstance(answer, GraphError) else Effected.YES for answer in answers]
    assert effected == [Effected.YES, Effected.NO, Effected.NO, Effected.NO, Effected.UNKNOWN]
    reads = [answer for answer in site.graph.batch([("/me", "look")] * 3) if isinstance(answer, GraphError)]
    assert {answer.effected for answer in reads} == {Effected.UNKNOWN}


@pytest.mark.parametrize("status", [403, 404])
def test_M5_a_look_that_is_refused_tells_nothing_of_an_effect(site: Site, status: int) -> None:
    site.fail("status", match="^GET", status=status)
    with pytest.raises(GraphError) as caught:
        site.renamed("new")
    assert (caught.value.status, caught.value.effected) == (status, Effected.UNKNOWN)


def test_M5_a_request_that_was_never_sent_proves_something_of_a_write_alone(site: Site) -> None:
    def no_token(again: bool) -> Credential:
        raise NetworkError("network.unreachable", effected=Effected.NO, host="h", detail="d")

    graph = Graph(Session(site.cloud, site.clock), site.cloud, no_token, site.clock, site.events.append)

    def write(*, doubtful: bool) -> None:
        graph.write("PATCH", site.path, {}, "rename", once=doubtful, doubtful=doubtful)

    asks: list[tuple[Callable[[], object], Effected]] = [
        (lambda: write(doubtful=False), Effected.NO),
        (lambda: write(doubtful=True), Effected.UNKNOWN),
        (lambda: graph.get(site.path, "read"), Effected.UNKNOWN),
    ]
    for ask, effected in asks:
        with pytest.raises(NetworkError) as caught:
            ask()
        assert caught.value.effected is effected


def test_a_refused_token_is_replaced_once(site: Site) -> None:
    site.value = Token(Secret("stale"), {})
    assert site.renamed(site.app["displayName"])
    assert site.tokens == [False, True, False]
    site.fail("status", nth=0, status=401)
    with pytest.raises(GraphError) as caught:
        site.graph.get(site.path, "read")
    assert caught.value.status == 401
    assert site.tokens.count(True) == 2
    assert site.clock.waited == 0


@pytest.mark.parametrize("size", [1, 2, 100])
def test_all_pages_are_read(site: Site, size: int) -> None:
    tenant = site.lab.tenant
    tenant.switches.page_size = size
    for number in range(4):
        app = registrations.new_application(tenant, f"app & 'more' {number}")
        tenant.commit("application", app["id"], app)
    found = list(site.graph.pages("/applications?$select=id,displayName", "list"))
    assert sorted(item["id"] for item in found) == sorted(app["id"] for app in tenant.all_seen("application", 0))
    assert site.asked("GET") == -(-5 // size)


@pytest.mark.parametrize("link", ["https://evil.example/v1.0/applications", "http://localhost/v1.0/x", "/v1.0/x"])
def test_C4_a_next_link_to_another_origin_is_refused(site: Site, link: str) -> None:
    def change(request: http.Request, response: http.Response) -> http.Response:
        return http.answer(200, {**response.json(), "@odata.nextLink": link})

    site.pretend(change)
    with pytest.raises(NetworkError) as caught:
        list(site.graph.pages("/applications", "list"))
    assert (caught.value.id, caught.value.exit_code, site.asked()) == ("network.origin", 7, 1)


def test_a_batch_gives_a_body_or_an_error_per_read(site: Site) -> None:
    good, missing, wrong = site.graph.batch(
        (
            (f"{site.path}?$select=id", "read one"),
            (f"/applications/{site.lab.tenant.new_id()}", "read another"),
            ("/applications?$filter=tags/$count gt 1", "read a third"),
        )
    )
    assert isinstance(good, dict)
    assert good["id"] == site.app["id"]
    assert isinstance(missing, GraphError)
    assert (missing.status, missing.code) == (404, "Request_ResourceNotFound")
    assert missing.details["action"] == "read another"
    assert missing.details["request_id"] != "unknown"
    assert isinstance(wrong, GraphError)
    assert wrong.code == "Request_UnsupportedQuery"
    assert site.asked() == 1


def test_P7_machines_that_are_asked_to_wait_equally_long_do_not_come_back_together(site: Site) -> None:
    cloud = load_cloud(str(site.lab.cloud_file))
    for seed in range(8):
        graph = Graph(
            Session(cloud, site.clock), cloud, site.token, site.clock, site.events.append, chance=Random(seed)
        )
        site.fail("status", status=429, retry_after=7)
        graph.get(site.path, "read")
    assert len(set(site.pauses)) == 8
    assert all(7 <= seconds <= 9.5 for seconds in site.pauses), "never before that time, and soon after it"


def test_only_the_transient_items_of_a_batch_are_repeated(site: Site) -> None:
    asked: list[list[str]] = []

    def change(request: http.Request, response: http.Response) -> http.Response:
        asked.append([item["url"] for item in request.json()["requests"]])
        body = response.json()
        if len(asked) == 1:
            body["responses"][0] |= {"status": 429, "headers": {"Retry-After": "9"}, "body": {}}
        return http.answer(200, body)

    site.pretend(change)
    answers = site.graph.batch([(site.path, "a"), (f"{site.path}/owners", "b")])
    assert not any(isinstance(answer, GraphError) for answer in answers)
    assert asked == [[site.path, f"{site.path}/owners"], [f"{site.path}/owners"]]
    assert site.pauses == [9]


def test_a_batch_that_leaves_one_out_is_an_error(site: Site) -> None:
    site.pretend(lambda request, response: http.answer(200, {"responses": response.json()["responses"][1:]}))
    with pytest.raises(SetupError) as caught:
        site.graph.batch([(site.path, "a"), (f"{site.path}/owners", "b")])
    assert caught.value.id == "graph.batch"


def test_P11_a_200_with_an_error_member_is_an_error(site: Site) -> None:
    site.pretend(lambda request, response: http.answer(200, {"error": {"code": "Odd", "message": "No."}}))
    with pytest.raises(GraphError) as caught:
        site.graph.get(site.path, "read the app")
    assert caught.value.code == "Odd"
    assert caught.value.details["message"] == "No."


ENVELOPE = {"code": "Some_Code", "message": "Sentence."}


@pytest.mark.parametrize("inner", ["innerError", "innererror"])
def test_P11_code_request_id_and_date_are_kept(inner: str) -> None:
    body = {"error": ENVELOPE | {inner: {"request-id": "r-1", "date": "d-1"}}}
    with pytest.raises(GraphError) as caught:
        read(Response(400, {"request-id": "other"}, json.dumps(body).encode(), "h"), "do it")
    assert (caught.value.code, caught.value.details["request_id"], caught.value.details["date"]) == (
        "Some_Code",
        "r-1",
        "d-1",
    )


@pytest.mark.parametrize(
    ("members", "details"),
    [
        ({"details": [{"code": "InvalidKeyEndDate", "target": "EndDate"}]}, ("InvalidKeyEndDate",)),
        ({"details": [{"code": "A"}, {"code": "B"}, {"code": "A"}, {"target": "x"}, "x"]}, ("A", "B")),
        ({"innerError": {"code": "C", "innererror": {"code": "D"}}}, ("C", "D")),
        ({"details": [{"code": "A"}], "innererror": {"code": "Some_Code"}}, ("A",)),
        ({"details": {"code": "A"}, "innerError": ["x"]}, ()),
        ({"details": [{"code": None}, {"code": 7}, {"code": ""}]}, ()),
    ],
)
def test_P11_codes_inside_an_error_are_kept(members: dict[str, Any], details: tuple[str, ...]) -> None:
    with pytest.raises(GraphError) as caught:
        read(Response(400, {}, json.dumps({"error": ENVELOPE | members}).encode(), "h"), "do it")
    assert caught.value.inner_codes == details
    assert caught.value.as_dict()["details"] == list(details)
    assert caught.value.code == "Some_Code"
    assert all(code in caught.value.summary for code in details)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"retry-after": " 3 "}, 3),
        ({"Retry-After": "Wed, 01 Jan 2026 00:00:30 GMT", "Date": "Wed, 01 Jan 2026 00:00:00 GMT"}, 30),
        ({"Retry-After": "Wed, 01 Jan 2026 00:00:00 GMT", "Date": "Wed, 01 Jan 2026 00:00:30 GMT"}, 0),
        ({"Retry-After": "Wed, 01 Jan 2026 00:00:30 GMT"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "\u00b2"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_both_spellings(headers: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(GraphError) as caught:
        read(Response(429, headers, b"<html>slow down</html>", "h"), "x")
    assert (caught.value.retry_after, caught.value.code) == (seconds, "unknown")


@pytest.mark.parametrize("error", ["text", None, [], {"code": None}, {"innerError": None}, {"innerError": "x"}])
def test_P11_a_strange_error_member_is_still_a_graph_error(error: object) -> None:
    with pytest.raises(GraphError):
        read(Response(400, {}, json.dumps({"error": error}).encode(), "h"), "x")


def test_a_page_instead_of_json_is_named_as_such() -> None:
    with pytest.raises(NetworkError) as caught:
        read(Response(404, {}, b"<html>", "graph.example"), "x")
    assert caught.value.id == "network.garbage"


CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}'
CHALLENGE = base64.b64encode(CLAIMS.encode()).decode()
KNOWN = Caller("tenant-1", "app-1")


def refused(status: int, header: str, message: str = "No.", caller: Caller = KNOWN) -> GraphError:
    body = {"error": {"code": "InvalidAuthenticationToken", "message": message}}
    with pytest.raises(GraphError) as caught:
        read(Response(status, {"WWW-Authenticate": header}, json.dumps(body).encode(), "h"), "do it", caller)
    return caught.value


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("spelled", [CHALLENGE, CHALLENGE.rstrip("="), CHALLENGE.replace("+", "-").replace("/", "_")])
def test_P11_the_claims_of_a_challenge_reach_the_command_that_answers_it(status: int, spelled: str) -> None:
    error = refused(status, f'Bearer realm="", error="insufficient_claims", claims="{spelled}"')
    assert (error.id, error.exit_code) == ("graph.challenged", 4)
    assert f'az logout, then: az login --tenant tenant-1 --claims-challenge "{CHALLENGE}"' in error.remedy


@pytest.mark.parametrize("claims", ["", '$(reboot)"; x', "a b", "é"])
def test_P11_claims_that_are_none_become_part_of_no_command(claims: str) -> None:
    error = refused(401, f'Bearer error="insufficient_claims", claims="{claims}"')
    assert error.id == "graph.challenged"
    assert '--claims-challenge "' not in error.remedy
    assert claims not in error.remedy or not claims


def test_P11_a_challenge_in_words_alone_is_one_too() -> None:
    assert refused(401, "", "Continuous access evaluation resulted in challenge").id == "graph.challenged"
    assert refused(401, 'Bearer error="invalid_token"').id == "graph.refused"
    assert refused(404, "", "Continuous access evaluation").id == "graph.refused"


def test_P11_the_token_of_an_app_is_not_renewed_by_a_person() -> None:
    app = Caller("tenant-1", "app-1", app=True)
    for error in (refused(401, f'claims="{CHALLENGE}"', caller=app), refused(401, "", caller=app)):
        assert error.id in ("graph.challenged-app", "graph.unaccepted")
        assert "az login" not in error.remedy
        assert "app-1" in error.remedy


@pytest.mark.parametrize(("status", "told"), [(429, "wait"), (502, "later"), (503, "later"), (504, "later")])
def test_P11_a_gateway_that_names_no_code_is_no_unknown_code(status: int, told: str) -> None:
    with pytest.raises(GraphError) as caught:
        read(Response(status, {}, b"<html>gateway</html>", "h"), "do it")
    assert (caught.value.id, caught.value.exit_code) == ("graph.refused", 7)
    assert told in caught.value.remedy.lower()
    assert "table" not in caught.value.remedy


# answers that are JSON, and not what is documented


class Told(Graph):
    """Gives answers that were noted before."""

    def __init__(self, answers: list[dict[str, Any] | GraphError]) -> None:
        self.answers = answers

    def batch(self, reads: Sequence[tuple[str, str]]) -> list[dict[str, Any] | GraphError]:
        return list(self.answers)

    def get(self, path: str, action: str) -> dict[str, Any]:
        answer = self.answers[0]
        assert isinstance(answer, dict)
        return answer


def places(value: object) -> Iterator[tuple[str | int, ...]]:
    """Where anything stands in a structure."""
    pairs: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, item in pairs:
        yield (key,)
        yield from ((key, *rest) for rest in places(item))


def spoilt(value: Any, place: tuple[str | int, ...], junk: object) -> Any:
    """A copy with something else, or with nothing, in one place."""
    copy = deepcopy(value)
    holder = copy
    for key in place[:-1]:
        holder = holder[key]
    if junk is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = junk
    return copy


JUNK: list[Any] = [..., None, 7, True, "x", "\ud800", "P99999999999999Y", [], [None], [[1]], {}, {"a": 1}]


def test_P11_whatever_an_app_registration_looks_like_it_is_read_or_a_named_error(site: Site) -> None:
    """One member at a time replaced by junk: an app, or an error with an id and a remedy, never a crash."""
    app = site.app
    site.lab.tenant.commit(
        "application", app["id"], app | {"_federated": [{"id": "f", "name": "n", "issuer": "i", "subject": "s"}]}
    )
    noted: list[list[dict[str, Any] | GraphError]] = []
    batch = site.graph.batch

    def note(reads: Sequence[tuple[str, str]]) -> list[dict[str, Any] | GraphError]:
        noted.append(batch(reads))
        return noted[-1]

    site.graph.batch = note  # type: ignore[method-assign]
    application.read(site.graph, app["appId"])
    (answers,) = noted
    bodies = [{} if isinstance(answer, GraphError) else answer for answer in answers]
    named = 0
    for place in places(bodies):
        for junk in JUNK if len(place) > 1 else ():
            try:
                read = application.read(Told(spoilt(bodies, place, junk)), app["appId"])
            except SetupError as error:
                assert error.summary
                assert error.remedy
                named += error.id == "graph.garbled"
            else:
                assert read is None or (read.describe() and isinstance(read.app_id, str))
    assert named > 50


def test_P11_whatever_microsoft_graph_says_that_it_offers_is_read_or_a_named_error(site: Site) -> None:
    path = f"/servicePrincipals(appId='{GRAPH_APP_ID}')?$select=id,appRoles"
    answer = site.graph.get(path, "read")
    answer["appRoles"] = answer["appRoles"][:2]
    for place in places(answer):
        for junk in JUNK:
            try:
                _, offered = permissions.read_offered(Told([spoilt(answer, place, junk)]))
            except SetupError as error:
                assert error.id == "graph.garbled"
            else:
                assert all(isinstance(part, str) for pair in offered.items() for part in pair)


@pytest.mark.parametrize("value", [None, 7, "text", {"a": 1}, [None], ["text"], [[]]], ids=str)
def test_P11_a_list_that_lists_no_objects_is_a_named_error(site: Site, value: Any) -> None:
    site.pretend(lambda request, answer: http.answer(200, {"value": value}))
    with pytest.raises(SetupError) as caught:
        list(site.graph.pages("/applications", "list the apps"))
    assert (caught.value.id, caught.value.exit_code) == ("graph.garbled", 7)
    assert "list the apps" in caught.value.summary
