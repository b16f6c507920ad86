"""When each credential of an app was last used to sign in (M15; GD "List appCredentialSignInActivities")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import GraphError, NetworkError

if TYPE_CHECKING:
    from core.config.cloud import Cloud
    from core.entra.graph import Graph


@dataclass(frozen=True)
class Activity:
    """Last sign-ins by keyId.

    :param unknown: why nothing is known; empty when the report could be read. A credential without a row is not
        proven unused even then: the report lags by a day or so.
    """

    last: Mapping[str, str] = field(default_factory=dict)
    unknown: str = ""

    def of(self, key_id: str) -> str:
        """What a person reads about one credential."""
        if self.unknown:
            return f"last use unknown ({self.unknown})"
        seen = self.last.get(key_id)
        return f"last used {seen[:10]}" if seen else "no use reported"


def read(graph: Graph, cloud: Cloud, app_id: str) -> Activity:
    """The credential sign-in report, which exists in beta, in the public cloud, with a premium licence.

    :returns: an `Activity` that says why it knows nothing, where cloud, licence or rights do not allow it.
    """
    if cloud.name in ("usgov", "china"):
        return Activity(unknown="this cloud has no such report")
    path = f"/reports/appCredentialSignInActivities?$filter=appId eq '{app_id}'"
    try:
        rows = list(graph.pages(path, "read when the credentials were last used", beta=True))
    except GraphError as error:
        return Activity(unknown=f"the report was refused: {error.code}")
    except NetworkError as error:
        return Activity(unknown=f"the report could not be read: {error.id}")
    seen = [
        (str(row.get("keyId")), row["signInActivity"]) for row in rows if isinstance(row.get("signInActivity"), dict)
    ]
    return Activity({id: str(last["lastSignInDateTime"]) for id, last in seen if last.get("lastSignInDateTime")})
