"""Machines as the scripts of microsoft/entraclaw and microsoft/entrabot left them, with values made up here (M19, A14).

What they are called, which members and files they have, and how their certificates look was taken from those scripts;
ids, keys and secrets are the sandbox's. `CLOUD` alone is ours: a state file belongs to one cloud (C1).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from core import paths
from core.config.cloud import GRAPH_APP_ID
from core.config.profile import BUILT_IN, Profile
from core.entra import certificates, credentials
from core.sandbox.directory import registrations
from core.sandbox.graph import roles
from core.sandbox.lab import CLOUD_NAME, Lab
from core.sandbox.scenarios import seeds
from core.secret import Secret
from tests.machine import Machine, VirtualClock

ENTRACLAW, ENTRABOT = BUILT_IN["entraclaw"], BUILT_IN["entrabot"]
_PRODUCT: Final = {"entraclaw": "EntraClaw", "entrabot": "EntraBot"}
#: The members of an agent chain, which no migration is about.
CHAIN: Final = {
    "BLUEPRINT_APP_ID": "4da4daeb-4f3f-4777-bad1-f45ae9500ec9",
    "BLUEPRINT_OBJECT_ID": "c5e2486c-44a4-48f6-9dc8-db48e86ec9c6",
    "AGENT_ID": "81e220df-848b-4df7-8feb-994a81167346",
    "AGENT_OBJECT_ID": "81e220df-848b-4df7-8feb-994a81167346",
    "AGENT_USER_ID": "681b8f58-9683-4b76-9da5-9b74a6c3181c",
    "AGENT_USER_UPN": "agent@contoso.onmicrosoft.com",
    "BLUEPRINT_CERT_THUMBPRINT": "XBmuw818G5EcCLqldoB4llKzLXHHjcObKT9QivG5K-k",
}
#: The account of the Blueprint's key; its service is named like the profile.
BLUEPRINT_KEY: Final = "blueprint-private-key"


@dataclass
class Original:
    """One machine, and how it was found.

    :param machine: in front of a sandbox.
    :param home: the user's home folder.
    :param foreign: thumbprint of another machine's certificate on the older app, where there are two.
    """

    machine: Machine
    home: Path
    foreign: str = ""

    def __post_init__(self) -> None:
        self.before = self.files()
        self.entries = dict(self.machine.keystore._entries)

    @property
    def project(self) -> Path:
        return self.machine.lab.project

    def files(self) -> dict[Path, bytes]:
        """What lies in the project and in the home, but for this program's own folder."""
        places = (self.project, self.home)
        found = [path for place in places for path in place.rglob("*") if path.is_file()]
        own = [paths.state_folder(profile) for profile in BUILT_IN.values()]
        return {path: path.read_bytes() for path in found if not any(path.is_relative_to(place) for place in own)}

    def changed(self) -> set[str]:
        """Names of the files that are not as they were, or are new, or gone."""
        now = self.files()
        return {path.name for path in self.before.keys() | now.keys() if self.before.get(path) != now.get(path)}

    def members_kept(self, name: str) -> bool:
        """Whether a state file is to the byte what it was, but for the lines of the secret and of the thumbprint."""
        path, profile = self.project / name, self.machine.profile

        def rest(content: bytes) -> list[bytes]:
            own = (profile.secret_member.encode(), profile.thumbprint_member.encode())
            return [line.rstrip(b",") for line in content.splitlines() if not any(name in line for name in own)]

        return rest(path.read_bytes()) == rest(self.before[path])

    def read_as_they_do(self) -> None:
        """Read the Provisioner's certificate as the original's own programs do (A14): one PEM, the certificate first.

        They look it up under service and tenant, and compare with the state file.
        """
        machine = self.machine
        entry = machine.keystore.read(machine.service, machine.tenant.id)
        assert entry is not None
        pem = entry.reveal().encode()
        assert pem.startswith(b"-----BEGIN CERTIFICATE-----")
        certificate, key = x509.load_pem_x509_certificate(pem), serialization.load_pem_private_key(pem, None)
        assert b"-----BEGIN PRIVATE KEY-----" in pem, "PKCS#8, without a passphrase"
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.public_key() == certificate.public_key()
        thumbprint = certificate.fingerprint(hashes.SHA1()).hex()
        assert machine.state["PROVISIONER_CERT_THUMBPRINT"].lower() == thumbprint


def secret_era(lab: Lab, clock: VirtualClock, home: Path, profile: Profile = ENTRACLAW) -> Original:
    """A live secret in the state file and in a copy of it (1; with the names of `entrabot`: one renamed by hand)."""
    members = _settle(lab, profile)
    _write(lab.project / profile.state_file, members | CHAIN, 0o644)
    _write(lab.project / f"{profile.state_file}.bak.20260418-231701", members | CHAIN, 0o644)
    return _finish(lab, clock, home, profile)


