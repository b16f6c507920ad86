"""Secrets reach no picture, log, clipboard or incident file; a device code is in its dialog and nowhere else (D4)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.machine import PROFILE
from tests.tui import pictures
from tests.tui.play import Play, Posed, play, run, stop
from tests.tui.scenes import DIAGNOSIS, MIGRATION, SIGNED_OUT, Reel, Scene
from tests.tui.stand import standing
from tests.tui.still import key
from wizard.tui.screens.welcome import Welcome


def canaries(shown: Play) -> set[str]:
    """What must not be seen: the client secret, tokens that were issued, and numbers of private keys."""
    from cryptography.hazmat.primitives import serialization

    known = shown.stand.machine.state.get(PROFILE.secret_member, "")
    found = {known, *shown.stand.lab.tenant.issued}
    for number in range(1, 4):
        pem = key(number).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        found |= set(pem.decode().splitlines()[1:-1])
    return {value for value in found if len(value) > 20}


def outputs(shown: Play) -> str:
    """Everything that can be read now, or was told."""
    app = shown.app
    return "\n".join([shown.text, app.export_screenshot(), *app.model.log, *app.proof.log, app.clipboard])


@pytest.mark.parametrize("reel", [MIGRATION, SIGNED_OUT, DIAGNOSIS], ids=lambda reel: reel.name)
def test_D4_no_screen_log_or_clipboard_holds_a_secret(reel: Reel) -> None:
    secrets: set[str] = set()
    codes: set[str] = set()
    seen: dict[str, str] = {}

    async def look(scene: Scene, shown: Play) -> None:
        secrets.update(canaries(shown))
        codes.update(entry.user_code for entry in shown.stand.lab.tenant.device_codes.values())
        seen[scene.name] = outputs(shown)

    run(reel.roll(look))
    assert len(secrets) > 20
    for name, text in seen.items():
        assert not [value for value in secrets if value in text], name
        assert [code for code in codes if code in text] == (list(codes) if name == "device-code" else []), name


def test_D4_the_pictures_hold_no_secret() -> None:
    with standing() as stand:
        secret = stand.machine.secret.reveal()
    texts = [path.read_text(encoding="utf-8") for path in pictures.FOLDER.glob("*.svg")]
    kept = Path(__file__).with_name("__snapshots__").rglob("*.svg")
    texts += [path.read_text(encoding="utf-8") for path in kept]
    assert len(texts) > 40
    assert not [text for text in texts if secret in text or "PRIVATE KEY" in text]


def test_U3_D4_a_code_is_copied_on_its_key_alone() -> None:
    async def copied(shown: Play) -> None:
        (code,) = shown.stand.lab.tenant.device_codes.values()
        assert not shown.app.clipboard
        await shown.press("c")
        assert shown.app.clipboard == code.user_code
        await shown.press("x")
        await shown.until(lambda: not shown.app.screen.is_modal)
        await shown.until(lambda: bool(shown.app.model.failed))
        assert [error["id"] for error in shown.app.model.failed] == ["az.signed-out"]
        assert code.user_code not in shown.text + "".join(shown.app.model.log)

    async def look(scene: Scene, shown: Play) -> None:
        if scene.name == "device-code":
            await copied(shown)

    run(SIGNED_OUT.roll(look, "device-code"))


def test_D4_U5_a_bug_leaves_a_file_without_values_and_exit_code_70(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "a-local-variable-that-holds-a-secret"

    def broken(screen: Welcome) -> None:
        client_secret: Any = secret
        raise RuntimeError(f"it broke with {len(client_secret)} characters")

    async def scene() -> None:
        with standing(real=True) as stand:
            app = Posed(stand)
            with pytest.raises(RuntimeError):
                async with app.run_test() as pilot:
                    shown = Play(app, pilot, stand)
                    await shown.at("welcome")
                    monkeypatch.setattr(Welcome, "action_choose", broken)
                    await pilot.press("ctrl+n")
                    await pilot.pause()
            stop(app, stand)
            assert app.exit_code == 70
            assert app.return_code == 70
            (path,) = Path.home().rglob("incidents/*.txt")
            text = path.read_text(encoding="utf-8")
            assert "RuntimeError\n" in text
            assert "in broken" in text
            assert "it broke with" not in text, "what it says itself may hold values"
            assert secret not in text + app.incident
            assert stand.machine.secret.reveal() not in text
            assert path.stat().st_mode & 0o777 == 0o600
            assert "bug.internal" in app.incident

    asyncio.run(scene())


def test_D4_a_bug_in_the_engine_is_a_card_with_a_file() -> None:
    async def scene() -> None:
        async with play(real=True) as shown:
            await shown.at("welcome")

            def explode() -> None:
                client_secret = shown.stand.machine.secret.reveal()
                raise LookupError(f"{len(client_secret)}")

            shown.stand.explode = explode
            await shown.press("enter")
            await shown.until(lambda: bool(shown.app.model.failed))
            assert [error["id"] for error in shown.app.model.failed] == ["bug.internal"]
            assert shown.app.exit_code == 70
            (path,) = Path.home().rglob("incidents/*.txt")
            assert shown.stand.machine.secret.reveal() not in path.read_text(encoding="utf-8") + outputs(shown)

    run(scene())
