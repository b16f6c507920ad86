"""Close the door: a policy that forbids new password credentials on this app (M13; GD "appManagementPolicy")."""

from __future__ import annotations

import json
from typing import Any, Final

from core.entra.graph import Graph
from core.entra.policies import PASSWORDS
from core.flow.step import Done, Left, Needed, PlanRow, Status, Step
from core.steps import facts
from core.steps.context import Context

CREATE: Final = "graph.policy.create"
ASSIGN: Final = "graph.policy.assign"
#: What a tenant needs for policies of single apps (B.6).
LICENCE: Final = "the licence Workload Identities Premium"
NEEDED: Final = "Policy.ReadWrite.ApplicationConfiguration"


class Lock(Step[Context]):
    """With --lock and the permission for it, lock the app; without the permission, print the exact requests."""

    name = "lock"
    title = "Forbid new password credentials"
    needs = (facts.Target, facts.OpenRun, facts.SignedIn, facts.AppRegistration, facts.MachineKey)
    maybe = (facts.Proof,)

    def check(self, ctx: Context) -> Status:
        app = ctx.maybe_app
        if not ctx.settings.lock:
            return Done("not asked for (--lock)")
        if app is not None and app.policy.readable and not app.policy.passwords:
            return Done(f"policy '{app.policy.by(PASSWORDS)}' forbids them")
        return Needed()

    def plan(self, ctx: Context) -> tuple[PlanRow, ...]:
        if _graph(ctx) is None:
            return ()
        app = ctx.maybe_app
        where = f"app registration '{app.name if app else ctx.profile.app_display_name}'"
        what = f"no new password credential can be added (takes {LICENCE})"
        return (
            PlanRow("add", "app management policy", where, "", what, False, "POST /policies/appManagementPolicies"),
        )

    def apply(self, ctx: Context) -> str:
        graph, app = _graph(ctx), ctx.app
        if graph is None:
            steps = "\n".join(f"  {method} {path}\n    {json.dumps(body)}" for method, path, body in requests(ctx))
            message = f"Neither az's token nor the app's carries {NEEDED}, so the app was not locked."
            remedy = (
                f"Somebody whose token carries {NEEDED} and Application.Read.All (a Cloud Application Administrator or "
                f"Global Administrator, signed in with an app that may use them) sends these to "
                f"{ctx.cloud.graph}/v1.0, with the id from the first answer in the second; it takes {LICENCE}:\n{steps}"
            )
            ctx.report("lock.request", "warning", message, remedy)
            return "not done: an administrator has to (the requests are shown)"
        (_, path, body), (_, reference, _) = requests(ctx)
        name = str(body["displayName"])
        with ctx.log.effect(CREATE, app.object_id, ctx.emit, name=name) as effect:
            again = len(ctx.log.standing(CREATE)) > 1  # an interrupted run may have made it
            policy_id = _find(graph, name) if again else None
            if policy_id is None:
                made = graph.write("POST", path, body, "create a policy", lambda: _find(graph, name) is not None)
                policy_id = str(made.get("id") or _find(graph, name))
            effect.data["policy_id"] = policy_id
        with ctx.log.effect(ASSIGN, app.object_id, ctx.emit, policy_id=policy_id):
            to = {"@odata.id": f"{ctx.cloud.graph}/v1.0/policies/appManagementPolicies/{policy_id}"}

            def assigned() -> bool:
                listed = graph.pages(f"/applications/{app.object_id}/appManagementPolicies", "read the app's policies")
                return any(str(policy.get("id")) == policy_id for policy in listed)

            graph.write("POST", reference, to, "assign the policy", assigned)
        lift = f"To lift it, for example before a rollback: DELETE /policies/appManagementPolicies/{policy_id}"
        ctx.report("lock.lift", "info", lift)
        return f"policy {policy_id}"

    def undo(self, ctx: Context) -> Left | None:
        effects = ctx.log.standing(CREATE) + ctx.log.standing(ASSIGN)
        graph = _graph(ctx)
        for effect in ctx.log.standing(CREATE):
            found = effect.data.get("policy_id") or (_find(graph, effect.data["name"]) if graph else None)
            path = f"/policies/appManagementPolicies/{found}"
            if graph is None:
                return Left(f"policy '{effect.data['name']}'", f"an administrator removes it: DELETE {path}")
            if found:
                assigned = f"/applications/{effect.target}/appManagementPolicies/{found}/$ref"
                if ctx.log.standing(ASSIGN):
                    graph.remove(assigned, "take the policy from the app")
                graph.remove(path, "delete the policy again")
        for effect in effects:
            ctx.log.undone(effect)
        return None


def requests(ctx: Context) -> list[tuple[str, str, dict[str, Any]]]:
    """The two requests that lock the app, in order: method, path, body."""
    app = ctx.app
    rule = {
        "restrictionType": "passwordAddition",
        "state": "enabled",
        "maxLifetime": None,
        "restrictForAppsCreatedAfterDateTime": "2000-01-01T00:00:00Z",
    }
    policy = {
        "displayName": f"No new secrets on {app.name} {app.app_id[:8]}",
        "description": "Made by entraclaw-setup: this app signs in with a certificate.",
        "isEnabled": True,
        "restrictions": {"passwordCredentials": [rule]},
    }
    reference = {"@odata.id": f"{ctx.cloud.graph}/v1.0/policies/appManagementPolicies/POLICY_ID"}
    return [
        ("POST", "/policies/appManagementPolicies", policy),
        ("POST", f"/applications/{app.object_id}/appManagementPolicies/$ref", reference),
    ]


def _graph(ctx: Context) -> Graph | None:
    """Whoever may write policies."""
    user = ctx.facts.get(facts.SignedIn).token
    if NEEDED in user.roles | user.scopes:
        return ctx.user_graph()
    if (proof := ctx.maybe_proof) is not None and NEEDED in proof.roles:
        return ctx.app_graph()
    return None


def _find(graph: Graph, name: str) -> str | None:
    """Id of the policy of that name."""
    listed = graph.pages("/policies/appManagementPolicies", "look for the policy")
    return next((str(policy["id"]) for policy in listed if policy.get("displayName") == name), None)
