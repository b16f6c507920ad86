"""The faces of replication lag: 403, 404 and 400 for what was made a moment ago (A.4, A.5, P7, S2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from core.events import StepFinished
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from tests.machine import Machine, VirtualClock
from tests.provisioning import complete
from tests.sandbox.client import Client

SENTENCE = (
    "When using this permission, the backing application of the service principal being created must in the "
    "local tenant"
)
FACES = {
    403: SENTENCE,
    404: "Resource 'x' does not exist or one of its queried reference-property objects are not present.",
    400: "Object with id 'x' not found.",
}


def tries(client: Client, app_id: str) -> list[tuple[int, str]]:
    """What a service principal for a new app is answered until there is one."""
    found: list[tuple[int, str]] = []
    for _ in range(60):
        response = client.call("POST", "/servicePrincipals", {"appId": app_id})
        if response.status == 201:
            return found
        error = response.json()["error"]
        found.append((response.status, f"{error['code']}: {error['message']}"))
        client.clock.waited += 1
    pytest.fail("there never was one")


@pytest.mark.parametrize("face", FACES)
def test_S2_a_new_app_that_is_not_there_yet_has_three_faces(face: int) -> None:
    client = Client("fresh", seed=5)
    client.tenant.lag = {"application": 40}
    client.tenant.switches.principal_too_early = face
    app = client.call("POST", "/applications", {"displayName": "new"}).json()
    found = tries(client, app["appId"])
    assert found, "this seed lags"
    assert {status for status, _ in found} == {face}
    if face == 403:
        assert {text for _, text in found} == {f"Authorization_RequestDenied: {SENTENCE}"}


def test_S2_an_app_that_is_nowhere_is_no_lag() -> None:
    client = Client("fresh")
    body = {"appId": client.tenant.new_id()}
    assert client.refused("POST", "/servicePrincipals", body) == (400, "Request_BadRequest")


def test_S2_the_403_face_is_what_lag_alone_shows() -> None:
    client = Client("fresh", seed=5)
    client.tenant.lag = {"application": 40}
    app = client.call("POST", "/applications", {"displayName": "new"}).json()
    assert {status for status, _ in tries(client, app["appId"])} == {403}


#: A request of its own, and one inside a batch.
WHERE = {"alone": r" /v1\.0/(?!\$batch)", "in a batch": r" /(?!v1\.0|beta|[0-9a-f]{8}-)"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("face", FACES)
def test_P7_an_onboarding_survives_each_face_at_each_request_after_its_app_is_made(
    start_lab: Callable[[str], Lab], clock: VirtualClock, face: int, where: str
) -> None:
    failed = []
    for number in range(1, 40):
        machine = Machine(start_lab("fresh"), clock)
        fault = Fault("status", WHERE[where], number, face, message=FACES[face])
        machine.watch = partial(switch_on, machine, fault)
        result = machine.onboard()
        machine.session.close()
        if not fault.struck:
            break
        if result.exit_code:
            failed.append((number, machine.tenant.faults.log[-1], [error["id"] for error in result.errors]))
        else:
            complete(machine)
    assert number > 2, "an onboarding makes more requests than that"
    assert failed == []


def switch_on(machine: Machine, fault: Fault, event: object) -> None:
    """Let a fault count the requests that follow the app's creation."""
    if isinstance(event, StepFinished) and (event.step, event.state) == ("create-app", "done"):
        machine.tenant.faults.add(fault)
