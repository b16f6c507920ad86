"""Prerequisites: the project's state file, its cloud, tenant and app id (C1, M1, M16, P1)."""

from __future__ import annotations

import json
import sys
from typing import Any, ClassVar

from core import files, paths
from core.config import profile as profiles
from core.config.cloud import option_of
from core.config.options import OPTIONS
from core.config.settings import guid
from core.errors import SetupError
from core.flow.facts import Kinds
from core.flow.journal import Journal
from core.flow.step import Blocked, Done, Needed, Stage, Status, Step
from core.machine import own_folder
from core.machine.state_file import Contents
from core.secret import looks_secret, redactor
from core.steps import facts
from core.steps.context import Context


class ReadStateFile(Step[Context]):
    """Read the state file.

    :param required: whether a run may do without one.
    """

    name = "state-file"
    title = "Read the state file"
    gives = (facts.Project, facts.Target)

    def __init__(self, *, required: bool = True) -> None:
        self._required = required

    def apply(self, ctx: Context) -> str:
        profile = ctx.profile
        folder = ctx.statefile.path.parent
        if not folder.is_dir():
            raise SetupError("usage.project", path=folder, detail="not a folder" if folder.exists() else "not there")
        if profile.of_blueprint:
            raise SetupError("usage.blueprint-profile", name=profile.name, path=ctx.statefile.path)
        missing = not self._required and not ctx.statefile.exists()
        _tell_of_another_profile(ctx, missing=not ctx.statefile.exists())
        _tell_of_former_folder(ctx)
        contents = ctx.statefile.read_or_empty() if missing else ctx.statefile.read()
        members = contents.members
        _refuse_another_cloud(ctx, members.get("CLOUD", ctx.cloud.name if missing else "public"))
        if contents.unusable:
            what = f"{profile.secret_member} holds no usable secret"
            ctx.report("statefile.unusable", "warning", f"{what}; it is not tried, and it is removed all the same.")
        if contents.present and ctx.statefile.path.stat().st_nlink > 1:
            message = f"{ctx.statefile.path} has another name (a hard link); under that name the secret stays."
            ctx.report("statefile.linked", "warning", message, "Delete the other name too.")
        ctx.facts.put(facts.Project(members, contents.basis.only(profile.members), contents.secret))
        tenant = _agreed(ctx, "tenant", profile.tenant_member, members)
        ctx.facts.put(facts.Target(tenant))
        app_id = _agreed(ctx, "app_id", profile.client_id_member, members)
        ctx.facts.put(facts.Target(tenant, app_id))
        if not tenant and self._required:
            raise SetupError("usage.unknown-tenant", member=profile.tenant_member, path=ctx.statefile.path)
        if app_id and app_id == str(members.get(profile.blueprint_member, "")).lower():
            raise SetupError("app.blueprint", app_id=app_id)
        if missing:
            return f"there is none at {ctx.statefile.path}; it will be made"
        _report(ctx, contents)
        held = "with an unusable one" if contents.unusable else "without a client secret"
        return f"{ctx.statefile.path} ({'with a client secret' if contents.secret else held})"


class CanKeepKeys(Step[Context]):
    """Stop where a key bundle cannot be kept (P4)."""

    name = "platform"
    title = "Check that this system can keep a key"

    def check(self, ctx: Context) -> Status:
        if sys.platform == "win32":
            return Blocked(SetupError("platform.no-keystore-key"))
        return Needed()

    def apply(self, ctx: Context) -> str:
        return f"{sys.platform}, Python {sys.version_info.major}.{sys.version_info.minor}"


class Outlives(Step[Context]):
    """Stop where the key would not outlive the job (M16)."""

    name = "lifetime"
    title = "Check that the key would outlive this run"

    def check(self, ctx: Context) -> Status:
        if not ctx.lifetime:
            return Done("nothing says that this is a CI job or a container")
        if not ctx.settings.key_outlives_job:
            return Blocked(SetupError("platform.short-lived", seen="; ".join(ctx.lifetime)))
        return Needed()

    def apply(self, ctx: Context) -> str:
        seen, said = "; ".join(ctx.lifetime), ctx.settings.origin.get("key_outlives_job", "default")
        message = f"This looks like a job that ends and takes its keystore with it ({seen}), but it was said not to be."
        remedy = "If that is wrong, the key is lost with the job, and its certificate stays on the app."
        ctx.report("platform.short-lived", "warning", message, remedy)
        return f"it was said to (--key-outlives-job, from: {said})"


