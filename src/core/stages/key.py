"""The key of this machine: which one the keystore holds, and whether the service accepts it (P8, M8)."""

from __future__ import annotations

import re

from core.entra import certificates
from core.entra.certificates import Bundle
from core.entra.tokens import LAGGING, mint
from core.errors import SetupError, TokenError
from core.events import Finding
from core.flow.step import Check, Needed, Step
from core.machine import paths
from core.stages import prereqs
from core.stages.world import World


class FindKey(Step[World]):
    """See which key this machine holds, and whether the service accepts it (P8, M8)."""

    name = "key"
    title = "Look for a key in the keystore"

    def check(self, world: World) -> Check:
        return Needed()

    def apply(self, world: World) -> str:
        known = world.known
        known.bundle = known.proof = None
        # the account is the tenant's: no other run of this tenant may put its key there until this one is over
        prereqs.take_lock(world, known.tenant, "keystore")
        current = self._read(world, known.tenant)
        if current is not None:
            self._refuse_another_apps_key(world, current)
        if current is not None and known.app is None:
            if not current.expired(world.clock.now()) and not self._orphan(world, current):
                raise SetupError("keystore.occupied", tenant=known.tenant, service=world.service)
        elif current is not None and self._usable(world, current):
            known.bundle = current
            if current.due(world.clock.now()):
                end = current.not_after.date()
                world.emit(Finding("certificate.due", "warning", f"The certificate ends on {end}.", "Rotate it soon."))
            return f"{current.thumbprint}, until {current.not_after.date()}"
        thumbprints = [effect.data["thumbprint"] for effect in world.log.standing("keystore.write")]
        app = known.app
        thumbprints += [key.thumbprint for key in app.keys if key.thumbprint] if app is not None else []
        candidates = [
            bundle
            for thumbprint in dict.fromkeys(thumbprints)
            if (bundle := self._read(world, f"{known.tenant}#{thumbprint}")) and not bundle.due(world.clock.now())
        ]
        if candidates:
            known.bundle = next((b for b in candidates if app is not None and app.holds(b)), candidates[0])
            return f"{known.bundle.thumbprint}, pending from an interrupted run"
        return "none that can be used"

    def _read(self, world: World, account: str) -> Bundle | None:
        text = world.keystore.read(world.service, account)
        if text is None:
            return None
        try:
            return certificates.parse(text, account)
        except SetupError as error:
            world.emit(Finding(error.id, "warning", error.summary, "A new key will be made."))
            return None

    def _refuse_another_apps_key(self, world: World, bundle: Bundle) -> None:
        """The account is the tenant alone (P4): a second app of one tenant must not overwrite the first one's key."""
        folder = paths.state_folder(world.profile) / "journal"
        mine = world.known.app_id or str(world.known.members.get(world.profile.client_id_member, "")).lower()
        owners = []
        for journal in sorted(folder.glob(f"{world.cloud.key}_*.jsonl")):
            text = journal.read_text(encoding="utf-8", errors="replace")
            lines = [line for line in text.splitlines() if bundle.thumbprint in line]
            made = re.findall(r'"app_id": "([0-9a-f-]{36})"', "\n".join(lines))  # by a run that created the app
            of_app = journal.stem.rpartition("_")[2]
            owners += made or ([of_app] if lines and "-" in of_app else [])
        if mine and owners and mine not in owners:
            raise SetupError("keystore.other-app", tenant=world.known.tenant, app_id=owners[0], service=world.service)

    def _orphan(self, world: World, bundle: Bundle) -> bool:
        """Whether the state file says that it is the key of an app, and that app does not exist any more."""
        profile, members = world.profile, world.known.members
        named = str(members.get(profile.thumbprint_member, "")).upper() == bundle.thumbprint
        return named and bool(members.get(profile.client_id_member))

    def _usable(self, world: World, bundle: Bundle) -> bool:
        known = world.known
        if bundle.expired(world.clock.now()):
            world.emit(Finding("certificate.expired", "warning", "The certificate in the keystore has expired."))
            return False
        try:
            known.proof = mint(world.session, world.cloud, known.tenant, known.app_id, bundle)
        except TokenError as error:
            if world.app.holds(bundle) and LAGGING & set(error.codes):
                return True  # registered a moment ago; the proof will wait for it
            if 700027 not in error.codes:
                raise
            world.emit(
                Finding(
                    "certificate.gone",
                    "warning",
                    f"The certificate {bundle.thumbprint} of this machine is no longer on the app: "
                    "somebody removed it or replaced the list.",
                    "A new key will be made and registered.",
                )
            )
            return False
        return True
