"""The back end of `az ad app permission admin-consent`: it grants what an app declares (S4).

Undocumented; the path and the resource are the Azure CLI's, the refusal's shape is that of public reports about it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import consents, grants, rights
from core.sandbox.http import Request, Response, answer, not_found

#: Audience of its tokens.
RESOURCE: Final = "74658136-14ec-4630-ad9b-26e160ff0fc6"
_PATH: Final = re.compile(r"/api/RegisteredApplications/([0-9a-fA-F-]{36})/Consent")


def handle(tenant: Tenant, request: Request) -> Response:
    """Answer a request to it."""
    matched = _PATH.fullmatch(request.path)
    if request.method != "POST" or not matched or request.query.get("onBehalfOfAll") != "true":
        return not_found()
    issued = tenant.issued.get(request.headers.get("authorization", "").removeprefix("Bearer "))
    if issued is None or issued.claims.get("aud") != RESOURCE or issued.claims["exp"] <= tenant.now().timestamp():
        return answer(401, {"Message": "Authorization has been denied for this request."})
    app = tenant.find("application", "appId", matched[1].lower())
    principal = tenant.find("servicePrincipal", "appId", matched[1].lower())
    if app is None or principal is None:
        return _refusal(404, "Request_ResourceNotFound", str(rights.missing(matched[1])))
    wanted: list[tuple[State, list[State]]] = []
    for declared in app["requiredResourceAccess"]:
        resource = tenant.find("servicePrincipal", "appId", declared["resourceAppId"])
        if resource is None:
            message = f"The resource '{declared['resourceAppId']}' has no service principal in this tenant."
            return _refusal(400, "Request_BadRequest", message)
        if not grants.consenters(resource) & set(issued.claims.get("wids", ())):
            return _refusal(
                403, "Authorization_RequestDenied", "This operation can only be performed by an administrator."
            )
        wanted.append((resource, declared["resourceAccess"]))
    for resource, accesses in wanted:
        _grant(tenant, principal, resource, accesses)
    return answer(204)


def _grant(tenant: Tenant, principal: State, resource: State, accesses: list[State]) -> None:
    held = {(grant["principalId"], grant["appRoleId"]) for grant in tenant.all_latest(grants.KIND)}
    offered = {role["id"] for role in resource["appRoles"]}
    for access in accesses:
        if access["type"] == "Role" and access["id"] in offered and (principal["id"], access["id"]) not in held:
            grant = grants.new_grant(tenant, principal, resource, access["id"])
            tenant.commit(grants.KIND, grant["id"], grant)
    scopes = {scope["id"]: scope["value"] for scope in resource.get("oauth2PermissionScopes", ()) if scope["value"]}
    values = sorted(scopes[access["id"]] for access in accesses if access["type"] == "Scope" and access["id"] in scopes)
    if not values:
        return
    new = consents.new_grant(principal["id"], resource["id"], " ".join(values))
    for old in tenant.all_latest(consents.KIND):  # others' scopes stay
        if all(old[name] == new[name] for name in ("clientId", "resourceId", "consentType")):
            new = old | {"scope": " ".join(sorted({*old["scope"].split(), *values}))}
    tenant.commit(consents.KIND, new["id"], new)


def _refusal(status: int, code: str, message: str) -> Response:
    body: dict[str, Any] = {
        "ClassName": "Microsoft.Portal.Framework.Exceptions.ClientException",
        "Message": f"Graph call failed with httpCode={status}, errorCode={code}, errorMessage={message}",
        "Data": {},
        "HttpStatusCode": status,
        "ClientData": {"errorCode": code, "localizedErrorDetails": {"errorDetail": message}},
    }
    return answer(status, body)
