"""The table of the service's codes, and how they are read from an answer (P11, U5)."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import core
from core.errors import codes
from core.errors.codes import Refusal, fill, of_graph, of_token, read, table

#: AADSTS codes that a setup can meet: the app's credentials, tenant and cloud, federation, consent, a person's sign-in.
AADSTS = """
16000 50001 50003 50012 50013 50014 50020 50027 50033 50034 50048 50053 50055 50056 50057 50058 50059 50064 50072 50074
50076 50078 50079 50089 50097 50105 50126 50131 50132 50133 50144 50158 50173 50194 50196 51004 53000 53001 53002 53003
53011 65001 65004 70000 70001 70003 70008 70011 70016 70018 70019 70021 70025 70043 82001 82002 90002 90006 90012 90013
90014 90019 90023 90024 90033 90038 90055 90094 90095 90099 90119 90120 90124 90130 500011 500021 500022 500133 500212
500213 530003 530032 530034 530035 650052 650056 650057 700016 700022 700023 700024 700025 700027 700082 700084 700211
700212 700213 700222 700226 700227 700229 900144 900382 900384 900432 901002 1000502 1002012 7000112 7000114 7000214
7000215 7000216 7000218 7000222 7000229 7000274 7000277 7002121 90093 5002730 5002738 9001023 9002313 9002324
"""
GRAPH = """
Request_BadRequest Request_UnsupportedQuery Directory_QuotaExceeded KeyCredentialsInvalidEndDate
CredentialInvalidLifetimeAsPerAppPolicy InvalidKeyEndDate CredentialTypeNotAllowedAsPerAppPolicy ObjectConflict
InvalidUpdate InvalidAuthenticationToken Authentication_MissingOrMalformed Authorization_RequestDenied
Request_ResourceNotFound Request_MultipleObjectsWithSameKeyValue Directory_ConcurrencyViolation resourceModified
FailedDependency TooManyRequests activityLimitReached ServiceUnavailable gatewayTimeout InternalServerError
Agent_Directory_QuotaExceeded AgentBlueprint_LimitExceeded AgentIdentity_LimitExceeded
AgentBlueprint_IncompatibleProperty AgentBlueprint_NotSupportedOnApiVersion
AgentBlueprintPrincipal_RequireAgentBlueprint AgentBlueprintPrincipal_IncompatibleProperty
AgentIdentity_AgentBlueprintPrincipalDoesNotExist AgentIdentity_CredentialsNotSupported
AgentIdentity_IncompatibleParentType AgentIdentity_NotSupportedOnApiVersion
Error_AgentBlueprintCannotCreateAssociatedIdentity Error_AgentIdentitiesCreatingAgentIdentitiesNotAllowed
Error_AgentIdentitySelfCreateRequired KeyCredentialsInvalidStartDate Directory_ResourceSizeExceeded
CannotUpdateLockedServicePrincipalProperty
"""
TRACE, CORRELATION, STAMP = str(UUID(int=1)), str(UUID(int=2**128 - 1)), "2026-02-03 04:05:06Z"


def test_P11_every_code_that_can_be_met_has_a_row() -> None:
    assert [code for code in AADSTS.split() if f"aadsts{code}" not in table()] == []
    assert [code for code in GRAPH.split() if table()[code.lower()].name != code] == []


def test_no_code_has_two_rows() -> None:
    data = tomllib.loads((Path(core.__file__).parent / "errors/codes.toml").read_text(encoding="utf-8"))
    assert set(data) == {"aadsts", "graph"}
    assert sum(len(group["meaning"]) for groups in data.values() for group in groups) == len(table())


@pytest.mark.parametrize("name", table())
def test_U5_every_code_has_a_meaning_a_remedy_and_an_exit_code(name: str) -> None:
    row = table()[name]
    assert row.exit in {2, 3, 4, 5, 7}
    for text in (row.meaning, row.remedy):
        assert text.strip() == text
        assert len(text.split()) >= 3
    assert {field for _, field, _, _ in string.Formatter().parse(row.remedy) if field} <= {"app_id", "login", "role"}


@pytest.mark.parametrize(
    ("exit_code", "numbers"),
    [
        (2, (90002, 700016, 90038)),
        (3, (7000222, 700027, 7000229, 700024)),
        (4, (50076, 50074, 50079, 70043, 700082, 50173, 65001, 90094, 50020)),
        (5, (53003, 53000, 7000112, 50105)),
        (7, (90033, 50196, 900144)),
    ],
)
def test_U5_the_exit_code_says_who_can_mend_it(exit_code: int, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        row = of_token(number)
        assert row is not None
        assert row.exit == exit_code, number


def test_P11_the_first_code_that_is_known_counts() -> None:
    row = of_token(999999, 50076, 700027)
    assert row is not None
    assert row.name == "AADSTS50076"
    assert of_token(999999) is None
    assert of_token() is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Request_BadRequest",), "Request_BadRequest"),
        (("Request_BadRequest", "ObjectConflict"), "ObjectConflict"),
        (("Request_BadRequest", "NotInTheTable"), "Request_BadRequest"),
        (("NotInTheTable", "InvalidKeyEndDate"), "InvalidKeyEndDate"),
        (
            ("CredentialInvalidLifetimeAsPerAppPolicy", "InvalidKeyEndDate"),
            "CredentialInvalidLifetimeAsPerAppPolicy",
        ),
        (("serviceUnavailable",), "ServiceUnavailable"),
        (("AADSTS700027",), None),
        (("NotInTheTable",), None),
    ],
)
def test_P11_a_code_inside_says_more_than_a_vague_one(names: tuple[str, ...], expected: str | None) -> None:
    row = of_graph(*names)
    assert (row.name if row else None) == expected


SENTENCES = st.text(st.sampled_from("abz '.,:;<>{}%\t\r\né0123456789-"), max_size=80)
SEPARATORS = st.sampled_from((" ", "\r\n", "\n", "  ", ".\r\n"))


@given(
    st.lists(st.integers(10000, 99999999), min_size=1, max_size=3),
    SENTENCES,
    SEPARATORS,
    st.uuids(),
    st.uuids(),
    st.datetimes(),
    SENTENCES,
)
def test_P11_every_part_of_an_answer_is_found(
    numbers: list[int], sentence: str, between: str, trace: UUID, correlation: UUID, when: object, after: str
) -> None:
    stamp = f"{str(when)[:19]}Z"
    head = " ".join(f"AADSTS{number}: {sentence}" for number in numbers)
    text = f"{head}{between}Trace ID: {trace}{between}Correlation ID: {correlation}{between}Timestamp: {stamp} {after}"
    found = read(text)
    assert found.codes == tuple(dict.fromkeys(numbers))
    assert (found.trace_id, found.correlation_id, found.timestamp) == (str(trace), str(correlation), stamp)
    shown = str(found)
    for part in (trace, correlation, stamp):
        assert shown.count(str(part)) >= 1
    assert "\n" not in shown
    assert re.sub(r"\s", "", head) in re.sub(r"\s", "", shown), "the sentence is kept"


@given(st.text(max_size=300))
@example("Trace ID: Correlation ID: Timestamp:")
@example("AADSTS")
@example("AADSTS123456789012: too long")
@example(f"Timestamp: 2026-01-01 Trace ID: {TRACE[:-1]}")
def test_P11_any_text_at_all_is_kept(text: str) -> None:
    found = read(text)
    assert found == read(text)
    if not (found.trace_id or found.correlation_id or found.timestamp):
        assert str(found) == re.sub(r"\s+", " ", text).strip()


def test_P11_only_the_sentence_is_ever_cut() -> None:
    text = f"AADSTS90099: {'x' * 5000} Trace ID: {TRACE} Correlation ID: {CORRELATION} Timestamp: {STAMP}"
    shown = str(read(text))
    assert len(shown) < 900
    for part in ("AADSTS90099", "…", TRACE, CORRELATION, STAMP):
        assert part in shown


@pytest.mark.parametrize(
    "text",
    [
        f"Timestamp: {STAMP}\r\nCorrelation ID: {CORRELATION}\r\nTrace ID: {TRACE}\r\nAADSTS1000502: late.",
        f"AADSTS1000502: late.Trace ID: {TRACE} Correlation ID: {CORRELATION}Timestamp: {STAMP}",
        f"AADSTS1000502: late. trace id: {TRACE}\ncorrelation id:\n {CORRELATION} timestamp:\t2026-02-03\n04:05:06Z",
    ],
)
def test_P11_the_order_and_the_gaps_do_not_matter(text: str) -> None:
    assert read(text) == Refusal((1000502,), "AADSTS1000502: late.", TRACE, CORRELATION, STAMP)


def test_a_fact_that_is_missing_is_shown_by_its_name() -> None:
    assert fill("az ad sp create --id {app_id}", {}) == "az ad sp create --id <app id>"
    assert fill("{value!r} {value:>9} {tenant}", {"tenant": ""}) == "<value> <value> <tenant>"
    assert fill("{skew} s, {value!r}", {"skew": 0, "value": "{x}"}) == "0 s, '{x}'"


def test_every_code_has_an_anchor_of_its_own() -> None:
    anchors = [codes.docs(row.name) for row in table().values()]
    assert len(set(anchors)) == len(anchors)
    assert codes.docs("keystore.insecure") == "docs/reference/errors.md#keystore-insecure"