class OpenJournal(Step[Context]):
    """Take the lock of this tenant and app, and open its journal."""

    name = "journal"
    title = "Open the journal"
    needs: ClassVar[Kinds] = (facts.Target,)
    maybe: ClassVar[Kinds] = (facts.HandOffRequest,)
    gives: ClassVar[Kinds] = (facts.OpenRun,)

    def check(self, ctx: Context) -> Status:
        if ctx.journal is not None:
            return Done("open")
        known_or_new = ctx.target.app_id or ctx.flow.creates_app or ctx.facts.maybe(facts.HandOffRequest) is not None
        return Needed() if known_or_new else Done("the app is not known yet")

    def apply(self, ctx: Context) -> str:
        # an administrator's run is none of this machine's
        if (asked := ctx.facts.maybe(facts.HandOffRequest)) is not None:
            request = asked.request
            return _open(ctx, ctx.flow.name, paths.digest(request.app_id or request.unique_name))
        if not ctx.target.app_id:
            return open_of_project(ctx)
        if not ctx.flow.creates_app and (theirs := unfinished(ctx)) is not None:
            raise SetupError("journal.other-flow", theirs=theirs, ours=ctx.flow.name)
        return _open(ctx, ctx.target.tenant, ctx.target.app_id)


class MayOpenJournal(OpenJournal):
    """The same as early as possible: for an app that is known by its id."""

    gives = ()
    updates = (facts.OpenRun,)


def unfinished(ctx: Context) -> str | None:
    """The flow of an interrupted run of this project that made the app that the state file names by now, if one did."""
    path = paths.journal(ctx.profile, ctx.cloud.key, *of_project(ctx))
    journal = Journal(path, ctx.run_id, ctx.clock)
    ours = any(effect.data.get("app_id") == ctx.target.app_id for effect in journal.standing())
    return journal.flow if ours else None


def of_project(ctx: Context) -> tuple[str, str]:
    """Names of the journal of an app that does not exist yet, or is not known: it belongs to its project."""
    return "new", paths.digest(ctx.settings.folder)


def open_of_project(ctx: Context) -> str:
    """Take the lock of this project's new app, and open its journal instead of the one that is open.

    :raises SetupError: `lock.held`, `journal.io`, `journal.broken`, `journal.other-flow`; `az.wrong-tenant`: the
        interrupted run was about another tenant.
    """
    return _open(ctx, *of_project(ctx))


def _open(ctx: Context, tenant: str, app_id: str) -> str:
    take_lock(ctx, tenant, app_id)
    path = paths.journal(ctx.profile, ctx.cloud.key, tenant, app_id)
    journal = Journal(path, ctx.run_id, ctx.clock, ctx.flow.name, ctx.audit)
    if journal.resumed and journal.flow not in ("", ctx.flow.name):
        raise SetupError("journal.other-flow", theirs=journal.flow, ours=ctx.flow.name)
    for effect in journal.standing("keystore.write"):
        ours = effect.target.partition("#")[0]
        if ours != ctx.target.tenant:
            raise SetupError("az.wrong-tenant", theirs=ctx.target.tenant, ours=ours)
    ctx.facts.put(facts.OpenRun(journal))
    if not journal.resumed:
        return "new"
    side = "after" if journal.marked else "before"
    message = f"An earlier run was interrupted {side} the point of no return; this run continues it."
    ctx.report("journal.resumed", "warning", message)
    return "continues an interrupted run"


def take_lock(ctx: Context, tenant: str, app_id: str) -> None:
    """Take the lock of a tenant and app, until the context is closed.

    :raises SetupError: `lock.held`, `journal.io`, `folder.unsafe`, `file.unsafe`.
    """
    from filelock import FileLock

    lock = paths.lock(ctx.profile, ctx.cloud.key, tenant, app_id)
    if lock in ctx.locks:
        return
    try:
        paths.private(lock.parent)
        files.check(lock)
        ctx.resources.enter_context(FileLock(lock, timeout=0, mode=0o600))
    except TimeoutError:
        raise SetupError("lock.held", path=lock) from None
    except OSError as error:
        raise SetupError("journal.io", path=lock, detail=error.strerror or error) from None
    ctx.locks.add(lock)


