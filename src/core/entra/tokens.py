"""Application tokens: minted with the certificate, checked, and the state of an old secret (P5, P11, M3).

Tokens come from `azure.identity.CertificateCredential`; where the key cannot be taken out of where it lies, from
`ClientAssertionCredential` and what the key signs there. Each try builds a new credential, because MSAL remembers an
HTTP 400 for a minute and would replay it (entra-protocol D.2).
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

from core.clock import Waits, wait_until
from core.config.cloud import Cloud
from core.entra.assertions import client_assertion
from core.entra.certificates import KeyPair
from core.entra.http import DISCOVERY, Session
from core.errors import TRANSIENT, Interrupted, NetworkError, SetupError, TokenError
from core.errors.codes import read
from core.secret import Secret
from core.signer import Signer

#: Answers that replication explains: the certificate, the app or its principal has not arrived everywhere yet.
#: 7000229: no service principal; 700016: no app; 700027: no such key; 50012, 1000502: not valid (yet).
LAGGING: Final = frozenset({700027, 700016, 7000229, 50012, 1000502, 90033, 90055, 50196})
#: The certificate is not among the app's.
UNKNOWN_KEY: Final = 700027
#: How long a new certificate may take; over five minutes have been seen.
PROOF_DEADLINE: Final = 600.0
PROOF_EXPECTED: Final = 60.0
_SILENT: Final = logging.NullHandler()


@dataclass(frozen=True)
class Token:
    """An access token and what it says of itself. Its claims are for checks and diagnostics only."""

    value: Secret
    claims: Mapping[str, Any]

    @property
    def roles(self) -> frozenset[str]:
        """Granted application permissions."""
        roles = self.claims.get("roles")
        return frozenset(map(str, roles)) if isinstance(roles, list) else frozenset()

    @property
    def scopes(self) -> frozenset[str]:
        """Delegated permissions."""
        return frozenset(str(self.claims.get("scp") or "").split())

    def authorize(self, headers: MutableMapping[str, str]) -> None:
        """Name it in the headers of a request that is about to be sent."""
        headers["Authorization"] = f"Bearer {self.value.reveal()}"


def claims_of(token: str) -> dict[str, Any]:
    """The payload of a JWT, unverified: only the service that issued it can be asked whether it is genuine.

    :raises ValueError: not a JWT.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not three parts")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(claims, dict):
        raise ValueError("the payload is not an object")
    return claims


def mint(session: Session, cloud: Cloud, tenant: str, app_id: str, signer: Signer) -> Token:
    """A Microsoft Graph application token, from a new credential, checked for audience, app and tenant.

    :raises TokenError: the service refused.
    :raises NetworkError: no answer.
    :raises SetupError: `token.wrong`: the token is for something else; `audit.io`: it was not asked for.
    """
    with session.audit.around("token.certificate"):
        # without a handler of ours Python prints their warnings to standard error, between our own lines
        for name in ("azure", "msal"):
            logging.getLogger(name).addHandler(_SILENT)
        _name_no_processor()
        from azure.core.exceptions import AzureError
        from azure.core.pipeline.transport import RequestsTransport
        from azure.identity import CertificateCredential, ClientAssertionCredential

        options: dict[str, Any] = {
            "authority": cloud.authority,
            "disable_instance_discovery": True,
            "transport": RequestsTransport(session=session, session_owner=False),
            "retry_total": 0,
            "additionally_allowed_tenants": [],
        }

        def assertion() -> str:
            endpoint = f"{cloud.authority}/{tenant}/oauth2/v2.0/token"
            return client_assertion(signer, endpoint, app_id, session.now()).reveal()

        try:
            credential: CertificateCredential | ClientAssertionCredential
            if isinstance(signer, KeyPair):
                data = signer.pem.reveal().encode()
                credential = CertificateCredential(tenant, app_id, certificate_data=data, **options)
            else:
                credential = ClientAssertionCredential(tenant, app_id, assertion, **options)
            value = credential.get_token(cloud.graph_scope).token
        except AzureError as error:
            for cause in _causes(error):
                if isinstance(cause, NetworkError | Interrupted):
                    raise cause from None
            # for an unknown tenant MSAL tells the answer in the cause only
            text = next((str(cause) for cause in _causes(error) if read(str(cause)).codes), str(error))
            _refuse(text, tenant, app_id, session)
        return checked(value, cloud, tenant, app_id)


def discover(session: Session, cloud: Cloud, tenant: str) -> None:
    """Fetch what the authority says of itself, which the next sign-in asks for, while other answers are on their way.

    A failure is not reported: that sign-in asks again, and then it matters.
    """
    with suppress(NetworkError):
        session.call("GET", f"{cloud.authority}/{tenant}{DISCOVERY}")


