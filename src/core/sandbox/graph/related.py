"""What hangs on an object of the pretend Graph, as `$expand` shows it."""

from __future__ import annotations

from core.sandbox.directory.store import State, Tenant
from core.sandbox.graph import consents, grants, owners, policies, rights
from core.sandbox.graph.rights import Caller
from core.sandbox.graph.views import Related

_ENDS = {"appRoleAssignments": "principalId", "appRoleAssignedTo": "resourceId"}


def to(tenant: Tenant, caller: Caller, kind: str) -> Related:
    """What objects of a kind may be expanded by, for one request."""

    def found(name: str, state: State) -> list[State] | None:
        match name:
            case "owners" | "sponsors":
                return list(owners.typed(tenant, state[f"_{name}"])) if f"_{name}" in state else None
            case "federatedIdentityCredentials":
                return list(state.get("_federated", ()))
            case "appManagementPolicies":
                return list(policies.assigned(tenant, caller, state["id"]))
            case "appRoleAssignments" | "appRoleAssignedTo":
                rows = tenant.all_seen(grants.KIND, caller.replica)
                return [grant for grant in rows if grant[_ENDS[name]] == state["id"]]
            case "oauth2PermissionGrants":
                if not caller.may(consents.PERMISSION, "Directory.Read.All"):
                    raise rights.denied()
                side = "principalId" if kind == "user" else "clientId"
                return [one for one in tenant.all_seen(consents.KIND, caller.replica) if one[side] == state["id"]]
        return None

    return found
