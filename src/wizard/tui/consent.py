"""What only a person may say: flags that an error's remedy names, as a key on its screen (P1, M16)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from core.errors import SetupError
from wizard.tui.dialogs import Ask, Line, Text
from wizard.tui.host import Host


class Consent(NamedTuple):
    """One thing to say.

    :param member: of the settings.
    :param label: what saying it does, as the screen offers it.
    :param text: what is asked; for an id, it is typed.
    """

    member: str
    label: str
    text: str


_APP: Final = Consent(
    "app_id", "name the app that you mean", "Type the app id of the app that you mean. That is your yes to it."
)
_NEW: Final = Consent("new", "create another one", "Create another app of the same name beside it?")
_OUTLIVES: Final = Consent(
    "key_outlives_job",
    "say that the key outlives the job",
    "Say that this keystore outlives the job or container? If that is wrong, the key is lost with it, and its "
    "certificate stays on the app.",
)
#: Errors after which naming the app is all that can be said.
_NAMED: Final = ("app.missing", "app.not-found", "app.several", "app.adopt", "app.blueprint", "app.roles-unconfirmed")
#: What can be said when a run stops with an error.
CONSENTS: Final[dict[str, tuple[Consent, ...]]] = {
    **dict.fromkeys(_NAMED, (_APP,)),
    "app.adopt-or-new": (_APP, _NEW),
    "platform.short-lived": (_OUTLIVES,),
}


def offered(errors: list[dict[str, Any]], *, typed: bool) -> Consent | None:
    """What can be said after these errors.

    :param typed: an id, else a yes.
    """
    found = [consent for error in errors for consent in CONSENTS.get(str(error["id"]), ())]
    return next((consent for consent in found if (consent is _APP) == typed), None)


def say(app: Host, consent: Consent, place: str) -> None:
    """Ask, and look again with what was said.

    :param place: the screen that asks.
    """

    def answered(value: str | bool | None) -> None:
        if not value:
            return
        try:
            app.workspace.settings = app.workspace.settings.said(consent.member, value)
        except SetupError as error:
            app.push_screen(Text.of("That is no app id", error))
        else:
            app.again(place)

    if consent is _APP:
        app.push_screen(Line(consent.text, ""), answered)
    else:
        app.push_screen(Ask(consent.text), answered)
