"""Scenario files: what they may say, how they are refused, and that the documented ones do what they say (S3, U4)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import assemble
from core.errors import SetupError
from core.sandbox import origins
from core.sandbox.directory.store import Tenant
from core.sandbox.faults import Fault, Kind
from core.sandbox.http import Request
from core.sandbox.lab import Lab
from core.sandbox.scenarios import file
from core.sandbox.scenarios.catalogue import SCENARIOS
from core.sandbox.scenarios.saboteur import Act
from core.sandbox.service import handle
from core.sandbox.switches import Switches
from core.sandbox.token_service.tokens import AZURE_CLI
from tests.machine import Machine, VirtualClock

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "scenario-files.md").read_text(encoding="utf-8")
EXAMPLES = {
    **{path.name: path.read_text(encoding="utf-8") for path in sorted((DOCS / "examples").glob("*.toml"))},
    **{f"page-{n}": text for n, text in enumerate(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))},
}


def refused(text: str) -> str:
    """The detail of the error that a file ends in."""
    with pytest.raises(SetupError) as caught:
        file.parse(text, Path("f.toml"))
    assert (caught.value.id, caught.value.exit_code) == ("sandbox.file", 2)
    assert "f.toml" in caught.value.summary
    assert "Nothing was started" in caught.value.remedy
    return str(caught.value.details["detail"])


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("scenario = ", "Invalid value"),
        ("nonsense = 1", "nonsense is not a key of a scenario file"),
        ('scenario = "nowhere"', "scenario must be one of legacy, "),
        ("scenario = 1", "scenario must be one of legacy, "),
        ('seed = "x"', "seed must be a whole number from 0 to 1e+09"),
        ("seed = true", "seed must be a whole number"),
        ("seed = -1", "seed must be a whole number"),
        ("clock_skew = nan", "clock_skew must be a number from"),
        ("clock_skew = 1e300", "clock_skew must be a number from"),
        ("switches = 1", "switches must be a table"),
        ("[switches]\nnothing = 1", "switches.nothing is not a key of [switches], which has "),
        ("[switches]\npremium = 1", "switches.premium must be true or false"),
        ("[switches]\npage_size = 0", "switches.page_size must be a whole number from 1"),
        ("[switches]\nskew = nan", "switches.skew must be a number from 0"),
        ("[switches]\nloop_limit = -1", "switches.loop_limit must be a whole number from 0"),
        ("[switches]\nbad_signature = 1", "switches.bad_signature must be one of 700027, 7000274, 50012"),
        ("[switches]\nduplicate_grant = 418", "switches.duplicate_grant must be one of 400, 409"),
        ("[switches]\nconsent_too_early = 999", "switches.consent_too_early must be one of 400, 404"),
        ("[switches]\nconsent_too_early = 404.0", "switches.consent_too_early must be a whole number"),
        ("[switches]\nlogin_refuses = 123", "switches.login_refuses must be 0, or an AADSTS number that "),
        ("[switches]\nlogin_refuses = -1", "switches.login_refuses must be a whole number from 0"),
        ("[lag]\naplication = 1", "lag.aplication is not a key of [lag], which has application, "),
        ("[lag]\napplication = -1", "lag.application must be a number from 0"),
        ("fault = 1", "fault must be an array of tables: [[fault]]"),
        ("fault = [1]", "fault must be an array of tables: [[fault]]"),
        ("[[fault]]", "fault[1].kind is missing; it must be one of status, "),
        ('[[fault]]\nkind = "hold-after"', "fault[1].kind must be one of"),
        ('[[fault]]\nkind = "empty"\n[[fault]]\nkind = []', "fault[2].kind must be one of"),
        ('[[fault]]\nkind = "status"', "fault[1].status is missing"),
        ('[[fault]]\nkind = "status"\nstatus = 99', "fault[1].status must be a whole number from 200 to 599"),
        ('[[fault]]\nkind = "status"\nstatus = 204', 'fault[1].body must be "empty"'),
        ('[[fault]]\nkind = "status"\nstatus = 502\nbody = "xml"', "fault[1].body must be one of json, html, empty"),
        ('[[fault]]\nkind = "status"\nstatus = 502\nbody = "html"\ncode = "x"', "fault[1].code has no place beside"),
        ('[[fault]]\nkind = "status"\nstatus = 429\nretry_after = -1', "fault[1].retry_after must be"),
        ('[[fault]]\nkind = "status"\nstatus = 429\nretry_after_as = "date"', "no place without retry_after"),
        ('[[fault]]\nkind = "cut-after"\nstatus = 429', "fault[1].status is not a key of a fault of kind cut-after"),
        ('[[fault]]\nkind = "cut-after"\neffect = true', "fault[1].effect is not a key of a fault of kind cut-after"),
        ('[[fault]]\nkind = "empty"\neffect = 1', "fault[1].effect must be true or false"),
        ('[[fault]]\nkind = "empty"\nnth = 0', "fault[1].nth must be a whole number from 1"),
        ('[[fault]]\nkind = "empty"\nnth = 1\nevery = 2', "fault[1].every has no place beside nth"),
        ('[[fault]]\nkind = "empty"\nevery = 1\nrange = [1, 2]', "fault[1].range has no place beside every"),
        ('[[fault]]\nkind = "empty"\nrange = [3, 2]', "fault[1].range must be the first and the last"),
        ('[[fault]]\nkind = "empty"\nrange = [0, 2]', "fault[1].range must be the first and the last"),
        ('[[fault]]\nkind = "empty"\nrange = [1.5, 2]', "fault[1].range must be a whole number"),
        ('[[fault]]\nkind = "empty"\nrange = [1]', "fault[1].range must be two numbers"),
        ('[[fault]]\nkind = "empty"\nchance = 2', "fault[1].chance must be a number from 0 to 1"),
        ('[[fault]]\nkind = "empty"\nsince = 5\nuntil = 5', "fault[1].until must be later than since"),
        ('[[fault]]\nkind = "empty"\nmatch = "("', "fault[1].match is no regular expression: "),
        ('[[fault]]\nkind = "empty"\nmatch = "[[a]"', "fault[1].match is no regular expression: Possible nested set"),
        ('[[fault]]\nkind = "empty"\nmatch = "a{99999999999}"', "fault[1].match is no regular expression: "),
        ('[[fault]]\nkind = "empty"\nmatch = ""', "fault[1].match must not be empty"),
        ('[[fault]]\nkind = "empty"\nmatch = 1', "fault[1].match must be a text"),
        (
            '[[fault]]\nkind = "tls-stranger"\nmatch = "x"',
            "fault[1].match is not a key of a fault of kind tls-stranger",
        ),
        ('[[fault]]\nkind = "latency"', "fault[1].seconds is missing"),
        ('[[fault]]\nkind = "latency"\nseconds = [2, 1]', "fault[1].seconds must be the shortest and the longest"),
        ('[[fault]]\nkind = "latency"\nseconds = 1e9', "fault[1].seconds must be a number from 0 to 3600"),
        ('[[fault]]\nkind = "stale"\nseconds = 1', "fault[1].of is missing; it must be one of application"),
        ('[[fault]]\nkind = "stale"\nof = "application"\nseconds = [1, 2]', "fault[1].seconds must be a number"),
        (
            '[[fault]]\nkind = "empty"\nhost = "example.com"',
            "fault[1].host must be one of localhost, 127.0.0.1, login.",
        ),
        ('[[saboteur]]\ndo = "remove-key"\nhost = "127.0.0.2"', "saboteur[1].host must be one of localhost"),
        ("[[saboteur]]", "saboteur[1].do is missing; it must be one of add-password"),
        ('[[saboteur]]\ndo = "add-password"\nwhen = "now"', "saboteur[1].when must be one of before, after"),
        ('[[saboteur]]\ndo = "delete-app"\non = "application"', "saboteur[1].on has no place beside"),
        ('[[saboteur]]\ndo = "add-password"\nkey = "oldest"', "saboteur[1].key has no place beside"),
        ('[[saboteur]]\ndo = "add-password"\nstatus = 1', "saboteur[1].status is not a key of a saboteur"),
        ("x = " + "[" * 5000, "recursion"),
        ("seed = " + "9" * 5000, "limit"),
    ],
)
def test_U4_what_does_not_fit_is_named_by_its_path(text: str, detail: str) -> None:
    assert detail in refused(text)


def test_S3_every_switch_may_be_set() -> None:
    tenant = Tenant(VirtualClock())
    for each in fields(Switches):
        default = getattr(tenant.switches, each.name)
        other = (not default) if isinstance(default, bool) else default
        shown = str(other).lower() if isinstance(default, bool) else repr(other).replace("'", '"')
        file.parse(f"[switches]\n{each.name} = {shown}", Path()).apply(tenant)
        assert getattr(tenant.switches, each.name) == other


@pytest.mark.parametrize(("switch", "tokens"), [("login_refuses = 53003", 0), ("loop_limit = 1", 1)])
def test_S3_a_switch_of_the_token_endpoint_begins_when_the_sandbox_is_signed_in(
    tmp_path: Path, switch: str, tokens: int
) -> None:
    path = tmp_path / "f.toml"
    path.write_text(f"[switches]\n{switch}\n")
    lab = Lab.start(str(path))
    try:
        cache = json.loads((lab.az_config_dir / "msal_token_cache.json").read_text())
        (kept,) = cache["RefreshToken"].values()
        form = {"grant_type": "refresh_token", "client_id": AZURE_CLI, "refresh_token": kept["secret"]}
        url = f"{lab.tenant.authority}/{lab.tenant.id}/oauth2/v2.0/token"
        asked = Request.to("POST", url, {}, urlencode({**form, "scope": f"{lab.tenant.graph}/.default"}).encode())
        assert [handle(lab.tenant, asked).status for _ in range(3)] == [200] * tokens + [400] * (3 - tokens)
    finally:
        lab.close()


def test_S3_every_kind_of_object_may_lag() -> None:
    for name in SCENARIOS:
        lab = Lab.start(name, sign_in=False)
        lab.close()
        assert set(lab.tenant._objects) <= set(file.KINDS), name


def test_S3_every_kind_of_fault_and_every_deed_may_be_in_a_file_and_is_documented() -> None:
    held = {"hold-before", "hold-after", "sabotage-before", "sabotage-after"}
    assert set(file._KEYS) == set(get_args(Kind)) - held
    for name in (
        *file._KEYS,
        *get_args(Act),
        *file.KINDS,
        *file._AIM,
        *(key for keys in file._KEYS.values() for key in keys),
    ):
        assert f"`{name}`" in PAGE, name


def test_S3_the_seed_of_the_file_counts_unless_another_is_given(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text('seed = 7\nscenario = "clean"\n')

    def tenant(scenario: str, seed: int | None) -> str:
        lab = Lab.start(scenario, seed=seed, sign_in=False)
        lab.close()
        return lab.tenant.id

    assert tenant(str(path), None) == tenant("clean", 7)
    assert tenant(str(path), 3) == tenant("clean", 3)
    path.write_text("seed = 0")
    assert tenant(str(path), None) == tenant("clean", 0)
    assert tenant("clean", None) == tenant("clean", 1)


@pytest.mark.parametrize("name", ["missing.toml", "folder.toml", "binary.toml", "sub/missing"])
def test_U4_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SetupError) as caught:
        Lab.start(str(tmp_path / name))
    assert (caught.value.id, caught.value.exit_code) == ("sandbox.file", 2)
    assert name in caught.value.summary


@pytest.mark.parametrize("table", ['[[fault]]\nkind = "empty"', '[[saboteur]]\ndo = "remove-key"'])
@pytest.mark.parametrize("host", origins.PUBLIC_HOSTS)
def test_S3_a_host_that_nobody_can_ask_is_refused_before_the_start(tmp_path: Path, table: str, host: str) -> None:
    path = tmp_path / "f.toml"
    path.write_text(f'{table}\nhost = "{host}"\n')
    with pytest.raises(SetupError) as caught:
        Lab.start(str(path), sign_in=False)
    name = table.partition("]")[0].strip("[")
    assert (caught.value.id, caught.value.exit_code) == ("sandbox.file", 2)
    assert f"{name}[1].host is served by 'sandbox --proxy' alone" in caught.value.summary
    Lab.start(str(path), sign_in=False, proxy=True).close()


def test_a_name_with_a_null_character_is_refused() -> None:
    with pytest.raises(SetupError, match=r"sandbox\.file"):
        file.read("a\0.toml")


def test_a_file_builds_on_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text('scenario = "fresh"')
    assert assemble.base(str(path)) == "fresh"
    assert assemble.base("legacy") == "legacy"


_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [*file._KEYS, *get_args(Act), *file.KINDS, *SCENARIOS, "html", "date", "after", "(", "[[a]", "^GET"]
    ),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
_NAMES = st.sampled_from(
    ["kind", "do", "when", "on", "key", "match", *file._AIM, *{key for keys in file._KEYS.values() for key in keys}]
)
_ENTRY = st.one_of(
    st.dictionaries(_NAMES, _VALUES, max_size=6),
    st.fixed_dictionaries({"kind": st.sampled_from(list(file._KEYS))}, optional={"nth": _VALUES, "seconds": _VALUES}),
)
_FILE = st.fixed_dictionaries(
    {},
    optional={
        "scenario": _VALUES,
        "seed": _VALUES,
        "clock_skew": _VALUES,
        "switches": st.dictionaries(st.sampled_from([each.name for each in fields(Switches)]), _VALUES, max_size=3),
        "lag": st.dictionaries(st.sampled_from([*file.KINDS, "login", "x"]), _VALUES, max_size=3),
        "fault": st.lists(_ENTRY, max_size=3),
        "saboteur": st.lists(_ENTRY, max_size=2),
    },
)


def toml(value: Any) -> str:
    """A value as TOML, in one line."""
    match value:
        case bool():
            return str(value).lower()
        case float() | int():
            return repr(value)
        case str():
            escaped = "".join(f"\\U{ord(c):08x}" if not c.isalnum() or not c.isascii() else c for c in value)
            return f'"{escaped}"'
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case Mapping():
            return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + "}"
    raise AssertionError(value)


def survives(text: str) -> None:
    """Whatever a file says: a plan that can be carried out and shown, or one clear error."""
    try:
        plan = file.parse(text, Path("f.toml"))
    except SetupError as error:
        assert error.id == "sandbox.file"
        assert error.summary
        return
    tenant = Tenant(VirtualClock(), 1, clock_error=plan.clock_skew)
    plan.apply(tenant)
    tenant.faults.meet("GET", "/v1.0/me", ["GET /me"], host="localhost", elapsed=tenant.elapsed)
    tenant.faults.handshake("localhost", tenant.elapsed)
    assert all(str(fault) for fault in plan.faults)


@given(_FILE)
def test_U4_no_file_of_known_keys_is_a_crash(data: dict[str, Any]) -> None:
    text = "\n".join(f"{toml(key)} = {toml(value)}" for key, value in data.items() if not _surrogates(data))
    assert tomllib.loads(text) is not None
    survives(text)


@given(st.text())
def test_U4_no_text_is_a_crash(text: str) -> None:
    survives(text)


@given(st.sampled_from(list(EXAMPLES.values())), st.integers(0, 2000), st.text(max_size=4))
def test_U4_no_slip_of_the_pen_is_a_crash(text: str, at: int, slip: str) -> None:
    survives(text[:at] + slip + text[at + len(slip) :])


def _surrogates(value: Any) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in str(value))


# the documented ones


def test_there_are_three_worked_examples() -> None:
    assert {"bad-network.toml", "busy-tenant.toml", "saboteur.toml", "page-0"} <= set(EXAMPLES)
    assert all(f"../examples/{name}" in PAGE for name in EXAMPLES if not name.startswith("page-"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_S3_P7_a_documented_example_strikes_and_a_migration_comes_through(tmp_path: Path, name: str) -> None:
    path, clock = tmp_path / "example.toml", VirtualClock()
    path.write_text(EXAMPLES[name], encoding="utf-8")
    lab = Lab.start(str(path), clock=clock, sign_in=False)
    machine = Machine(lab, clock)
    try:
        script: list[Fault] = list(lab.tenant.faults.script)
        result = machine.migrate()
        assert result.exit_code == 0, result.errors
        assert {str(fault): fault.struck for fault in script if not fault.struck} == {}
        lab.tenant.faults.script.clear()
        clock.wait(120)
        assert machine.passwords == []
        assert machine.verify().exit_code == 0
    finally:
        machine.session.close()
        lab.close()


def test_S3_every_host_that_is_served_may_be_struck_in_any_case() -> None:
    for host in ("localhost", "127.0.0.1", *origins.PUBLIC_HOSTS):
        (fault,) = file.parse(f'[[fault]]\nkind = "empty"\nhost = "{host.upper()}"', Path()).faults
        assert fault.host == host


def test_S3_the_pages_name_every_switch_and_every_kind_of_object_and_no_others() -> None:
    listed = re.search(r"^Kinds of objects: (.*?)\. ", PAGE, re.DOTALL | re.MULTILINE)
    assert listed is not None
    assert set(re.findall(r"`(\w+)`", listed[1])) == set(file.KINDS)
    page = (DOCS / "reference" / "sandbox.md").read_text(encoding="utf-8")
    table = page.partition("## What no primary source confirms")[2].partition("\n## ")[0]
    cells = [row.rstrip(" |").rpartition(" | ")[2] for row in table.splitlines() if row.startswith("| ")][1:]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named - {"code", "body"} == {each.name for each in fields(Switches)}  # those two are keys of faults