def prepare(session: Session, cloud: Cloud, tenant: str) -> None:
    """What `mint` needs besides the key: a connection, the authority's own words, and 0.2 s of imports."""
    discover(session, cloud, tenant)
    _name_no_processor()
    import azure.identity  # noqa: F401


def _name_no_processor() -> None:
    """azure-core writes the platform into its user agent, for which Python starts the first `uname` on the PATH."""
    import platform

    vars(platform.uname()).setdefault("processor", "")


def checked(value: str, cloud: Cloud, tenant: str, app_id: str) -> Token:
    """The token, if it is what was asked for.

    :raises SetupError: `token.wrong`.
    """
    try:
        claims = claims_of(value)
    except ValueError as error:
        raise SetupError("token.wrong", detail=f"it is not a JWT ({error})") from None
    for claim, found, fits in (
        ("aud", claims.get("aud"), cloud.is_graph_audience(str(claims.get("aud")))),
        ("appid", claims.get("appid") or claims.get("azp"), (claims.get("appid") or claims.get("azp")) == app_id),
        ("tid", claims.get("tid"), claims.get("tid") == tenant),
    ):
        if not fits:
            raise SetupError("token.wrong", detail=f"its {claim} is {found}")
    return Token(Secret(value), claims)


def prove(
    session: Session,
    cloud: Cloud,
    tenant: str,
    app_id: str,
    signer: Signer,
    who: Waits,
    roles: frozenset[str] = frozenset(),
    unknown: Callable[[], object] = lambda: None,
) -> Token:
    """Mint a token, and wait while replication explains a refusal, or that a role is missing (P7).

    :param roles: permissions that the token has to carry.
    :param unknown: called when the service does not know the certificate: it may have been dropped from the app.
    :raises SetupError: `migrate.unproven` after the deadline; anything that waiting cannot mend at once.
    """
    last: SetupError | None = None

    def attempt() -> Token | None:
        nonlocal last
        try:
            token = mint(session, cloud, tenant, app_id, signer)
            if roles <= token.roles:
                return token
            last = SetupError("token.roles", missing=", ".join(sorted(roles - token.roles)))
        except TokenError as error:
            if not (LAGGING & set(error.codes) or error.status in TRANSIENT or error.error == "unknown"):
                raise
            last = error
            if UNKNOWN_KEY in error.codes:
                unknown()
        except NetworkError as error:
            if not error.transient:
                raise
            last = error
        return None

    reason = "the certificate to be accepted everywhere"
    reason += f", and {len(roles)} permissions to arrive in its token" if roles else ""
    token = wait_until(attempt, who, reason, expected=PROOF_EXPECTED, deadline=PROOF_DEADLINE)
    if token is None:
        assert last is not None  # whatever is no token has said why
        raise SetupError("migrate.unproven", minutes=round(PROOF_DEADLINE / 60), detail=last.summary)
    return token


@dataclass(frozen=True)
class SecretState:
    """What the service says of an old client secret.

    :param state: `live`; `dead` (any `invalid_client`); `unknown` for every other answer.
    """

    state: Literal["live", "dead", "unknown"]
    detail: str


def try_secret(session: Session, cloud: Cloud, tenant: str, app_id: str, secret: Secret) -> SecretState:
    """Ask the service whether it still accepts a secret; a token that it yields is dropped at once (M3).

    :raises SetupError: `audit.io`: it was not asked.
    """
    with session.audit.around("token.secret"):
        try:
            url = f"{cloud.authority}/{tenant}/oauth2/v2.0/token"
            form = {"grant_type": "client_credentials", "client_id": app_id, "scope": cloud.graph_scope}
            response = session.call("POST", url, form=form | {"client_secret": secret.reveal()})
            answer = response.json()
        except NetworkError as error:
            return SecretState("unknown", error.summary)
        if "error" not in answer and response.status == 200 and answer.get("access_token"):
            return SecretState("live", "accepted")
        codes = read(str(answer.get("error_description"))).codes
        detail = f"{answer.get('error')}, AADSTS{codes[0]}" if codes else str(answer.get("error") or response.status)
        return SecretState("dead" if answer.get("error") == "invalid_client" else "unknown", detail)


def _refuse(text: str, tenant: str, app_id: str, session: Session) -> NoReturn:
    """MSAL and azure-identity keep only the text of the answer, so the codes are read from there."""
    codes = read(text).codes
    error = "invalid_client" if set(codes) & {7000215, 7000222, 700027, 700024, 7000229} else "unknown"
    if codes and error == "unknown":
        error = "refused"
    message = text.removeprefix("Authentication failed: ")
    clock = session.clock_error
    raise TokenError(error, codes, message, app_id=app_id, tenant=tenant, clock=clock) from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = getattr(current, "inner_exception", None) or current.__cause__ or current.__context__
