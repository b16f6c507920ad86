"""`python -m wizard` and the `entraclaw-setup` script."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    gc.set_threshold(50_000)  # what is loaded stays; looking through it again and again takes 30 ms of a token's time
    try:
        from wizard import early

        early.listen()  # before what takes time to load
        from wizard import printers

        printers.install(events=early.json_wanted(sys.argv))
        from wizard.cli import run

        code = run(sys.argv[1:])
    except BaseException as error:  # noqa: BLE001  whatever it is, it is told without its values
        code = _ended(error)
    gc.freeze()  # the process ends: looking for garbage once more would take 0.1 s after a token
    early.deafen()
    sys.exit(code)


def _ended(error: BaseException) -> int:
    """Tell of what no run has caught.

    :returns: the exit code.
    """
    if isinstance(error, SystemExit) and not isinstance(error.code, str):
        return error.code or 0
    from core.errors import Interrupted
    from core.flow.engine import internal
    from wizard.cli import refuse

    if not isinstance(error, KeyboardInterrupt):
        return refuse(sys.argv[1:], internal(error))
    early = Interrupted(2)  # later ones are kept for the run
    early.standing = "Nothing was changed."
    return refuse(sys.argv[1:], early)


if __name__ == "__main__":
    main()
