"""Hand-off: without the rights, keep the key, and write down what an administrator has to do (P12)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn
from uuid import uuid4

from core import files
from core.entra import application, creation
from core.errors import Effected, GraphError, SetupError
from core.events import Question
from core.flow.facts import Kinds
from core.flow.journal import Effect
from core.flow.step import Done, Left, Needed, PlanRow, Status, Step
from core.steps import facts
from core.steps.admin_request import LARGEST, Request
from core.steps.context import Context

WRITE: Final = "request.write"
WAITING: Final = "handoff.waiting"
#: Of what a request is made: what a step asks for besides that may end in one.
REQUEST: Final[Kinds] = (facts.NewApp, facts.WantedPermissions, facts.HandOffRequest)
#: Effects by which this machine puts a certificate on the app itself.
OWN: Final = ("graph.application.addKey", "graph.application.create")
#: What an undo that somebody asked for fails with.
UNDO: Final = "flow.undo-asked"


class HandOff(Step[Context]):
    """Where the signed-in principal may not do it: write the request and stop; the pending key stays."""

    name = "hand-off"
    title = "Write a request for an administrator"
    needs = (facts.Target, facts.OpenRun, facts.SignedIn, facts.MachineKey)
    maybe = (*REQUEST, facts.AppRegistration, facts.Proof, facts.NeedsAdministrator)

    def check(self, ctx: Context) -> Status:
        return Needed() if needed(ctx) else Done("not needed")

    def plan(self, ctx: Context) -> Sequence[PlanRow]:
        after = "public certificate, app, exact calls; no secret"
        return (PlanRow("add", "request for an administrator", str(path(ctx)), "", after, True, "write a file"),)

    def apply(self, ctx: Context) -> str:
        hand_over(ctx)

    def undo(self, ctx: Context) -> Left | None:
        effects = ctx.log.standing(WRITE)
        if effects and (left := _applied(ctx, effects[-1])) is not None:
            return left
        for effect in effects:
            remove(Path(effect.target), str(effect.data["key_id"]))
            ctx.log.undone(effect)
        return None


def question(ctx: Context) -> Question:
    """The question before a run that cannot do everything itself."""
    text = (
        "This run makes and keeps the key, and writes a request; an administrator applies it with "
        "'entraclaw-setup apply'. The changes in the directory come after that.\nGo on?"
    )
    return Question("hand-off", text, False, "--yes")


def before_undo(ctx: Context, error: SetupError) -> SetupError | None:
    """What a request has been written for is kept until an administrator acts, or somebody undoes it.

    :returns: as the engine asks for it (`Flow.before_undo`): the error that forbids the undo, as a value.
    """
    if error.id == WAITING:
        return error
    # an administrator may be about to apply it: a certificate whose key is nowhere would be of no use to anybody
    effect = written(ctx)
    if effect is not None and error.id != UNDO:
        return SetupError("handoff.kept", path=effect.target, cause=error.summary)
    if effect is not None and (left := _applied(ctx, effect)) is not None:
        return SetupError("flow.undo-failed", cause=error.summary, left=left.what, how=left.how)
    return None


@contextmanager
def on_refusal(ctx: Context) -> Iterator[None]:
    """Surround an effect in the directory: a missing right that the token did not announce ends in a request (P12)."""
    try:
        yield
    except GraphError as error:
        if error.lacks_rights and error.effected is Effected.NO and ctx.flow.hands_off:
            hand_over_instead(ctx, error)
        raise


def by_whom(ctx: Context) -> str:
    """Added to a row of the plan: that an administrator makes this change."""
    return "" if ctx.facts.maybe(facts.NeedsAdministrator) is None else ", by an administrator"


def needed(ctx: Context) -> bool:
    """Whether something is to be done that the signed-in principal may not do."""
    if ctx.facts.maybe(facts.NeedsAdministrator) is None:
        return False
    app, key_pair = ctx.maybe_app, ctx.maybe_key_pair
    if app is None or key_pair is None or not (app.holds(key_pair) or ctx.maybe_proof):
        return True
    wanted = set(ctx.permissions.wanted.values())
    return bool(wanted - app.declared or wanted - app.granted)


def written(ctx: Context) -> Effect | None:
    """The note of the request that this undertaking wrote."""
    return next(reversed(ctx.standing(WRITE)), None)


def path(ctx: Context) -> Path:
    """Where the request goes: the project folder."""
    short = ctx.target.app_id[:8] or "new"
    return ctx.settings.folder / f"{ctx.profile.name}-request-{short}.json"


def hand_over(ctx: Context, *, removal: bool = False) -> NoReturn:
    """Write the request, and end this run with it: it waits for an administrator.

    :param removal: the certificate is proven, and only the password credentials are left to remove.
    :raises SetupError: `handoff.waiting`; `request.io`, `request.secret`, `file.unsafe`: it was not written.
    """
    key_pair, app = ctx.key_pair, ctx.maybe_app
    earlier = written(ctx)
    unique = str(earlier.data["unique_name"]) if earlier else ctx.new_app.unique_name
    if app is None and not unique:
        unique = f"{ctx.profile.name}-{uuid4()}"
    request = Request(
        cloud=ctx.cloud.name,
        authority=ctx.cloud.authority,
        tenant=ctx.target.tenant,
        app_id=app.app_id if app is not None else "",
        app_name=app.name if app is not None else ctx.app_name,
        unique_name=unique if app is None else "",
        der=key_pair.der,
        key_id=str(earlier.data["key_id"]) if earlier else str(uuid4()),
        machine=ctx.machine,
        requested_by=ctx.facts.get(facts.SignedIn).account.user,
        created=ctx.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        roles={} if removal else dict(ctx.permissions.wanted),
        remove_passwords=removal,
    )
    target = path(ctx)
    # the name stays known: the next run finds by it the app that an administrator has created
    details = {"key_id": request.key_id, "unique_name": unique, "removal": removal}
    text = request.to_json()
    with ctx.log.effect(WRITE, str(target), ctx.emit, **details):
        _replace(target, text)
    tell = "" if removal else f" Tell them by another way than the file that its thumbprint is {key_pair.thumbprint}."
    raise SetupError(WAITING, path=target, role=request.role_needed, tell=tell) from None


def _applied(ctx: Context, effect: Effect) -> Left | None:
    """What an administrator has done for this machine already, and how it is taken back."""
    key_pair, app = ctx.maybe_key_pair, ctx.maybe_app
    registered = [e for e in ctx.log.effects if e.action in OWN and e.state != "failed"]
    if key_pair is None or any(e.data.get("thumbprint") == key_pair.thumbprint for e in registered):
        return None  # this machine registered it, and has undone that by now
    graph, unique = ctx.user_graph(), effect.data["unique_name"]
    if app is None and unique and (app_id := creation.by_unique_name(graph, unique)) is not None:
        app = application.read(graph, app_id)
    keys = application.read_keys(graph, app.object_id) if app is not None else ()
    found = next((key for key in keys if key.der == key_pair.der), None)
    if app is None or found is None:
        return None
    if unique:
        what, command = f"app registration {app.app_id}", f"az ad app delete --id {app.app_id}"
    else:
        what = f"certificate {key_pair.thumbprint}"
        command = f"az ad app credential delete --id {app.app_id} --key-id {found.id} --cert"
    how = f"Ask an administrator to run: {command}. Then run 'entraclaw-setup undo' again."
    return Left(f"{what}, which an administrator added for this machine; its key is kept", how)


def hand_over_instead(ctx: Context, refusal: GraphError) -> NoReturn:
    """End a run that was refused although its token did not tell: the refusal is said, the request is written.

    :raises SetupError: as `hand_over`.
    """
    ctx.facts.put(facts.NeedsAdministrator())
    ctx.report("rights.refused", "warning", refusal.summary)
    hand_over(ctx)


def remove(path: Path, key_id: str) -> None:
    """Remove a request that nobody waits for any more.

    :param key_id: what the request asks for; a file that does not name it is somebody else's.
    :raises SetupError: `request.left`: it is still there, or something else lies in its place.
    """
    if _another(path):
        raise SetupError("request.left", path=path, detail="it is no request by now")
    try:
        if path.is_file() and key_id.encode() not in path.read_bytes():
            raise SetupError("request.left", path=path, detail="it is another file by now")
        path.unlink(missing_ok=True)
    except OSError as error:
        detail = "it is a folder by now" if path.is_dir() else error.strerror or error
        raise SetupError("request.left", path=path, detail=detail) from None


def _replace(target: Path, text: str) -> None:
    """Write a file atomically, readable for all since it is public; never through a link that somebody left there."""
    if _another(target):
        _fail(target, "a file that is no request lies there")
    start = f"{target.name}.new-"  # what people keep beside it is called otherwise
    try:
        files.sweep(target.parent, start)
        with files.beside(target, text.encode(), start=start, mode=0o644) as put:
            put()
    except OSError as error:
        _fail(target, error.strerror or error)


def _fail(target: Path, detail: object) -> NoReturn:
    raise SetupError("request.io", effected=Effected.NO, path=target, detail=detail) from None


def _another(path: Path) -> bool:
    """Whether a file that is somebody's own has the name of a request: it is neither replaced nor removed."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            members = json.loads(file.read(LARGEST))
    except (OSError, ValueError, RecursionError):
        return True
    return not isinstance(members, dict) or not {"schema", "certificate"} <= members.keys()
