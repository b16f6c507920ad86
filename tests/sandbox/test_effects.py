"""What each scenario is there for, seen over TLS as a program sees it (U8, S3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pytest

from core.clock import Cancel
from core.config.profile import Profile
from core.entra import certificates
from core.entra.certificates import KeyPair
from core.entra.graph import Graph
from core.entra.tokens import mint
from core.errors import GraphError, SetupError, TokenError
from core.events import Waiting
from core.machine.keystore import weak_files
from core.machine.keystore.system import probe
from core.sandbox.graph import roles
from core.sandbox.lab import Lab
from core.sandbox.scenarios.catalogue import SCENARIOS, SLOW_ANSWER, SLOW_RETRY, SLOW_SIGN_IN, UNDECLARED, UNGRANTED
from core.sandbox.scenarios.failures import LAG
from core.secret import Secret
from core.steps.context import Context
from core.steps.facts import Target
from tests.machine import Machine, VirtualClock
from wizard import workspace

NAMED: Final = f"/applications?$filter=displayName eq '{Profile.app_display_name}'"
BLUEPRINTS: Final = "/applications/microsoft.graph.agentIdentityBlueprint"
PASSWORD: Final[dict[str, Any]] = {"passwordCredential": {"displayName": "new"}}


class Sight:
    """A machine, and what can be seen from there."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.ctx: Context = machine.build()
        self.ctx.facts.put(Target(machine.tenant.id, machine.app_id))

    @cached_property
    def graph(self) -> Graph:
        return self.ctx.user_graph()

    def value(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.graph.get(path, "look")["value"]
        return found

    @property
    def app(self) -> dict[str, Any]:
        return self.graph.get(f"/applications(appId='{self.machine.app_id}')", "look")

    @property
    def principal(self) -> dict[str, Any]:
        return self.graph.get(f"/servicePrincipals(appId='{self.machine.app_id}')", "look")

    @property
    def credentials(self) -> tuple[int, int, int]:
        """Passwords of the app and of its service principal, certificates of the app."""
        app, principal = self.app, self.principal
        return tuple(  # type: ignore[return-value]
            len(found)
            for found in (app["passwordCredentials"], principal["passwordCredentials"], app["keyCredentials"])
        )

    @property
    def own(self) -> KeyPair:
        """The key in the machine's keystore."""
        entry = self.machine.keystore.read(self.machine.service, self.machine.tenant.id)
        assert entry is not None
        return certificates.parse(entry, self.machine.tenant.id)

    @property
    def signs_in(self) -> object:
        """Whether the machine's key is accepted; else the number of the refusal."""
        machine = self.machine
        try:
            mint(machine.session, machine.cloud, machine.tenant.id, machine.app_id, self.own)
        except TokenError as error:
            return error.codes
        return True

    def refused(self, act: Callable[[], object]) -> object:
        """How Graph, the keystore or a program refuses something."""
        with pytest.raises(SetupError) as caught:
            act()
        return (caught.value.status, caught.value.code) if isinstance(caught.value, GraphError) else caught.value.id

    def waited_for(self) -> list[str]:
        """What a migration waits for, to its good end."""
        assert self.machine.migrate().exit_code == 0
        return [event.reason for event in self.machine.events if isinstance(event, Waiting)]


def slow(sight: Sight) -> bool:
    begun = sight.machine.clock.waited
    reasons = " | ".join(sight.waited_for())
    waits = {"take a new list", "certificate to appear", "accept", "deletion to be seen", "secret"}
    missing = {word for word in waits if word not in reasons}
    assert not missing, (missing, reasons)
    answers = len(sight.machine.lab.server.served) * SLOW_ANSWER[0]
    return sight.machine.clock.waited - begun > SLOW_SIGN_IN + SLOW_RETRY + answers


def drifted(sight: Sight) -> bool:
    names = {role_id: name for name, role_id in (roles.BASE | roles.AGENT).items()}
    (api,) = sight.app["requiredResourceAccess"]
    declared = {names[access["id"]] for access in api["resourceAccess"]}
    page = sight.graph.get(f"/servicePrincipals/{sight.principal['id']}/appRoleAssignments", "look")
    assert "@odata.nextLink" in page
    granted = {names[row["appRoleId"]] for row in sight.graph.follow(page, "look")}
    return declared - granted == set(UNGRANTED) and set(names.values()) - declared == set(UNDECLARED)


def office(sight: Sight) -> bool:
    free = {
        sku["skuPartNumber"]: sku["prepaidUnits"]["enabled"] - sku["consumedUnits"]
        for sku in sight.value("/subscribedSkus")
    }
    domains = [domain["id"] for domain in sight.value("/domains") if domain["isVerified"]]
    guests = [user for user in sight.value("/users?$select=userType") if user["userType"] == "Guest"]
    return (free["SPE_E5"], "contoso.com" in domains, len(guests)) == (1, True, 1)


def overtaken(sight: Sight) -> bool:
    (app,) = sight.value(NAMED)
    owners = [owner["displayName"] for owner in sight.value(f"/applications/{app['id']}/owners")]
    return (owners, len(app["passwordCredentials"])) == (["Mallory Malice"], 1)


def lags(sight: Sight) -> bool:
    before, shown = sight.signs_in, sight.credentials
    sight.machine.clock.waited += LAG
    return (before, shown, sight.signs_in) == ((700027,), (0, 0, 1), True)


def unwelcome(sight: Sight) -> bool:
    refusal = sight.refused(
        lambda: sight.graph.write("POST", f"/applications/{sight.app['id']}/addPassword", PASSWORD, "add")
    )
    return refusal == (403, "Authorization_RequestDenied")


def forbidden(sight: Sight) -> bool:
    """A policy, not the person's rights."""
    refusal = sight.refused(
        lambda: sight.graph.write("POST", f"/applications/{sight.app['id']}/addPassword", PASSWORD, "add")
    )
    return refusal == (400, "CredentialTypeNotAllowedAsPerAppPolicy")


def signs_saml(sight: Sight) -> bool:
    keys = sight.principal["keyCredentials"]
    ids = {entry["keyId"] for entry in sight.principal["passwordCredentials"]}
    return [(key["usage"], key["keyId"] in ids) for key in keys] == [("Sign", True), ("Verify", False)]


def replaced(sight: Sight) -> bool:
    (kept,) = sight.machine.keys.values()
    return (sight.signs_in, sight.credentials, kept == sight.own.der) == ((700027,), (0, 0, 1), False)


def newer(sight: Sight) -> bool:
    """Whether the certificate that is there is newer than this machine's."""
    (kept,) = sight.machine.keys.values()
    return certificates.public(kept).not_before > sight.own.not_before


def insecure(sight: Sight) -> bool:
    return sight.refused(sight.machine.keystore.backend) == "keystore.insecure"


#: What must be seen in each, after which nothing else explains it.
EFFECTS: Final[dict[str, Callable[[Sight], bool]]] = {
    "legacy": lambda sight: (sight.machine.usable(), sight.credentials) == (["secret"], (3, 1, 1)),
    "clean": lambda sight: (sight.machine.usable(), sight.credentials) == ([], (0, 0, 0)),
    "fresh": lambda sight: (sight.value("/applications"), sight.machine.state) == ([], {}),
    "office": office,
    "taken": overtaken,
    "slow": slow,
    "unprivileged": unwelcome,
    "drift": drifted,
    "policy": forbidden,
    "saml": signs_saml,
    "agent-forbidden": lambda sight: (
        (sight.signs_in, sight.refused(lambda: sight.graph.get(BLUEPRINTS, "look")))
        == (True, (403, "Authorization_RequestDenied"))
    ),
    "overwritten": lambda sight: (
        sight.machine.state[Profile.secret_member] is None
        and (sight.machine.usable(), sight.credentials[:2]) == ([], (3, 1))
    ),
    "no-keystore": insecure,
    "spoofed-keystore": insecure,
    "weak-keystore": lambda sight: insecure(sight) and bool(weak_files.find(sight.machine.service)),
    "broken-install": lambda sight: [package.name for package in sight.ctx.packages() if not package.ok] == ["keyring"],
    "replaced-keys": lambda sight: replaced(sight) and newer(sight),
    "removed-key": lambda sight: replaced(sight) and not newer(sight),
    "lagging": lags,
    "noisy-az": lambda sight: sight.refused(lambda: sight.ctx.sign_in.graph_token("")) == "az.garbage",
    "small-keystore": lambda sight: sight.refused(lambda: probe(sight.machine.keystore)) == "keystore.too-large",
    "twins": lambda sight: len(sight.value(NAMED)) == 2,
    "half-done": lambda sight: (sight.signs_in, sight.credentials) == (True, (1, 0, 1)),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_U8_S3_the_effect_of_each_scenario_is_there(
    start_lab: Callable[[str], Lab], clock: VirtualClock, scenario: str
) -> None:
    sight = Sight(Machine(start_lab(scenario), clock))
    try:
        assert EFFECTS[scenario](sight), "what it is there for is not to be seen"
    finally:
        sight.ctx.close()


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "legacy"])
def test_U8_what_is_seen_in_a_scenario_is_not_seen_in_every_one(
    start_lab: Callable[[str], Lab], clock: VirtualClock, scenario: str
) -> None:
    """Else a row of the table would say nothing."""
    other = "legacy" if scenario != "overwritten" else "clean"
    sight = Sight(Machine(start_lab(other), clock))
    try:
        seen = EFFECTS[scenario](sight)
    except (AssertionError, LookupError, ValueError, GraphError, pytest.fail.Exception):
        seen = False
    finally:
        sight.ctx.close()
    assert not seen


def test_U8_whatever_a_demo_offers_is_a_scenario_with_its_effect() -> None:
    assert {offered.seed for offered in workspace.SCENARIOS.values()} <= EFFECTS.keys() == SCENARIOS.keys()
    plain = [offered for name, offered in workspace.SCENARIOS.items() if name != offered.seed]
    assert all(offered.locked for offered in plain), "another name, so something else is to be seen"


def test_K6_the_keystore_of_locked_is_locked_once(home: Path) -> None:
    demo = workspace.Demo({}, "locked")
    try:
        ctx = demo.context(Cancel(), lambda event: None, lambda question: True)
        with pytest.raises(SetupError) as caught:
            ctx.keystore.write("a service", "somebody", Secret("a value", learn=False))
        assert caught.value.id == "keystore.locked"
        ctx.keystore.write("a service", "somebody", Secret("a value", learn=False))
        ctx.close()
    finally:
        demo.close()
