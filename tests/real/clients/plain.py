"""msal alone: an app with certificate and with secret, a person by device code; what the token cache saves."""

import json
import sys
from typing import Any

import msal

given = json.load(sys.stdin)
scopes = [f"{given['graph']}/.default"]
options: dict[str, Any] = {"authority": f"{given['authority']}/{given['tenant']}"}
if not given["public"]:
    options["instance_discovery"] = False

cache = msal.SerializableTokenCache()
by_certificate = msal.ConfidentialClientApplication(
    given["app"],
    client_credential={"private_key": given["pem"], "public_certificate": given["pem"]},
    token_cache=cache,
    **options,
)
by_secret = msal.ConfidentialClientApplication(given["app"], client_credential=given["secret"], **options)
by_nothing = msal.ConfidentialClientApplication(given["app"], client_credential="wrong", **options)
person = msal.PublicClientApplication(given["cli"], token_cache=cache, **options)
flow = person.initiate_device_flow(scopes)
signed_in = person.acquire_token_by_device_flow(flow)
(account,) = person.get_accounts()
results = {
    "certificate": by_certificate.acquire_token_for_client(scopes),
    "certificate again": by_certificate.acquire_token_for_client(scopes),
    "secret": by_secret.acquire_token_for_client(scopes),
    "wrong": by_nothing.acquire_token_for_client(scopes),
    "device": signed_in,
    "silent": person.acquire_token_silent(scopes, account),
    "refreshed": person.acquire_token_silent(scopes, account, force_refresh=True),
}
print(json.dumps({"results": results, "account": account, "message": flow["message"]}))
