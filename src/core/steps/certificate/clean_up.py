"""Remove what was needed on the way: pending and former keys with their certificates, and a fulfilled request (P8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.entra import application, credentials
from core.errors import Interrupted, SetupError
from core.events import Finding
from core.flow.plan import PlanRow
from core.flow.step import Done, Needed, Status, Step
from core.signer import Signer
from core.steps import directory_roles
from core.steps.context import World
from core.steps.facts import AppRegistration, KeystoreFindings, MachineKey, OpenRun, Proof, SignedIn, Target
from core.steps.hand_off import handoff


class Tidy(Step[World]):
    """Remove pending and former keystore entries, certificates whose only key is one of these, and the request file."""

    name = "tidy"
    title = "Remove pending keystore entries"
    needs = (Target, OpenRun, AppRegistration, MachineKey)
    maybe = (SignedIn, Proof, KeystoreFindings)

    def _accounts(self, world: World) -> list[str]:
        journal, accounts = world.journal, []
        if journal is not None:
            accounts = [effect.target for effect in journal.standing("keystore.write")]
            accounts += [effect.target for effect in journal.standing("keystore.aside")]
        if world.maybe_key_pair is not None:
            accounts.append(world.pending)
        return list(dict.fromkeys(accounts))

    def _requests(self, world: World) -> dict[Path, str]:
        """The requests that are still there, and the keyId that each asks for."""
        effects = world.journal.standing(handoff.WRITE) if world.journal is not None else []
        requests = {Path(effect.target): str(effect.data["key_id"]) for effect in effects}
        return {path: key_id for path, key_id in requests.items() if path.exists()}

    def check(self, world: World) -> Status:
        if world.maybe_key_pair is None or self._spare(world):
            return Needed()
        left = [a for a in self._accounts(world) if world.keystore.has(world.service, a)]
        return Needed() if left or self._requests(world) else Done("there are none")

    def plan(self, world: World) -> Sequence[PlanRow]:
        where, how = f"app registration '{world.app.name}'" if world.maybe_app else "", "PATCH keyCredentials"
        return tuple(
            PlanRow(
                "delete", "certificate", where, f"{key_pair.thumbprint}, this machine's, not in use", "", False, how
            )
            for key_pair in self._spare(world)
        )

    def apply(self, world: World) -> str:
        for key_pair in self._spare(world):
            self._retire(world, key_pair)
        accounts, requests = self._accounts(world), self._requests(world)
        for account in accounts:
            with world.log.effect("keystore.delete", account, world.emit):
                world.keystore.delete(world.service, account)
        gone = [path for path, key_id in requests.items() if self._remove(world, path, key_id)]
        return f"{len(accounts)} removed" + (", and the request" if gone else "")

    @staticmethod
    def _spare(world: World) -> tuple[Signer, ...]:
        used = world.maybe_key_pair
        return tuple(key_pair for key_pair in world.keystore_findings.spare if used is None or key_pair.der != used.der)

    @staticmethod
    def _retire(world: World, key_pair: Signer) -> None:
        """Take a certificate of this machine off the app before its key goes; what nobody may remove is said."""
        proof, app = world.maybe_proof, world.app
        graph = world.app_graph() if proof is not None and directory_roles.WRITE in proof.roles else world.user_graph()
        keys = application.read_keys(graph, app.object_id)
        for key in keys:
            if key.der != key_pair.der:
                continue
            try:
                with world.log.effect(
                    "graph.application.removeKey", key.id, world.emit, thumbprint=key_pair.thumbprint
                ):
                    credentials.remove_key(graph, app.object_id, keys, key.id, world.clock, world.emit)
            except Interrupted:
                raise
            except SetupError as error:
                message = f"The certificate {key_pair.thumbprint} of this machine is on the app and not in use: {error}"
                by_hand = f"az ad app credential delete --id {app.app_id} --key-id {key.id} --cert"
                world.emit(Finding("certificate.left", "warning", message, by_hand))

    @staticmethod
    def _remove(world: World, path: Path, key_id: str) -> bool:
        """Whether the request is gone; it holds no secret, so a run that did its work does not fail for it."""
        try:
            with world.log.effect("request.delete", str(path), world.emit):
                handoff.remove(path, key_id)
        except SetupError as error:
            if error.id != "request.left":
                raise
            world.emit(Finding(error.id, "warning", error.summary, error.remedy))
            return False
        return True
