"""People and groups of the pretend directory (U8)."""

from __future__ import annotations

from core.errors import SetupError
from core.sandbox.directory.store import State, Tenant


def find(tenant: Tenant, name: str) -> State:
    """A user of the tenant.

    :param name: a user principal name, the part before its `@`, or an object id.
    :raises SetupError: `usage.settings`.
    """
    upn = name if "@" in name else f"{name}@{tenant.domain}"
    found = tenant.latest("user", name) or _named(tenant, upn)
    if found is None:
        known = ", ".join(user["userPrincipalName"].partition("@")[0] for user in tenant.all_latest("user"))
        detail = f"the pretend tenant has no user '{name}'; it has {known}"
        raise SetupError("usage.settings", detail=detail, command="sandbox")
    return found


def _named(tenant: Tenant, upn: str) -> State | None:
    wanted = upn.lower()
    return next((one for one in tenant.all_latest("user") if one["userPrincipalName"].lower() == wanted), None)


def add(tenant: Tenant, name: str, *directory_roles: str) -> State:
    """A new user, committed.

    :param name: given name and surname; the former becomes the user name.
    """
    given, _, surname = name.partition(" ")
    user = {
        "id": tenant.new_id(),
        "displayName": name,
        "givenName": given,
        "surname": surname,
        "userPrincipalName": f"{given.lower()}@{tenant.domain}",
        "mail": f"{given.lower()}@{tenant.domain}",
        "userType": "Member",
        "accountEnabled": True,
        "businessPhones": [],
        "jobTitle": None,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "_roles": list(directory_roles),
    }
    tenant.commit("user", str(user["id"]), user)
    return user


def invite(tenant: Tenant, name: str, domain: str) -> State:
    """A guest from a neighbour of this tenant, who has accepted; committed.

    :param domain: of the tenant that the guest comes from; it gets an id when it is new.
    """
    tenant.neighbours.setdefault(domain, tenant.new_id())
    given, _, surname = name.partition(" ")
    mail = f"{given.lower()}@{domain}"
    guest = {
        "id": tenant.new_id(),
        "displayName": name,
        "givenName": given,
        "surname": surname,
        "userPrincipalName": f"{mail.replace('@', '_')}#EXT#@{tenant.domain}",
        "mail": mail,
        "userType": "Guest",
        "accountEnabled": True,
        "creationType": "Invitation",
        "externalUserState": "Accepted",
        "externalUserStateChangeDateTime": tenant.stamp(),
        "identities": [{"signInType": "federated", "issuer": "ExternalAzureAD", "issuerAssignedId": None}],
        "otherMails": [mail],
        "proxyAddresses": [f"SMTP:{mail}"],
        "_roles": [],
    }
    tenant.commit("user", str(guest["id"]), guest)
    return guest


def add_group(tenant: Tenant, name: str, *kinds: str, **values: object) -> State:
    """A new group, committed.

    :param kinds: its `groupTypes`: `Unified`, `DynamicMembership`; none: a security group.
    :param values: further properties.
    """
    unified = "Unified" in kinds
    nickname = name.lower().replace(" ", "-")
    group: State = {
        "id": tenant.new_id(),
        "displayName": name,
        "createdDateTime": tenant.stamp(),
        "groupTypes": list(kinds),
        "mail": f"{nickname}@{tenant.domain}" if unified else None,
        "mailEnabled": unified,
        "mailNickname": nickname,
        "securityEnabled": not unified,
        **values,
    }
    tenant.commit("group", str(group["id"]), group)
    return group