def certificate_era(lab: Lab, clock: VirtualClock, home: Path, profile: Profile = ENTRACLAW) -> Original:
    """The original's own certificate, its bundle in the keystore (2 and 3); the lab is a `clean` one."""
    members = _settle(lab, profile)
    bundle, thumbprint = certify(lab, profile, members["PROVISIONER_CLIENT_ID"])
    members |= {"PROVISIONER_CERT_THUMBPRINT": thumbprint}
    _write(lab.project / profile.state_file, members | CHAIN, 0o644)
    _write(lab.project / f"{profile.state_file}.bak.20261129-230001", {"TENANT_ID": lab.tenant.id}, 0o644)
    original = _finish(lab, clock, home, profile)
    original.machine.keystore.put(original.machine.service, lab.tenant.id, bundle)
    original.entries = dict(original.machine.keystore._entries)
    return original


def half_purged(lab: Lab, clock: VirtualClock, home: Path) -> Original:
    """The secret is gone from the file, the passwords are still on the app, and there is no certificate (4)."""
    members = _settle(lab, ENTRABOT)
    kept = {name: members[name] for name in ("CLOUD", "TENANT_ID", "PROVISIONER_CLIENT_ID")}
    _write(lab.project / ENTRABOT.state_file, kept, 0o644)
    machine = Machine(lab, clock, profile=ENTRABOT)
    return Original(machine, home)


def crossed(lab: Lab, clock: VirtualClock, home: Path, *, secret: str = "") -> Original:
    """Two of everything after the renaming; the older app has passwords besides (5); the lab is a `clean` one.

    :param secret: stands in the older state file and in a copy of it.
    """
    tenant = lab.tenant
    older = _settle(lab, ENTRACLAW)
    app, principal = _both(lab, older["PROVISIONER_CLIENT_ID"])
    seeds.with_passwords(tenant, app, "setup 2025", "laptop")
    seeds.with_passwords(tenant, principal, "script")
    foreign = seeds.with_certificate(tenant, app, "another-machine")
    seeds.commit(tenant, app, principal, {})
    former, thumbprint = certify(lab, ENTRACLAW, older["PROVISIONER_CLIENT_ID"])
    older |= {"PROVISIONER_CLIENT_SECRET": secret} if secret else {}
    older |= CHAIN | {"PROVISIONER_CERT_THUMBPRINT": thumbprint.upper()}
    _write(lab.project / ENTRACLAW.state_file, older, 0o644)
    if secret:
        _write(lab.project / f"{ENTRACLAW.state_file}.bak.20260501-080000", older, 0o644)
    app = registrations.new_application(tenant, ENTRABOT.app_display_name, owner=tenant.signed_in_user)
    app["requiredResourceAccess"] = _access()
    seeds.commit(tenant, app, registrations.new_principal(tenant, app), roles.BASE | roles.AGENT)
    bundle, thumbprint = certify(lab, ENTRABOT, app["appId"])
    members = {"CLOUD": CLOUD_NAME, "TENANT_ID": tenant.id, "PROVISIONER_CLIENT_ID": app["appId"]}
    _write(lab.project / ENTRABOT.state_file, members | {"PROVISIONER_CERT_THUMBPRINT": thumbprint}, 0o644)
    original = _finish(lab, clock, home, ENTRACLAW, ENTRABOT)
    keystore, cloud = original.machine.keystore, original.machine.cloud
    for profile, entry in ((ENTRACLAW, former), (ENTRABOT, bundle)):
        keystore.put(cloud.keystore_service(profile.keystore_service), tenant.id, entry)
    original.entries, original.foreign = dict(keystore._entries), foreign.thumbprint
    return original


def windows(lab: Lab, clock: VirtualClock, home: Path, local: Path) -> Original:
    """The key in an unencrypted file, nothing in the keystore, and a `.env` that has everything twice (6).

    :param local: what `LOCALAPPDATA` names.
    """
    members = _settle(lab, ENTRABOT)
    bundle, thumbprint = certify(lab, ENTRABOT, members["PROVISIONER_CLIENT_ID"])
    members |= {"PROVISIONER_CERT_THUMBPRINT": thumbprint}
    _write(lab.project / ENTRABOT.state_file, members | CHAIN, 0o644)
    path = local / "entrabot" / f"provisioner-cert-{lab.tenant.id}.pem"
    path.parent.mkdir(parents=True)
    path.write_text(bundle.reveal())
    command = "C:\\Users\\dev\\src\\entrabot\\.venv\\Scripts\\entrabot-mcp.exe"
    server = {"args": [], "command": command, "type": "stdio"}
    _write(lab.project / ".mcp.json", {"mcpServers": {"entrabot": server}}, 0o644)
    lines = [
        f"ENTRABOT_TENANT_ID={lab.tenant.id}",
        "ENTRABOT_BLUEPRINT_CERT_SHA1=0123456789ABCDEF0123456789ABCDEF01234567",
    ]
    (lab.project / ".env").write_text("\n".join([*lines, "", *lines, ""]))
    return Original(Machine(lab, clock, profile=ENTRABOT), home)


