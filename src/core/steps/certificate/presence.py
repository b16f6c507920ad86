"""This machine's certificate on the app: seen there, and registered again when another writer dropped it (P8, M5).

The list of an app's certificates is replaced as a whole by whoever writes it, so what was seen there may be gone a
moment later. Past the point of no return it is this machine's only credential.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace

from core.entra import application, credentials
from core.errors import GraphError, NetworkError
from core.steps import facts
from core.steps.context import Context


@dataclass
class Presence:
    """Judges what reads of the app show.

    :param register: adds the certificate by merge, as the signed-in principal.
    :ivar registered: whether that was needed; then it has to be proven again.
    """

    ctx: Context
    register: Callable[[], credentials.Merge]
    registered: bool = False
    _missing_since: float | None = None

    @property
    def before(self) -> Set[str]:
        """KeyIds that were on the app when this machine's certificate was registered."""
        return self.ctx.facts.get(facts.MachineKey).listed or {key.id for key in self.ctx.app.keys}

    def look(self) -> None:
        """The service says that it does not know the certificate: see whether it is on the app.

        A look that fails says nothing; whoever waits for the service to accept the certificate goes on.
        """
        try:
            keys = application.read_keys(self.ctx.user_graph(), self.ctx.app.object_id)
        except (GraphError, NetworkError):
            return
        self.holds(keys)

    def holds(self, keys: Sequence[application.Key]) -> bool:
        """Whether the certificate is there, or is there again.

        A read that lacks it may come from a replica that lags behind. It is believed when it shows an entry that was
        not there before, since then another writer was at work, or when reads lack it for long.

        :param keys: what a read showed.
        :returns: False: it is not seen, and that is not believed yet.
        """
        ctx = self.ctx
        if credentials.holds(keys, ctx.key_pair):
            self._missing_since = None
            return True
        if ctx.facts.maybe(facts.HandOffRequest) is not None:  # it is another machine's, which sees to it itself
            return False
        now = ctx.clock.monotonic()
        if self._missing_since is None:
            self._missing_since = now
        overwritten = credentials.strangers(keys, self.before)
        if not overwritten and now - self._missing_since < 2 * credentials.REPLICATION:
            return False
        gone = f"The certificate {ctx.key_pair.thumbprint} of this machine was on the app and is gone"
        message = f"{gone}: another writer replaced the list."
        ctx.report("certificate.dropped", "warning", message, "It is registered again.")
        self.register()
        self.registered = True
        self._missing_since = None
        return True


def tell_of_secrets(ctx: Context, passwords: Sequence[application.Password]) -> None:
    """Say once that others deleted the secrets which this machine began with, before it deleted any (M5).

    :param passwords: those that are there now.
    """
    begun_with = ctx.facts.get(facts.AppRegistration).initial
    if begun_with and not passwords and not ctx.removal.gone_told and not ctx.log.marked:
        ctx.facts.put(replace(ctx.removal, gone_told=True))
        proven = "its certificate is proven" if ctx.maybe_proof else "until its certificate is proven it cannot sign in"
        who = "Somebody else, most likely another machine of this app,"
        message = f"{who} deleted the client secret that this machine began with: {proven}."
        ctx.report("secret.gone", "warning", message)
