"""The data plane of Azure Storage: containers and blobs of the account whose host is asked (A7)."""

from __future__ import annotations

import base64
from typing import Any, Final
from xml.sax.saxutils import escape

from core.sandbox.arm import access, storage
from core.sandbox.arm.answers import Refused
from core.sandbox.directory.store import State, Tenant
from core.sandbox.http import Request, Response
from core.sandbox.token_service.resources import STORAGE_APP_ID, app_id_of

_READ: Final = ("GET", "HEAD")
_XML: Final = "application/xml"


def handle(tenant: Tenant, request: Request, account: str) -> Response:
    """Answer a request to an account's host; errors are XML, with their code in a header.

    :param account: its name.
    """
    try:
        response = _route(tenant, request, account)
    except Refused as refusal:
        response = _refusal(tenant, refusal)
    stamp = tenant.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
    version = {"x-ms-version": request.headers.get("x-ms-version", "2021-08-06"), "Date": stamp}
    return Response(
        response.status, {"x-ms-request-id": tenant.passing_id(), **version, **response.headers}, response.content
    )


def _route(tenant: Tenant, request: Request, account: str) -> Response:
    container, _, name = request.path.strip("/").partition("/")
    if not storage.scope_of(tenant, account):
        raise Refused(404, "ResourceNotFound", "The specified resource does not exist.")
    _check(tenant, request, storage.scope_of(tenant, account, container))
    found = tenant.latest(storage.CONTAINER, f"{account}/{container}")
    if request.query.get("restype") == "container" and not name:
        return _container(tenant, request, account, container, found)
    if found is None:
        raise Refused(404, "ContainerNotFound", "The specified container does not exist.")
    return _blob(tenant, request, found, name)


def _container(tenant: Tenant, request: Request, account: str, name: str, found: State | None) -> Response:
    if request.method == "PUT":
        if found is not None:
            raise Refused(409, "ContainerAlreadyExists", "The specified container already exists.")
        storage.make_container(tenant, account, name)
        return Response(201)
    if found is None:
        raise Refused(404, "ContainerNotFound", "The specified container does not exist.")
    if request.method == "DELETE":
        tenant.commit(storage.CONTAINER, found["id"], None)
        return Response(202)
    if request.query.get("comp") == "list":
        prefix = request.query.get("prefix", "")
        blobs = "".join(
            f"<Blob><Name>{escape(each)}</Name></Blob>" for each in found["_blobs"] if each.startswith(prefix)
        )
        text = f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>{blobs}</Blobs></EnumerationResults>'
        return Response(200, {"Content-Type": _XML}, text.encode())
    return Response(200)


def _blob(tenant: Tenant, request: Request, container: State, name: str) -> Response:
    blobs = container["_blobs"]
    if request.method == "PUT" and name:
        content = base64.b64encode(request.body).decode()
        tenant.commit(storage.CONTAINER, container["id"], container | {"_blobs": {**blobs, name: content}})
        return Response(201)
    if name not in blobs:
        raise Refused(404, "BlobNotFound", "The specified blob does not exist.")
    if request.method == "DELETE":
        rest = {each: content for each, content in blobs.items() if each != name}
        tenant.commit(storage.CONTAINER, container["id"], container | {"_blobs": rest})
        return Response(202)
    headers = {"Content-Type": "application/octet-stream", "x-ms-blob-type": "BlockBlob"}
    return Response(200, headers, base64.b64decode(blobs[name]))


def _check(tenant: Tenant, request: Request, scope: str) -> None:
    """Whether the token is one for Azure Storage, and its holder has a role for data: Owner is none.

    :raises Refused: 401, 403.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    issued = tenant.issued.get(token) if kind.lower() == "bearer" else None
    claims: dict[str, Any] = issued.claims if issued is not None and issued.kind == "access" else {}
    if not claims or claims["exp"] <= tenant.now().timestamp():
        raise Refused(401, "NoAuthenticationInformation", "Server failed to authenticate the request.")
    if app_id_of(tenant, str(claims["aud"])) != STORAGE_APP_ID:
        raise Refused(401, "InvalidAuthenticationInfo", "Audience validation failed. Audience did not match.")
    wanted = access.DATA if request.method in _READ else access.DATA[:2]
    if not access.held(tenant, str(claims["oid"]), scope) & set(wanted):
        message = "This request is not authorized to perform this operation using this permission."
        raise Refused(403, "AuthorizationPermissionMismatch", message)


def _refusal(tenant: Tenant, refusal: Refused) -> Response:
    headers = {"Content-Type": _XML, "x-ms-error-code": refusal.code}
    if refusal.status == 401:
        where = f"{tenant.authority}/{tenant.id}/oauth2/authorize"
        headers["WWW-Authenticate"] = f"Bearer authorization_uri={where} resource_id=https://storage.azure.com"
    text = f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>"
    return Response(refusal.status, headers, f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode())
