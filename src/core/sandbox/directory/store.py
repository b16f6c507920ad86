"""The pretend tenant: an object graph with a clock, a seed, and replicas that lag (S1-S3).

Plain Python: it needs no network. Every object keeps its versions; each read goes to one of
three replicas, and a version becomes visible on each of them at its own time, so that a read after a write may fail,
succeed, and fail again, as in the real directory.
"""

from __future__ import annotations

import copy
import random
import string
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from core.clock import Clock
from core.sandbox import origins
from core.sandbox.faults import Faults
from core.sandbox.switches import Switches
from core.secret import Secret

REPLICAS: Final = 3
#: Audit records that are kept.
_RECORDS: Final = 10_000
ARM_RESOURCE: Final = "https://management.core.windows.net/"
GRAPH_APP_ID: Final = "00000003-0000-0000-c000-000000000000"
#: The tenant in which Microsoft registers its own applications.
MICROSOFT: Final = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
State = dict[str, Any]
_ATOMS: Final = frozenset({str, int, float, bool, type(None)})


@dataclass
class _Version:
    visible: tuple[datetime, ...]
    login: datetime
    state: State | None

    def settled(self, now: datetime) -> bool:
        """Whether everybody knows it."""
        return self.login <= now and all(moment <= now for moment in self.visible)


class Pending(NamedTuple):
    """A change that not everybody knows yet.

    :param state: what the object has become; None: it was deleted.
    :param replicas: seconds until each replica knows it.
    :param login: seconds until the token endpoint does.
    """

    kind: str
    id: str
    state: State | None
    replicas: tuple[float, ...]
    login: float


@dataclass(frozen=True)
class Issued:
    """A token that was issued.

    :param claims: its payload.
    :param kind: `access`, `refresh`, or `code` for one that a browser brings back.
    """

    claims: dict[str, Any]
    kind: str


@dataclass
class DeviceCode:
    """A device-code sign-in under way.

    :param user_code: what the person types.
    :param approved_by: object id of who has approved it; empty: the scenario's user does so after some polls.
    :param declined: somebody typed it, and said no.
    """

    client_id: str
    scope: str
    expires: datetime
    user_code: str = ""
    polls: int = 0
    approved_by: str = ""
    declined: bool = False


