"""`python -m wizard` and the `entraclaw-setup` script."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    gc.set_threshold(50_000)  # what is loaded stays; looking through it again and again takes 30 ms of a token's time
    try:
        from wizard.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before a run has its own handlers
        print("Interrupted. Nothing was changed.", file=sys.stderr)
        code = 130
    gc.freeze()  # the process ends: looking for garbage once more would take 0.1 s after a token
    sys.exit(code)


if __name__ == "__main__":
    main()
