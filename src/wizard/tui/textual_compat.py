"""Every private name of Textual that the wizard uses. A test holds each to what Textual has, and others off them."""

from __future__ import annotations

from rich.console import RenderableType
from textual.app import App


class TextualApp(App[None]):
    """An app that is told of its bugs, instead of a traceback with local variables on the terminal (D4).

    :ivar exiting: it was told to end; nothing is shown any more.
    """

    exiting = False

    def exit(self, result: None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        """End.

        :param return_code: exit code.
        """
        self.exiting = True
        super().exit(result, return_code, message)

    def crashed(self, error: Exception) -> int | None:
        """A bug reached the framework; the app ends after this, with the exit code that is returned.

        :returns: None: it goes on as if nothing had happened.
        """
        raise NotImplementedError

    def panic(self, *renderables: object) -> None:
        """The framework's thread that reads keys has failed; what it would show holds what was typed."""
        self._handle_exception(RuntimeError("the terminal cannot be read"))

    def _handle_exception(self, error: Exception) -> None:
        """Whatever nobody has caught comes here."""
        code = self.crashed(error)
        if code is None:
            return
        if self._exception is None:  # `run_test` raises the first
            self._exception = error
            self._exception_event.set()
        self._return_code = code
        self._close_messages_no_wait()

    def _print_error_renderables(self) -> None:
        """Nothing of what the framework prints itself when the screens are gone."""