def certify(lab: Lab, profile: Profile, app_id: str) -> tuple[Secret, str]:
    """Put a certificate as the original makes it on an app.

    :returns: its bundle, and the thumbprint as the original writes it.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, profile.subject),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _PRODUCT[profile.name]),
        ]
    )
    now = lab.tenant.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)  # not back-dated
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    bundle = Secret(pem.decode())
    entry = credentials.entry_of(certificates.parse(bundle, ""), lab.tenant.new_id(), f"CN={profile.subject}")
    app = lab.tenant.find("application", "appId", app_id)
    assert app is not None
    keys = [*app["keyCredentials"], *registrations.keys_of(lab.tenant, [entry])]
    lab.tenant.commit("application", app["id"], app | {"keyCredentials": keys})
    return bundle, certificate.fingerprint(hashes.SHA1()).hex()


def _settle(lab: Lab, profile: Profile) -> dict[str, Any]:
    """Give the sandbox's app the original's name and every role; the members that the sandbox's own file had."""
    path = lab.project / Profile.state_file
    members: dict[str, Any] = json.loads(path.read_text("utf-8"))
    path.unlink()
    app, principal = _both(lab, members["PROVISIONER_CLIENT_ID"])
    app["requiredResourceAccess"] = _access()
    name = {"displayName": profile.app_display_name}
    seeds.commit(lab.tenant, app | name, principal | name, roles.AGENT)
    order = ("CLOUD", "TENANT_ID", "PROVISIONER_CLIENT_ID", "PROVISIONER_CLIENT_SECRET")
    return {"CLOUD": CLOUD_NAME, **{key: members[key] for key in order if key in members}}


def _both(lab: Lab, app_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """An app registration and its service principal, to be changed and committed."""
    app = lab.tenant.find("application", "appId", app_id)
    principal = lab.tenant.find("servicePrincipal", "appId", app_id)
    assert app is not None
    assert principal is not None
    return dict(app), dict(principal)


def _access() -> list[dict[str, Any]]:
    """What the original declares on the app."""
    access = [{"id": role, "type": "Role"} for role in (roles.BASE | roles.AGENT).values()]
    return [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": access}]


def _finish(lab: Lab, clock: VirtualClock, home: Path, profile: Profile, current: Profile | None = None) -> Original:
    """The files and keystore entries beside the state file.

    :param profile: whose names they bear.
    :param current: the one in use; None: the same.
    """
    prefix, product = profile.variables, _PRODUCT[profile.name]
    lines = [f"# {product} Identity Research — generated by scripts/setup.sh", ""]
    lines += [f"{prefix}TENANT_ID={lab.tenant.id}", *(f"{prefix}{name}={value}" for name, value in CHAIN.items())]
    lines += [f"{prefix}LOG_LEVEL=INFO", "", f"{prefix}KEEP_MEMORY_LOCAL=true", ""]
    env = lab.project / ".env"
    env.touch(mode=0o600)
    env.write_text("\n".join(lines), encoding="utf-8")
    command = lab.project / ".venv" / "bin" / f"{profile.name}-mcp"
    command.parent.mkdir(parents=True)
    command.touch(mode=0o755)
    server = {"args": [], "command": str(command), "description": f"{product} Agent Identity", "type": "stdio"}
    places = [lab.project / ".mcp.json"]
    if profile == ENTRABOT:
        places.append(home / ".copilot" / "mcp-config.json")
        places[-1].parent.mkdir()
    for place in places:
        _write(place, {"mcpServers": {profile.name: server}}, 0o644)
    machine = Machine(lab, clock, profile=current or profile)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    machine.keystore.put(profile.name, BLUEPRINT_KEY, Secret(pem.decode()))
    return Original(machine, home)


def _write(path: Path, members: dict[str, Any], mode: int) -> None:
    path.write_text(json.dumps(members, indent=2) + "\n", encoding="utf-8")
    path.chmod(mode)
