"""Azure sign-in: one Graph token of the right tenant, whose it is, and in which roles (U3)."""

from __future__ import annotations

from dataclasses import replace

from core.flow.step import Stage, Step
from core.machine.azure_cli import Account
from core.steps import directory_roles
from core.steps.context import Context
from core.steps.facts import SignedIn, Target


class GetToken(Step[Context]):
    """Get a Graph token; its audience and tenant are checked where it is made."""

    name = "token"
    title = "Get a Microsoft Graph token"
    gives = (SignedIn,)
    updates = (Target,)

    def apply(self, ctx: Context) -> str:
        token = ctx.sign_in.graph_token(ctx.target.tenant)
        account = Account.of(token)
        ctx.facts.put(SignedIn(account, token))
        ctx.facts.put(replace(ctx.target, tenant=account.tenant))
        return f"{account.user} ({account.kind}), tenant {ctx.target.tenant}, cloud {ctx.cloud.name}"


class LookAtRoles(Step[Context]):
    """Say which directory roles the token names; that costs no request."""

    name = "directory-roles"
    title = "Look at your directory roles"
    needs = (SignedIn,)

    def apply(self, ctx: Context) -> str:
        return directory_roles.directory_roles(ctx)


STAGE: Stage[Context] = Stage("signin", "Azure sign-in", (GetToken(), LookAtRoles()))
