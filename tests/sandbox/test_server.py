"""The sandbox over TLS: its CA, its files, its hosts, its faults (S1, S3)."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from core.clock import SystemClock
from core.config.cloud import load as load_cloud
from core.entra.http import Session
from core.entra.tokens import Token
from core.errors import NetworkError, SetupError
from core.sandbox.directory.store import ARM_RESOURCE
from core.sandbox.faults import Fault
from core.sandbox.http import Response
from core.sandbox.lab import Lab
from core.sandbox.scenarios.catalogue import SCENARIOS
from core.sandbox.token_service.tokens import AZURE_CLI
from core.secret import Secret


@pytest.fixture
def lab(start_lab: Callable[[str], Lab]) -> Lab:
    return start_lab("legacy")


@pytest.fixture
def session(lab: Lab) -> Iterator[Session]:
    with Session(load_cloud(str(lab.cloud_file)), SystemClock()) as session:
        yield session


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What standard error holds, with the logs that go there outside a test."""
    return lambda: capfd.readouterr().err + caplog.text


def extension(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> Any:
    return certificate.extensions.get_extension_for_oid(oid).value


def test_S1_the_ca_may_sign_for_loopback_only_and_lives_a_day(lab: Lab) -> None:
    (ca,) = x509.load_pem_x509_certificates(lab.ca.read_bytes())
    assert ca.not_valid_after_utc - ca.not_valid_before_utc <= timedelta(days=1)
    assert ca.not_valid_before_utc <= datetime.now(UTC) < ca.not_valid_after_utc
    constraints: Any = ca.extensions.get_extension_for_oid(ExtensionOID.NAME_CONSTRAINTS)
    assert constraints.critical
    permitted = constraints.value.permitted_subtrees or []
    assert {str(name.value) for name in permitted} == {"localhost", "127.0.0.1/32"}
    basic = extension(ca, ExtensionOID.BASIC_CONSTRAINTS)
    assert (basic.ca, basic.path_length) == (True, 0)
    assert extension(ca, ExtensionOID.KEY_USAGE).key_cert_sign


def test_S1_the_servers_certificate_is_for_servers_on_loopback(lab: Lab) -> None:
    context = ssl.create_default_context(cafile=str(lab.ca))
    pem = ssl.get_server_certificate(("127.0.0.1", lab.tenant.port), ca_certs=str(lab.ca), timeout=10)
    assert context.cert_store_stats()["x509_ca"] == 1
    leaf = x509.load_pem_x509_certificate(pem.encode())
    (ca,) = x509.load_pem_x509_certificates(lab.ca.read_bytes())
    leaf.verify_directly_issued_by(ca)
    names = extension(leaf, ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert [str(name.value) for name in names] == ["localhost", "127.0.0.1"]
    assert not extension(leaf, ExtensionOID.BASIC_CONSTRAINTS).ca
    assert list(extension(leaf, ExtensionOID.EXTENDED_KEY_USAGE)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=1)


def test_S1_no_unencrypted_key_and_no_ca_key_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    written: list[bytes] = []
    load = ssl.SSLContext.load_cert_chain

    def look(self: ssl.SSLContext, certfile: Any, *args: Any, **kwargs: Any) -> None:
        written.append(Path(certfile).read_bytes())
        assert stat.S_IMODE(Path(certfile).stat().st_mode) == 0o600
        load(self, certfile, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    lab = Lab.start("legacy", sign_in=False)
    try:
        (chain,) = written
        assert chain.count(b"PRIVATE KEY-----") == 2
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in chain
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sorted(path.name for path in files) == [".entraclaw-state.json", "ca.pem", "cloud.toml"]
        assert not any(b"PRIVATE KEY" in path.read_bytes() for path in files)
        if os.name == "posix":
            assert stat.S_IMODE(lab.folder.stat().st_mode) == 0o700
            assert stat.S_IMODE((lab.project / ".entraclaw-state.json").stat().st_mode) == 0o600
    finally:
        lab.close()
    assert list(folder.iterdir()) == [], "nothing stays"


def test_S1_every_start_has_its_own_ca(start_lab: Callable[[str], Lab]) -> None:
    assert start_lab("clean").ca.read_bytes() != start_lab("clean").ca.read_bytes()


def test_S1_it_listens_on_loopback_only(lab: Lab) -> None:
    assert lab.server._socket.getsockname()[0] == "127.0.0.1"


def test_S1_a_closed_sandbox_answers_nobody() -> None:
    lab = Lab.start("clean", sign_in=False)
    cloud = load_cloud(str(lab.cloud_file))
    with Session(cloud, SystemClock()) as session:
        lab.close()
        # the CA's file is gone with the sandbox, so trust cannot be what fails first
        session._verify = False
        with pytest.raises(NetworkError, match="unreachable"):
            session.call("GET", f"{cloud.graph}/v1.0/me")


def test_S2_a_request_to_the_wrong_host_is_misdirected(lab: Lab, session: Session) -> None:
    assert session.call("GET", f"{lab.tenant.authority}/v1.0/me").status == 421
    assert (
        session.call("GET", f"{lab.tenant.graph}/{lab.tenant.id}/v2.0/.well-known/openid-configuration").status == 421
    )


def test_S3_a_fault_strikes_the_request_it_names(lab: Lab, session: Session) -> None:
    faults = lab.tenant.faults
    faults.add(Fault("status", "^GET /v1.0/me", nth=2, status=429, retry_after=5))
    url = f"{lab.tenant.graph}/v1.0/me"
    answers = [session.call("GET", url) for _ in range(3)]
    assert [answer.status for answer in answers] == [401, 429, 401]
    assert answers[1].headers["Retry-After"] == "5"
    assert answers[1].json()["error"]["code"] == "TooManyRequests"
    assert faults.log == ["GET /v1.0/me"] * 3


@pytest.mark.parametrize(("kind", "carried_out"), [("cut-before", False), ("cut-after", True)])
def test_S3_a_cut_comes_before_or_after_the_effect(lab: Lab, session: Session, kind: Any, carried_out: bool) -> None:
    lab.tenant.faults.add(Fault(kind))
    url = f"{lab.tenant.authority}/organizations/oauth2/v2.0/devicecode"
    with pytest.raises(NetworkError):
        session.call("POST", url, form={"client_id": AZURE_CLI, "scope": f"{ARM_RESOURCE}/.default"})
    assert bool(lab.tenant.device_codes) is carried_out


def test_S3_the_request_log_holds_no_query_no_body_and_no_header(lab: Lab, session: Session) -> None:
    url = f"{lab.tenant.graph}/v1.0/applications?$filter=secret-in-query"
    session.call("POST", url, token=Token(Secret("secret-in-header"), {}), body={"x": "secret-in-body"})
    assert lab.tenant.faults.log == ["POST /v1.0/applications"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_U8_every_scenario_starts(start_lab: Callable[[str], Lab], scenario: str) -> None:
    lab = start_lab(scenario)
    info = lab.info()
    assert (info["tenant"], info["authority"]) == (lab.tenant.id, lab.tenant.authority)
    assert load_cloud(str(info["cloud_file"])).graph == info["graph"]


def test_an_unknown_scenario_is_named() -> None:
    with pytest.raises(SetupError) as caught:
        Lab.start("no-such-scenario")
    assert caught.value.id == "sandbox.scenario"
    assert "legacy" in caught.value.remedy


@pytest.mark.parametrize("scheme", ["gzip", "deflate"])
def test_S2_a_body_that_is_not_encoded_as_it_says_is_refused(lab: Lab, told: Callable[[], str], scheme: str) -> None:
    headers = {"Content-Encoding": scheme, "Content-Type": "application/json"}
    with requests.Session() as client:
        client.trust_env = False
        given: Any = {"data": b"no such thing", "headers": headers, "verify": str(lab.ca), "timeout": 20}
        graph = client.post(f"{lab.tenant.graph}/v1.0/applications", **given)
        login = client.post(f"{lab.tenant.authority}/common/oauth2/v2.0/token", **given)
    assert (graph.status_code, graph.json()["error"]["code"]) == (400, "Request_BadRequest")
    assert graph.json()["error"]["innerError"]["request-id"] == graph.headers["request-id"]
    assert (login.status_code, login.json()["error"]) == (400, "invalid_request")
    lab.close()
    assert told() == ""


# what no service is to blame for


def connected(lab: Lab) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", lab.tenant.port), timeout=20)
    return ssl.create_default_context(cafile=str(lab.ca)).wrap_socket(plain, server_hostname="localhost")


def said(lab: Lab, request: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a request that no client sends."""
    with connected(lab) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


@pytest.mark.parametrize(
    "head",
    [
        *(b"Host: " + host for host in (b"[", b"[::1", b"]x[", "\u2100.example".encode())),
        b"Host: localhost\r\nclient-request-id: a-secret\xff",
    ],
    ids=["open", "half", "turned", "no letter", "no text"],
)
def test_S1_what_cannot_be_read_is_400_in_the_services_own_words(
    lab: Lab, told: Callable[[], str], head: bytes
) -> None:
    status, body = said(lab, b"GET /v1.0/me HTTP/1.1\r\n" + head + b"\r\n\r\n")
    assert (status, json.loads(body)["error"]["code"]) == (400, "Request_BadRequest")
    for path in (b"/", b"/common/oauth2/v2.0/token"):
        status, body = said(lab, b"GET " + path + b" HTTP/1.1\r\n" + head + b"\r\n\r\n")
        assert (status, json.loads(body)["error"]) == (400, "invalid_request")
    assert [(one.line, one.status) for one in lab.server.served] == [
        ("GET /v1.0/me", 400),
        ("GET /common/oauth2/v2.0/token", 400),
    ]
    assert told() == ""


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /v1.0/me HTTP/1.1\r\n\r\n",
        b"GET /v1.0/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a-secret\x01\r\n\r\n",
        b"GET http://[/a-secret HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /a-secret/" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1.0/me HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\na-secret\r\n",
    ],
    ids=["no host", "header", "address", "length", "chunk"],
)
def test_P4_what_is_no_http_is_400_and_no_value_of_it_is_told(
    lab: Lab, session: Session, told: Callable[[], str], request_: bytes
) -> None:
    assert said(lab, request_)[0] == 400
    assert session.call("GET", f"{lab.tenant.graph}/v1.0/me").status == 401, "others are answered"
    assert told() == ""


@pytest.mark.parametrize("reset", [True, False])
def test_S1_a_client_that_goes_away_in_its_body_is_not_worth_a_word(
    lab: Lab, session: Session, told: Callable[[], str], reset: bool
) -> None:
    def answered() -> bool:  # after which the server has also seen what other connections did before
        return session.call("GET", f"{lab.tenant.graph}/status.json").status == 200

    with connected(lab) as connection:
        connection.sendall(b"POST /v1.0/applications HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        assert answered()
        if reset:
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            )
    assert any(answered() and lab.server.served for _ in range(200))
    assert [(one.line, one.status) for one in lab.server.served] == [("POST /v1.0/applications", 0)]
    assert lab.tenant.faults.log == [], "it was never asked for"
    lab.close()
    assert told() == ""


def test_S2_a_body_that_is_too_long_is_refused(lab: Lab) -> None:
    head = b"POST /v1.0/applications HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1100000\r\n\r\n"
    status, body = said(lab, head + b"x" * 1_100_000)
    assert (status, json.loads(body)["error"]["code"]) == (413, "RequestEntityTooLarge")
    assert [one.status for one in lab.server.served] == [413]


@pytest.mark.parametrize("path", ["/v1.0/me", "/status.json"])
def test_S1_a_bug_of_the_server_itself_is_a_500_and_one_line(
    lab: Lab, session: Session, told: Callable[[], str], path: str
) -> None:
    lab.tenant.faults.add(Fault("status", range=(1,)))  # type: ignore[arg-type]
    assert session.call("GET", lab.tenant.graph + path).status == 500
    (line,) = told().splitlines()
    assert line.startswith("sandbox: GET met ValueError at fault.py:")


def test_P4_what_aiohttp_cannot_send_is_told_without_its_value(lab: Lab, told: Callable[[], str]) -> None:
    lab.server.handle = lambda tenant, request: Response(200, {"X": "a\r\nsecret: b"})
    with pytest.raises(http.client.BadStatusLine):
        said(lab, b"GET /v1.0/me HTTP/1.1\r\nHost: localhost\r\n\r\n")
    (line,) = told().splitlines()
    assert re.fullmatch(r"sandbox: the server met ValueError at \S+", line)


def test_U4_a_port_that_is_taken_is_named(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(SetupError) as caught:
        Lab.start("legacy", port=lab.tenant.port, sign_in=False)
    assert (caught.value.id, caught.value.exit_code) == ("usage.settings", 2)
    assert f"port {lab.tenant.port} of 127.0.0.1 cannot be used" in caught.value.summary
    assert list(folder.iterdir()) == []


def test_S1_a_sandbox_that_cannot_be_furnished_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(lab: Lab, user: str) -> Path:
        raise OSError("no space")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Lab, "az_folder", refused)
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="no space"):
        Lab.start("legacy")
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]
    assert set(threading.enumerate()) == before
