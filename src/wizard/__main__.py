"""`python -m wizard` and the `entraclaw-setup` script."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    _import_nothing_from_here()
    from wizard import early

    early.listen()  # before what takes time to load
    gc.set_threshold(50_000)  # what is loaded stays; looking through it again and again takes 30 ms of a token's time
    try:
        from wizard import printers, workspace

        workspace.restrain()
        printers.install(events=early.json_wanted(sys.argv))
        from wizard.cli import run

        code: int = run(sys.argv[1:])
    except BaseException as error:  # noqa: BLE001  whatever it is, it is told without its values
        code = _ended(error)
    gc.freeze()  # the process ends: looking for garbage once more would take 0.1 s after a token
    early.deafen()
    sys.exit(code)


def _import_nothing_from_here() -> None:
    """Take off Python's path what leads into the working folder, before anything of ours is imported (C4).

    `python -m` puts that folder first, and so does an empty entry of PYTHONPATH. A folder that this program itself or
    the interpreter lies in stays.
    """
    here = os.path.realpath(os.curdir)
    own = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120  pathlib takes 10 ms
    python = [os.path.realpath(os.path.join(prefix, "lib")) for prefix in (sys.prefix, sys.base_prefix)]  # noqa: PTH118
    first = [] if sys.flags.safe_path else sys.path[:1]
    given = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)]  # noqa: PTH100

    def inside(path: str, folder: str) -> bool:
        return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118

    def leads_here(entry: str) -> bool:
        path = os.path.realpath(entry)
        kept = path == own or any(inside(path, folder) for folder in python)
        return inside(path, here) and not kept and (entry in first or os.path.abspath(entry) in given)  # noqa: PTH100

    sys.path[:] = [entry for entry in sys.path if not leads_here(entry)]


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
    return refuse(sys.argv[1:], early.copy(standing="Nothing was changed."))


if __name__ == "__main__":
    main()
