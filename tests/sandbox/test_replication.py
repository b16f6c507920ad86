"""Replicas that lag, and a seed that decides everything (S3, P7)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.sandbox.http import Response
from tests.machine import VirtualClock
from tests.sandbox.client import Client, key_pair


def lagging(seed: int, **lag: float) -> Client:
    client = Client(seed=seed)
    client.tenant.lag = lag
    return client


def reads(client: Client, path: str, seconds: float = 60, step: float = 2) -> Iterator[Response]:
    """One read now and then."""
    for _ in range(int(seconds / step)):
        client.clock.waited += step
        yield client.call("GET", path)


def test_S3_a_read_after_a_write_may_fail_succeed_and_fail_again() -> None:
    patterns = []
    for seed in range(6):
        client = lagging(seed, application=40)
        app = client.call("POST", "/applications", {"displayName": "new"}).json()
        patterns.append([response.status for response in reads(client, f"/applications/{app['id']}")])
    assert all({200} == set(pattern[20:]) for pattern in patterns), "after the longest lag everybody agrees"
    assert any(404 in pattern[pattern.index(200) :] for pattern in patterns), "it comes and goes"
    assert all(status in (200, 404) for pattern in patterns for status in pattern)


def test_S3_a_deleted_app_may_come_back_until_it_is_gone_everywhere() -> None:
    client = lagging(3, application=40)
    path = f"/applications/{client.app['id']}"
    client.call("DELETE", path)
    found = [response.status for response in reads(client, path)]
    assert 200 in found
    assert set(found[20:]) == {404}


def test_S3_a_write_sees_the_newest_version() -> None:
    client = lagging(1, application=40)
    path = f"/applications/{client.app['id']}"
    ids = [client.call("POST", f"{path}/addPassword", {}).json()["keyId"] for _ in range(5)]
    assert [entry["keyId"] for entry in client.app["passwordCredentials"]][1:] == ids
    for _ in reads(client, path):
        pass
    assert [entry["keyId"] for entry in client.get(path)["passwordCredentials"]][1:] == ids


def test_P7_a_new_certificate_is_accepted_here_and_refused_there_until_it_is_everywhere() -> None:
    client = lagging(2, application=40)
    client.call("PATCH", f"/applications/{client.app['id']}", {"keyCredentials": [client.entry(key_pair())]})
    tried = []
    for _ in range(60):
        client.clock.waited += 1
        tried.append(client.sign_in_with(key_pair()).status)
    assert {200, 401} == set(tried)
    assert set(tried[40:]) == {200}


def test_S3_without_lag_everything_is_seen_at_once() -> None:
    client = Client()
    app = client.call("POST", "/applications", {"displayName": "new"}).json()
    assert {response.status for response in reads(client, f"/applications/{app['id']}")} == {200}


@pytest.mark.parametrize("scenario", ["clean", "legacy"])
def test_S3_the_same_seed_gives_the_same_ids_secrets_and_lag(scenario: str) -> None:
    frozen = VirtualClock().now()

    def story(seed: int) -> list[str]:
        clock = VirtualClock()
        clock.now = lambda: frozen  # type: ignore[method-assign]
        client = Client(scenario, seed, clock)
        client.tenant.lag = {"application": 40}
        told = [client.tenant.id, client.app_id, client.secret, str(client.app["passwordCredentials"])]
        told.append(client.call("POST", f"/applications/{client.app['id']}/addPassword", {}).body.decode())
        app = client.call("POST", "/applications", {"displayName": "new"}).json()
        told += [str(client.call("GET", f"/applications/{app['id']}").status) for _ in range(8)]
        return told

    assert story(7) == story(7)
    assert story(7)[:3] != story(8)[:3]


def test_S3_secrets_have_entras_shape() -> None:
    from core.secret import ENTRA_SECRET

    client = Client()
    secrets = {client.tenant.new_secret().reveal() for _ in range(50)}
    assert len(secrets) == 50
    assert all(ENTRA_SECRET.fullmatch(secret) and len(secret) == 40 for secret in secrets)


def test_S3_dates_come_from_the_tenants_clock() -> None:
    client = Client()
    client.clock.waited = 400 * 86400
    response = client.call("GET", "/organization")
    assert str(client.clock.now().year) in response.headers["Date"]
