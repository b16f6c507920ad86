"""Where this program keeps its own files (A8)."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from core.profile import Profile


def state_folder(profile: Profile) -> Path:
    """The folder for journals and locks: `%LOCALAPPDATA%\\NAME` on Windows, `~/.NAME` elsewhere."""
    if sys.platform == "win32":
        import platformdirs

        return Path(platformdirs.user_data_dir(profile.name, appauthor=False)) / "setup"
    return Path.home() / profile.state_folder / "setup"


def journal(profile: Profile, cloud: str, tenant: str, app_id: str) -> Path:
    """The journal of one tenant and app."""
    return state_folder(profile) / "journal" / f"{cloud}_{tenant}_{app_id}.jsonl"


def digest(what: Path | str) -> str:
    """A project folder, or the name of something, as part of a file's name."""
    text = str(what.resolve()) if isinstance(what, Path) else what
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def lock(profile: Profile, cloud: str, tenant: str, app_id: str) -> Path:
    """The lock of one tenant and app."""
    return state_folder(profile) / "locks" / f"{cloud}_{tenant}_{app_id}.lock"


def config_file() -> Path:
    """The user's configuration file, in the user's configuration folder; it need not exist (K5)."""
    import platformdirs

    return Path(platformdirs.user_config_dir("entraclaw-setup", appauthor=False)) / "config.toml"
