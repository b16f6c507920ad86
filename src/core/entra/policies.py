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


#: Kinds of restriction that concern what is added here.
LIFETIME: Final = "asymmetricKeyLifetime"
AUTHORITY: Final = "trustedCertificateAuthority"
PASSWORDS: Final = "passwordAddition"
PASSWORD_LIFETIME: Final = "passwordLifetime"  # noqa: S105
#: What concerns only what nothing here adds: symmetric keys, and passwords that somebody chose.
_NO_MATTER: Final = frozenset({"symmetricKeyAddition", "symmetricKeyLifetime", "customPasswordAddition"})


@dataclass(frozen=True)
class Rule:
    """A restriction that is enforced and concerns this app.

    :param kind: its `restrictionType`; of a newer one Graph may say only `unknownFutureValue`.
    :param policy: the name of its policy.
    :param longest: for a lifetime; None where it caps nothing.
    :param exempts: it spares whoever carries a custom security attribute, which nobody here may see.
    """

    kind: str
    policy: str
    longest: timedelta | None = None
    exempts: bool = False


@dataclass(frozen=True)
class Policy:
    """What the policies that apply to one app say.

    :param readable: whether all of them could be read; az's token usually may not.
    """

    readable: bool = False
    rules: tuple[Rule, ...] = ()

    @property
    def lifetime(self) -> timedelta | None:
        """Longest life of a certificate, or None when nothing limits it."""
        return self._shortest(LIFETIME)

    @property
    def password_lifetime(self) -> timedelta | None:
        """Longest life of a password credential, likewise."""
        return self._shortest(PASSWORD_LIFETIME)

    @property
    def passwords(self) -> bool:
        """Whether a password credential may be added."""
        return not self._forbids(PASSWORDS)

    @property
    def self_signed(self) -> bool:
        """Whether a certificate may be added that no trusted authority signed."""
        return not self._forbids(AUTHORITY)

    @property
    def names(self) -> tuple[str, ...]:
        """The policies that say so."""
        return tuple(dict.fromkeys(rule.policy for rule in self.rules))

    def by(self, kind: str) -> str:
        """The policies with a restriction of a kind, in words."""
        return ", ".join(dict.fromkeys(rule.policy for rule in self.rules if rule.kind == kind))

    @property
    def uncertain(self) -> tuple[Rule, ...]:
        """Restrictions of which only the write can tell whether they concern whoever is signed in."""
        known = {LIFETIME, AUTHORITY, PASSWORDS, PASSWORD_LIFETIME}
        return tuple(rule for rule in self.rules if rule.exempts or rule.kind not in known)

    def _shortest(self, kind: str) -> timedelta | None:
        return min(
            (rule.longest for rule in self.rules if rule.kind == kind and rule.longest is not None), default=None
        )

    def _forbids(self, kind: str) -> bool:
        return any(rule.kind == kind and not rule.exempts for rule in self.rules)


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
    rules = []
    for name, restrictions in sections:
        for credential in ("keyCredentials", "passwordCredentials"):
            for rule in _enforced(restrictions.get(credential), created):
                kind, longest = one_line(rule.get("restrictionType")), duration(str(rule.get("maxLifetime") or ""))
                caps = kind.endswith("Lifetime")
                if kind not in _NO_MATTER and (longest is not None or not caps):
                    rules.append(Rule(kind, name, longest if caps else None, bool(rule.get("excludeActors"))))
    return Policy(True, tuple(rules))


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
