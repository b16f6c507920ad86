"""What a project looks like before anything is asked of the network: what a welcome screen offers first (U1, U2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import SetupError
from core.flows import interrupted
from core.steps.context import Context

Subject = Literal["secret", "certificate", "nothing", "unreadable"]


@dataclass(frozen=True)
class ProjectStatus:
    """What stands in the project's folder.

    :param subject: the state file holds a client secret; it names an app and holds none; there is none; it cannot be
        read.
    :param open: the interrupted run of this project, if there is one.
    :param trouble: what could not be read, in words.
    """

    subject: Subject
    open: interrupted.Open | None = None
    trouble: str = ""


def survey(ctx: Context) -> ProjectStatus:
    """Look at state file and journals; neither the network nor the keystore is touched."""
    subject: Subject = "nothing"
    try:
        if ctx.statefile.exists():
            subject = "secret" if ctx.statefile.read().present else "certificate"
        return ProjectStatus(subject, interrupted.find(ctx))
    except SetupError as error:
        return ProjectStatus(subject if subject != "nothing" else "unreadable", None, error.summary)
