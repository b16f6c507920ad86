"""The token helper's work (P10): state file, keystore, one token. No sign-in is needed."""

from __future__ import annotations

from core import paths
from core.clock import ahead
from core.entra.tokens import Token, mint, prepare
from core.errors import SetupError
from core.steps import prerequisites
from core.steps.context import World
from core.steps.facts import MachineKey, Proof


def token(world: World) -> Token:
    """Mint a Microsoft Graph token with this machine's certificate; remove an expired rollback by the way (M10).

    :raises SetupError: whatever stands in the way.
    """
    prerequisites.ReadStateFile().apply(world)
    if not world.target.app_id:
        raise SetupError("usage.settings", detail="no app id in the state file; pass --app-id", command="token")
    # the keystore's daemon, the network and the imports for signing in wait for each other no longer than they must
    prepared = ahead(lambda: prepare(world.session, world.cloud, world.target.tenant))
    entry = world.keystore.read(world.service, world.target.tenant)
    if entry is None:
        from core.flows import interrupted

        found = interrupted.find(world)
        if found is not None and found.request:
            raise SetupError("handoff.open", path=found.request)
        raise SetupError("keystore.empty", tenant=world.target.tenant, service=world.service)
    key_pair = world.keys.open(entry, world.target.tenant)
    world.facts.put(MachineKey(key_pair))
    prepared()
    minted = mint(world.session, world.cloud, world.target.tenant, world.target.app_id, key_pair)
    world.facts.put(Proof(minted))
    if _rolled_back(world):
        from core.steps.passwords import rollback_secret

        rollback_secret.sweep(world, signed_in=False)
    return minted


def _rolled_back(world: World) -> bool:
    """Whether a rollback may have left something; what looks after it takes 20 ms to load."""
    try:
        paths.rollback(world.profile, world.cloud.key, world.target.tenant, world.target.app_id).lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it says what is wrong
    return True
