"""The one HTTP session: origins, trust, redirects, and whether a request may have been carried out (C4)."""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from core.clock import Cancel, SystemClock
from core.config.cloud import Cloud
from core.config.cloud import load as load_cloud
from core.entra.http import Session
from core.entra.tokens import Token
from core.errors import Effected, Interrupted, NetworkError
from core.events import Event, Waiting
from core.sandbox.faults import Fault, Kind
from core.sandbox.http import Request, Response
from core.sandbox.lab import Lab
from core.sandbox.server import tls
from core.secret import Secret, looks_secret
from tests.machine import VirtualClock


@pytest.fixture
def lab(start_lab: Callable[[str], Lab]) -> Lab:
    return start_lab("clean")


@pytest.fixture
def cloud(lab: Lab) -> Cloud:
    return load_cloud(str(lab.cloud_file))


@pytest.fixture
def session(cloud: Cloud) -> Iterator[Session]:
    with Session(cloud, SystemClock()) as session:
        yield session


def failure(session: Session, url: str, method: str = "GET") -> NetworkError:
    with pytest.raises(NetworkError) as caught:
        token = Token(Secret("bearer-token", learn=False), {})
        session.call(method, url, token=token, form={"client_secret": "form-secret"}).json()
    assert caught.value.exit_code == 7
    for secret in ("bearer-token", "form-secret", "query-secret"):
        assert secret not in caught.value.summary + caught.value.remedy
    return caught.value


def answers(lab: Lab, response: Response) -> list[Request]:
    """Let the sandbox answer everything with this; returns the requests that it got."""
    asked: list[Request] = []

    def handle(request: Request) -> Response:
        asked.append(request)
        return response

    lab.server.handle = lambda tenant, request: handle(request)
    return asked


def metadata(cloud: Cloud, lab: Lab) -> str:
    return f"{cloud.authority}/{lab.tenant.id}/v2.0/.well-known/openid-configuration"


def test_C4_the_clouds_own_origins_are_reached(session: Session, cloud: Cloud, lab: Lab) -> None:
    assert session.call("GET", metadata(cloud, lab)).json()["issuer"]


@pytest.mark.parametrize(
    "url",
    [
        "https://graph.microsoft.com/v1.0/me?x=query-secret",
        "http://localhost:{port}/v1.0/me",
        "https://localhost/v1.0/me",
        "https://localhost:{port}@evil.example/",
        "https://localhost.evil.example:{port}/",
        "https://127.0.0.2:{port}/",
    ],
)
def test_C4_nothing_is_sent_to_a_foreign_origin(session: Session, lab: Lab, url: str) -> None:
    error = failure(session, url.format(port=lab.tenant.port))
    assert (error.id, error.effected) == ("network.origin", Effected.NO)
    assert lab.tenant.faults.log == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["https://evil.example/x?query-secret", "{graph}/v1.0/me", "/relative"])
def test_C4_a_redirect_is_refused(session: Session, cloud: Cloud, lab: Lab, status: int, target: str) -> None:
    asked = answers(lab, Response(status, {"Location": target.format(graph=cloud.graph)}))
    assert failure(session, f"{cloud.authority}/x", "POST").id == "network.origin"
    assert len(asked) == 1


def test_C4_another_ca_is_not_trusted(session: Session, cloud: Cloud, start_lab: Callable[[str], Lab]) -> None:
    other = Session(replace(cloud, ca_bundle=start_lab("clean").ca), SystemClock())
    error = failure(other, f"{cloud.authority}/x")
    assert (error.id, error.effected) == ("network.untrusted", Effected.NO)
    assert "127.0.0.1" in error.summary


