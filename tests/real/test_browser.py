"""The sandbox's page in the real Chromium, with the CA trusted as the sandbox itself says (S1, S4).

Nobody has to install 300 MB for it: without Chromium it is skipped loudly, in CI too.
"""

from __future__ import annotations

import html
import os
import re
import shlex
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from core.sandbox.dashboard import page
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab

TEMPLATE = Path(page.__file__).with_name("page.html")
NASTY = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"

#: Background of the page by mode: the variable `--back` of its style.
BACK = dict(zip(("light", "dark"), re.findall(r"--back: (#\w+)", TEMPLATE.read_text()), strict=True))


@pytest.fixture
def lab(start_lab: Callable[[str], Lab]) -> Lab:
    return start_lab("legacy")


class Chromium:
    """Headless, in a profile of its own.

    :param trust: whether the lines of the sandbox's recipe that make the profile trust it are carried out.
    """

    def __init__(self, lab: Lab, *, trust: bool = True) -> None:
        for program in ("chromium", "certutil"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is missing: apt-get install chromium libnss3-tools")
        *prepare, last = [line for line in lab.recipes()["browser"].splitlines() if not line.startswith("#")]
        for line in prepare if trust else prepare[:1]:
            subprocess.run(shlex.split(line), check=True, timeout=30)
        home, *self._argv, self.page = shlex.split(last)
        self._environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": home.removeprefix("HOME=")}
        assert self._argv[0] == "chromium"

    def run(self, url: str, *options: str) -> str:
        """What it prints."""
        argv = [self._argv[0], "--headless=new", "--no-sandbox", "--disable-gpu", *self._argv[1:], *options, url]
        return subprocess.run(
            argv, env=self._environment, capture_output=True, text=True, timeout=100, check=True
        ).stdout

    def document(self, url: str = "") -> str:
        """The page as the browser has it after it was loaded."""
        return self.run(url or self.page, "--dump-dom")

    def corner(self, file: Path, *options: str) -> str:
        """The colour of the upper left corner of a screenshot."""
        self.run(self.page, "--hide-scrollbars", "--window-size=420,800", f"--screenshot={file}", *options)
        png = file.read_bytes()
        chunks, at = b"", 8
        while at < len(png):
            length, kind = struct.unpack(">I4s", png[at : at + 8])
            chunks += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
            at += length + 12
        return "#" + zlib.decompress(chunks)[1:4].hex()  # no filter changes the very first pixel


def test_S1_the_page_opens_on_both_names_and_names_from_the_tenant_stay_text(lab: Lab) -> None:
    app = next(lab.tenant.all_latest("application"))
    lab.tenant.commit("application", app["id"], app | {"displayName": NASTY})
    lab.tenant.faults.add(Fault("status", "never asked"))
    chromium = Chromium(lab)
    for url in ("", f"{lab.tenant.graph}/"):
        shown = chromium.document(url)
        assert lab.tenant.id in shown
        assert html.escape(NASTY, quote=False) in shown
        assert re.search(r"<title>Sandbox: Contoso</title>", shown), "no script has run"
        assert "<script" not in shown
    assert lab.server.served == [], "nothing else was loaded"


def test_S1_its_style_gets_through_its_own_policy_light_and_dark(lab: Lab, tmp_path: Path) -> None:
    chromium = Chromium(lab)
    for number, mode in enumerate(("dark", "light")):
        colour = chromium.corner(tmp_path / f"{mode}.png", f"--blink-settings=preferredColorScheme={number}")
        assert colour == BACK[mode]


def test_S1_a_browser_that_was_not_told_to_trust_it_does_not(lab: Lab) -> None:
    assert lab.tenant.id not in Chromium(lab, trust=False).document()
