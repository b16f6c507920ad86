"""What a yes is given for: the data that the plan's fingerprint is taken over, and how they are read again (M2)."""

from __future__ import annotations

from core.entra import application
from core.errors import SetupError
from core.steps import facts
from core.steps.context import Context


def basis(ctx: Context, permissions: object, *, new: str = "new") -> dict[str, object]:
    """Tenant, app, certificate and permissions.

    :param permissions: those that the flow sees to.
    :param new: what stands for an app that does not exist yet.
    """
    app, key_pair = ctx.maybe_app, ctx.maybe_key_pair
    return {
        "tenant": ctx.target.tenant,
        "cloud": ctx.cloud.authority,
        "app": [app.app_id, app.object_id] if app else new,
        "certificate": key_pair.thumbprint if key_pair else "new",
        "keys": sorted(key.id for key in app.keys) if app else [],
        "permissions": permissions,
    }


def files(ctx: Context) -> dict[str, object]:
    """The state file, as it was read."""
    return {"files": {str(ctx.statefile.path): ctx.project.members}}


def read_app(ctx: Context, *, begun: bool = False) -> None:
    """Read the app again, if there is one.

    :param begun: whether its password credentials count as those that the run begins with.
    :raises SetupError: `flow.outdated`: it is gone.
    """
    if ctx.maybe_app is not None:
        app = application.read(ctx.user_graph(), ctx.target.app_id)
        if app is None:
            raise SetupError("flow.outdated")
        if begun:
            ctx.facts.put(facts.AppRegistration(app, app.all_passwords))
        else:
            ctx.update_app(app)
