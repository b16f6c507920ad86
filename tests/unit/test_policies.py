"""App management policies: which one counts, what it spares, and how long a certificate may live (P3, M13)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.entra.policies import UNREADABLE, combine, duration
from core.errors import GraphError

CREATED = "2026-05-01T00:00:00Z"
REFUSED = GraphError(403, "Authorization_RequestDenied", "no", action="x", request_id="r", date="d")
NONE: dict[str, Any] = {"value": []}
OFF: dict[str, Any] = {"isEnabled": False, "applicationRestrictions": {}}


def own(*rules: dict[str, Any], kind: str = "keyCredentials", enabled: bool = True) -> dict[str, Any]:
    return {"value": [{"displayName": "ours", "isEnabled": enabled, "restrictions": {kind: list(rules)}}]}


def life(text: str, **more: Any) -> dict[str, Any]:
    return {"restrictionType": "asymmetricKeyLifetime", "maxLifetime": text, **more}


def test_M13_the_shortest_life_counts() -> None:
    policy = combine(own(life("P180D"), life("P90D")), OFF, CREATED)
    assert (policy.readable, policy.lifetime, policy.passwords, policy.names) == (
        True, timedelta(days=90), True, ("ours",),
    )  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        own(life("P90D", state="disabled")),
        own(life("P90D", restrictForAppsCreatedAfterDateTime="2026-06-01T00:00:00Z")),
        own(life("nonsense")),
        own(life("P90D"), enabled=False),
        NONE,
    ],
)
def test_M13_what_does_not_apply_limits_nothing(answer: dict[str, Any]) -> None:
    policy = combine(answer, OFF, CREATED)
    assert (policy.readable, policy.lifetime) == (True, None)


def test_M13_an_apps_own_policy_replaces_the_tenants() -> None:
    default = {"isEnabled": True, "displayName": "all", "applicationRestrictions": {"keyCredentials": [life("P30D")]}}
    assert combine(NONE, default, CREATED).lifetime == timedelta(days=30)
    assert combine(own(life("P90D")), default, CREATED).lifetime == timedelta(days=90)


def test_M13_passwords_that_may_not_be_added() -> None:
    rule = {"restrictionType": "passwordAddition", "state": "enabled"}
    assert not combine(own(rule, kind="passwordCredentials"), OFF, CREATED).passwords


def test_M13_what_may_not_be_read_is_unknown_and_a_failure_is_a_failure() -> None:
    assert combine(REFUSED, REFUSED, CREATED) == UNREADABLE
    assert combine(NONE, REFUSED, CREATED) == UNREADABLE
    failed = GraphError(503, "ServiceUnavailable", "no", action="x", request_id="r", date="d")
    with pytest.raises(GraphError):
        combine(NONE, failed, CREATED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P180D", timedelta(days=180)),
        ("P1Y", timedelta(days=365)),
        ("P6M", timedelta(days=180)),
        ("P4DT12H30M5S", timedelta(days=4, hours=12, minutes=30, seconds=5)),
        ("P4DT12H30M5.5S", timedelta(days=4, hours=12, minutes=30, seconds=5)),
        ("P2W", timedelta(days=14)),
        ("PT36H", timedelta(hours=36)),
        ("P", None),
        ("P1DT", None),
        ("180", None),
        ("", None),
    ],
)
def test_durations(text: str, expected: timedelta | None) -> None:
    assert duration(text) == expected


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_a_duration(text: str) -> None:
    found = duration(text)
    assert found is None or found >= timedelta(0)


@given(st.integers(0, 9999), st.integers(0, 23))
def test_a_duration_of_days_and_hours_is_read_back(days: int, hours: int) -> None:
    assert duration(f"P{days}DT{hours}H") == timedelta(days=days, hours=hours)


def test_P13_certificates_of_trusted_authorities_alone() -> None:
    rule = {"restrictionType": "trustedCertificateAuthority", "state": "enabled"}
    policy = combine(own(rule), OFF, CREATED)
    assert (policy.self_signed, policy.lifetime, policy.by("trustedCertificateAuthority")) == (False, None, "ours")
    assert combine(own(rule | {"state": "disabled"}), OFF, CREATED).self_signed


def test_P13_an_exemption_makes_a_ban_uncertain_and_leaves_a_cap() -> None:
    spared = {"excludeActors": {"customSecurityAttributes": [{"id": "set_name"}]}}
    policy = combine(
        own(life("P90D", **spared), {"restrictionType": "trustedCertificateAuthority", **spared}), OFF, CREATED
    )
    assert (policy.self_signed, policy.lifetime) == (True, timedelta(days=90))
    assert [rule.kind for rule in policy.uncertain] == ["asymmetricKeyLifetime", "trustedCertificateAuthority"]


def test_P13_a_restriction_without_a_name_is_uncertain_and_what_nothing_here_adds_is_no_matter() -> None:
    policy = combine(own({"restrictionType": "unknownFutureValue"}), OFF, CREATED)
    assert [rule.kind for rule in policy.uncertain] == ["unknownFutureValue"]
    for kind in ("customPasswordAddition", "symmetricKeyAddition", "symmetricKeyLifetime"):
        rule = {"restrictionType": kind, "maxLifetime": "P1D" if kind.endswith("Lifetime") else None}
        assert combine(own(rule, kind="passwordCredentials"), OFF, CREATED).rules == ()


def test_P13_the_life_of_a_password_may_be_capped() -> None:
    rule = {"restrictionType": "passwordLifetime", "maxLifetime": "PT10M"}
    policy = combine(own(rule, kind="passwordCredentials"), OFF, CREATED)
    assert (policy.passwords, policy.password_lifetime) == (True, timedelta(minutes=10))
