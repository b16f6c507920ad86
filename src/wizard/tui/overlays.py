"""What is shown on top of a screen and changes nothing: log, help, explanations, texts for the clipboard, answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import SetupError
from wizard.text import clean
from wizard.tui.dialogs import Line, Text
from wizard.tui.host import Host


def log(app: Host) -> None:
    """Everything that happened, as text."""
    lines = [*app.model.log, *app.proof.log]
    app.push_screen(Text("Log", "\n".join(lines) or "Nothing has happened yet.", end=True))


def keys(app: Host) -> None:
    """What can be done on this screen."""
    listing = [
        f"{active.binding.key_display or active.binding.key.split(',')[0]:<10} {active.binding.description}"
        for active in app.screen.active_bindings.values()
        if active.enabled and active.binding.show and active.binding.description
    ]
    everywhere = ("f2         Theme", "ctrl+p     Everything that applies now")
    told = "\n".join(dict.fromkeys([*listing, *app.more_keys, *everywhere]))
    advice = getattr(app.base_screen, "advice", "")
    app.push_screen(Text("Help", f"{advice}\n\n{told}\n\narrows and Tab move, Enter takes what is marked"))


def explain(app: Host, errors: list[dict[str, Any]]) -> None:
    """Say more about an error."""
    from wizard.explain import answer

    if errors:
        try:
            _, text = answer(str(errors[-1]["id"]), min(app.size.width * 9 // 10 - 6, 84))
        except SetupError as error:  # a recording of another version may hold an id of its own
            text = f"{error.summary}\n\n{error.remedy}"
        app.push_screen(Text("Explanation", text))


def copy(app: Host, text: str) -> None:
    """Put a text on the clipboard, and show it: a terminal does not say whether it took it."""
    told = clean(text)
    app.copy_to_clipboard(told)
    app.push_screen(Text("Sent to the terminal's clipboard, if it supports that", told))


def save_answers(app: Host) -> None:
    """Save an answers file that replays this run."""
    from wizard.answers import free_path, replay, save

    kind, settings = app.model.kind, app.workspace.settings
    if not app.workspace.live:
        app.push_screen(Text("Replay", "Nothing is saved in a replay: it does not know the settings of the run."))
        return

    def answered(name: str | None) -> None:
        if not name:
            return
        try:
            path = Path(name).expanduser().absolute()
            save(path, kind, settings)
        except RuntimeError as error:  # of a home that nobody has
            app.push_screen(Text("Not saved", str(error)))
        except SetupError as error:
            app.push_screen(Text("Not saved", f"{error.summary}\n{error.remedy}\n[{error.id}]"))
        else:
            told = f"{replay(kind, settings, path)}\n\nreplays this run without a question."
            gone = "\n\nIt goes away with the demo." if app.workspace.label else ""
            app.push_screen(Text("Saved", f"{path}\n\n{told}{gone}"))

    app.push_screen(Line("Save the answers of this run to", str(free_path(kind, settings))), answered)
