"""Scenario files: a scenario of the catalogue with faults, lag, a wrong clock and a saboteur, in TOML (S3).

docs/reference/scenario-files.md lists every key. What a file does not fit is one error, `sandbox.file`, with its path.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args, get_type_hints

from core.config.profile import Profile
from core.errors import SetupError
from core.sandbox import origins
from core.sandbox.arm import access, groups, storage
from core.sandbox.directory.store import Tenant
from core.sandbox.faults import Fault, Kind
from core.sandbox.faults.fault import HANDSHAKE, Body, Form
from core.sandbox.graph import chain, consents, grants, licences, objects, policies, reports
from core.sandbox.scenarios.catalogue import SCENARIOS
from core.sandbox.scenarios.saboteur import Act, Key, Saboteur, Target
from core.sandbox.scenarios.table import Table
from core.sandbox.switches import Switches
from core.sandbox.token_service import refusals

YEAR: Final = 366 * 86400.0
MOST: Final = 10**9
#: Kinds of objects that replicate, and `login`: how long the token endpoint knows nothing of any change.
KINDS: Final = (
    *objects.COLLECTIONS,
    *chain.BINS.values(),
    grants.KIND,
    consents.KIND,
    policies.KIND,
    reports.KIND,
    licences.KIND,
    groups.SUBSCRIPTION,
    groups.KIND,
    storage.KIND,
    storage.CONTAINER,
    storage.OPERATION,
    access.KIND,
)
#: Keys of a fault beside those that choose its requests.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("status", "code", "message", "body", "retry_after", "retry_after_as", "effect"),
    "cut-before": (),
    "cut-after": (),
    "latency": ("seconds",),
    "half-body": ("effect",),
    "not-json": ("effect",),
    "wrong-type": (),
    "empty": ("effect",),
    "tls-handshake": (),
    "tls-stranger": (),
    "stale": ("seconds", "of"),
}
_LEAST: Final = {"page_size": 1}
#: What those switches take that are codes.
_CODES: Final = {
    "bad_signature": (700027, 7000274, 50012),
    "duplicate_grant": (400, 409),
    "consent_too_early": (400, 404),
    "principal_too_early": (403, 400, 404),
}


@dataclass
class Plan:
    """What a sandbox starts with.

    :param base: a scenario of the catalogue.
    :param clock_skew: seconds by which the tenant's clock is ahead.
    """

    base: str
    seed: int = 1
    clock_skew: float = 0.0
    switches: dict[str, Any] = field(default_factory=dict)
    lag: dict[str, float] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def apply(self, tenant: Tenant) -> None:
        """Let a tenant's life begin: from here on it lags and fails."""
        tenant.started = tenant.now()
        SCENARIOS[self.base].begin(tenant)
        for name, value in self.switches.items():
            setattr(tenant.switches, name, value)
        tenant.lag |= self.lag
        for number, fault in enumerate(self.faults):
            fault.seed = tenant.seed * 1000 + number
            tenant.faults.add(fault)


def is_file(name: str) -> bool:
    """Whether a scenario is meant as a file: no name of the catalogue, but a path."""
    if name in SCENARIOS:
        return False
    return name.endswith(".toml") or os.sep in name or (os.altsep is not None and os.altsep in name)


def read(name: str, *, proxy: bool = True) -> Plan:
    """The plan of a scenario.

    :param name: of the catalogue, or the path of a TOML file.
    :param proxy: the public cloud's names are served too.
    :raises SetupError: `sandbox.file`, `sandbox.scenario`.
    """
    if not is_file(name):
        if name not in SCENARIOS:
            raise SetupError("sandbox.scenario", name=name, known=", ".join(SCENARIOS))
        return Plan(name)
    path = Path(name)
    try:
        if path.exists() and not path.is_file():
            raise SetupError("sandbox.file", path=path, detail="it is no file")
        text = path.read_bytes().decode()
    except OSError as error:
        raise SetupError("sandbox.file", path=path, detail=error.strerror or error) from None
    except ValueError as error:
        raise SetupError("sandbox.file", path=path, detail=error) from None
    return parse(text, path, proxy=proxy)


