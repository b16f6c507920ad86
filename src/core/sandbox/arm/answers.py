"""Refusals of Azure Resource Manager."""

from __future__ import annotations

from core.sandbox.http import Response, answer


class Refused(Exception):
    """A refusal in ARM's envelope."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    @property
    def response(self) -> Response:
        """What is sent."""
        return error(self.status, self.code, self.message)


def error(status: int, code: str, message: str) -> Response:
    """The envelope of a refusal."""
    return answer(status, {"error": {"code": code, "message": message}})
