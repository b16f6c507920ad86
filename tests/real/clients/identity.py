"""azure-identity: a token by each kind of credential, each asked for twice."""

import base64
import hashlib
import json
import sys
import time
import uuid
from typing import Any

import jwt
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    DeviceCodeCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

given = json.load(sys.stdin)
tenant, app, scope = given["tenant"], given["app"], f"{given['graph']}/.default"
options = {} if given["public"] else {"authority": given["authority"], "disable_instance_discovery": True}
calls: list[int] = []


def assertion() -> str:
    """A client assertion with a SHA-256 thumbprint, signed by hand."""
    calls.append(1)
    der = x509.load_pem_x509_certificate(given["pem"].encode()).public_bytes(Encoding.DER)
    x5t = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    claims = {
        "aud": f"{given['authority']}/{tenant}/oauth2/v2.0/token",
        "iss": app,
        "sub": app,
        "jti": str(uuid.uuid4()),
        "exp": int(time.time()) + 300,
    }
    return jwt.encode(claims, given["pem"], algorithm="PS256", headers={"x5t#S256": x5t})


def refused(pem: str) -> str:
    """What a certificate that the app does not have is told."""
    try:
        CertificateCredential(tenant, app, certificate_data=pem.encode(), **options).get_token(scope)
    except ClientAuthenticationError as error:
        return str(error)
    return ""


prompts: list[str] = []
credentials: dict[str, Any] = {
    "certificate": CertificateCredential(tenant, app, certificate_data=given["pem"].encode(), **options),
    "secret": ClientSecretCredential(tenant, app, given["secret"], **options),
    "assertion": ClientAssertionCredential(tenant, app, assertion, **options),
    "device": DeviceCodeCredential(
        client_id=given["cli"],
        tenant_id=tenant,
        prompt_callback=lambda uri, code, _: prompts.append(f"{uri} {code}"),
        **options,
    ),
}
tokens = {name: [credential.get_token(scope).token for _ in range(2)] for name, credential in credentials.items()}
print(json.dumps({"tokens": tokens, "prompts": prompts, "calls": len(calls), "refused": refused(given["other_pem"])}))
