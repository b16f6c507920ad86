"""The program as a process of its own, with a value planted where only a last-resort printer would show it.

Arguments: the plant's name, then the program's own. The value comes by standard input: no file and no argument has it.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wizard import __main__ as program

CANARY = os.read(0, 4096).decode().strip() if __name__ == "__main__" else ""


class Fatal(BaseException):
    """What no `except Exception` catches, as a panic of a library in Rust."""


class Finalized:
    """Fails when it is thrown away."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Finalized({self.value})"

    def __del__(self) -> None:
        raise ValueError(self.value)


def message() -> None:
    raise ValueError(CANARY)


def bare() -> None:
    raise Fatal(CANARY)


def leaving() -> None:
    sys.exit(f"cannot go on with {CANARY}")


def local() -> None:
    client_secret = CANARY
    raise ValueError(len(client_secret))


def chained() -> None:
    try:
        try:
            raise KeyError(CANARY)
        finally:
            raise OSError(2, CANARY, CANARY)
    except OSError as error:
        raise RuntimeError("outermost") from error


def grouped() -> None:
    raise ExceptionGroup(CANARY, [ValueError(CANARY), ExceptionGroup("inner", [TypeError(CANARY)])])


def noted() -> None:
    error = ValueError("plain")
    error.add_note(CANARY)
    raise error


def thread() -> None:
    one = threading.Thread(target=message, name=f"worker {CANARY}")
    one.start()
    one.join()


def finalizer() -> None:
    Finalized(CANARY)
    gc.collect()


def at_exit() -> None:
    atexit.register(message)


def at_the_last() -> None:
    sys.modules[__name__].kept = Finalized(CANARY)  # type: ignore[attr-defined]


class Target:
    """Something that can be watched."""


def watched() -> None:
    sys.modules[__name__].target = target = Target()  # type: ignore[attr-defined]
    weakref.finalize(target, message)


def warning() -> None:
    warnings.warn(CANARY, RuntimeWarning, stacklevel=1)


def unclosed() -> None:
    Path(CANARY.encode().hex()).touch()
    open(CANARY.encode().hex())  # noqa: SIM115, PTH123


def task() -> None:
    async def failing() -> None:
        raise ValueError(CANARY)

    async def forgetting() -> None:
        asyncio.get_running_loop().create_task(failing())
        await asyncio.sleep(0)

    asyncio.run(forgetting())
    gc.collect()


def loop() -> None:
    async def calling() -> None:
        asyncio.get_running_loop().call_soon(message)
        await asyncio.sleep(0)

    asyncio.run(calling())


def logged() -> None:
    logging.getLogger("library").error("it was %s", CANARY)
    try:
        message()
    except ValueError:
        logging.getLogger("library").exception("it was %s", CANARY)


def unloggable() -> None:
    logging.getLogger("library").addHandler(logging.StreamHandler())
    logging.getLogger("library").error("it was %d", CANARY)


PLANTS: dict[str, Callable[[], None]] = {
    plant.__name__.replace("_", "-"): plant
    for plant in (
        message, bare, leaving, local, chained, grouped, noted, thread, finalizer, at_exit, at_the_last, watched,
        warning, unclosed, task, loop, logged, unloggable,
    )
}  # fmt: skip


def main() -> None:
    """Run the program with the plant in its way."""
    name, place = sys.argv[1].split("@")
    del sys.argv[1]
    plant = PLANTS[name]

    def planted(*arguments: Any) -> int:
        plant()
        return 0

    if place == "command":
        from wizard.commands import _Session

        _Session._explain = planted  # type: ignore[method-assign,assignment]
    else:
        import wizard.cli

        wizard.cli.run = planted  # type: ignore[assignment]
    program.main()


if __name__ == "__main__":
    main()
