"""What went wrong, with an id.

    SetupError                      every expected failure; its id names a row of errors.toml
    ├── KeystoreError               the keystore did not do what it should
    │   └── InsecureKeyringBackendError   the keystore is not the system's own (K1, K2); never swallowed
    ├── NetworkError                no answer, or none that can be trusted
    ├── CodedError                  the service answered with a code of its own (codes.toml)
    │   ├── GraphError              … Microsoft Graph
    │   ├── TokenError              … the token endpoint, to the app
    │   └── SignInError             … the token endpoint, to the person behind the Azure CLI
    └── Interrupted                 a person or the system asked the run to stop

The sentence, the remedy and the exit code of an id are data (errors.toml), so that every front end says the same. A
code of the service has a remedy and an exit code of its own, which win over those of the id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, Self

from core import tables
from core.errors import codes
from core.errors.exit_codes import ExitCode
from core.secret import redactor

#: What Microsoft Graph calls a status, for answers that hold no code.
_UNAVAILABLE: Final = dict.fromkeys((502, 503), "ServiceUnavailable")
_NAMED: Final = {429: "TooManyRequests", 500: "InternalServerError", **_UNAVAILABLE, 504: "gatewayTimeout"}
#: Answers that mean "try again": the request was refused, or nobody knows whether it was carried out.
TRANSIENT: Final = frozenset(_NAMED)


class Effected(Enum):
    """What an error says of the effect that whoever raised it was asked for.

    It is said once, by the function that reads the answer: for one request by its reader, for several by whoever puts
    their answers together. An error of a function that only looks says UNKNOWN: it knows of no effect.
    """

    NO = "no"
    """It is proven that nothing of it has happened: only this closes an effect in the journal as failed."""

    UNKNOWN = "unknown"
    """It may have happened, or some of it; the next look at reality decides."""

    YES = "yes"
    """It has happened, and something else is wrong."""


@cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """The rows of errors.toml by their dotted id, for example `keystore.insecure`."""
    groups = tables.read("errors/errors")
    return {f"{group}.{name}": row for group, rows in groups.items() for name, row in rows.items()}


class SetupError(Exception):
    """An expected failure.

    :param id: the row of errors.toml that describes it.
    :param effected: whether the effect that was asked for has happened.
    :param details: what the row's sentences need; no secrets.
    :ivar standing: what stands of the run that it ended, in a sentence of whoever has computed it. No row says that:
        the same error comes before the first change, half-way, and after all of it was undone (U10).
    """

    def __init__(self, id: str, *, effected: Effected = Effected.UNKNOWN, **details: Any) -> None:
        self.id = id
        self.effected = effected
        self.standing = ""
        self.details = details
        super().__init__(id)

    def copy(self, *, effected: Effected | None = None, standing: str = "", **details: Any) -> Self:
        """The same error, as whoever knows more tells it; this one stays what it is.

        :param effected: of a whole that the answer was a part of; None: as it is.
        :param standing: what stands of the run that it ended; empty: as it is.
        :param details: those that have another value.
        """
        other = type(self).__new__(type(self), *self.args)
        other.__dict__.update(self.__dict__, details=self.details | details)
        other.effected = effected or self.effected
        other.standing = standing or self.standing
        return other

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the process if nothing else happens (table in docs/reference/exit-codes.md)."""
        return ExitCode(table()[self.id]["exit"])

    @property
    def summary(self) -> str:
        """What happened, in one or two sentences."""
        return str(table()[self.id]["summary"]).format(**self.details)

    @property
    def remedy(self) -> str:
        """What stands, and what to do about it."""
        return " ".join(filter(None, (self.standing, self._advice())))

    def _advice(self) -> str:
        return str(table()[self.id]["remedy"]).format(**self.details)

    @property
    def docs(self) -> str:
        """The file and the anchor that explain it."""
        return codes.docs(self.id)

    def __str__(self) -> str:
        return f"{self.summary} [{self.id}]"

    def as_dict(self) -> dict[str, Any]:
        """The member of `errors` in the result object of --json."""
        return {"id": self.id, "message": self.summary, "remedy": self.remedy, "docs": self.docs, **self._extra()}

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

    :param signal: the number of one of those that this program listens to.
    """

    def __init__(self, signal: int) -> None:
        super().__init__("flow.interrupted", where="")
        self.signal = signal

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.of_signal(self.signal)


class NetworkError(SetupError):
    """No answer, or none that can be trusted.

    :cvar retry_after: seconds that the service asked to wait: nobody did.
    """

    retry_after: float | None = None

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later; as of `GraphError`."""
        return self.id not in ("network.origin", "network.untrusted")


class CodedError(SetupError):
    """The service answered with a code of its own (P11).

    :param known: the row of its most telling code; None for codes that this version does not know.
    """

    def __init__(self, id: str, known: codes.Code | None, **details: Any) -> None:
        super().__init__(id, **details)
        self.known = known

    @property
    def exit_code(self) -> ExitCode:
        return self.known.exit if self.known else super().exit_code

    def _advice(self) -> str:
        return codes.fill(self.known.remedy, self.details) if self.known else super()._advice()

    @property
    def docs(self) -> str:
        return codes.docs(self.known.name) if self.known else super().docs

    def _extra(self) -> dict[str, Any]:
        return {"meaning": self.known.meaning} if self.known else {}


