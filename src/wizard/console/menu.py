"""Questions that are answered with a number: nothing is redrawn, and nothing else has to be typed (U6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO, TypeVar

from core.errors import SetupError
from wizard.console.plain import Plain
from wizard.process import Interruptible

T = TypeVar("T")


class Menu(Interruptible):
    """Asks a person; a signal ends it at once (`wizard.process.signals`).

    :param plain: shows the questions.
    :param source: gives the answers, line by line.
    """

    def __init__(self, plain: Plain, source: TextIO) -> None:
        super().__init__()
        self._plain, self._source = plain, source

    def choose(self, heading: str, options: Mapping[T, str], default: T, note: str = "Enter") -> T:
        """Ask until one is chosen.

        :param heading: what is asked.
        :param options: what can be chosen, each in words.
        :param default: what Enter means.
        :param note: said of the default.
        :raises SetupError: `flow.unanswered`: the input ended, or nobody is there any more.
        :raises Interrupted: a signal came.
        """
        numbers = {str(number): value for number, value in enumerate(options, 1)}
        enter = next(number for number, value in numbers.items() if value == default)
        self.asking = True  # before the check: a signal that comes after it must not wait for an answer
        try:
            self.cancel.check()
            self._plain.gap()
            self._plain.say(heading)
            for number, text in enumerate(options.values(), 1):
                self._plain.item(number, f"{text} ({note})" if str(number) == enter else text)
            while True:
                self._plain.prompt(f"Number, 1 to {len(numbers)}:")
                line = self._source.readline()
                if not line:
                    self._plain.say("")
                    raise SetupError("flow.unanswered")
                if (given := line.strip() or enter) in numbers:
                    return numbers[given]
                self._plain.say(f"Please answer with a number from 1 to {len(numbers)}.")
        except OSError:  # the terminal is gone
            raise SetupError("flow.unanswered") from None
        finally:
            self.asking = False
