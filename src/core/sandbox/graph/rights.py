"""Who calls Microsoft Graph, what that caller may do, and how a refusal of it reads (entra-protocol A.2, A.7)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from core.sandbox import challenges
from core.sandbox.directory.registrations import Refused
from core.sandbox.directory.store import MICROSOFT, State, Tenant
from core.sandbox.graph import permissions, roles
from core.sandbox.graph.permissions import ACCESS_AS_USER, agent_of

WRITE: Final = "Application.ReadWrite.All"
OWNED: Final = "Application.ReadWrite.OwnedBy"
_READ: Final = ("Application.Read.All", WRITE, OWNED, "Directory.Read.All")
_READ_GROUPS: Final = ("Group.Read.All", "Group.ReadWrite.All", "GroupMember.Read.All", "Directory.Read.All")
_READ_USERS: Final = ("User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All", "Directory.Read.All")
_READERS: Final = {"user": _READ_USERS, "group": _READ_GROUPS}
#: Whoever may change people: Global Administrator, User Administrator.
USER_ADMINISTRATORS: Final = frozenset({roles.GLOBAL_ADMINISTRATOR, "fe930be7-5e62-47db-91af-98c3a49a38b1"})


@dataclass(frozen=True)
class Caller:
    """Who calls: a person (scopes, directory roles) or an app (roles).

    :param claims: of the access token.
    :param replica: that this request reads from.
    """

    claims: dict[str, Any]
    replica: int

    @property
    def oid(self) -> str:
        """Object id of the person or of the app's service principal."""
        return str(self.claims["oid"])

    @property
    def person(self) -> bool:
        """Whether somebody is signed in, not an app."""
        return "scp" in self.claims

    @property
    def permissions(self) -> set[str]:
        """The scopes or app roles in the token."""
        return set(str(self.claims["scp"]).split()) if self.person else set(self.claims.get("roles") or ())

    def may(self, *permissions: str) -> bool:
        """Whether the token carries one of these, or, for a person, access as the user."""
        return bool(self.permissions & {*permissions, ACCESS_AS_USER})

    def holds(self, permission: str, admins: Collection[str]) -> bool:
        """Whether the token carries a permission and, for a person, one of these directory roles."""
        return permission in self.permissions and (not self.person or self.has(admins))

    def has(self, directory_roles: Collection[str]) -> bool:
        """Whether a person has one of these directory roles."""
        return bool(set(directory_roles) & set(self.claims.get("wids", ())))


def check_read(caller: Caller, kind: str, object_id: str, agent: str = "") -> None:
    """Reading takes a permission, except for a service principal or a person that reads itself.

    :param agent: type of the agent chain that the path names.
    :raises Refused: 403.
    """
    if agent:
        check_agent(caller, agent, "read")
    elif object_id != caller.oid and not caller.may(*_READERS.get(kind, _READ)):
        raise denied()


def any_of(caller: Caller, agent: str, operation: str, *, own: bool = False) -> bool:
    """Whether the caller holds what an operation on an object of the agent chain takes (see `permissions`).

    :param own: the object is the caller's own, which is enough for an Agent ID Developer, as creating is.
    """
    wanted, admins = permissions.needed(agent, operation), roles.AGENT_ADMINISTRATORS
    if operation == "create" or own:
        admins |= {roles.AGENT_ID_DEVELOPER}
    return any(caller.holds(permission, admins) for permission in wanted)


def check_agent(caller: Caller, agent: str, *operations: str, own: bool = False) -> None:
    """The Agent ID APIs take no token with access as the user, not even a Global Administrator's (A.2, A.7).

    Those that write take none with the right to change the whole directory either.

    :raises Refused: 403.
    """
    writes = any(operation != "read" for operation in operations)
    if ACCESS_AS_USER in caller.permissions or (writes and permissions.EVERYTHING in caller.permissions):
        raise denied()
    if not all(any_of(caller, agent, item, own=own) for item in operations):
        raise denied()


def check_user(caller: Caller) -> None:
    """Changing a person: User.ReadWrite.All and, for a person, a directory role.

    :raises Refused: 403.
    """
    if not caller.holds("User.ReadWrite.All", USER_ADMINISTRATORS):
        raise denied()


def check_write(tenant: Tenant, caller: Caller, state: State | None, *operations: str) -> None:
    """Application.ReadWrite.All for an app; for a person the scope *and* a directory role or ownership.

    A custom role, or one for a single object, is in no token: a person's `_may_change` names the objects, or `/`.

    :param operations: for an object of the agent chain, which has permissions of its own: what is done to it.
    :raises Refused: 403.
    """
    if agent := agent_of(state):
        own = state is not None and caller.oid in state.get("_owners", ())
        check_agent(caller, agent, *(operations or ("change",)), own=own)
        return
    owner = state is not None and caller.oid in state.get("_owners", ())
    if caller.holds(WRITE, roles.APP_ADMINISTRATORS):
        return
    if caller.person and not owner and state is not None:
        person = tenant.latest("user", caller.oid) or {}
        owner = bool({"/", state["id"]} & set(person.get("_may_change", ())))
    if not (owner and (WRITE if caller.person else OWNED) in caller.permissions):
        raise denied()


def check_create(tenant: Tenant, caller: Caller) -> None:
    """Any member may register apps unless the tenant forbids it, and no guest; an app needs one of two roles.

    :raises Refused: 403.
    """
    if caller.person:
        administrator = caller.has({*roles.APP_ADMINISTRATORS, roles.APPLICATION_DEVELOPER})
        guest = (tenant.latest("user", caller.oid) or {}).get("userType") == "Guest"
        anybody = tenant.switches.users_may_create_apps and not guest
        if WRITE in caller.permissions and (administrator or anybody):
            return
    elif caller.permissions & {WRITE, OWNED}:
        return
    raise denied()


def check_own(state: State) -> None:
    """Whether an object is the tenant's to change: nobody in it changes one of Microsoft's own.

    :raises Refused: 403.
    """
    if state.get("appOwnerOrganizationId") == MICROSOFT:
        raise denied()


def unauthenticated(tenant: Tenant, message: str, error: str = "") -> Refused:
    """The refusal of a token, which tells where to get one."""
    return Refused(401, "InvalidAuthenticationToken", message, challenges.graph(tenant, error))


def denied() -> Refused:
    """The refusal for want of a permission or a role."""
    return Refused(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def missing(name: str) -> Refused:
    """The refusal for what is not there, or not yet on this replica."""
    message = f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
    return Refused(404, "Request_ResourceNotFound", message)


def seen(tenant: Tenant, caller: Caller, kind: str, object_id: str) -> State:
    """An object as this request's replica shows it; not a copy.

    :raises Refused: 404.
    """
    state = tenant.seen(kind, object_id, caller.replica)
    if state is None:
        raise missing(object_id)
    return state


def written(tenant: Tenant, caller: Caller, kind: str, object_id: str, *operations: str) -> State:
    """The newest version of an object that the caller may change; a copy.

    :param operations: what is done to it, if it is one of the agent chain.
    :raises Refused: 404, 403.
    """
    seen(tenant, caller, kind, object_id)
    state = tenant.latest(kind, object_id)
    if state is None:
        raise missing(object_id)
    check_own(state)
    if kind in ("user", "deletedUser") and not agent_of(state):
        check_user(caller)
    else:
        check_write(tenant, caller, state, *operations)
    return state
