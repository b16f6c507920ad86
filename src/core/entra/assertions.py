"""What a key signs of itself: client assertions and proofs of possession (T5, P8; entra-protocol D.2, B.4)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from core.secret import Secret
from core.signer import Padding, Signer

#: Seconds that an assertion or a proof lives: 5 to 10 minutes are advised, and a proof has 10 at most.
LIFE: Final = 600
#: Audience of a proof: Azure AD Graph, whatever API it is sent to.
PROOF_AUDIENCE: Final = "00000002-0000-0000-c000-000000000000"


def client_assertion(signer: Signer, audience: str, app_id: str, now: datetime, life: int = LIFE) -> Secret:
    """What an app signs in with instead of a secret, as the service advises it: PS256, SHA-256 thumbprint.

    :param audience: the token endpoint.
    :param now: the current time.
    :param life: seconds until it ends.
    :raises SetupError: the key cannot be used.
    """
    claims = {"aud": audience, "iss": app_id, "sub": app_id, "jti": str(uuid4()), **_times(now, life)}
    return signed(signer, claims, "pss")


def proof_of_possession(signer: Signer, object_id: str, now: datetime) -> Secret:
    """What `addKey` and `removeKey` ask for: RS256, the only algorithm that is known to be taken.

    :param object_id: of the application or service principal whose key it is; not its app id.
    :raises SetupError: the key cannot be used.
    """
    return signed(signer, {"aud": PROOF_AUDIENCE, "iss": object_id, **_times(now, LIFE)}, "pkcs1")


def signed(signer: Signer, claims: Mapping[str, Any], padding: Padding) -> Secret:
    """A JWT; its header names the certificate by the thumbprint that goes with the algorithm.

    :raises SetupError: the key cannot be used.
    """
    if padding == "pss":
        header = {"alg": "PS256", "typ": "JWT", "x5t#S256": _base64(hashlib.sha256(signer.der).digest())}
    else:
        header = {"alg": "RS256", "typ": "JWT", "x5t": _base64(bytes.fromhex(signer.thumbprint))}
    text = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return Secret(f"{text}.{_base64(signer.sign(hashlib.sha256(text.encode()).digest(), padding))}")


def _times(now: datetime, life: int) -> dict[str, int]:
    begins = int(now.timestamp())
    return {"nbf": begins, "iat": begins, "exp": begins + life}


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
