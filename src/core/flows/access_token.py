"""The token helper's work (P10): state file, keystore, one token. No sign-in is needed."""

from __future__ import annotations

from core import paths
from core.clock import ahead
from core.entra.tokens import Token, mint, prepare
from core.errors import SetupError
from core.steps import prerequisites
from core.steps.context import Context
from core.steps.facts import MachineKey, Proof


def token(ctx: Context) -> Token:
    """Mint a Microsoft Graph token with this machine's certificate; remove an expired rollback by the way (M10).

    :raises SetupError: whatever stands in the way.
    """
    prerequisites.ReadStateFile().apply(ctx)
    if not ctx.target.app_id:
        raise SetupError("usage.settings", detail="no app id in the state file; pass --app-id", command="token")
    # the keystore's daemon, the network and the imports for signing in wait for each other no longer than they must
    prepared = ahead(lambda: prepare(ctx.session, ctx.cloud, ctx.target.tenant))
    entry = ctx.keystore.read(ctx.service, ctx.target.tenant)
    if entry is None:
        from core.flows import interrupted

        found = interrupted.find(ctx)
        if found is not None and found.request:
            raise SetupError("handoff.open", path=found.request)
        raise SetupError("keystore.empty", tenant=ctx.target.tenant, service=ctx.service)
    key_pair = ctx.keys.open(entry, ctx.target.tenant)
    ctx.facts.put(MachineKey(key_pair))
    prepared()
    minted = mint(ctx.session, ctx.cloud, ctx.target.tenant, ctx.target.app_id, key_pair)
    ctx.facts.put(Proof(minted))
    if _rolled_back(ctx):
        from core.steps.passwords import rollback_secret

        rollback_secret.sweep(ctx, signed_in=False)
    return minted


def _rolled_back(ctx: Context) -> bool:
    """Whether a rollback may have left something; what looks after it takes 20 ms to load."""
    try:
        paths.rollback(ctx.profile, ctx.cloud.key, ctx.target.tenant, ctx.target.app_id).lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it says what is wrong
    return True