def _tell_of_another_profile(ctx: Context, *, missing: bool) -> None:
    """Say whose state file lies there besides, if the profile was named; none is made beside that of a namesake (M19).

    :raises SetupError: `usage.other-profile`.
    """
    ours, origin = ctx.profile, ctx.settings.origin.get("profile", "default")
    for other in profiles.present(ctx.settings.folder):
        if other == ours or origin == "default":
            continue
        if missing and ours.name in profiles.BUILT_IN and not other.of_blueprint:
            raise SetupError(
                "usage.other-profile", theirs=other.state_file, name=other.name, ours=ours.name, path=ctx.statefile.path
            )
        message = (
            f"{other.state_file} lies in the project, too: the state file of profile {other.name}. "
            f"It is left alone, because the profile was named: {ours.name} (from: {origin})."
        )
        ctx.report("statefile.other-profile", "warning", message, "Leave out --profile if that is not meant.")


def _tell_of_former_folder(ctx: Context) -> None:
    """Say what lies at the place that this program's own folder had before, if both are there (A8)."""
    old, new = own_folder.left_behind(ctx.profile), paths.state_folder(ctx.profile)
    if old is None:
        return
    journals = sorted(old.glob("journal/*"))
    opened = [journal.name for journal in journals if Journal(journal, ctx.run_id, ctx.clock).resumed]
    still = f" A run is still open in it: {', '.join(opened)}." if opened else ""
    message = f"{old} holds journals or other files, and so does {new}, which is used. Nothing was merged.{still}"
    finish = "Finish that run with the version that began it. " if opened else ""
    ctx.report("folder.left", "warning", message, f"{finish}When nothing there is needed any more, delete {old}.")


def _refuse_another_cloud(ctx: Context, theirs: object) -> None:
    """A state file belongs to one cloud (C1)."""
    path, ours = ctx.statefile.path, ctx.cloud.name
    if not isinstance(theirs, str):
        raise SetupError("usage.no-cloud", path=path, value=json.dumps(theirs))
    if theirs != ours:
        raise SetupError("usage.other-cloud", path=path, theirs=theirs, ours=ours, option=option_of(theirs))


def _report(ctx: Context, contents: Contents) -> None:
    """Say which other members hold the secret again, or something that looks like one, however deep (M11)."""
    file, secret = ctx.statefile.path.name, ctx.project.secret
    copies = contents.holding(secret)
    inside = ctx.statefile.where(secret.occurs_in) if secret is not None else ()
    for member in dict.fromkeys((*inside, *ctx.statefile.where(looks_secret))):
        if member == ctx.profile.secret_member:
            continue
        name, remedy = redactor.redact(member), ""
        if member in copies:
            id, message = "statefile.copy", f"{name} in {file} is a copy of the secret; it is removed too."
        elif member in inside:
            id = "statefile.copy-inside"
            message = f"{name} in {file} holds the very same secret inside; it stays there."
            remedy = "Remove it by hand."
        else:
            id = "statefile.foreign-secret"
            message = f"{file} also holds something that looks like a secret: {name}."
            message += f" It is not {ctx.profile.secret_member}, and is left as it is."
            remedy = "Find out what uses it, and move it to a keystore."
        ctx.report(id, "warning", message, remedy)


def _agreed(ctx: Context, setting: str, member: str, members: dict[str, Any]) -> str:
    """A GUID from the settings or the state file; when both name one, they must be the same."""
    option = OPTIONS[setting]
    given = str(getattr(ctx.settings, setting))
    named = members.get(member) not in (None, "")
    stored = guid(f"{member} in {ctx.statefile.path.name}", members[member]) if named else ""
    if given and stored and given != stored:
        detail = f"{option.flag} says {given}, but {member} in {ctx.statefile.path.name} is {stored}"
        raise SetupError("usage.settings", detail=detail, command=option.command)
    return given or stored


STAGE: Stage[Context] = Stage(
    "prereqs", "Prerequisites", (ReadStateFile(), CanKeepKeys(), Outlives(), MayOpenJournal())
)
