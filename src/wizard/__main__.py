"""`python -m wizard` and the `entraclaw-setup` script."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    _import_nothing_from_here()
    from core.machine import libraries

    libraries.restrain()
    gc.set_threshold(50_000)  # what is loaded stays; looking through it again and again takes 30 ms of a token's time
    try:
        from wizard.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before a run has its own handlers
        print("Interrupted. Nothing was changed.", file=sys.stderr)
        code = 130
    gc.freeze()  # the process ends: looking for garbage once more would take 0.1 s after a token
    sys.exit(code)


def _import_nothing_from_here() -> None:
    """Take off Python's path what leads into the working folder, before anything of ours is imported (C4).

    `python -m` puts that folder first, and so does an empty entry of PYTHONPATH. A folder that this program itself or
    the interpreter lies in stays.
    """
    here = os.path.realpath(os.curdir)
    own = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120  pathlib takes 10 ms
    first = [] if sys.flags.safe_path else sys.path[:1]
    given = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)]  # noqa: PTH100

    def leads_here(entry: str) -> bool:
        path = os.path.realpath(entry)
        inside = path == here or path.startswith(os.path.join(here, ""))  # noqa: PTH118
        return inside and path != own and (entry in first or os.path.abspath(entry) in given)  # noqa: PTH100

    sys.path[:] = [entry for entry in sys.path if not leads_here(entry)]


if __name__ == "__main__":
    main()
