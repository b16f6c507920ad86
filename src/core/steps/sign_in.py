"""Azure sign-in: one Graph token of the right tenant, whose it is, and in which roles (U3)."""

from __future__ import annotations

from dataclasses import replace

from core.flow.step import Needed, Stage, Status, Step
from core.machine.azure_cli import Account
from core.steps import directory_roles
from core.steps.context import World
from core.steps.facts import SignedIn, Target


class GetToken(Step[World]):
    """Get a Graph token; its audience and tenant are checked where it is made."""

    name = "token"
    title = "Get a Microsoft Graph token"
    gives = (SignedIn,)
    updates = (Target,)

    def check(self, world: World) -> Status:
        return Needed()

    def apply(self, world: World) -> str:
        token = world.sign_in.graph_token(world.target.tenant)
        account = Account.of(token)
        world.facts.put(SignedIn(account, token))
        world.facts.put(replace(world.target, tenant=account.tenant))
        return f"{account.user} ({account.kind}), tenant {world.target.tenant}, cloud {world.cloud.name}"


class LookAtRoles(Step[World]):
    """Say which directory roles the token names; that costs no request."""

    name = "directory-roles"
    title = "Look at your directory roles"
    needs = (SignedIn,)

    def check(self, world: World) -> Status:
        return Needed()

    def apply(self, world: World) -> str:
        return directory_roles.directory_roles(world)


STAGE: Stage[World] = Stage("signin", "Azure sign-in", (GetToken(), LookAtRoles()))
