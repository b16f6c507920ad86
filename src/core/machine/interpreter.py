"""The interpreter around foreign code: afterwards it looks for modules where it did before (K1, C4)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def undisturbed() -> Iterator[None]:
    """Whatever foreign code does: module path, import hooks and environment are as before it.

    Modules that came from a folder it put on the path go with the folder: the next import of `azure.identity` must not
    find a planted one. What it changed inside other modules stays; code in this process cannot be contained.
    """
    lists: list[tuple[str, list[Any], list[Any]]] = [
        (name, getattr(sys, name), list(getattr(sys, name))) for name in ("path", "meta_path", "path_hooks")
    ]
    path, modules, environ = list(sys.path), set(sys.modules), dict(os.environ)
    try:
        yield
    finally:
        added = [folder for folder in sys.path if folder not in path]
        for name, kept, entries in lists:
            if kept != entries:
                kept[:] = entries
            setattr(sys, name, kept)
        for module in set(sys.modules) - modules if added else ():
            if any(_lies_in(module, folder) for folder in added):
                del sys.modules[module]
        for name in os.environ.keys() - environ.keys():
            del os.environ[name]
        for name, value in environ.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


def _lies_in(module: str, folder: str) -> bool:
    file = getattr(sys.modules[module], "__file__", None)
    return isinstance(file, str) and Path(file).absolute().is_relative_to(Path(folder).absolute())
