"""App management policies: how long a certificate may live, and whether passwords may be added (P3, M13; B.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from core.display import one_line
from core.errors import GraphError

_DURATION: Final = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.\d+)?S)?)?"
)


@dataclass(frozen=True)
class Policy:
    """What the policies that apply to one app say.

    :param readable: whether all of them could be read; az's token usually may not.
    :param lifetime: longest life of a certificate, or None when nothing limits it.
    :param passwords: whether a password credential may be added.
    :param names: the policies that say so.
    """

    readable: bool = False
    lifetime: timedelta | None = None
    passwords: bool = True
    names: tuple[str, ...] = ()


#: What is known of policies that may not be read.
UNREADABLE: Final = Policy()


def combine(own: dict[str, Any] | GraphError, default: dict[str, Any] | GraphError, created: str) -> Policy:
    """The policy of an app.

    :param own: answer to `/applications/{id}/appManagementPolicies`; a policy of its own replaces the tenant's.
    :param default: answer to `/policies/defaultAppManagementPolicy`.
    :param created: when the app was created, as Graph writes it; a restriction may spare older apps.
    :raises GraphError: the service failed, rather than refused to show them.
    """
    for answer in (own, default):
        if isinstance(answer, GraphError) and answer.status not in (400, 401, 403, 404):
            raise answer
    if isinstance(own, GraphError):
        return UNREADABLE
    policies = [policy for policy in own.get("value") or () if policy.get("isEnabled", True)]
    sections = [(one_line(own.get("displayName") or "policy"), own.get("restrictions") or {}) for own in policies]
    if not sections:
        if isinstance(default, GraphError):
            return UNREADABLE
        if default.get("isEnabled"):
            name = one_line(default.get("displayName") or "the tenant's default policy")
            sections = [(name, default.get("applicationRestrictions") or {})]
    return _of(sections, created)


def duration(text: str) -> timedelta | None:
    """An ISO 8601 duration; a year counts 365 days and a month 30. None for anything else."""
    matched = _DURATION.fullmatch(text)
    if matched is None or text in ("P", "PT") or text.endswith("T"):
        return None
    parts = {name: int(value or 0) for name, value in matched.groupdict().items()}
    days = parts["years"] * 365 + parts["months"] * 30 + parts["weeks"] * 7 + parts["days"]
    return timedelta(days=days, hours=parts["hours"], minutes=parts["minutes"], seconds=parts["seconds"])


def _of(sections: Sequence[tuple[str, dict[str, Any]]], created: str) -> Policy:
    lifetimes: list[timedelta] = []
    passwords, names = True, []
    for name, restrictions in sections:
        for rule in _enforced(restrictions.get("keyCredentials"), created):
            longest = duration(str(rule.get("maxLifetime") or ""))
            if rule.get("restrictionType") == "asymmetricKeyLifetime" and longest is not None:
                lifetimes.append(longest)
                names.append(name)
        for rule in _enforced(restrictions.get("passwordCredentials"), created):
            if rule.get("restrictionType") == "passwordAddition":
                passwords = False
                names.append(name)
    return Policy(True, min(lifetimes) if lifetimes else None, passwords, tuple(dict.fromkeys(names)))


def _enforced(rules: Any, created: str) -> Iterator[dict[str, Any]]:
    for rule in rules or ():
        since = str(rule.get("restrictForAppsCreatedAfterDateTime") or "")
        spares = bool(since) and _moment(created) < _moment(since)
        if rule.get("state", "enabled") == "enabled" and not spares:
            yield rule


def _moment(text: str) -> datetime:
    """A Graph date; what cannot be read is not spared."""
    try:
        return datetime.fromisoformat(text.partition(".")[0].removesuffix("Z") + "+00:00")
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
