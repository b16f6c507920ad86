"""What a refused sign-in of the app says, against the pretend token endpoint (P11)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from core.clock import Cancel
from core.config.cloud import Cloud
from core.config.cloud import load as load_cloud
from core.entra import certificates
from core.entra.http import Session
from core.entra.tokens import mint
from core.errors import Interrupted, NetworkError, TokenError
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from tests.machine import VirtualClock


@pytest.fixture
def lab(start_lab: Callable[[str], Lab]) -> Lab:
    return start_lab("clean")


@pytest.fixture
def cloud(lab: Lab) -> Cloud:
    return load_cloud(str(lab.cloud_file))


@pytest.fixture
def session(cloud: Cloud, clock: VirtualClock) -> Iterator[Session]:
    with Session(cloud, clock) as session:
        yield session


@pytest.mark.parametrize(
    ("tenant", "app", "code", "exit_code"),
    [
        ("here", "known", 700027, 3),
        ("here", "unknown", 700016, 2),
        ("elsewhere", "known", 90002, 2),
    ],
)
def test_P11_a_refusal_has_its_code_its_ids_and_its_time(
    lab: Lab, session: Session, cloud: Cloud, clock: VirtualClock, tenant: str, app: str, code: int, exit_code: int
) -> None:
    other = "11111111-2222-4333-8444-555555555555"
    app_id = next(iter(lab.tenant.all_seen("application", 0)))["appId"] if app == "known" else other
    directory = lab.tenant.id if tenant == "here" else other
    with pytest.raises(TokenError) as caught:
        mint(session, cloud, directory, app_id, certificates.make("test", clock.now()))
    error = caught.value
    assert (error.id, error.exit_code) == ("token.refused", exit_code)
    found = error.as_dict()
    assert code in found["codes"]
    UUID(found["trace_id"])
    UUID(found["correlation_id"])
    assert found["timestamp"].endswith("Z")
    for part in ("trace_id", "correlation_id", "timestamp"):
        assert found[part] in error.summary
    assert found["docs"].endswith(f"#aadsts{code}")


def test_P7_a_sign_in_whose_answer_is_lost_ends_at_our_time_limit_and_not_at_the_librarys(
    lab: Lab, session: Session, cloud: Cloud, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """azure-core asks for five minutes with every request."""
    monkeypatch.setattr("core.entra.http.TIMEOUT", (1.0, 0.3))
    app_id = next(iter(lab.tenant.all_seen("application", 0)))["appId"]
    fault = lab.tenant.faults.add(Fault("hold-after", "POST .*/token"))
    late = threading.Timer(10, fault.release)
    late.start()
    with pytest.raises(NetworkError):
        mint(session, cloud, lab.tenant.id, app_id, certificates.make("test", clock.now()))
    assert not fault.released.is_set()
    late.cancel()
    fault.release()


def test_U2_a_signal_ends_a_sign_in_that_stalls(lab: Lab, cloud: Cloud, clock: VirtualClock) -> None:
    cancel = Cancel()
    app_id = next(iter(lab.tenant.all_seen("application", 0)))["appId"]
    fault = lab.tenant.faults.add(Fault("hold-after", "POST .*/token"))
    late = threading.Timer(10, fault.release)
    late.start()
    threading.Timer(0.3, lambda: cancel.ask(15)).start()
    with Session(cloud, clock, cancel) as session, pytest.raises(Interrupted):
        mint(session, cloud, lab.tenant.id, app_id, certificates.make("test", clock.now()))
    assert not fault.released.is_set()
    late.cancel()
    fault.release()
