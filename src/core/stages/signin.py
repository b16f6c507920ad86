"""Azure sign-in: who is signed in, to which tenant, and one Graph token (U3, C2)."""

from __future__ import annotations

from core.errors import SetupError
from core.events import Finding
from core.flow.step import Check, Needed, Stage, Step
from core.stages.world import World


class WhoIsSignedIn(Step[World]):
    """Ask for the account."""

    name = "account"
    title = "See who is signed in"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        account = world.sign_in.account()
        world.known.account = account
        if account.tenant != world.known.tenant:
            world.emit(
                Finding(
                    "signin.other-default",
                    "info",
                    f"The default account of the sign-in is in tenant {account.tenant}; "
                    f"the token is asked for in {world.known.tenant}.",
                )
            )
        return f"{account.user} ({account.kind})"


class GetToken(Step[World]):
    """Get a Graph token and check its audience and tenant."""

    name = "token"
    title = "Get a Microsoft Graph token"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        token = world.sign_in.graph_token(world.known.tenant)
        if token.claims.get("tid") != world.known.tenant:
            raise SetupError("az.wrong-tenant", theirs=token.claims.get("tid"), ours=world.known.tenant)
        world.known.user = token
        return f"tenant {world.known.tenant}, cloud {world.cloud.name}"


STAGE: Stage[World] = Stage("signin", "Azure sign-in", (WhoIsSignedIn(), GetToken()))
