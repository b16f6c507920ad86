"""What went wrong, with an id.

    SetupError                      every expected failure; its id names a row of errors.toml
    ├── KeystoreError               the keystore did not do what it should
    │   └── InsecureKeyringBackendError   the keystore is not the system's own (K1, K2); never swallowed
    ├── NetworkError                no answer, or none that can be trusted
    ├── GraphError                  Microsoft Graph answered with an error
    ├── TokenError                  the token endpoint answered with an error
    └── Interrupted                 a person or the system asked the run to stop

The sentence, the remedy and the exit code of an id are data (errors.toml), so that every front end says the same.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

#: Answers that mean "try again": the request was refused, or nobody knows whether it was carried out.
TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})


@cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """The rows of errors.toml by their dotted id, for example `keystore.insecure`."""
    with resources.files("core").joinpath("errors.toml").open("rb") as file:
        groups = tomllib.load(file)
    return {f"{group}.{name}": row for group, rows in groups.items() for name, row in rows.items()}


class SetupError(Exception):
    """An expected failure.

    :param id: the row of errors.toml that describes it.
    :param facts: what the row's sentences need; no secrets.
    :ivar refused: whether the error proves that the effect under way did not happen at all.
    """

    def __init__(self, id: str, **facts: Any) -> None:
        self.id = id
        self.refused = False
        self.facts = facts
        super().__init__(id)

    @property
    def exit_code(self) -> int:
        """The exit code of the process if nothing else happens (table in docs/reference/exit-codes.md)."""
        return int(table()[self.id]["exit"])

    @property
    def summary(self) -> str:
        """What happened, in one or two sentences."""
        return str(table()[self.id]["summary"]).format(**self.facts)

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return str(table()[self.id]["remedy"]).format(**self.facts)

    def __str__(self) -> str:
        return f"{self.summary} [{self.id}]"

    def as_dict(self) -> dict[str, Any]:
        """The member of `errors` in the result object of --json."""
        return {"id": self.id, "message": self.summary, "remedy": self.remedy, **self._extra()}

    def _extra(self) -> dict[str, Any]:
        return {}


class KeystoreError(SetupError):
    """The keystore is locked, gone, full, silent or unreliable (K6)."""


class InsecureKeyringBackendError(KeystoreError):
    """The active keyring backend is not the system's own keystore (K1). Never swallow it (K2)."""

    def __init__(self, backend: str, why: str, fix: str) -> None:
        super().__init__("keystore.insecure", backend=backend, why=why, fix=fix)


class Interrupted(SetupError):
    """A signal or a key asked for the end.

    :param signal: the signal's number; the exit code is 128 plus it.
    """

    def __init__(self, signal: int, where: str = "", left: str = "Nothing was changed.") -> None:
        super().__init__("flow.interrupted", where=where, left=left)
        self.signal = signal

    @property
    def exit_code(self) -> int:
        return 128 + self.signal


class NetworkError(SetupError):
    """No answer, or none that can be trusted.

    :param maybe_done: whether the request may have been carried out although no answer came.
    """

    def __init__(self, id: str, *, maybe_done: bool, **facts: Any) -> None:
        super().__init__(id, **facts)
        self.maybe_done = maybe_done


class GraphError(SetupError):
    """Microsoft Graph answered with an error (P11).

    :param status: HTTP status.
    :param code: `error.code`, the only member that may be branched on.
    :param action: what was being attempted, in words.
    :param retry_after: seconds that the service asked to wait, if it did.
    :param role: what would have been needed, for 403.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        action: str,
        request_id: str,
        date: str,
        retry_after: float | None = None,
        role: str = "an owner of the app, or Application Administrator",
    ) -> None:
        super().__init__(
            "graph.forbidden" if status == 403 else "graph.refused",
            status=status,
            code=code,
            message=message,
            action=action,
            request_id=request_id,
            date=date,
            role=role,
        )
        self.status = status
        self.code = code
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in TRANSIENT or self.code == "Directory_ConcurrencyViolation"

    def _extra(self) -> dict[str, Any]:
        keys = ("status", "code", "request_id", "date")
        return {key: self.facts[key] for key in keys}


class TokenError(SetupError):
    """The token endpoint refused (P11).

    :param error: the OAuth error, for example `invalid_client`.
    :param codes: AADSTS numbers, most specific first.
    :param status: HTTP status, 0 if unknown.
    """

    def __init__(
        self, error: str, codes: tuple[int, ...], message: str, *, app_id: str, status: int = 0, skew: float = 0.0
    ) -> None:
        clock = 700024 in codes
        facts: dict[str, Any] = {"app_id": app_id, "message": message, "skew": round(skew)}
        if not clock:
            facts["hint"] = AADSTS_HINTS.get(
                next((code for code in codes if code in AADSTS_HINTS), 0),
                "Look the AADSTS code up at https://login.microsoftonline.com/error.",
            )
        super().__init__("token.clock" if clock else "token.refused", **facts)
        self.error = error
        self.codes = codes
        self.status = status

    def _extra(self) -> dict[str, Any]:
        return {"error": self.error, "codes": list(self.codes)}


#: What to do about the codes that a migration meets.
AADSTS_HINTS: Final[Mapping[int, str]] = {
    7000215: "The client secret is wrong or was deleted.",
    7000222: "The client secret has expired. Migrate to a certificate.",
    700027: "The certificate is not on the app (yet). If it was removed, 'entraclaw-setup migrate' registers one.",
    700016: "The app does not exist in this tenant, or was created a moment ago. Check --tenant and --app-id.",
    7000229: "The app has no service principal in this tenant: az ad sp create --id APP",
    7000112: "The app is disabled. An administrator must enable it.",
    90002: "The tenant does not exist in this cloud. Check --tenant and --cloud.",
    53003: "A Conditional Access policy for workload identities blocks this app. Ask an administrator.",
    90033: "The service is temporarily unavailable. Run the same command again later.",
    50196: "The service detected a loop of sign-ins. Wait some minutes before the next try.",
}
