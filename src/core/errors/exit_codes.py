"""What the exit code of this program says; scripts depend on the numbers (U4, docs/reference/exit-codes.md).

A row of errors.toml or codes.toml holds the number that an error leads to if nothing else happens. The engine computes
the one of a run from what really happened. `tests/unit/test_conventions.py` keeps the page and these members equal, and
numbers out of the code.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit code of the process; in JSON and in events it is the plain number."""

    DONE = 0
    """Done, or nothing to do, or planned; the outcome in the result says which."""

    FAILED = 1
    """Failed after something had been changed, and everything was undone; of `token`, whatever is no success."""

    USAGE = 2
    """The command line, or settings that contradict each other; FAILED if something had to be undone."""

    PREREQUISITE = 3
    """A prerequisite or the keystore is not acceptable; nothing was touched. FAILED if something had to be undone."""

    NEEDS_HUMAN = 4
    """Not signed in, the answer was no, a confirmation is missing, or the plan is out of date."""

    NOT_PERMITTED = 5
    """A role is missing, which is named; undone, or a request for an administrator was written (`partial`)."""

    HALF_WAY = 6
    """Left half-way, and whatever fails after the point of no return; what is left and how to finish is said."""

    SERVICE = 7
    """The service or the network failed; undone."""

    CHECK_FAILED = 8
    """A check of `verify` or `doctor` did not hold."""

    BUG = 70
    """A bug in this program; EX_SOFTWARE of sysexits.h."""

    HUNG_UP = 129
    """Interrupted by SIGHUP: the terminal was closed."""

    INTERRUPTED = 130
    """Interrupted by SIGINT: Ctrl-C, or quitting the wizard."""

    TERMINATED = 143
    """Interrupted by SIGTERM; as with the other two, the state in which it was left is said."""

    @classmethod
    def of_signal(cls, number: int) -> ExitCode:
        """What a shell says of a program that a signal ended: 128 and its number.

        :raises ValueError: it is none of those that this program listens to.
        """
        return cls(128 + number)
