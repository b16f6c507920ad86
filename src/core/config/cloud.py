"""The endpoints of one cloud (C1-C4).

Public, US Government and China are built in. A TOML file with `name, authority, graph, arm, ca_bundle` describes any
other, which is how the sandbox is reached.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from core import files, tables
from core.errors import SetupError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,40}")
GRAPH_APP_ID: Final = "00000003-0000-0000-c000-000000000000"


@dataclass(frozen=True)
class Cloud:
    """Three https origins and what may be trusted there.

    :param name: what the state file's member `CLOUD` must say (absent means public).
    :param authority: origin of the token endpoint.
    :param graph: origin of Microsoft Graph, also the audience of its tokens.
    :param arm: origin of Azure Resource Manager.
    :param ca_bundle: PEM file of the only trusted roots; None means the system's choice.
    :param built_in: False for a cloud from a file.
    :param az_name: what the Azure CLI calls it; empty for a cloud from a file.
    """

    name: str
    authority: str
    graph: str
    arm: str
    ca_bundle: Path | None = None
    built_in: bool = False
    az_name: str = ""

    @property
    def origins(self) -> frozenset[str]:
        """Where bearer tokens, assertions and secrets may go, and nowhere else (C4)."""
        return frozenset((self.authority, self.graph, self.arm))

    @property
    def graph_scope(self) -> str:
        """The scope of an application token for Microsoft Graph."""
        return f"{self.graph}/.default"

    @property
    def key(self) -> str:
        """What journals and locks are kept under: like keys, those of a custom cloud belong to its authority (C2)."""
        return self.name if self.built_in else f"{self.name}_{re.sub('[^A-Za-z0-9.-]', '_', self.authority[8:])}"

    def is_graph_audience(self, audience: str) -> bool:
        """Whether a token's `aud` names this cloud's Graph (C2): its origin, or in built-in clouds its app id."""
        return audience.rstrip("/") == self.graph or (self.built_in and audience == GRAPH_APP_ID)

    def keystore_service(self, service: str) -> str:
        """The keystore service for keys of this cloud: custom clouds never share an entry with a real one (C2)."""
        return service if self.built_in else f"{service}@{urlsplit(self.authority).netloc}"


BUILT_IN: Final = {name: Cloud(name, **row, built_in=True) for name, row in tables.read("config/clouds").items()}


def load(name: str) -> Cloud:
    """The cloud of that name, or of that TOML file.

    :param name: `public`, `usgov`, `china`, or the path of a file.
    :raises SetupError: `usage.cloud-unknown`, `usage.cloud-file`.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = Path(name)
    if not path.is_file():
        raise SetupError("usage.cloud-unknown", name=name)
    data = files.toml(path, "usage.cloud-file")
    if unknown := set(data) - {"name", "authority", "graph", "arm", "ca_bundle"}:
        raise SetupError("usage.cloud-file", path=path, detail=f"unknown member {sorted(unknown)[0]}")
    cloud_name = data.get("name")
    if not isinstance(cloud_name, str) or not _NAME.fullmatch(cloud_name) or cloud_name in BUILT_IN:
        detail = "name must be letters, digits and hyphens, and not a built-in cloud's"
        raise SetupError("usage.cloud-file", path=path, detail=detail)
    bundle = data.get("ca_bundle")
    if bundle is not None and not (isinstance(bundle, str) and (path.parent / bundle).is_file()):
        raise SetupError("usage.cloud-file", path=path, detail=f"ca_bundle {bundle!r} is not a file")
    authority, graph, arm = (_origin(path, key, data.get(key)) for key in ("authority", "graph", "arm"))
    return Cloud(cloud_name, authority, graph, arm, (path.parent / bundle).resolve() if bundle else None)


def option_of(name: str) -> str:
    """What `--cloud` takes for a cloud of that name."""
    return name if name in BUILT_IN else f"FILE, the TOML file that describes '{name}'"


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, lower case, without a default port; empty for what has no valid origin."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return f"{parts.scheme.lower()}://{host}" + (f":{port}" if port not in (None, 443) else "")


def _origin(path: Path, key: str, value: object) -> str:
    if isinstance(value, str):
        origin = origin_of(value)
        if origin.startswith("https://") and value.rstrip("/").lower() == origin and urlsplit(origin).hostname:
            return origin
    raise SetupError("usage.cloud-file", path=path, detail=f"{key} is not an https origin: {value!r}")