def test_a_custom_clouds_ca_is_not_overridden_by_the_environment(
    cloud: Cloud, lab: Lab, start_lab: Callable[[str], Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = start_lab("clean")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(other.ca))
    assert Session(cloud, SystemClock()).call("GET", metadata(cloud, lab)).status == 200
    strange = replace(cloud, authority=other.tenant.authority)
    assert failure(Session(strange, SystemClock()), f"{strange.authority}/x").id == "network.untrusted"


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_intercepting_proxys_ca_is_taken_from_the_environment(
    cloud: Cloud, lab: Lab, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(lab.ca))
    assert Session(replace(cloud, ca_bundle=None), SystemClock()).call("GET", metadata(cloud, lab)).status == 200


@pytest.mark.parametrize("name", ["secretText", "access_token", "refresh_token", "id_token"])
def test_P4_what_an_answer_tells_in_confidence_is_a_secret_at_once(
    session: Session, cloud: Cloud, lab: Lab, name: str
) -> None:
    value = f"told-in-confidence-as-{name}"
    answers(lab, Response(200, {}, json.dumps({"batched": [{name: value}], "name": value[:4]}).encode()))
    answer = session.call("GET", f"{cloud.graph}/v1.0/me").json()
    assert answer == {"batched": [{name: Secret(value, learn=False)}], "name": "told"}
    assert looks_secret(f"it is {value}")


def test_a_netrc_entry_does_not_replace_or_add_a_token(session: Session, cloud: Cloud, lab: Lab, home: Path) -> None:
    netrc = home / ".netrc"
    netrc.write_text("default login mallory password stolen\n")
    netrc.chmod(0o600)
    asked = answers(lab, Response(200, {}, b"{}"))
    session.call("GET", f"{cloud.graph}/v1.0/me", token=Token(Secret("mine"), {}))
    session.call("POST", f"{cloud.authority}/x", form={"a": "b"})
    session.get(f"{cloud.graph}/v1.0/me")
    assert [request.headers.get("authorization") for request in asked] == ["Bearer mine", None, None]


def test_nothing_listening_is_unreachable_and_certainly_not_done(session: Session, cloud: Cloud) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        origin = f"https://127.0.0.1:{closed.getsockname()[1]}"
    error = failure(Session(replace(cloud, arm=origin), SystemClock()), f"{origin}/x?query-secret", "POST")
    assert (error.id, error.effected) == ("network.unreachable", Effected.NO)
    assert "refused" in error.summary


def test_a_name_that_does_not_resolve_is_certainly_not_done(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    origin = "https://nowhere.invalid"
    error = failure(Session(replace(cloud, arm=origin), SystemClock()), f"{origin}/x", "POST")
    assert (error.id, error.effected) == ("network.unreachable", Effected.NO)


def test_a_dead_proxy_is_certainly_not_done(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
    error = failure(Session(cloud, SystemClock()), f"{cloud.authority}/x", "POST")
    assert (error.id, error.effected) == ("network.unreachable", Effected.NO)


@pytest.mark.parametrize("kind", ["cut-before", "cut-after"])
def test_M8_a_cut_connection_may_have_been_carried_out(session: Session, cloud: Cloud, lab: Lab, kind: Kind) -> None:
    lab.tenant.faults.add(Fault(kind))
    error = failure(session, f"{cloud.authority}/x", "POST")
    assert (error.id, error.effected) == ("network.unreachable", Effected.UNKNOWN)


def test_M8_an_answer_that_does_not_come_may_have_been_carried_out(session: Session, cloud: Cloud, lab: Lab) -> None:
    fault = lab.tenant.faults.add(Fault("hold-after"))
    try:
        with pytest.raises(NetworkError) as caught:
            session.get(metadata(cloud, lab), timeout=(10, 0.2))
    finally:
        fault.release()
    assert (caught.value.id, caught.value.effected) == ("network.unreachable", Effected.UNKNOWN)


def test_M8_a_tls_failure_after_the_request_was_sent_may_have_been_carried_out(tmp_path: Path) -> None:
    ca, context = tls.context()
    (tmp_path / "ca.pem").write_text(ca)
    got: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        raw, _ = listener.accept()
        with raw, context.wrap_socket(raw.dup(), server_side=True) as tls:
            got.append(tls.recv(65536))
            raw.sendall(b"HTTP/1.1 502 a broken middle box\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        cloud = Cloud("x", origin, origin, origin, tmp_path / "ca.pem")
        error = failure(Session(cloud, SystemClock()), f"{origin}/x", "POST")
        thread.join()
    assert got[0].startswith(b"POST /x")
    assert error.effected is Effected.UNKNOWN


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"null", b"\xff", b'{"a"'])
def test_P11_an_answer_that_is_no_json_object_is_garbage(session: Session, cloud: Cloud, lab: Lab, body: bytes) -> None:
    answers(lab, Response(200, {"Content-Type": "text/html"}, body))
    assert failure(session, f"{cloud.authority}/x").id == "network.garbage"


def test_an_empty_answer_is_an_empty_object(session: Session, cloud: Cloud, lab: Lab) -> None:
    answers(lab, Response(204))
    assert session.call("PATCH", f"{cloud.graph}/v1.0/x", body={}).json() == {}


def test_the_services_clock_is_compared(session: Session, cloud: Cloud, lab: Lab, clock: VirtualClock) -> None:
    clock.waited = 500
    session.call("GET", metadata(cloud, lab))
    assert 495 < session.skew < 505


def test_a_strange_date_header_is_ignored(session: Session, cloud: Cloud, lab: Lab) -> None:
    answers(lab, Response(200, {"Date": "yesterday"}, b"{}"))
    assert session.call("GET", f"{cloud.authority}/x").json() == {}


@pytest.fixture
def silent() -> Iterator[tuple[Cloud, socket.socket, ssl.SSLContext]]:
    """A cloud whose server answers as the test does."""
    ca, context = tls.context()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        roots = Path(folder) / "ca.pem"
        roots.write_text(ca)
        origin = f"https://127.0.0.1:{listener.getsockname()[1]}"
        yield Cloud("silent", origin, origin, origin, roots), listener, context


def test_P7_an_answer_that_drips_ends_at_our_time_limit(
    silent: tuple[Cloud, socket.socket, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's time limit is between two bytes, so a byte every now and then goes on for ever."""
    monkeypatch.setattr("core.entra.exchange.PATIENCE", 0.6, raising=False)
    cloud, listener, context = silent
    over = threading.Event()

    def drip() -> None:
        raw, _ = listener.accept()
        with suppress(OSError), context.wrap_socket(raw, server_side=True) as stream:
            stream.recv(65536)
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            for _ in range(100):
                if over.wait(0.1):
                    return
                stream.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    start = time.monotonic()
    error = failure(Session(cloud, SystemClock()), f"{cloud.authority}/x", "POST")
    assert time.monotonic() - start < 3
    over.set()
    thread.join()
    assert (error.id, error.effected) == ("network.unreachable", Effected.UNKNOWN)
    assert "no whole answer" in error.summary


def test_P7_an_answer_that_is_slow_is_told(lab: Lab, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.entra.exchange.SLOW", 0.1, raising=False)
    events: list[Event] = []
    fault = lab.tenant.faults.add(Fault("hold-after"))
    threading.Timer(1, fault.release).start()
    with Session(cloud, SystemClock(), emit=events.append) as session:
        assert session.call("GET", metadata(cloud, lab)).status == 200
    assert [event.reason for event in events if isinstance(event, Waiting)] == [
        f"an answer of {cloud.authority.partition('//')[2]}"
    ]


@pytest.mark.parametrize("kind", ["hold-before", "hold-after"])
def test_U2_a_signal_ends_a_call_that_stalls(lab: Lab, cloud: Cloud, kind: Kind) -> None:
    fault, cancel = lab.tenant.faults.add(Fault(kind)), Cancel()
    threading.Timer(0.3, lambda: cancel.ask(15)).start()
    release = threading.Timer(10, fault.release)
    release.start()
    start = time.monotonic()
    with Session(cloud, SystemClock(), cancel) as session, pytest.raises(Interrupted):
        session.call("GET", metadata(cloud, lab))
    assert time.monotonic() - start < 2
    release.cancel()
    fault.release()


def test_M8_what_was_given_up_before_it_was_sent_is_never_sent(
    silent: tuple[Cloud, socket.socket, ssl.SSLContext],
) -> None:
    """It would land after its undo."""
    cloud, listener, context = silent
    cancel, asked = Cancel(), threading.Event()
    got: list[bytes] = []

    def serve() -> None:
        raw, _ = listener.accept()
        asked.wait(10)  # the handshake stalls until nobody wants it any more
        with suppress(OSError), context.wrap_socket(raw, server_side=True) as stream:
            stream.settimeout(5)
            got.append(stream.recv(65536))

    thread = threading.Thread(target=serve)
    thread.start()
    threading.Timer(0.2, lambda: cancel.ask(15)).start()
    with Session(cloud, SystemClock(), cancel) as session, pytest.raises(Interrupted):
        session.call("POST", f"{cloud.authority}/x", body={"a": 1})
    asked.set()
    thread.join()
    assert got in ([], [b""])
