"""The sandbox over TLS: its CA, its files, its hosts, its faults (S1, S3)."""

from __future__ import annotations

import os
import ssl
import stat
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from core.cloud import load as load_cloud
from core.entra.http import Session
from core.errors import NetworkError, SetupError
from core.flow.wait import SystemClock
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.sandbox.login.tokens import AZURE_CLI
from core.sandbox.scenarios.catalogue import SCENARIOS
from core.sandbox.tenant import ARM_RESOURCE


@pytest.fixture
def lab(start_lab: Callable[[str], Lab]) -> Lab:
    return start_lab("legacy")


@pytest.fixture
def session(lab: Lab) -> Iterator[Session]:
    with Session(load_cloud(str(lab.cloud_file)), SystemClock()) as session:
        yield session


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
    session.call("POST", url, token="secret-in-header", body={"x": "secret-in-body"})
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
def test_S2_a_body_that_is_not_encoded_as_it_says_is_refused(lab: Lab, scheme: str) -> None:
    headers = {"Content-Encoding": scheme, "Content-Type": "application/json"}
    with requests.Session() as client:
        client.trust_env = False
        given: Any = {"data": b"no such thing", "headers": headers, "verify": str(lab.ca), "timeout": 20}
        graph = client.post(f"{lab.tenant.graph}/v1.0/applications", **given)
        login = client.post(f"{lab.tenant.authority}/common/oauth2/v2.0/token", **given)
    assert (graph.status_code, graph.json()["error"]["code"]) == (400, "Request_BadRequest")
    assert graph.json()["error"]["innerError"]["request-id"] == graph.headers["request-id"]
    assert (login.status_code, login.json()["error"]) == (400, "invalid_request")


def test_U4_a_port_that_is_taken_is_named(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(SetupError) as caught:
        Lab.start("legacy", port=lab.tenant.port, sign_in=False)
    assert (caught.value.id, caught.value.exit_code) == ("usage.settings", 2)
    assert f"port {lab.tenant.port} of 127.0.0.1 cannot be used" in caught.value.summary
    assert list(folder.iterdir()) == []