def parse(text: str, path: Path, *, proxy: bool = True) -> Plan:
    """The plan in the text of a file.

    :param path: the file, for errors.
    :param proxy: the public cloud's names are served too.
    :raises SetupError: `sandbox.file`.
    """
    try:
        top = Table(path, "", tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # the latter: thousands of brackets
        raise SetupError("sandbox.file", path=path, detail=error) from None
    plan = Plan(top.choice("scenario", SCENARIOS, "legacy"))
    plan.seed = top.whole("seed", 1, 0, MOST)
    plan.clock_skew = top.number("clock_skew", 0.0, -YEAR, YEAR)
    plan.switches = _switches(top.table("switches"))
    lag = top.table("lag")
    plan.lag = {kind: lag.number(kind, 0.0, 0.0, YEAR) for kind in (*KINDS, "login") if lag.has(kind)}
    lag.end(f"[lag], which has {', '.join((*KINDS, 'login'))}")
    plan.faults = [_fault(table, proxy) for table in top.tables("fault")]
    plan.faults += [_saboteur(table, proxy) for table in top.tables("saboteur")]
    top.end("a scenario file, which has scenario, seed, clock_skew, switches, lag, fault, saboteur")
    return plan


def _switches(table: Table) -> dict[str, Any]:
    hints = get_type_hints(Switches)
    found: dict[str, Any] = {}
    for name, kind in hints.items():
        if not table.has(name):
            continue
        if kind is bool:
            found[name] = table.flag(name)
        elif kind is int:
            found[name] = number = table.whole(name, 0, _LEAST.get(name, 0), MOST)
            if number not in _CODES.get(name, (number,)):
                raise table.wrong(name, f"must be one of {', '.join(map(str, _CODES[name]))}")
        else:
            found[name] = table.number(name, 0.0, 0.0, MOST)
    if (refused := found.get("login_refuses")) and refused not in refusals.table():
        raise table.wrong("login_refuses", "must be 0, or an AADSTS number that docs/reference/errors.md lists")
    table.end(f"[switches], which has {', '.join(hints)}")
    return found


def _fault(table: Table, proxy: bool) -> Fault:
    kind = cast(Kind, table.choice("kind", _KEYS))
    given = _aim(table, kind, proxy)
    keys = _KEYS[kind]
    if "status" in keys:
        given |= _status(table)
    if "effect" in keys:
        given["effect"] = table.flag("effect")
    if "seconds" in keys:
        given["seconds"] = _seconds(table, kind)
    if "of" in keys:
        given["of"] = table.choice("of", KINDS)
    known = ("kind", *(("match",) if kind not in HANDSHAKE else ()), *_AIM, *keys)
    table.end(f"a fault of kind {kind}, which has {', '.join(known)}")
    return Fault(kind, **given)


def _saboteur(table: Table, proxy: bool) -> Fault:
    when = cast(Literal["before", "after"], table.choice("when", ("before", "after"), "after"))
    do = cast(Act, table.choice("do", get_args(Act)))
    for key, only in (("on", do != "delete-app"), ("key", do == "remove-key")):
        if table.has(key) and not only:
            raise table.wrong(key, f'has no place beside do = "{do}"')
    saboteur = Saboteur(
        do,
        cast(Target, table.choice("on", get_args(Target), "application")),
        table.text("app", Profile.app_display_name),
        cast(Key, table.choice("key", get_args(Key), "newest")),
    )
    kind: Kind = "sabotage-before" if when == "before" else "sabotage-after"
    given = _aim(table, kind, proxy)
    table.end(f"a saboteur, which has when, do, on, app, key, match, {', '.join(_AIM)}")
    return Fault(kind, saboteur=saboteur, **given)


_AIM: Final = ("nth", "every", "range", "host", "chance", "since", "until")


def _aim(table: Table, kind: Kind, proxy: bool) -> dict[str, Any]:
    """Which requests it strikes."""
    counted = [key for key in ("nth", "every", "range") if table.has(key)]
    if len(counted) > 1:
        raise table.wrong(counted[1], f"has no place beside {counted[0]}")
    first = not counted and not any(table.has(key) for key in ("chance", "since", "until"))
    given: dict[str, Any] = {
        "match": table.pattern("match") if kind not in HANDSHAKE else "",
        "nth": table.whole("nth", 1 if first else 0, 0 if not table.has("nth") else 1, MOST),
        "every": table.whole("every", 0, 0 if not table.has("every") else 1, MOST),
        "host": _host(table, proxy),
        "chance": table.number("chance", 1.0, 0.0, 1.0),
        "since": table.number("since", 0.0, 0.0, MOST),
        "until": table.number("until", MOST, 0.0, MOST) if table.has("until") else math.inf,
    }
    if (span := table.pair("range", 0, MOST, whole=True)) is not None:
        given["range"] = (int(span[0]), int(span[1]))
        if span[0] < 1 or 0 < span[1] < span[0]:
            raise table.wrong("range", "must be the first and the last request, or 0 for no end")
    if given["until"] <= given["since"]:
        raise table.wrong("until", "must be later than since")
    return given


def _host(table: Table, proxy: bool) -> str:
    """The host that it strikes; empty: any."""
    host = table.text("host").lower()
    if host not in ("", *origins.HOSTS):
        raise table.wrong("host", f"must be one of {', '.join(origins.HOSTS)}")
    if host in origins.PUBLIC_HOSTS and not proxy:
        raise table.wrong("host", "is served by 'sandbox --proxy' alone: nobody can ask it here")
    return host


def _status(table: Table) -> dict[str, Any]:
    """What a fault of kind `status` answers."""
    if not table.has("status"):
        raise table.wrong("status", "is missing")
    given: dict[str, Any] = {"status": table.whole("status", 0, 200, 599)}
    given["body"] = body = cast(Body, table.choice("body", get_args(Body), "json"))
    if given["status"] in (204, 304) and body != "empty":
        raise table.wrong("body", f'must be "empty": an answer of status {given["status"]} has none')
    for key in ("code", "message"):
        if table.has(key):
            if body != "json":
                raise table.wrong(key, f'has no place beside body = "{body}"')
            given[key] = table.text(key)
    if table.has("retry_after"):
        given["retry_after"] = table.whole("retry_after", 0, 0, 86400)
    elif table.has("retry_after_as"):
        raise table.wrong("retry_after_as", "has no place without retry_after")
    given["retry_after_as"] = cast(Form, table.choice("retry_after_as", get_args(Form), "seconds"))
    return given


def _seconds(table: Table, kind: Kind) -> tuple[float, float]:
    """A number of seconds, or, for a delay, the shortest and the longest."""
    if not table.has("seconds"):
        raise table.wrong("seconds", "is missing")
    if kind == "latency" and isinstance(table.data["seconds"], list):
        shortest, longest = table.pair("seconds", 0.0, 3600.0) or (0.0, 0.0)
        if longest < shortest:
            raise table.wrong("seconds", "must be the shortest and the longest delay")
        return shortest, longest
    value = table.number("seconds", 0.0, 0.0, 3600.0)
    return value, value