@dataclass(frozen=True)
class Caller:
    """Who asks Microsoft Graph, as far as the remedy of a refusal depends on it.

    :param app: whether it is the app with its certificate, and not the principal that is signed in to the Azure CLI.
    """

    tenant: str = ""
    app_id: str = ""
    app: bool = False


class GraphError(CodedError):
    """Microsoft Graph answered with an error (P11).

    :param status: HTTP status.
    :param code: `error.code`, the only member that may be branched on.
    :param action: what was being attempted, in words.
    :param inner_codes: codes inside the error (`details[].code`, `innerError.code`), which may say more than `code`.
    :param retry_after: seconds that the service asked to wait, if it did.
    :param role: what would have been needed, where a right is missing.
    :param caller: who asked.
    :param effected: whether what was attempted has happened.
    :param claims: what the service wants the sign-in to prove, in base64, if it said so.
    :param challenged: whether it wants a new sign-in although the token has not expired (continuous access evaluation).
    :ivar telling: whether its code is known and means one thing alone.
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
        inner_codes: tuple[str, ...] = (),
        retry_after: float | None = None,
        role: str = "an owner of the app, or Application Administrator",
        caller: Caller = Caller(),
        effected: Effected = Effected.UNKNOWN,
        claims: str = "",
        challenged: bool = False,
    ) -> None:
        # a gateway answers with a status alone, and then that is all there is to go by
        known = codes.of_graph(_NAMED.get(status, "") if code == "unknown" else code, *inner_codes)
        telling = known is not None and not known.vague
        id = "graph.forbidden" if (known.rights if known and telling else status == 403) else "graph.refused"
        if challenged:
            id, known = "graph.challenged-app" if caller.app else "graph.challenged", None
        elif status == 401 and caller.app:  # the remedy of the code is that of a person
            id, known = "graph.unaccepted", None
        super().__init__(
            id,
            known,
            effected=effected,
            status=status,
            code=" / ".join((code, *inner_codes)),
            message=message,
            action=action,
            request_id=request_id,
            date=date,
            role=role,
            tenant=caller.tenant,
            app_id=caller.app_id,
            login=codes.login(caller.tenant, claims),
            older=" An Azure CLI that does not know --claims-challenge has to be updated first." if claims else "",
        )
        self.telling = telling
        self.status = status
        self.code = code
        self.inner_codes = inner_codes
        self.retry_after = retry_after

    @property
    def exit_code(self) -> ExitCode:
        """Of the code, if it says something of its own; else of the status, which is all there is."""
        return super().exit_code if self.telling or self.id != "graph.forbidden" else ExitCode.NOT_PERMITTED

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in TRANSIENT or self.code == "Directory_ConcurrencyViolation"

    @property
    def lacks_rights(self) -> bool:
        """Whether somebody with other rights would not have been refused: the code says so, not the status (P12)."""
        return self.known is not None and self.known.rights

    @property
    def explains_new(self) -> bool:
        """Whether an object that was created a moment ago explains it: a part of the service does not know it (P7)."""
        return self.status in (400, 403, 404) and (not self.telling or self.lacks_rights)

    def _extra(self) -> dict[str, Any]:
        own = {"status": self.status, "code": self.code, "details": list(self.inner_codes)}
        return own | {key: self.details[key] for key in ("request_id", "date")} | super()._extra()


class TokenError(CodedError):
    """The token endpoint refused the app (P11).

    :param error: the OAuth error, for example `invalid_client`.
    :param numbers: AADSTS numbers, most specific first.
    :param message: the text of the answer, with the ids and the time that support asks for.
    :param status: HTTP status, 0 if unknown.
    """

    def __init__(
        self,
        error: str,
        numbers: tuple[int, ...],
        message: str,
        *,
        app_id: str,
        tenant: str = "",
        status: int = 0,
        clock: str = "not what the service expects",
    ) -> None:
        untimely = 700024 in numbers
        self.refusal = codes.read(redactor.redact(message))
        super().__init__(
            "token.clock" if untimely else "token.refused",
            None if untimely else codes.of_token(*numbers),  # the row of token.clock knows by how much it is wrong
            app_id=app_id,
            tenant=tenant,
            message=str(self.refusal),
            clock=clock,
            code=_named(numbers),
            login=codes.login(tenant),
        )
        self.error = error
        self.codes = numbers
        self.status = status

    def _extra(self) -> dict[str, Any]:
        return {"error": self.error, **self.refusal.as_dict(), "codes": list(self.codes)} | super()._extra()


class SignInError(CodedError):
    """The token endpoint refused the person or the app that is signed in to the Azure CLI (P11, U3).

    :param message: what az printed.
    :param tenant: the tenant that was asked for; may be empty.
    """

    def __init__(self, message: str, tenant: str) -> None:
        self.refusal = codes.read(redactor.redact(message))
        known = codes.of_token(*self.refusal.codes)
        again = known.exit == ExitCode.NEEDS_HUMAN if known else not self.refusal.codes
        super().__init__(
            "az.expired" if again else "az.refused",
            known,
            detail=str(self.refusal),
            tenant=tenant,
            app_id=self.refusal.named(but=tenant),
            login=codes.login(tenant, asked[1] if (asked := codes.CLAIMS.search(message)) else ""),
            code=_named(self.refusal.codes),
        )

    def _extra(self) -> dict[str, Any]:
        return self.refusal.as_dict() | super()._extra()


def _named(numbers: tuple[int, ...]) -> str:
    return ", ".join(f"AADSTS{number}" for number in numbers) or "unknown"
