"""Whether what a run says at its end is true of the tenant, the keystore and the files (M5, M7, U10)."""

from __future__ import annotations

import re

from core.flow.engine import Result
from tests.machine import PROFILE, Machine, Snapshot

#: What claims that the run which says it did nothing, or that nothing of it stays.
UNCHANGED = ("Nothing was changed", "This run changed nothing", "this run changed nothing")
UNDONE = "Everything that this run had done was undone"


def said(result: Result) -> str:
    """Everything that the result says in words."""
    return "\n".join([*result.summary, *(f"{error['message']}\n{error['remedy']}" for error in result.errors)])


def assert_true(machine: Machine, result: Result, before: Snapshot, first: Snapshot | None = None) -> None:
    """Hold every sentence against the world.

    :param before: how things stood when this run began.
    :param first: how they stood before an earlier, interrupted run.
    """
    text = said(result)
    now = Snapshot.of(machine)
    held = {password["keyId"] for password in machine.passwords}
    secret = machine.state.get(PROFILE.secret_member)
    assert result.exit_code == 0 or text, "a failure says something"
    assert "{" not in text, "every placeholder is filled"
    if any(sentence in text for sentence in UNCHANGED):
        assert now == before, f"something was changed by a run that says: {text}"
    if UNDONE in text:
        assert now in (before, first), f"something stands of a run that says: {text}"
        assert result.exit_code != 6
    if "old secret still works" in text or "old secret and the new certificate are both kept" in text:
        assert machine.try_secret().state == "live", text
    if "keeps no secret" in text or f"{PROFILE.secret_member} purged from state file" in text:
        assert secret is None, text
    if left := re.search(r"Left: (.*?)\.(?: |$)", text, re.DOTALL):
        unread = "was not read by this run" in text
        listed = held if unread else {key_id for key_id in held if key_id in left[1]}
        assert listed == held, f"still on the app: {held}, said: {text}"
        assert (f"{PROFILE.secret_member} in " in left[1]) == (secret is not None), text
    if "Nothing that can sign in is known to be left" in text:
        assert not held, text
        assert secret is None, text
    if "password credential is left" in text or re.search(r"credentials? removed from", text):
        assert not held, text
    for thumbprint in re.findall(r"certificate ([0-9A-F]{40}) is valid until", text):
        assert thumbprint in machine.thumbprints, text
    if result.exit_code == 6:
        told = any(word in text for word in ("Left", "left", "kept", "still", "is gone", "resume", "again"))
        assert told, f"exit 6 names no state: {text}"
