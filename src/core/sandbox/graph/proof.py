"""`addKey` and `removeKey`: a new key for whoever proves that it holds a valid old one (entra-protocol B.3, B.4)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from core.sandbox.directory import registrations
from core.sandbox.directory.registrations import Refused, life_of
from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import chain, objects, policies, rights, views
from core.sandbox.graph.rights import Caller
from core.sandbox.http import Response, answer

#: Azure AD Graph, whatever API is called.
AUDIENCE: Final = "00000002-0000-0000-c000-000000000000"
_LIFETIME: Final = 600


def add_key(tenant: Tenant, caller: Caller, kind: str, object_id: str, body: dict[str, Any]) -> Response:
    """Add a certificate; the others stay.

    :raises Refused: 401 for a person and for a proof that does not hold, 403, 404, 400.
    """
    state = _holder(tenant, caller, kind, object_id)
    _verify(tenant, caller, kind, state, body.get("proof"))
    sent = body.get("keyCredential")
    if not isinstance(sent, dict) or sent.get("usage") != "Verify" or body.get("passwordCredential") is not None:
        message = "A key credential of type 'AsymmetricX509Cert' for 'Verify' without a password was expected."
        raise Refused(400, "Request_BadRequest", message)
    (entry,) = registrations.keys_of(tenant, [sent])
    if any(entry["keyId"] == other["keyId"] for other in state["keyCredentials"]):
        raise Refused(400, "Request_BadRequest", f"A credential with KeyId '{entry['keyId']}' exists already.")
    policies.check_key(tenant, kind, state, entry)
    state["keyCredentials"].append(entry)
    tenant.commit(kind, object_id, state)
    return answer(200, views.context(tenant, "microsoft.graph.keyCredential") | entry | {"key": None})


def remove_key(tenant: Tenant, caller: Caller, kind: str, object_id: str, body: dict[str, Any]) -> Response:
    """Remove one key; whether it may be the one that signs the proof is a switch.

    :raises Refused: 401 for a person and for a proof that does not hold, 403, 404, 400.
    """
    state = _holder(tenant, caller, kind, object_id)
    signer = _verify(tenant, caller, kind, state, body.get("proof"))
    key_id = chain.text(body, "keyId")
    rest = [entry for entry in state["keyCredentials"] if entry["keyId"] != key_id]
    if len(rest) == len(state["keyCredentials"]):
        raise Refused(400, "Request_BadRequest", f"No key credential found with keyId '{key_id}'.")
    if signer["keyId"] == key_id and not tenant.switches.remove_signing_key:
        raise Refused(400, "Request_BadRequest", "The key that signs the proof cannot be removed.")
    state["keyCredentials"] = rest
    tenant.commit(kind, object_id, state)
    return answer(204)


def _holder(tenant: Tenant, caller: Caller, kind: str, object_id: str) -> State:
    """The newest version of whose keys these are; an app needs no role for its own."""
    shown = rights.seen(tenant, caller, kind, object_id)
    rights.check_own(shown)
    if caller.person:
        raise _malformed()
    objects.check_holder(shown)
    if caller.claims["appid"] != shown["appId"]:
        return rights.written(tenant, caller, kind, object_id, "keys")
    state = tenant.latest(kind, object_id)
    if state is None:
        raise rights.missing(object_id)
    return state


def _verify(tenant: Tenant, caller: Caller, kind: str, state: State, proof: Any) -> State:
    """The valid key, among those that this replica shows, that signed the proof."""
    import jwt
    from cryptography import x509

    if not isinstance(proof, str) or "=" in proof:
        raise _malformed()
    try:
        header = jwt.get_unverified_header(proof)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise _malformed() from None
    shown = rights.seen(tenant, caller, kind, state["id"])["keyCredentials"]
    now = tenant.now()
    named = {str(header[name]).rstrip("=") for name in ("x5t", "x5t#S256", "kid") if header.get(name)}
    for entry in shown:
        begins, ends = life_of(entry)
        usable = entry.get("usage") == "Verify" and entry.get("key") and begins <= now < ends
        if not usable or (named and not named & _names(entry)):
            continue
        public: Any = x509.load_der_x509_certificate(base64.b64decode(entry["key"])).public_key()
        algorithms = ["RS256", "PS256"] if tenant.switches.proof_ps256 else ["RS256"]
        off = dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub"), False)
        options: Any = off | {"verify_jti": False}
        try:
            claims = jwt.decode(proof, public, algorithms=algorithms, options=options)
        except jwt.PyJWTError:
            continue
        if _holds(tenant, state, claims):
            return dict(entry)
    raise _malformed()


def _holds(tenant: Tenant, state: State, claims: dict[str, Any]) -> bool:
    begins, ends = claims.get("nbf"), claims.get("exp")
    if claims.get("aud") != AUDIENCE or claims.get("iss") != state["id"]:
        return False
    if not isinstance(begins, (int, float)) or not isinstance(ends, (int, float)):
        return False
    now, skew = tenant.now().timestamp(), tenant.switches.skew
    return 0 < ends - begins <= _LIFETIME and begins <= now + skew and now - skew < ends


def _names(entry: State) -> set[str]:
    """What a header may call a certificate by."""
    der = base64.b64decode(entry["key"])
    digests = (hashlib.sha1(der, usedforsecurity=False), hashlib.sha256(der))
    coded = {base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=") for digest in digests}
    return coded | {digests[0].hexdigest().upper(), entry["keyId"]}


def _malformed() -> Refused:
    return Refused(401, "Authentication_MissingOrMalformed", "Access Token missing or malformed.")
