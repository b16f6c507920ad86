"""Prerequisites: the state file, and what this computer has."""

from __future__ import annotations

from wizard.tui.screens.base import StageScreen


class Prerequisites(StageScreen):
    """What is here, and what is missing."""

    place = "prereqs"
    heading = "Prerequisites"
    lead = "What this computer has, and what the project's state file says. Nothing is changed."
    advice = (
        "Each row is something that a run needs. Where a program is missing, the row names the command that installs "
        "it on this system; install it in another window, then check again."
    )
