"""Properties of app registrations and service principals: what each may become (entra-protocol A.3)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from core.sandbox.directory.defaults import APPLICATION, AUDIENCES
from core.sandbox.directory.registrations import Refused, taken
from core.sandbox.directory.store import State, Tenant

READ_ONLY: Final = frozenset(
    {
        "agentIdentityBlueprintId",
        "appDescription",
        "appDisplayName",
        "appOwnerOrganizationId",
        "applicationTemplateId",
        "createdByAppId",
        "certification",
        "createdDateTime",
        "deletedDateTime",
        "disabledByMicrosoftStatus",
        "publisherDomain",
        "resourceSpecificApplicationPermissions",
        "servicePrincipalType",
        "uniqueName",
        "verifiedPublisher",
    }
)
_TEXTS: Final = (
    "defaultRedirectUri",
    "description",
    "groupMembershipClaims",
    "homepage",
    "loginUrl",
    "logoutUrl",
    "notes",
    "preferredSingleSignOnMode",
    "samlMetadataUrl",
    "serviceManagementReference",
    "tokenEncryptionKeyId",
)
_TYPES: Final[dict[str, Any]] = {
    "accountEnabled": bool,
    "appRoleAssignmentRequired": bool,
    "displayName": str,
    "isDeviceOnlyAuthSupported": bool | None,
    "isDisabled": bool | None,
    "isFallbackPublicClient": bool | None,
    "optionalClaims": dict | None,
    "servicePrincipalLockConfiguration": dict | None,
    "samlSingleSignOnSettings": dict | None,
    "signInAudience": str,
    **dict.fromkeys(_TEXTS, str | None),
}
#: What the items of a list are; objects with these members, or texts.
_ITEMS: Final[dict[str, dict[str, Any]]] = {
    "addIns": {"id": str, "type": str},
    "alternativeNames": {},
    "appRoles": {"id": str, "value": str | None, "isEnabled": bool, "allowedMemberTypes": list},
    "countriesBlockedForMinors": {},
    "identifierUris": {},
    "knownClientApplications": {},
    "notificationEmailAddresses": {},
    "oauth2PermissionScopes": {"id": str, "value": str | None},
    "preAuthorizedApplications": {"appId": str},
    "redirectUris": {},
    "replyUrls": {},
    "servicePrincipalNames": {},
    "tags": {},
}
#: Properties that consist of others.
_PARTS: Final = frozenset(name for name, value in APPLICATION.items() if isinstance(value, dict))
#: Characters of a display name.
_LONGEST: Final = 256
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def fits(name: str, value: Any) -> bool:
    """Whether a value is of its property's type; it holds what the rest of the sandbox reads from it."""
    if name == "displayName" and isinstance(value, str) and not 0 < len(value) <= _LONGEST:
        return False
    if name not in _ITEMS:
        return isinstance(value, _TYPES.get(name, object))
    return isinstance(value, list) and all(_is_item(item, _ITEMS[name]) for item in value)


def merged(tenant: Tenant, kind: str, state: State, name: str, value: Any) -> Any:
    """The new value of a property, checked; of one that consists of others, those that are not named stay.

    :raises Refused: 400.
    """
    if name in _PARTS:
        return _parts(kind, name, state[name], value)
    if not fits(name, value):
        raise invalid(kind, name)
    if kind == "application" and name == "signInAudience" and value not in AUDIENCES:
        raise invalid(kind, name)
    if kind == "application" and name == "identifierUris":
        _check_identifiers(tenant, state, value)
    return value


def invalid(kind: str, name: str) -> Refused:
    """The refusal of a value.

    :param name: of its property.
    """
    resource = f"{kind[0].upper()}{kind[1:]}"
    message = f"Invalid value specified for property '{name}' of resource '{resource}'."
    return Refused(400, "Request_BadRequest", message)


def unknown(kind: str, name: str) -> Refused:
    """The refusal of a property that the real directory may have."""
    return Refused(400, "Request_BadRequest", f"The sandbox has no property '{name}' of a {kind}.")


def _parts(kind: str, name: str, old: State, value: Any) -> State:
    if not isinstance(value, dict):
        raise invalid(kind, name)
    new = dict(old)
    for part, inner in value.items():
        if part.startswith("@"):
            continue
        if part not in old:
            raise unknown(kind, f"{name}/{part}")
        if isinstance(old[part], dict):
            new[part] = _parts(kind, f"{name}/{part}", old[part], inner)
            continue
        typed = isinstance(inner, bool) if isinstance(old[part], bool) else fits(part, inner)
        if not typed or (part == "redirectUris" and not all(_is_redirect(name, uri) for uri in inner)):
            raise invalid(kind, part)
        new[part] = inner
    return new


def _is_redirect(part: str, uri: str) -> bool:
    """Whether an app may be led back to an address: HTTPS, or this machine; a client on a device has its own schemes.

    :param part: the platform that it is registered for.
    """
    try:
        split = urlsplit(uri)
        host = split.hostname or ""
    except ValueError:
        return False
    if not split.scheme or "#" in uri or any(letter.isspace() for letter in uri):
        return False
    match split.scheme:
        case "https":
            return bool(host)
        case "http":
            return host in _LOOPBACK
        case "urn":
            return part != "spa"
    return part == "publicClient"


def _check_identifiers(tenant: Tenant, state: State, uris: list[str]) -> None:
    """Whether what is new among an app's identifiers names the app, the tenant or a verified domain, and is free."""
    for uri in uris:
        if uri in state["identifierUris"]:
            continue
        try:
            split = urlsplit(uri)
            host = (split.hostname or "").lower()
        except ValueError:
            raise invalid("application", "identifierUris") from None
        if not split.scheme or not (host or split.path) or "#" in uri or uri.endswith("/"):
            raise invalid("application", "identifierUris")
        if not _is_own(tenant, state, split.scheme, host, split.path):
            message = "Values of identifierUris property must use a verified domain of the organization or its "
            message += f"subdomain: '{uri}'"
            detail = {"code": "HostNameNotOnVerifiedDomain", "message": message, "target": "identifierUris"}
            raise Refused(400, "HostNameNotOnVerifiedDomain", message, details=[detail])
        holders = (app for kind in ("application", "deletedApplication") for app in tenant.all_latest(kind))
        if any(uri.lower() in map(str.lower, app["identifierUris"]) for app in holders if app["id"] != state["id"]):
            message = "Another object with the same value for property identifierUris already exists."
            raise Refused(400, "Request_BadRequest", message, details=[taken("identifierUris")])


def _is_own(tenant: Tenant, state: State, scheme: str, host: str, path: str) -> bool:
    if scheme not in ("api", "https", "http"):
        return True  # as urn:, which names no host
    segments = {host, *path.lower().split("/")}
    if scheme == "api" and (state["appId"] in segments or (host == tenant.id and path.strip("/"))):
        return True
    return any(host == domain or host.endswith(f".{domain}") for domain in tenant.verified_domains)


def _is_item(item: Any, members: dict[str, Any]) -> bool:
    if not members:
        return isinstance(item, str)
    return isinstance(item, dict) and all(name in item and isinstance(item[name], members[name]) for name in members)
