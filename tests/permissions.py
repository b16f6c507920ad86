"""Which right each command takes, found by taking one after the other away on the sandbox (P15).

`make permissions` writes docs/reference/permissions.md from it, and `tests/flows/test_permissions_page.py` compares.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from core.checks.doctor import diagnose
from core.errors import SetupError
from core.errors.exit_codes import ExitCode
from core.events import StepFinished
from core.flow import engine
from core.flow.engine import Result
from core.flows import apply, migrate, rollback
from core.flows.access_token import token
from core.sandbox.fake_machine.keystore import MemoryKeystore
from core.sandbox.graph import grants, roles
from core.sandbox.lab import Lab
from tests.machine import Crash, Machine, VirtualClock, dating
from tests.provisioning import give

TARGET: Final = Path(__file__).parents[1] / "docs" / "reference" / "permissions.md"
_WAITING: Final = "handoff.waiting"
_ALEX: Final = "alex"  # a Global Administrator
_POLICIES: Final = ("Policy.ReadWrite.ApplicationConfiguration", "Application.Read.All")
#: What the Provisioner holds, each of which is taken from it once.
TAKEN: Final = (*roles.BASE, _POLICIES[0])
_HEAD: Final = """\
# Permissions

Made by `make permissions`, which runs each command on the sandbox as one person after the other; do not edit it by
hand. A test runs them again, compares, and sees that no run left anything half-way (P15). What cannot be done by
whoever is signed in *ends in a request* where it can: the key is made and kept, and an administrator does the rest with
`entraclaw-setup apply` ([how](../how-to/hand-off.md)). What is *refused* changed nothing, or was undone. Ids are
explained in [errors.md](errors.md), exit codes in [exit-codes.md](exit-codes.md).

## Whoever is signed in to the Azure CLI

A role is a directory role for the whole tenant. A custom role, or a role for this app alone, stands in no token: where
the token tells of no right, Microsoft Graph is asked by a request that changes nothing, and its answer decides.
`verify`, `doctor` and `token` sign in with the machine's own certificate. Members may register apps, unless the tenant
forbids it; guests may not.

| command | what it comes to | for |
|---|---|---|
{people}

## What the Provisioner was granted

Signed in is the {owner}, who may not delete the passwords of its service principal.
From the Provisioner one permission is taken each time. Without its permissions it cannot do its work; what is said here
is what the commands of this program come to.

| command | what it comes to | without |
|---|---|---|
{own}
"""


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in to the Azure CLI.

    :param owns: the objects of the app that are theirs.
    :param may_change: the objects that a custom role, or one for these objects alone, lets them change.
    """

    name: str
    directory_roles: tuple[str, ...] = ()
    owns: tuple[str, ...] = ()
    may_change: tuple[str, ...] = ()
    kind: str = "Member"

    @property
    def of_app(self) -> bool:
        """Whether there has to be an app for them to be somebody."""
        return bool(self.owns or self.may_change)


_BOTH: Final = ("application", "servicePrincipal")
_OWNER: Final = Person("owner of the app registration alone", owns=("application",))
_MEMBER: Final = Person("member without a role")
PEOPLE: Final = (
    Person("Global Administrator", (roles.GLOBAL_ADMINISTRATOR,)),
    Person(
        "Application Administrator and Privileged Role Administrator",
        (roles.APPLICATION_ADMINISTRATOR, roles.PRIVILEGED_ROLE_ADMINISTRATOR),
    ),
    Person("Application Administrator", (roles.APPLICATION_ADMINISTRATOR,)),
    Person("Cloud Application Administrator", (roles.CLOUD_APPLICATION_ADMINISTRATOR,)),
    Person("Privileged Role Administrator", (roles.PRIVILEGED_ROLE_ADMINISTRATOR,)),
    Person("Application Developer", (roles.APPLICATION_DEVELOPER,)),
    Person("Global Reader", (roles.GLOBAL_READER,)),
    Person("owner of both objects", owns=_BOTH),
    _OWNER,
    Person("custom role for the two objects", may_change=_BOTH),
    _MEMBER,
    Person("guest", kind="Guest"),
)


