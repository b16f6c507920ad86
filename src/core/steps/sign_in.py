"""Azure sign-in: one Graph token of the right tenant, whose it is, and in which roles (U3)."""

from __future__ import annotations

from core.flow.step import Needed, Stage, Status, Step
from core.machine.azure_cli import Account
from core.steps import directory_roles
from core.steps.context import World


class GetToken(Step[World]):
    """Get a Graph token; its audience and tenant are checked where it is made."""

    name = "token"
    title = "Get a Microsoft Graph token"

    def check(self, world: World) -> Status:
        return Needed()

    def apply(self, world: World) -> str:
        known = world.known
        known.user = world.sign_in.graph_token(known.tenant)
        known.account = Account.of(known.user)
        known.tenant = known.account.tenant
        return f"{known.account.user} ({known.account.kind}), tenant {known.tenant}, cloud {world.cloud.name}"


class LookAtRoles(Step[World]):
    """Say which directory roles the token names; that costs no request."""

    name = "directory-roles"
    title = "Look at your directory roles"

    def check(self, world: World) -> Status:
        return Needed()

    def apply(self, world: World) -> str:
        return directory_roles.directory_roles(world)


STAGE: Stage[World] = Stage("signin", "Azure sign-in", (GetToken(), LookAtRoles()))
