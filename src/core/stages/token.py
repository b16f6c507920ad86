"""The token helper's work (P10): state file, keystore, one token. No sign-in is needed."""

from __future__ import annotations

from core.entra import certificates
from core.entra.tokens import Token, mint, prepare
from core.errors import SetupError
from core.flow.wait import ahead
from core.stages import leftover, prereqs
from core.stages.world import World


def token(world: World) -> Token:
    """Mint a Microsoft Graph token with this machine's certificate; remove an expired rollback by the way (M10).

    :raises SetupError: whatever stands in the way.
    """
    prereqs.ReadStateFile().apply(world)
    known = world.known
    if not known.app_id:
        raise SetupError("usage.settings", detail="no app id in the state file; pass --app-id", command="token")
    # the keystore's daemon, the network and the imports for signing in wait for each other no longer than they must
    prepared = ahead(lambda: prepare(world.session, world.cloud, known.tenant))
    text = world.keystore.read(world.service, known.tenant)
    if text is None:
        raise SetupError("keystore.empty", tenant=known.tenant, service=world.service)
    known.bundle = certificates.parse(text, known.tenant)
    prepared()
    known.proof = mint(world.session, world.cloud, known.tenant, known.app_id, known.bundle)
    leftover.sweep(world, signed_in=False)
    return known.proof
