"""Every command, and what tells it from the others: a row gives its help, its options, its place in the menus (U1).

A flow has a `Flow` that it loads; what is no flow but a command has its own function in `wizard.commands`.
Nothing outside this room spells the name of a flow (`tests/unit/test_registry.py`), and nothing heavy is imported here:
what a row names is loaded when it is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from core.config.options import OPTIONS
from core.flow.spec import Command, Entry

_KEYRING: Final = ("allow_keyring_backend",)
#: Options of the flows that put a certificate on the app.
_CERTIFYING: Final = (
    *_KEYRING, "drop_expired", "key_outlives_job", "lock", "retire_older", "hardware", "certificate_days"
)  # fmt: skip

ONBOARD: Final = Command(
    "onboard",
    doing="set up",
    help="set up what is missing: app registration, certificate, permissions",
    load="core.flows.onboard:FLOW",
    options=(*_CERTIFYING, "extra_roles", "new", "only"),
    programs=("az",),
    entry=Entry(
        20,
        "Set up from nothing: app registration, certificate, permissions (the Provisioner part)",
        "Set up",
        "create or complete the app registration",
    ),
    likely=("nothing",),
    scenarios=("fresh",),
    part="provisioner",
    creates_app=True,
    hands_off=True,
    hands_off_grants=True,
    provable=True,
    resumable=True,
    changes=True,
    started=True,
)
MIGRATE: Final = Command(
    "migrate",
    help="replace the client secret by a certificate whose key is in the keystore",
    load="core.flows.migrate:FLOW",
    options=(*_CERTIFYING, "repair_permissions"),
    programs=("az",),
    entry=Entry(
        10,
        "Migrate: replace the client secret by a certificate",
        "Migrate",
        "replace the client secret by a certificate in the keystore",
    ),
    likely=("secret",),
    scenarios=("legacy",),
    result="core.flows.migrate:result",
    hands_off=True,
    provable=True,
    resumable=True,
    changes=True,
    started=True,
)
APPLY: Final = Command(
    "apply",
    help="as an administrator, do what a developer's request file asks for",
    load="core.flows.apply:FLOW",
    options=("extra_roles", "drop_expired", "thumbprint", "request"),
    says=(("extra_roles", "also grant permissions that no Provisioner needs, if the request asks for them"),),
    programs=("az",),
    result="core.flows.apply:result",
    changes=True,
)
ROLLBACK: Final = Command(
    "rollback",
    help="a new client secret in the state file, for 15 minutes (needs two yeses)",
    load="core.flows.rollback:FLOW",
    options=("accept_live_secret",),
    programs=("az",),
    result="core.flows.rollback:result",
    changes=True,
)
ROTATE: Final = Command(
    "rotate",
    entry=Entry(60, "Rotate the certificate (not in this version)", "Rotate", "not in this version"),
    missing="Rotation is not in this version.",
)

#: In the order of the help.
ROWS: tuple[Command, ...] = (
    ONBOARD,
    MIGRATE,
    Command(
        "resume",
        help="continue the interrupted run of this project",
        programs=("az",),
        result="core.flows.migrate:result",
        changes=True,
        started=True,
        continues=True,
    ),
    Command(
        "undo",
        help="take back what an interrupted run did before the point of no return",
        options=_KEYRING,
        programs=("az",),
        changes=True,
        started=True,
    ),
    APPLY,
    ROLLBACK,
    Command(
        "verify",
        help="prove the end state: no secret anywhere, certificate works (exit 8 if not)",
        options=(*_KEYRING, "strict", "commands"),
        programs=("git",),
        entry=Entry(
            30,
            "Verify: prove that no secret is left and that the certificate works",
            "Verify",
            "prove that no secret is left; changes nothing",
        ),
        likely=("certificate", "unreadable"),
        started=True,
    ),
    Command(
        "doctor",
        help="look at everything a run needs, and say what is wrong and what to do (exit 8 if something is)",
        doing="diagnose",
        options=(*_KEYRING, "fix", "check"),
        programs=("az", "git"),
        entry=Entry(
            40,
            "Diagnose: look at everything that a run needs, and say what is wrong",
            "Diagnose",
            "look at everything that a run needs; changes nothing",
        ),
        started=True,
    ),
    Command(
        "token", help="print a Microsoft Graph access token for this machine's app", options=_KEYRING, refuses=("json",)
    ),
    Command(
        "replay",
        help="show a recorded run again, in the wizard or as lines; without FILE, list them",
        options=("file", "speed"),
    ),
    Command(
        "explain", help="say what an error id, an AADSTS code or a Graph code means, and what to do", options=("id",)
    ),
    Command(
        "sandbox",
        help="run a pretend tenant (Entra ID, Graph, ARM) on loopback",
        options=("scenario", "seed", "port", "latency_ms", "user", "proxy", "env", "show"),
        entry=Entry(50, "", "Sandbox", "try everything on a pretend tenant"),
    ),
    Command(
        "demo",
        help="the wizard, or with --yes a flow, on a pretend tenant; touches nothing real",
        options=("scenario", "seed", "flow"),
        result="core.flows.migrate:result",
        changes=True,
    ),
    ROTATE,
)


def commands() -> tuple[Command, ...]:
    """What this version has, in the order of the help."""
    return tuple(row for row in ROWS if not row.missing)


def flows() -> tuple[Command, ...]:
    """The flows that this version has, those of the menus first and in their order."""
    found = [row for row in commands() if row.load]
    return tuple(sorted(found, key=lambda flow: flow.entry.place if flow.entry else 1000))


def menu() -> tuple[tuple[Command, Entry], ...]:
    """The menus' rows with their lines, in their order."""
    rows = [(row, row.entry) for row in ROWS if row.entry is not None]
    return tuple(sorted(rows, key=lambda line: line[1].place))


def find(name: str) -> Command | None:
    """The row of a command; None: there is no such command in this version."""
    return next((row for row in commands() if row.name == name), None)


def row(name: str) -> Command:
    """The row of a command; of what is none in this version a row that says no to everything."""
    return find(name) or Command(name)


def flow(name: str) -> Command | None:
    """The row of a flow; None: it is the name of none."""
    return next((row for row in flows() if row.name == name), None)


def missing(name: str) -> str:
    """Why a row of the menus cannot be started in this version; empty: it can."""
    return next((row.missing for row in ROWS if row.name == name), "")


def likely(subject: str) -> Command:
    """What is most likely wanted in a project.

    :param subject: of its survey (`core.flows.project_status`).
    """
    return next((row for row in commands() if subject in row.likely), flows()[0])


def shown(scenario: str) -> Command:
    """The flow that a demo shows in a scenario of the sandbox."""
    return next((flow for flow in flows() if scenario in flow.scenarios), flows()[0])


def options(row: Command) -> tuple[str, ...]:
    """Names of a command's options beside the global ones, in the order of its help."""
    if not row.continues:
        return row.options
    every = [name for flow in ROWS if flow.resumable for name in flow.options]
    return tuple(dict.fromkeys(name for name in every if OPTIONS[name].setting))


def programs() -> dict[str, tuple[str, ...]]:
    """What each command may start (C4); the wizard has an empty name, because it needs none."""
    own = {row.name: row.programs for row in commands()}
    return {"": tuple(sorted({name for names in own.values() for name in names})), **own}


def load(path: str) -> Any:
    """What a row names as `module:NAME`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