@dataclass
class Tenant:
    """One tenant.

    :param clock: time of the pretend world.
    :param seed: decides ids, secrets and replication.
    :param lag: longest replication delay per kind of object, in seconds. `login` is how long the token endpoint knows
        nothing of any change.
    :param port: where the servers listen; part of every URL.
    :param clock_error: seconds by which this tenant's clock is ahead of `clock`.
    :ivar started: when its life began; what was there before is known everywhere.
    :ivar neighbours: ids of other tenants by their domains: guests come from there.
    :ivar audits: the last directory audit records.
    :ivar behind: seconds that the replica of the request under way lags behind, per kind of object.
    """

    clock: Clock
    seed: int = 1
    lag: dict[str, float] = field(default_factory=dict)
    port: int = 0
    clock_error: float = 0.0
    switches: Switches = field(default_factory=Switches)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)  # noqa: S311  determinism is wanted
        self._passing = random.Random(f"{self.seed} passing")  # noqa: S311
        self._replica = random.Random(self.seed + 1)  # noqa: S311
        self._objects: dict[str, dict[str, list[_Version]]] = {}
        self.started = self.now()
        self.behind: dict[str, float] = {}
        self.id = self.new_id()
        self.name = "Contoso"
        self.domain = "contoso.onmicrosoft.com"
        self.verified_domains = [self.domain]
        self.neighbours: dict[str, str] = {}
        self.audits: deque[State] = deque(maxlen=_RECORDS)
        self.issued: dict[str, Issued] = {}
        self.device_codes: dict[str, DeviceCode] = {}
        self.assertions: set[str] = set()
        self.asked: dict[str, list[float]] = {}
        self.signed_in_user = ""
        self.scenario = ""

    @property
    def authority(self) -> str:
        """Origin of the token endpoint, under the names that a request used (`origins`)."""
        public = origins.asked()
        return public.authority if public else f"https://127.0.0.1:{self.port}"

    @property
    def arm(self) -> str:
        """Origin of Azure Resource Manager; on loopback it shares the token endpoint's."""
        public = origins.asked()
        return public.arm if public else self.authority

    @property
    def graph(self) -> str:
        """Origin of Microsoft Graph: another host name, because az sends ARM's audience on a shared origin."""
        public = origins.asked()
        return public.graph if public else f"https://localhost:{self.port}"

    def new_id(self) -> str:
        """The GUID of a new object, from the seed; it depends on the objects that were made before and nothing else."""
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def passing_id(self) -> str:
        """A GUID of what passes: a request, a token, a code. However many there are, ids of objects stay the same."""
        return str(UUID(int=self._passing.getrandbits(128), version=4))

    def drawn(self) -> object:
        """How far the ids of objects are drawn, for `draw_again`."""
        return self._rng.getstate()

    def draw_again(self, drawn: Any) -> None:
        """Take back the ids of an object that was refused: the next object gets them."""
        self._rng.setstate(drawn)

    def new_secret(self) -> Secret:
        """A client secret in Entra's shape: 40 characters, `Q~` after the fourth."""
        letters = string.ascii_letters + string.digits + "~_.-"
        head = "".join(self._rng.choice(string.ascii_letters) for _ in range(3))
        tail = "".join(self._rng.choice(letters) for _ in range(33)) + self._rng.choice(string.ascii_letters)
        return Secret(f"{head}8Q~{tail}")

    def now(self) -> datetime:
        """The tenant's time."""
        return self.clock.now() + timedelta(seconds=self.clock_error)

    @property
    def elapsed(self) -> float:
        """Seconds of its life so far."""
        return (self.now() - self.started).total_seconds()

    def stamp(self, moment: datetime | None = None) -> str:
        """A date as Graph writes it."""
        return (moment or self.now()).strftime("%Y-%m-%dT%H:%M:%SZ")

    def commit(self, kind: str, object_id: str, state: State | None) -> None:
        """Write a version of an object; None deletes it."""
        lag = self.lag.get(kind, 0.0)
        now = self.now()
        if not lag:
            visible: tuple[datetime, ...] = (now,) * REPLICAS
        else:
            visible = tuple(now + timedelta(seconds=self._replica.uniform(0, lag)) for _ in range(REPLICAS))
        versions = self._objects.setdefault(kind, {}).setdefault(object_id, [])
        old = now - timedelta(seconds=self.faults.memory)
        settled = [n for n, version in enumerate(versions) if version.settled(old)]
        del versions[: settled[-1] if settled else 0]  # what no replica shows any more
        login = now + timedelta(seconds=self.lag.get("login", 0.0))
        versions.append(_Version(visible, login, copied(state)))

    def latest(self, kind: str, object_id: str) -> State | None:
        """The newest version, as a write sees it; a copy."""
        versions = self._objects.get(kind, {}).get(object_id)
        newest: State | None = copied(versions[-1].state) if versions else None
        return newest

    def peek(self, kind: str, object_id: str) -> State | None:
        """The newest version. Not a copy: do not change it."""
        versions = self._objects.get(kind, {}).get(object_id)
        return versions[-1].state if versions else None

    def replica(self) -> int:
        """The replica that the next read happens to reach."""
        return self._replica.randrange(REPLICAS)

    def seen(self, kind: str, object_id: str, replica: int, *, login: bool = False) -> State | None:
        """An object as one replica shows it now. Not a copy: do not change it.

        :param login: to the token endpoint.
        """
        now = self.now()
        if kind in self.behind:
            now = max(now - timedelta(seconds=self.behind[kind]), self.started)
        for version in reversed(self._objects.get(kind, {}).get(object_id, [])):
            if version.visible[replica] <= now and (not login or version.login <= now):
                return version.state
        return None

    def all_seen(self, kind: str, replica: int) -> Iterator[State]:
        """All objects of a kind as one replica shows them."""
        for object_id in list(self._objects.get(kind, {})):
            state = self.seen(kind, object_id, replica)
            if state is not None:
                yield state

    def newest(self, kind: str) -> Iterator[State]:
        """All objects of a kind, newest versions. Not copies: do not change them."""
        for versions in list(self._objects.get(kind, {}).values()):
            if versions[-1].state is not None:
                yield versions[-1].state

    def all_latest(self, kind: str) -> Iterator[State]:
        """All objects of a kind, newest versions; copies."""
        return map(copied, self.newest(kind))

    def kinds(self) -> list[str]:
        """The kinds of which there is or was an object."""
        return list(self._objects)

    def pending(self) -> Iterator[Pending]:
        """What not everybody knows yet."""
        now = self.now()
        for kind, objects in list(self._objects.items()):
            for object_id, versions in list(objects.items()):
                for version in versions:
                    if not version.settled(now):
                        left = tuple(max(0.0, (moment - now).total_seconds()) for moment in version.visible)
                        login = max(0.0, (version.login - now).total_seconds())
                        yield Pending(kind, object_id, version.state, left, login)

    def find(
        self, kind: str, name: str, value: str, replica: int | None = None, *, login: bool = False
    ) -> State | None:
        """The first object whose property has that value; the newest versions when no replica is named."""
        if replica is None:
            found: State | None = copied(next((s for s in self.newest(kind) if s.get(name) == value), None))
            return found
        states = (self.seen(kind, object_id, replica, login=login) for object_id in list(self._objects.get(kind, {})))
        return next((state for state in states if state is not None and state.get(name) == value), None)


def copied(value: Any) -> Any:
    """A deep copy of an object's state, four times as fast as a general one for what JSON can hold."""
    kind = type(value)
    if kind is dict:
        return {name: item if type(item) in _ATOMS else copied(item) for name, item in value.items()}
    if kind is list:
        return [item if type(item) in _ATOMS else copied(item) for item in value]
    return value if kind in _ATOMS else copy.deepcopy(value)
