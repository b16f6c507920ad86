"""What Graph says of a token that it does not take (entra-protocol A.4)."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from typing import Final

_NO_DOTS: Final = (
    "IDX14100: JWT is not well formed, there are no dots (.).\n"
    "The token needs to be in JWS or JWE Compact Serialization Format. (JWS): "
    "'EncodedHeader.EncodedPayload.EncodedSignature'. (JWE): 'EncodedProtectedHeader.EncodedEncryptedKey."
    "EncodedInitializationVector.EncodedCiphertext.EncodedAuthenticationTag'."
)
_UNREADABLE: Final = "CompactToken parsing failed with error code: 80049217"
_AUDIENCE: Final = "Access token validation failure. Invalid audience."
_SIGNATURE: Final = "Access token validation failure. Signature validation failed."


def flaw(token: str, audiences: Collection[str], *, issued: bool) -> str:
    """Why a token opens nothing.

    :param audiences: the names of Graph.
    :param issued: the sign-in service did issue an access token of these characters.
    """
    if issued:
        return _AUDIENCE
    if "." not in token:
        return _NO_DOTS
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        audience = str(claims["aud"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return _UNREADABLE
    return _SIGNATURE if audience.rstrip("/") in audiences else _AUDIENCE
