"""Client assertions that an app signs with its own key, as the token endpoint checks them (RFC 7523, D.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final, TypeGuard

from core.entra.certificates import thumbprint
from core.sandbox.directory.registrations import life_of
from core.sandbox.directory.store import State, Tenant
from core.sandbox.token_service.refusals import refuse

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a JWT, unverified.

    :raises Refused: 50027: it is none, or it is not encoded in the one way that RFC 7515 allows.
    """
    parts = token.split(".")
    try:
        raw = [base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True) for part in parts]
        header, payload = (json.loads(part) for part in raw[:2])
    except (ValueError, binascii.Error, RecursionError):
        raise refuse(50027, reason="It cannot be decoded.") from None
    canonical = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in raw]
    if len(parts) != 3 or canonical != parts or not isinstance(header, dict) or not isinstance(payload, dict):
        raise refuse(50027, reason="It is not a signed JWT.")
    return header, payload


def check(tenant: Tenant, client_id: str, assertion: str, holders: Iterable[State]) -> State:
    """Verify a client assertion: key by thumbprint, signature, audience, subject, times, `jti` (RFC 7523).

    :returns: the key that it was signed with.
    :raises Refused: it does not hold.
    """
    import jwt
    from cryptography import x509

    header, _ = parts_of(assertion)
    named = {str(header.get(name)).rstrip("=") for name in ("x5t", "x5t#S256") if header.get(name)}
    facts = {"app": client_id, "thumbprint": ", ".join(sorted(named)) or "none"}
    holding: list[tuple[State, State]] = [
        (holder, entry)
        for holder in holders
        for entry in holder["keyCredentials"]
        if named and entry.get("usage") == "Verify" and named <= _thumbprints(entry)
    ]
    if not holding:
        raise refuse(700027, reason="The key was not found.", **facts)
    # one certificate may stand on an app more than once: an entry that is in time counts, wherever it stands
    holder, key = next((one for one in holding if _in_time(tenant, one[1])), holding[0])
    begins, ends = life_of(key)
    if ends <= tenant.now():
        raise refuse(700027, reason="The key used is expired.", **facts)
    certificate = x509.load_der_x509_certificate(base64.b64decode(key["key"]))
    if "x5c" in header and not _begins_with(header["x5c"], key):
        raise refuse(tenant.switches.bad_signature, reason="The certificate of x5c is another one.", **facts)
    options: Any = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "sub", "jti")}
    try:
        claims: dict[str, Any] = jwt.decode(
            assertion,
            certificate.public_key(),  # type: ignore[arg-type]
            algorithms=["RS256", "PS256"],
            options=options,
        )
    except jwt.PyJWTError:
        raise refuse(tenant.switches.bad_signature, reason="The signature is invalid.", **facts) from None
    if not certificate.not_valid_before_utc <= tenant.now() < certificate.not_valid_after_utc:
        raise refuse(1000502)
    if begins > tenant.now():
        raise refuse(700027, reason="The key used is not valid yet.", **facts)
    if revoked := holder.get("_revoked", {}).get(key["keyId"]):
        raise refuse(revoked, **facts)
    _check_claims(tenant, client_id, claims)
    return key


def _check_claims(tenant: Tenant, client_id: str, claims: dict[str, Any]) -> None:
    audience = claims.get("aud")
    here = {
        f"{tenant.authority}/{name}/{end}"
        for name in (tenant.id, tenant.domain)
        for end in ("oauth2/v2.0/token", "v2.0")
    }
    if not isinstance(audience, str) or audience not in here:
        raise refuse(50027, reason=f"Its audience '{audience}' is not this endpoint.")
    if {str(claims.get(name)).lower() for name in ("iss", "sub")} != {client_id}:
        raise refuse(50048)
    now, skew, longest = tenant.now().timestamp(), tenant.switches.skew, tenant.switches.assertion_life
    begins, ends = claims.get("nbf", claims.get("iat", now)), claims.get("exp")
    if (
        not _is_time(begins)
        or not _is_time(ends)
        or not begins - skew <= now <= ends + skew
        or (longest and ends > now + longest)
    ):
        raise refuse(700024, now=tenant.stamp(), start=str(begins), end=str(ends))
    identifier = claims.get("jti")
    if not identifier or not isinstance(identifier, str):
        raise refuse(50027, reason="It has no jti.")
    if tenant.switches.replay:
        return
    if identifier in tenant.assertions:
        raise refuse(50027, reason="It was used before.")
    tenant.assertions.add(identifier)


def _in_time(tenant: Tenant, key: State) -> bool:
    begins, ends = life_of(key)
    return begins <= tenant.now() < ends


def _begins_with(chain: Any, key: State) -> bool:
    """Whether `x5c` begins with a key's certificate; MSAL sends it with line breaks."""
    first = chain[0] if isinstance(chain, list) and chain else None
    return isinstance(first, str) and "".join(first.split()) == key["key"]


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def _thumbprints(entry: State) -> set[str]:
    if not entry.get("key"):  # Graph lists keys without their bytes, and none can be checked by them
        return set()
    der = base64.b64decode(entry["key"])
    sha1 = base64.urlsafe_b64encode(bytes.fromhex(thumbprint(der))).decode().rstrip("=")
    sha256 = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    return {sha1, sha256}
