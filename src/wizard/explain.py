"""The command `explain`: what an id or a code means, and what to do (P11, U5)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.errors import explain
from wizard.text import wrapped


def answer(id: str | None, width: int) -> tuple[dict[str, Any], str]:
    """The answer as data and as text.

    :param id: an id of ours, an AADSTS code or a Graph code; None for a list of all.
    :param width: columns; 0 does not wrap.
    :raises SetupError: `usage.unknown-id`.
    """
    if id is None:
        listed = {group: [entry.id for entry in entries] for group, entries in explain.groups().items()}
        return {"ids": listed}, "\n\n".join(_group(group, ids, width) for group, ids in listed.items())
    entry = explain.find(id)
    rows = (
        ("means", entry.meaning),
        ("to do", entry.remedy),
        ("exit code", str(entry.exit_code)),
        ("more", entry.docs),
    )
    return asdict(entry), "\n".join((entry.id, *(_row(head, text, width) for head, text in rows)))


def _group(name: str, ids: list[str], width: int) -> str:
    lines = wrapped("  ".join(ids), width - 2, cut=False) if width else ids  # one per line for grep
    return "\n".join((name, *(f"  {line}" for line in lines)))


def _row(head: str, text: str, width: int) -> str:
    lines = wrapped(text, width - 13, cut=False)
    return f"  {head:<10} " + f"\n{'':13}".join(lines)
