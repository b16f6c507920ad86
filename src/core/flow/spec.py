"""What tells one command from another, as data: a row of `core.flows.registry`.

A step, a screen or a command asks the row, and never which one it is. A flow is a command with a `Flow` behind it.
Named tuples, because the help of the command line is made of them and `dataclasses` would take a third of its time.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A line of the menus.

    :param place: the lowest is first; they are apart so that another fits between two.
    :param line: in the plain menu; empty: it has another line there.
    :param title: on the welcome screen, with `text`.
    """

    place: int
    line: str
    title: str
    text: str


class Command(NamedTuple):
    """One command; `load` makes it a flow, and `Entry` a line of the menus.

    :param name: its own, and that in the journals and events of a flow.
    :param doing: what it does, in the top line of the screens; empty: its name.
    :param help: its help.
    :param load: where its `Flow` is, as `module:NAME`, loaded when it runs; empty: `wizard.commands` has a function.
    :param options: names of its options beside the global ones, in the order of its help.
    :param says: what the help of an option says here, where that is not what the table of options says.
    :param refuses: global options that it does not take.
    :param programs: that it may start (`core.machine.programs`).
    :param entry: in the menus; None: it is a command alone.
    :param likely: subjects of a project (`core.flows.project_status`) for which it is the likely thing to do.
    :param scenarios: of the sandbox, in which a demo shows it; the first is the usual one.
    :param result: what gives the members that `data` of `--json` has besides, as `module:NAME`.
    :param part: the one part of it that this version has; `--only` names it.
    :param missing: why it cannot be started in this version; empty: it can.
    :param creates_app: it makes the app registration if there is none, so it begins without an app id.
    :param hands_off: a missing right in the directory ends in a request for an administrator.
    :param hands_off_grants: so does the missing right to grant permissions.
    :param provable: it ends with this machine's certificate at work, so a verification follows.
    :param resumable: `resume` takes its options.
    :param continues: it goes on with a flow, so it takes the options of all that are resumable.
    :param changes: whether it may change something, and so asks.
    :param started: whether the wizard can set it in motion.
    """

    name: str
    doing: str = ""
    help: str = ""
    load: str = ""
    options: tuple[str, ...] = ()
    says: tuple[tuple[str, str], ...] = ()
    refuses: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    entry: Entry | None = None
    likely: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    result: str = ""
    part: str = ""
    missing: str = ""
    creates_app: bool = False
    hands_off: bool = False
    hands_off_grants: bool = False
    provable: bool = False
    resumable: bool = False
    continues: bool = False
    changes: bool = False
    started: bool = False
