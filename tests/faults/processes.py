"""Machines that are processes: how a test starts them, and looks at what they left."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.clock import SystemClock
from core.config.cloud import load as load_cloud
from core.config.profile import Profile
from core.entra import certificates
from core.entra.http import Session
from core.entra.tokens import mint, try_secret
from core.errors import SetupError
from core.sandbox.lab import Lab
from core.sandbox.token_service.tokens import AZURE_CLI, user_token
from core.secret import Secret
from tests.faults.worker import KEYSTORE, TOKEN, FileKeystore

PROFILE = Profile()
ROOT = Path(__file__).parents[2]


class Home:
    """The home of one machine, with its project and its keystore."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        (folder / "project").mkdir(parents=True)
        self.state_file = folder / "project" / PROFILE.state_file
        self.state_file.write_bytes((lab.project / PROFILE.state_file).read_bytes())
        self.state_file.chmod(0o600)
        self.keystore = FileKeystore(folder / KEYSTORE)
        self.app_id = self.state[PROFILE.client_id_member]
        user = lab.tenant.latest("user", lab.tenant.signed_in_user)
        assert user is not None
        (folder / TOKEN).write_text(user_token(lab.tenant, user, f"{lab.tenant.graph}/", AZURE_CLI))

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Begin a migration."""
        argv = [sys.executable, "-m", "tests.faults.worker", str(self.folder), str(self.lab.cloud_file), *options]
        environment = {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT / "src"),
        }
        return subprocess.Popen(
            argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *options: str) -> dict[str, Any]:
        """Migrate to the end; what the run came to."""
        return result(self.start(*options))

    @property
    def state(self) -> dict[str, str]:
        members: dict[str, str] = json.loads(self.state_file.read_text())
        return members

    @property
    def app(self) -> dict[str, Any]:
        found = self.lab.tenant.find("application", "appId", self.app_id)
        assert found is not None
        return found

    @property
    def passwords(self) -> list[dict[str, Any]]:
        principal = self.lab.tenant.find("servicePrincipal", "appId", self.app_id)
        assert principal is not None
        return [*self.app["passwordCredentials"], *principal["passwordCredentials"]]

    @property
    def keys(self) -> set[bytes]:
        return {base64.b64decode(entry["key"]) for entry in self.app["keyCredentials"]}

    def held(self) -> dict[str, certificates.KeyPair]:
        """The keys in the keystore by account."""
        service = load_cloud(str(self.lab.cloud_file)).keystore_service(PROFILE.keystore_service)
        values = {account: self.keystore.read(service, account) for account in self.keystore.accounts(service)}
        return {account: certificates.parse(text or Secret(""), account) for account, text in values.items()}

    def usable(self) -> bool:
        """Whether it can sign in with something."""
        cloud = load_cloud(str(self.lab.cloud_file))
        session = Session(cloud, SystemClock())
        tenant = self.lab.tenant.id
        try:
            secret = self.state.get(PROFILE.secret_member)
            if secret and try_secret(session, cloud, tenant, self.app_id, Secret(secret)).state == "live":
                return True
            for key_pair in self.held().values():
                try:
                    mint(session, cloud, tenant, self.app_id, key_pair)
                except SetupError:
                    continue
                return True
            return False
        finally:
            session.close()


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a run came to, when it is over."""
    with process:
        out, err = process.communicate(timeout=240)
    last: dict[str, Any] = json.loads(out.splitlines()[-1]) if out else {}
    assert "exit" in last, err
    assert last["exit"] == process.returncode

    return last
