"""Where this program keeps its own files (A8)."""

from __future__ import annotations

import hashlib
import sys
from datetime import datetime
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


def digest(folder: Path) -> str:
    """A project folder as part of a file's name."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def rollback(profile: Profile, cloud: str, tenant: str, app_id: str) -> Path:
    """The journal of a rollback, open until nothing of its secret is left (M10)."""
    return journal(profile, cloud, tenant, app_id).with_suffix(".rollback")


def backup(profile: Profile, cloud: str, tenant: str, app_id: str, time: datetime) -> Path:
    """A copy of a state file without its secrets; names of one tenant and app sort by time (M10)."""
    return state_folder(profile) / "backup" / f"{cloud}_{tenant}_{app_id}_{time:%Y%m%dT%H%M%S%fZ}.json"


def lock(profile: Profile, cloud: str, tenant: str, app_id: str) -> Path:
    """The lock of one tenant and app."""
    return state_folder(profile) / "locks" / f"{cloud}_{tenant}_{app_id}.lock"


def config_file() -> Path:
    """The user's configuration file, in the user's configuration folder; it need not exist (K5)."""
    import platformdirs

    return Path(platformdirs.user_config_dir("entraclaw-setup", appauthor=False)) / "config.toml"
