"""A flow on a real terminal without the wizard: it asks, and survives a signal at the question (M2, U4)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

if os.name != "posix":
    pytest.skip("terminals and signals of POSIX", allow_module_level=True)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[pexpect.spawn]:
    environment = {"HOME": str(tmp_path), "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm-256color"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "wizard", "demo", "--quiet"],
        env=environment,
        cwd=str(tmp_path),
        timeout=60,
        dimensions=(24, 80),
    )
    yield child
    child.close(force=True)


QUESTION = (
    r"4 password\s+credential\(s\)\s+and\s+1\s+secret\(s\)\s+in\s+a\s+file\s+to\s+delete\.\s+"
    r"Make these changes\? 5 of them cannot be undone\. \[y/N\] "
)


def test_the_demo_asks_before_it_deletes_and_migrates_after_a_yes(demo: pexpect.spawn) -> None:
    demo.expect("in-memory keystore")
    demo.expect("cannot be undone")
    demo.expect(QUESTION)
    demo.sendline("maybe")
    demo.expect("Please answer y or n")
    demo.sendline("y")
    demo.expect(r"3 password credentials\s+removed from the app registration")
    demo.expect("Verified: ")
    demo.expect(pexpect.EOF)
    demo.close()
    assert demo.exitstatus == 0


def test_enter_means_no(demo: pexpect.spawn) -> None:
    demo.expect(QUESTION)
    demo.sendline("")
    demo.expect("Nothing was changed")
    demo.expect(pexpect.EOF)
    demo.close()
    assert demo.exitstatus == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_at_the_question_ends_at_once_and_says_that_nothing_was_changed(
    demo: pexpect.spawn, number: int, code: int
) -> None:
    demo.expect(QUESTION)
    demo.kill(number)
    demo.expect("Nothing was changed")
    demo.expect(pexpect.EOF)
    demo.close()
    assert demo.exitstatus == code
