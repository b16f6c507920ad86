"""Writes docs/reference/errors.md from the tables of ids and codes: `make docs` (P11)."""

from __future__ import annotations

from pathlib import Path

from core.errors import explain

TARGET = Path(__file__).parent / "reference" / "errors.md"
_HEAD = """\
# Errors

Made by `make docs` from `src/core/errors/errors.toml` and `src/core/errors/codes.toml`; do not edit it by hand.
`entraclaw-setup explain ID` shows the same. Words like &lt;app id&gt; stand for what only the error itself knows.
The exit codes are those of a run that had changed nothing; see [exit-codes.md](exit-codes.md) for what becomes of them.
An error with a code of the service that is in no table keeps its text, its ids and its time, and says so.
"""
_TITLES = {"AADSTS": "Codes of the token endpoint (AADSTS)", "Graph": "Codes of Microsoft Graph"}


def render() -> str:
    """The whole page."""
    parts = [_HEAD]
    for group, entries in explain.groups().items():
        parts.append(f"## {_TITLES.get(group, group)}\n")
        parts.append("| id | means | what to do | exit |\n|---|---|---|---|")
        parts += [_row(entry) for entry in entries]
        parts.append("")
    return "\n".join(parts)


def _row(entry: explain.Explanation) -> str:
    anchor = entry.docs.partition("#")[2]
    name = f'<a id="{anchor}"></a>`{entry.id}`'
    return f"| {name} | {_cell(entry.meaning)} | {_cell(entry.remedy)} | {entry.exit_code} |"


def _cell(text: str) -> str:
    for plain, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("*", "\\*"), ("\n", "<br>")):
        text = text.replace(plain, safe)
    return text


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
