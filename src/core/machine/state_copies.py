"""Copies of a state file that the original and its runbooks made: which of them hold the client secret (M11, M19)."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.config.profile import BUILT_IN, Profile
from core.errors import SetupError
from core.machine.state_file import Basis, StateFile
from core.secret import Secret


@dataclass(frozen=True)
class StateCopy:
    """A copy that holds the secret.

    :param members: those that hold it: its own, whatever it holds, and exact copies.
    :param basis: what these were when they were read.
    """

    file: StateFile
    members: tuple[str, ...]
    basis: Basis

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.file.path

    def purge(self) -> None:
        """Remove the members; everything else stays as it is spelled.

        :raises SetupError: `statefile.io`; `statefile.changed`: it is not what was read any more.
        """
        self.file.update({}, self.members, basis=self.basis)

    def rehearse(self) -> None:
        """Everything that `purge` does, with a stand-in.

        :raises SetupError: as `purge` would.
        """
        self.file.update({}, self.members, basis=self.basis, really=False)


def find(
    file: StateFile, profile: Profile, app_id: str, secret: Secret | None, scratch: Iterable[Path]
) -> tuple[StateCopy, ...]:
    """Copies of the state file of this app that hold a client secret.

    They are regular files of this user, no links, and name the very app. What cannot be read as a state file is none.

    :param app_id: of the app, which each has to name.
    :param secret: as it was read before; None: none is known.
    :param scratch: folders in which people put copies, as the original's runbook told them to.
    """
    found = []
    for path in sorted(_candidates(file.path.parent, profile, scratch)):
        copy = file.at(path)
        try:
            contents = copy.read()
        except SetupError:
            continue  # no copy of a state file; a check that looks for secrets in any file names it
        names = contents.holding(secret)
        if names and str(contents.members.get(profile.client_id_member, "")).lower() == app_id.lower():
            found.append(StateCopy(copy, names, contents.basis.only((*names, profile.client_id_member))))
    return tuple(found)


def _candidates(project: Path, profile: Profile, scratch: Iterable[Path]) -> Iterator[Path]:
    """Of this profile and of the others: a state file may have been renamed by hand, and its copies not."""
    folders = tuple(scratch)
    for name in {profile.state_file, *(each.state_file for each in BUILT_IN.values())}:
        yield from project.glob(f"{glob.escape(name)}.bak*")
        stem = name.removeprefix(".").removesuffix(".json")
        for folder in folders:
            yield from folder.glob(f"{glob.escape(stem)}.backup-*.json")
