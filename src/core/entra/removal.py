"""Delete an object of the directory for certain, although answers get lost and replicas lag (A.2 rows 6, 13; A.5)."""

from __future__ import annotations

from typing import Final

from core.clock import wait_until
from core.entra.graph import Graph
from core.errors import GraphError

#: How long "there is no such object" has to last before it is believed, in seconds.
BELIEVED: Final = 60.0


def remove(graph: Graph, path: str, action: str) -> None:
    """Delete an object that this undertaking made; that it is gone already is fine.

    A 404 comes from a replica that does not know the object yet, or after a deletion whose answer was lost. So it is
    believed only when it lasts, and so are the other refusals that an object gets that is not known everywhere (P7).

    :param path: the object's, below `/v1.0`.
    :raises GraphError: the service refused.
    """

    last: GraphError | None = None

    def once() -> bool | None:
        nonlocal last
        try:
            graph.write("DELETE", path, None, action, lambda: False)
        except GraphError as error:
            if not error.explains_new:
                raise
            last = error
            return None
        return True

    gone = wait_until(once, graph, "a deletion to be accepted", expected=10, deadline=BELIEVED)
    if gone is None and last is not None and last.status != 404:
        raise last
