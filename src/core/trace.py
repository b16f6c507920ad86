"""Where an error happened, without the values that it happened with (D4).

A message, a note, a source line or a local variable may hold whatever the program had at hand; the kinds of the errors
and the places in the code hold none of it, and say enough to find the mistake.
"""

from __future__ import annotations

import errno
from types import TracebackType
from typing import Final

from core.secret import redactor

#: Frames of one error, half of them from each end, and errors behind one error.
_FRAMES: Final = 40
_ERRORS: Final = 20


def places(error: BaseException) -> str:
    """The kinds of an error and of those behind it, and the places that each came through, the innermost last.

    :param error: it, the errors that led to it, and the members of a group are told.
    :returns: lines; redacted all the same, since a library may make up the name of a class.
    """
    return redactor.redact("\n".join(_lines(error, "", set())))


def _lines(error: BaseException, depth: str, passed: set[int]) -> list[str]:
    passed.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines: list[str] = []
    if before is not None and id(before) not in passed and len(passed) < _ERRORS:
        lines += [*_lines(before, depth, passed), f"{depth}which led to:"]
    lines.append(depth + kind(error))
    lines += [f"{depth}  {place}" for place in _frames(error.__traceback__)]
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for member in members:
        if id(member) not in passed and len(passed) < _ERRORS:
            lines += _lines(member, f"{depth}  | ", passed)
    return lines


def kind(error: BaseException) -> str:
    """The class of an error, and what the system calls it."""
    number = error.errno if isinstance(error, OSError) else None
    name = errno.errorcode.get(number) if number is not None else None
    return f"{type(error).__qualname__} {name}" if name else type(error).__qualname__


def _frames(trace: TracebackType | None) -> list[str]:
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    half = _FRAMES // 2
    return found if len(found) <= _FRAMES else [*found[:half], f"… {len(found) - _FRAMES} more", *found[-half:]]
