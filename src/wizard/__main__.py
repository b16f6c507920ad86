"""`python -m wizard` and the `entraclaw-setup` script."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from wizard.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before a run has its own handlers
        print("Interrupted. Nothing was changed.", file=sys.stderr)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