@dataclass
class World:
    """A machine whose tenant, files and keystore can be put back to how they were kept."""

    machine: Machine
    home: Path
    kept: tuple[Any, ...] = ()

    @classmethod
    @contextmanager
    def start(cls, scenario: str) -> Iterator[World]:
        """One in front of a sandbox, with a home of its own."""
        clock, before = VirtualClock(), os.environ.get("HOME")
        with tempfile.TemporaryDirectory(prefix="permissions-") as folder, dating(clock):
            home = Path(folder) / "home"
            home.mkdir()
            os.environ["HOME"] = str(home)
            lab = Lab.start(scenario, clock=clock, sign_in=False)
            try:
                yield cls(Machine(lab, clock), home)
            finally:
                lab.close()
                if before is not None:
                    os.environ["HOME"] = before

    def keep(self) -> None:
        """Remember how all is now."""
        aside = self.home.parent / "kept"
        for folder in (self.home, self.machine.lab.project):
            shutil.copytree(folder, aside / folder.name)
        self.kept = copy.deepcopy(self.machine.tenant._objects), dict(self.machine.keystore._entries), aside

    def put_back(self) -> None:
        """Let all be as it was kept."""
        objects, entries, aside = self.kept
        self.machine.tenant._objects = copy.deepcopy(objects)
        self.machine.keystore._entries = dict(entries)
        for folder in (self.home, self.machine.lab.project):
            shutil.rmtree(folder)
            shutil.copytree(aside / folder.name, folder)

    def sign_in(self, person: Person) -> None:
        """Let the machine's user have the rights of a person, and no other."""
        tenant = self.machine.tenant
        user = tenant.latest("user", tenant.signed_in_user)
        assert user is not None
        objects = {kind: tenant.find(kind, "appId", self.machine.app_id) for kind in _BOTH}
        for kind, state in objects.items():
            if state is not None:
                owners = [oid for oid in state["_owners"] if oid != user["id"]]
                mine = [user["id"]] if kind in person.owns else []
                tenant.commit(kind, state["id"], state | {"_owners": [*mine, *owners]})
        reach = [state["id"] for kind, state in objects.items() if state is not None and kind in person.may_change]
        rights = {"_roles": list(person.directory_roles), "_may_change": reach, "userType": person.kind}
        tenant.commit("user", user["id"], user | rights)

    def take(self, *names: str) -> None:
        """Take permissions from the Provisioner."""
        tenant, taken = self.machine.tenant, {roles.OFFERED[name] for name in names}
        for grant in list(tenant.all_latest(grants.KIND)):
            if grant["principalId"] == self.machine.principal["id"] and grant["appRoleId"] in taken:
                tenant.commit(grants.KIND, grant["id"], None)
        self.sign_in(_OWNER)

    @property
    def picture(self) -> dict[str, Any]:
        """Everything of the directory and the state file that a run may change."""
        tenant, path = self.machine.tenant, self.machine.state_file
        found = {kind: {state["id"]: state for state in tenant.all_latest(kind)} for kind in (*_BOTH, grants.KIND)}
        return {**found, "state": path.read_bytes() if path.exists() else b""}

    def request(self) -> Path:
        """The request that was written."""
        (found,) = self.machine.lab.project.glob("*-request-*.json")
        return found


Act = Callable[[World], Result]


@dataclass(frozen=True)
class Command:
    """A command in a situation.

    :param act: what the signed-in person does.
    :param prepare: what comes before, by others.
    :param changes: whether it is to change anything.
    :param all: every subject in a word.
    """

    name: str
    scenario: str
    act: Act
    prepare: Callable[[World], object] = lambda world: None
    changes: bool = True
    all: str = "everybody"

    def subjects(self, world: World) -> Iterator[tuple[str, Callable[[], object]]]:
        """Whoever does it in turn: a name, and what makes the world so."""
        for person in PEOPLE:
            if world.machine.app_id or not person.of_app:
                yield person.name, partial(world.sign_in, person)


@dataclass(frozen=True)
class Alone(Command):
    """A command of somebody who may do so little that the Provisioner has to do the rest itself."""

    all: str = "any of them"

    def subjects(self, world: World) -> Iterator[tuple[str, Callable[[], object]]]:
        for names in ((), *((name,) for name in TAKEN), TAKEN):
            yield ", ".join(names) if len(names) < 2 else "all of them", partial(world.take, *names)


def _done(result: Result) -> None:
    assert result.exit_code == 0, result.errors


def _migrated(world: World) -> None:
    _done(world.machine.migrate(who=_ALEX))


