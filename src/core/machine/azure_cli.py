"""The Azure CLI: one Microsoft Graph token, which also says who is signed in (entra-protocol E); signing in and out.

One spawn, half a second; JSON only, streams apart, with a time limit. Everything else goes to Graph directly.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, Protocol

from core.clock import Cancel
from core.config.cloud import Cloud
from core.config.settings import guid
from core.display import one_line
from core.entra.http import trusted_roots
from core.entra.tokens import Token, claims_of
from core.errors import Effected, NetworkError, SetupError, SignInError
from core.flow.audit import Audit
from core.machine import azure_login, process
from core.machine.azure_login import Prompt
from core.secret import Secret

#: Seconds for one az command; a cold start with a token refresh over a slow proxy takes 20.
PATIENCE: Final = 60.0
NO_JSON: Final = "not a JSON object"
_NOT_SIGNED_IN: Final = re.compile("Please run ['\"]az login['\"]|No subscription found|does not exist in MSAL")
_NO_NETWORK: Final = re.compile(
    "Max retries exceeded|NewConnectionError|NameResolutionError|Failed to resolve|ConnectTimeout"
    "|CERTIFICATE_VERIFY_FAILED"
)
_EXTRA: Final = {"AZURE_CORE_NO_COLOR": "true"}
#: What the sign-in service said, inside a traceback or a sentence of az.
_DESCRIPTION: Final = re.compile(r'"error_description": "(AADSTS(?:[^"\\]|\\.)*)"')
_REFUSED: Final = re.compile("AADSTS|Interactive authentication is needed|refresh token|az logout")


@dataclass(frozen=True)
class Account:
    """Who is signed in, as the token says.

    :param user: user name of a person; app id of a service principal or managed identity.
    """

    tenant: str
    user: str
    kind: Literal["user", "service principal"]

    @classmethod
    def of(cls, token: Token) -> Account:
        """The account that a Graph token was issued to; no spawn and no request is needed for it."""
        claims = token.claims
        app = claims.get("idtyp") == "app" or not token.scopes
        name = claims.get("upn") or claims.get("unique_name") or claims.get("preferred_username") or claims.get("oid")
        user = one_line(claims.get("appid") or claims.get("azp") if app else name)
        return cls(str(claims.get("tid")), user, "service principal" if app else "user")


class SignIn(Protocol):
    """What the product needs of a sign-in; the sandbox has a stand-in without a program."""

    def graph_token(self, tenant: str) -> Token:
        """A Microsoft Graph token of the signed-in principal.

        :param tenant: for this tenant; empty means the one that is signed in to.
        :raises SetupError: `az.*`.
        """

    def login(self, tenant: str, *, device_code: bool, tell: Callable[[Prompt], None], cancel: Cancel) -> None:
        """Sign a person in; it changes the configuration of the Azure CLI, so only an explicit wish leads here (U3).

        :param tenant: its id or domain name; empty means the person's own.
        :param device_code: let the person type a code on a page of any device, instead of opening a browser here.
        :param tell: shown what the person has to do, once or more, in the caller's thread.
        :param cancel: ends it.
        :raises SetupError: `az.*`; `usage.settings`: no such name of a tenant; `program.untrusted`.
        :raises Interrupted: it was cancelled.
        """

    def logout(self) -> None:
        """Sign out; nothing happens when nobody is signed in.

        :raises SetupError: `az.*`, `program.untrusted`.
        """


@dataclass(frozen=True)
class AzureCli:
    """The real one.

    :param untrusted: folders that az must not come from (C4).
    :param audit: told of every token, sign-in and sign-out (D3).
    """

    cloud: Cloud
    untrusted: Sequence[Path]
    cancel: Cancel
    seconds: float = PATIENCE
    audit: Audit = field(default_factory=Audit)

    def graph_token(self, tenant: str) -> Token:
        """`az account get-access-token` for this cloud's Graph, with its audience and tenant checked (C2, U3).

        :raises SetupError: `az.missing`, `az.signed-out`, `az.expired`, `az.refused`, `az.failed`, `az.garbage`,
            `az.hangs`, `az.wrong-tenant`, `az.wrong-audience`.
        """
        # az asks for exactly the resource that its cloud settings name; theirs ends in a slash for custom clouds
        resource = self.cloud.graph if self.cloud.built_in else f"{self.cloud.graph}/"
        arguments = ["account", "get-access-token", "--resource", resource, *(["--tenant", tenant] if tenant else [])]
        with self.audit.around("azure.token"):
            path, data = self._run(arguments, tenant)
            value = data.get("accessToken")
            if not isinstance(value, str):
                refuse_answer(path, "no accessToken")
            secret = Secret(value)
            try:
                claims = claims_of(value)
            except ValueError as error:
                refuse_answer(path, f"the token is not a JWT ({error})")
            return checked_user_token(Token(secret, claims), self.cloud, tenant)

    def login(self, tenant: str, *, device_code: bool, tell: Callable[[Prompt], None], cancel: Cancel) -> None:
        with self.audit.around("azure.login"):
            azure_login.checked_tenant(tenant)
            listener = azure_login.Listener(device_code=device_code, tell=tell)
            arguments = ["login", *(["--use-device-code"] if device_code else []), "--output", "none"]
            arguments += ["--allow-no-subscriptions", *(["--tenant", tenant] if tenant else [])]
            extra = _EXTRA | {"AZURE_CORE_LOGIN_EXPERIENCE_V2": "off"}  # with it, az asks for a subscription
            finished = self._start(self._path(), arguments, extra, azure_login.PATIENCE, cancel, listener)
            if finished.code != 0:
                _fail("az login", replace(finished, stderr=listener.rest), tenant)

    def logout(self) -> None:
        with self.audit.around("azure.logout"):
            finished = self._start(self._path(), ["logout", "--output", "none", "--only-show-errors"])
            if finished.code != 0 and "no active accounts" not in finished.stderr:
                _fail("az logout", finished, "")

    def _start(
        self,
        path: Path,
        arguments: Sequence[str],
        extra: Mapping[str, str] = _EXTRA,
        seconds: float = 0,
        cancel: Cancel | None = None,
        hear: Callable[[str], None] | None = None,
    ) -> process.Finished:
        seconds, cancel, argv = seconds or self.seconds, cancel or self.cancel, [str(path), *arguments]
        try:
            return process.run(argv, seconds=seconds, cancel=cancel, untrusted=self.untrusted, extra=extra, hear=hear)
        except OSError as error:
            detail = error.strerror or error
            raise SetupError("az.failed", command="az", code="it could not be started", detail=detail) from None

    def _path(self) -> Path:
        path = process.find("az", self.untrusted)
        if path is None:
            raise SetupError("az.missing")
        return path

    def _run(self, arguments: list[str], tenant: str) -> tuple[Path, dict[str, Any]]:
        path = self._path()
        finished = self._start(path, [*arguments, "--output", "json", "--only-show-errors"])
        command = "az " + " ".join(arguments[:2])
        if finished.code != 0:
            _fail(command, finished, tenant)
        try:
            data = json.loads(finished.stdout)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            refuse_answer(path, NO_JSON if finished.stdout.strip() else "nothing at all")
        return path, data


def refuse_answer(path: Path, detail: str) -> NoReturn:
    """An answer that is not what az documents.

    :raises SetupError: `az.garbage`.
    """
    raise SetupError("az.garbage", command="az account get-access-token", detail=detail, path=path) from None


def checked_user_token(token: Token, cloud: Cloud, tenant: str) -> Token:
    """The token, if its audience is this cloud's Graph and its tenant the plan's (C2, U3).

    :raises SetupError: `az.wrong-audience`, `az.wrong-tenant`.
    """
    audience = str(token.claims.get("aud", ""))
    if not cloud.is_graph_audience(audience):
        name = cloud.az_name or "the name it was registered with"
        raise SetupError("az.wrong-audience", theirs=audience, ours=cloud.graph, name=name)
    if token.claims.get("tid") != tenant and (tenant or not token.claims.get("tid")):
        theirs, ours = (name or "no tenant at all" for name in (token.claims.get("tid"), tenant))
        raise SetupError("az.wrong-tenant", theirs=theirs, ours=ours)
    try:  # it becomes part of paths and addresses
        guid("tid", token.claims.get("tid"))
    except SetupError as error:
        refuse_answer(Path("az"), f"in the token, {error.summary}")
    return token


def _fail(command: str, finished: process.Finished, tenant: str) -> NoReturn:
    """Raise the named error for a refusal; az's words are matched by parts, because they change."""
    option = f" --tenant {tenant}" if tenant else ""
    if _NO_NETWORK.search(finished.stderr) and "AADSTS" not in finished.stderr:
        detail = process.words(finished.stderr.partition("Traceback")[0]).removeprefix("ERROR: ")
        said, host = f"{command} says: {detail or 'no connection'}", "The sign-in service"
        if "CERTIFICATE_VERIFY_FAILED" in finished.stderr:
            roots = trusted_roots(os.environ)[1]
            raise NetworkError("network.untrusted", effected=Effected.NO, host=host, detail=said, roots=roots)
        raise NetworkError("network.unreachable", effected=Effected.NO, host=host, detail=said)
    if _NOT_SIGNED_IN.search(finished.stderr):
        raise SetupError("az.signed-out", tenant_option=option)
    if _REFUSED.search(finished.stderr):
        answer = _DESCRIPTION.search(finished.stderr)
        raise SignInError(answer[1] if answer else finished.stderr.strip().removeprefix("ERROR: "), tenant)
    words = process.words(finished.stderr).removeprefix("ERROR: ")
    raise SetupError("az.failed", command=command, code=f"exit code {finished.code}", detail=words or "no message")
