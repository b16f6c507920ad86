"""Profiles: the names of one product, given explicitly, without paths (C3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config.profile import Profile, load
from core.errors import SetupError

GOOD = """
name = "acme"
app_display_name = "Acme Deployer"
state_file = ".acme.json"
keystore_service = "acme-cert"
"""


def test_the_default_profile_is_entraclaw() -> None:
    assert load("entraclaw") == Profile()
    assert Profile().keystore_service == "entraclaw-provisioner-cert"


def test_a_profile_from_a_file_fills_up_with_defaults(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(GOOD + 'secret_member = "ACME_SECRET"\n')
    profile = load(str(path))
    assert (profile.name, profile.state_file, profile.secret_member) == ("acme", ".acme.json", "ACME_SECRET")
    assert profile.tenant_member == Profile().tenant_member


@pytest.mark.parametrize(
    "content",
    [
        *(GOOD.replace(f"\n{name} =", "\n# gone") for name in ("name", "state_file", "keystore_service")),
        *(GOOD.replace(".acme.json", path) for path in ("../x.json", "/etc/x", "a/b", ".", "..", "x/")),
        *(GOOD + f'state_folder = "{path}"' for path in ("../x", "/x", "a/b", "..")),
        GOOD + 'colour = "blue"',
        GOOD.replace('"acme"', "7"),
        GOOD.replace('"acme"', '""'),
        GOOD.replace('"acme"', '"  "'),
        GOOD.replace('"acme"', '["acme"]'),
        "name = ",
        "",
        "\xff",
    ],
)
def test_a_wrong_profile_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SetupError) as caught:
        load(str(path))
    assert (caught.value.id, caught.value.exit_code) == ("usage.profile-file", 2)
    assert str(path) in caught.value.summary


@pytest.mark.parametrize("name", ["no-such-profile", ".", "Entraclaw"])
def test_an_unknown_profile_is_refused(name: str) -> None:
    with pytest.raises(SetupError) as caught:
        load(name)
    assert caught.value.id == "usage.profile-file"
