"""Client assertions as the token endpoint checks them (RFC 7523, entra-protocol D.2), and its refusal."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any, Final

from core.entra.certificates import thumbprint
from core.sandbox.graph.directory import moment
from core.sandbox.tenant import State, Tenant

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Refused(Exception):
    """The endpoint's refusal, as RFC 6749 section 5.2 and AADSTS spell it."""

    def __init__(self, status: int, error: str, code: int, text: str) -> None:
        super().__init__(text)
        self.status, self.error, self.code, self.text = status, error, code, text


def check(tenant: Tenant, client_id: str, form: dict[str, str], holders: Iterable[State]) -> State:
    """Verify a client assertion: key by thumbprint, signature, audience, subject, times, `jti` (RFC 7523).

    :returns: the key that it was signed with.
    :raises Refused: it does not hold.
    """
    import jwt
    from cryptography import x509

    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise Refused(400, "invalid_request", 900144, "The request body must contain 'client_assertion_type'.")
    assertion = form["client_assertion"]
    try:
        header = jwt.get_unverified_header(assertion)
    except jwt.PyJWTError:
        raise Refused(401, "invalid_client", 50027, "JWT token is invalid or malformed.") from None
    named = {str(header.get(name)).rstrip("=") for name in ("x5t", "x5t#S256") if header.get(name)}
    key: State | None = next(
        (entry for h in holders for entry in h["keyCredentials"] if _thumbprints(entry) & named), None
    )
    shown = ", ".join(sorted(named)) or "none"
    invalid = "Client assertion contains an invalid signature. [Reason - "
    if key is None:
        text = (
            f"{invalid}The key was not found., Thumbprint of key used "
            f"by client: '{shown}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see "
            f"configured keys for app Id '{client_id}'.]"
        )
        raise Refused(401, "invalid_client", 700027, text)
    if moment(key["endDateTime"]) <= tenant.now():
        text = (
            f"Client assertion contains an invalid signature. [Reason - The key used is expired., Thumbprint '{shown}']"
        )
        raise Refused(401, "invalid_client", 700027, text)
    public = x509.load_der_x509_certificate(base64.b64decode(key["key"])).public_key()
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    try:
        claims = jwt.decode(assertion, public, algorithms=["RS256", "PS256"], options=options)  # type: ignore[arg-type]
    except jwt.PyJWTError:
        text = f"{invalid}The signature is invalid., Thumbprint '{shown}']"
        raise Refused(401, "invalid_client", 700027, text) from None
    audience = claims.get("aud")
    here = {
        f"{tenant.authority}/{name}/{end}"
        for name in (tenant.id, tenant.domain)
        for end in ("oauth2/v2.0/token", "v2.0")
    }
    if audience not in here:
        raise Refused(
            401, "invalid_client", 50027, f"JWT token is invalid: audience '{audience}' is not this endpoint."
        )
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise Refused(401, "invalid_client", 50048, "Subject must match issuer claim in the client assertion.")
    now, skew = tenant.now().timestamp(), tenant.switches.skew
    begins = float(claims.get("nbf", claims.get("iat", now)))
    if not isinstance(claims.get("exp"), (int, float)) or claims["exp"] < now - skew or begins > now + skew:
        text = f"Client assertion is not within its valid time range. Current time: {tenant.stamp()}."
        raise Refused(401, "invalid_client", 700024, text)
    if not claims.get("jti"):
        raise Refused(401, "invalid_client", 50027, "JWT token is invalid: it has no jti.")
    return key


def _thumbprints(entry: State) -> set[str]:
    der = base64.b64decode(entry["key"])
    sha1 = base64.urlsafe_b64encode(bytes.fromhex(thumbprint(der))).decode().rstrip("=")
    sha256 = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    return {sha1, sha256}