def _interrupted(world: World, step: str) -> None:
    """A migration that was killed as soon as a step was through."""

    def kill(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step:
            raise Crash

    world.machine.watch = kill
    try:
        world.machine.migrate(who=_ALEX)
    except Crash:
        return
    finally:
        world.machine.watch = None
    raise AssertionError(f"there is no step {step}")


def _asked(act: Act, person: Person = _MEMBER) -> Callable[[World], None]:
    """A developer asked for it by a request."""

    def ask(world: World) -> None:
        world.sign_in(person)
        result = act(world)
        assert [error["id"] for error in result.errors] == [_WAITING], result.errors

    return ask


def _without_permissions(world: World) -> None:
    world.take(*roles.BASE)


def _with_policies(world: World) -> None:
    give(world.machine, world.machine.app, *_POLICIES)


def _removal_asked(world: World) -> None:
    _without_permissions(world)
    _asked(_migrate(), _OWNER)(world)


def _closed(world: World) -> None:
    world.machine.tenant.switches.users_may_create_apps = False


def _apply(world: World) -> Result:
    """Apply the request as an administrator who was told its thumbprint, on a machine of their own."""
    machine, path = world.machine, world.request()
    asked = json.loads(path.read_text())
    named = {"app_id": asked["app_id"]} if asked["app_id"] else {}
    desk, mine = world.home.parent / "desk", machine.keystore
    shutil.rmtree(desk, ignore_errors=True)
    desk.mkdir()
    os.environ["HOME"], machine.keystore = str(desk), MemoryKeystore()
    try:
        return machine.run(apply.FLOW, request=str(path), project=str(desk), thumbprint=asked["thumbprint"], **named)
    finally:
        os.environ["HOME"], machine.keystore = str(world.home), mine


def _rollback(world: World) -> Result:
    return world.machine.run(rollback.FLOW, accept_live_secret=True)


def _undo(world: World) -> Result:
    return world.machine.run(migrate.FLOW, act=engine.undo)


def _doctor(world: World) -> Result:
    world.machine.events.clear()
    ctx = world.machine.build()
    try:
        return diagnose(ctx, ("app", "rights", "certificate", "passwords", "token"))
    finally:
        ctx.close()


def _token(world: World) -> Result:
    world.machine.events.clear()
    ctx = world.machine.build()
    try:
        token(ctx)
        return Result("unchanged", ExitCode.DONE)
    except SetupError as error:
        return Result("failed", error.exit_code, errors=[error.as_dict()])
    finally:
        ctx.close()


def _migrate(**options: Any) -> Act:
    return lambda world: world.machine.migrate(**options)


def _repair(world: World) -> Result:
    return world.machine.migrate(repair_permissions=True, app_id=world.machine.app_id)


def _onboard(world: World) -> Result:
    return world.machine.onboard()


COMMANDS: Final = (
    Command("`onboard --only provisioner`", "fresh", _onboard),
    Command("`onboard --only provisioner`, where members may not register apps", "fresh", _onboard, _closed),
    Command("`migrate`", "legacy", _migrate()),
    Command("`migrate --repair-permissions`", "drift", _repair),
    Command("`apply`, of a request for a certificate", "legacy", _apply, _asked(_migrate())),
    Command("`apply`, of a request for a new app", "fresh", _apply, _asked(_onboard)),
    Command("`apply`, of a request to delete passwords", "legacy", _apply, _removal_asked),
    Command("`resume`, after the point of no return", "legacy", _migrate(), partial(_interrupted, step="marker")),
    Command("`undo`, before the point of no return", "legacy", _undo, partial(_interrupted, step="prove")),
    Command("`rollback`", "legacy", _rollback, _migrated),
    Command("`verify`", "legacy", lambda world: world.machine.verify(), _migrated, changes=False),
    Command("`doctor`", "legacy", _doctor, _migrated, changes=False),
    Command("`token`", "legacy", _token, _migrated, changes=False),
)
OWN: Final = (
    Alone("`migrate --lock`", "legacy", _migrate(lock=True), _with_policies),
    Alone("`resume`, after the point of no return", "legacy", _migrate(), partial(_interrupted, step="marker")),
    Alone("`verify`", "legacy", lambda world: world.machine.verify(), _migrated, changes=False),
    Alone("`token`", "legacy", _token, _migrated, changes=False),
)


def outcomes(command: Command) -> dict[str, list[str]]:
    """What a command comes to, and for whom; each run begins in the same state.

    :raises AssertionError: a run left something half-way.
    """
    found: dict[str, list[str]] = {}
    with World.start(command.scenario) as world:
        command.prepare(world)
        world.keep()
        for name, become in command.subjects(world):
            world.put_back()
            become()
            before = world.picture
            result = command.act(world)
            _see_whole(world, command, before, result)
            found.setdefault(_outcome(world, result), []).append(name)
    return found


def _outcome(world: World, result: Result) -> str:
    if result.exit_code == 0:
        printed = "lock.request" in world.machine.findings()
        return "works; the requests that lock the app are printed" if printed else "works"
    ids = [error["id"] for error in result.errors]
    if _WAITING in ids:
        return f"ends in a request (exit {result.exit_code:d})"
    failed = [
        event.step for event in world.machine.events if isinstance(event, StepFinished) and event.state == "failed"
    ]
    return f"refuses: {', '.join(f'`{name}`' for name in ids or failed)} (exit {result.exit_code:d})"


def _see_whole(world: World, command: Command, before: dict[str, Any], result: Result) -> None:
    """Nothing is half-way: all is as it was, or done, or what signs in still does and the state file is untouched."""
    after = world.picture
    if not command.changes or (result.exit_code and after == before):
        assert after == before, command.name
        return
    if before["state"]:
        assert world.machine.usable(), f"{command.name}: nothing signs in any more"
    assert result.exit_code == 0 or after["state"] == before["state"], f"{command.name}: it did not end, and wrote"


def row(command: Command) -> str:
    """The lines of one command."""
    found = outcomes(command)
    lines = []
    for what, names in found.items():
        who = "; ".join(name or "nothing" for name in names) if len(found) > 1 else command.all
        lines.append(f"| {command.name} | {what} | {who} |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    people, own = ("\n".join(map(row, commands)) for commands in (COMMANDS, OWN))
    return _HEAD.format(people=people, own=own, owner=_OWNER.name)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
