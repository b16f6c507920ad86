"""A request may have been edited by anybody on its way: it is read as hostile (P12)."""

from __future__ import annotations

import base64
import json
import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.entra import certificates, permissions
from core.errors import SetupError
from core.steps.admin_request import LARGEST, MOST_ROLES, Request, parse

TENANT, APP, KEY = (f"{n}1111111-2222-4333-8444-555555555555" for n in "abc")
OTHER = "01234567-2222-4333-8444-555555555555"


@cache
def made() -> Request:
    """One for a certificate alone; made once, because a key takes its time."""
    key_pair = certificates.make("entraclaw-provisioner", datetime.now(UTC))
    who = ("laptop", "dana", "2026-01-01")
    return Request("sandbox", "https://127.0.0.1:1", TENANT, APP, "Provisioner", "", key_pair.der, KEY, *who)


@cache
def second() -> certificates.KeyPair:
    return certificates.make("somebody else", datetime.now(UTC))


def _id(value: object) -> str:
    """As a GUID is read: blanks around it and the case of its letters say nothing."""
    return str(value).strip().lower()


def refused(path: Path) -> str:
    """Why it is refused, which it must be, with exit 2."""
    with pytest.raises(SetupError) as caught:
        parse(path)
    assert caught.value.id in ("request.broken", "request.ambiguous")
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return caught.value.summary


def written(path: Path, **members: Any) -> Path:
    path.write_text(json.dumps(json.loads(made().to_json()) | members))
    return path


def test_P12_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    grants = replace(made(), roles=dict(permissions.KNOWN))
    new = replace(grants, app_id="", unique_name="entraclaw-1")
    for request in (made(), grants, new, replace(made(), remove_passwords=True)):
        path.write_text(request.to_json())
        assert parse(path) == request
        assert request.role_needed
        assert request.calls


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_P12_no_mangled_request_crashes_or_passes_with_another_certificate(tmp_path: Path, data: st.DataObject) -> None:
    """Members replaced by anything, then bytes: whatever passes is one request whose parts agree."""
    body = json.loads(made().to_json())
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60)
    anything = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner), max_leaves=5
    )
    tricky = st.sampled_from([OTHER, f" {APP}", APP.upper(), {}, "", True, base64.b64encode(second().der).decode()])
    for name in data.draw(st.lists(st.sampled_from(sorted(body)), max_size=3)):
        body[name] = data.draw(anything | tricky)
    content = bytearray(json.dumps(body).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        where = data.draw(st.integers(0, len(content) - 1))
        content[where : where + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    path = tmp_path / "request.json"
    path.write_bytes(bytes(content))
    try:
        request = parse(path)
    except SetupError as error:
        assert error.id in ("request.broken", "request.ambiguous")
        return
    shown = json.loads(bytes(content).decode("utf-8-sig"))
    assert request.key_pair.thumbprint == shown["thumbprint"]
    assert request.der in (made().der, second().der)
    assert (request.tenant, request.key_id) == (_id(shown["tenant"]), _id(shown["key_id"]))
    assert request.app_id == _id(shown["app_id"])
    assert json.loads(request.to_json())["thumbprint"] == shown["thumbprint"]


@given(where=st.integers(0, 2000), value=st.integers(0, 255))
def test_P12_one_changed_byte_of_the_certificate_is_noticed(where: int, value: int) -> None:
    der = bytearray(made().der)
    where %= len(der)
    if der[where] == value:
        return
    der[where] = value
    with suppress(ValueError):
        assert certificates.public(bytes(der)).thumbprint != made().key_pair.thumbprint


def test_P12_another_certificate_needs_its_own_thumbprint(tmp_path: Path) -> None:
    der = base64.b64encode(second().der).decode()
    assert "thumbprint" in refused(written(tmp_path / "r", certificate=der))


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"schema": 2}, "schema"),
        ({"app_id": "../../users"}, "GUID"),
        ({"key_id": "x"}, "GUID"),
        ({"unique_name": "a')/owners"}, "unique_name"),
        ({"unique_name": "../x"}, "unique_name"),
        ({"app_id": ""}, "no app"),
        ({"remove_passwords": 1}, "remove_passwords"),
        ({"remove_passwords": True, "roles": {"User.Read.All": OTHER}}, "at once"),
        ({"remove_passwords": True, "app_id": "", "unique_name": "x"}, "at once"),
        ({"roles": ["User.Read.All"]}, "roles"),
        ({"roles": {"User.Read.All": 1}}, "roles"),
        ({"roles": {"a b\x1b[2J": OTHER}}, "roles"),
        ({"roles": {"User.Read.All": "x"}}, "GUID"),
        ({"roles": {"User.ReadWrite.All": OTHER}}, "another"),
        ({"roles": {"Harmless.Read": permissions.BASE["Application.ReadWrite.All"]}}, "another"),
        ({"certificate": ""}, ""),
        ({"certificate": "%%%"}, ""),
        ({"certificate": [1]}, ""),
        ({"certificate": base64.b64encode(b"0" * 900).decode()}, ""),
        ({"machine": "a\nb"}, "machine"),
        ({"machine": "x" * 300}, "machine"),
        ({"requested_by": "a\u202eb"}, "requested_by"),
        ({"requested_by": "\ud800"}, "requested_by"),
        ({"app_name": "\x9b31m"}, "app_name"),
        ({"note": "-----BEGIN PRIVATE KEY-----\nMIIE"}, "private key"),
        ({"note": "abc8Q~" + "x" * 34}, "secret"),
    ],
    ids=str,
)
def test_P12_parts_that_are_wrong_or_contradict_each_other(tmp_path: Path, members: dict[str, Any], why: str) -> None:
    assert why in refused(written(tmp_path / "request.json", **members))


@pytest.mark.parametrize("name", ["tenant", "certificate", "roles", "thumbprint", "key_id"])
def test_P12_a_member_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    body = json.loads(made().to_json())
    del body[name]
    path = tmp_path / "request.json"
    path.write_text(json.dumps(body))
    assert f"'{name}' is missing" in refused(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{", b"\xff\xfe{}", b"[" * 60000, b'{"schema": NaN}', b'{"schema": ' + b"9" * 5000 + b"}"],
    ids=["empty", "null", "list", "torn", "UTF-16", "deep", "NaN", "long number"],
)
def test_P12_what_is_no_json_object(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "request.json"
    path.write_bytes(content)
    refused(path)


def test_P12_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "huge").write_bytes(b" " * (LARGEST + 1))
    for path in (*(tmp_path / name for name in ("pipe", "loop", "huge", "missing")), tmp_path, Path("/dev/zero")):
        refused(path)
    for name in ("", "a\x00b", "x" * 5000):
        refused(Path(name))
    with pytest.raises(SetupError):
        parse(Path("\ud800"))


def test_P12_kinds_of_certificates_that_no_run_makes(tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding

    now, name = datetime.now(UTC), x509.Name([])
    for key in (
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 1024),
    ):
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + certificates.LIFETIME)
        digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        der = builder.sign(key, digest).public_bytes(Encoding.DER)
        shown = base64.b64encode(der).decode()
        assert "RSA" in refused(written(tmp_path / "r", certificate=shown, thumbprint=certificates.thumbprint(der)))


def test_P12_an_unknown_version_or_algorithm_is_no_crash() -> None:
    der = made().der
    with pytest.raises(ValueError, match=r".+"):
        certificates.public(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1))
    rsa_oid, unknown = bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d010177")
    with pytest.raises(ValueError, match=r".+"):
        certificates.public(der.replace(rsa_oid, unknown, 1))


@pytest.mark.parametrize("name", ["machine", "app_name", "requested_by"])
def test_P12_a_name_like_a_secret_enters_no_request_and_is_an_error_with_a_remedy(name: str) -> None:
    secret = "abc8Q~" + "x" * 34
    changed: dict[str, Any] = {name: secret}
    with pytest.raises(SetupError) as caught:
        replace(made(), **changed).to_json()
    assert (caught.value.id, caught.value.exit_code) == ("request.secret", 3)
    assert name in caught.value.summary
    assert "Rename" in caught.value.remedy
    assert secret not in str(caught.value)


def test_P12_a_request_for_very_many_permissions_is_refused(tmp_path: Path) -> None:
    many = {f"Some.Role{n}.All": f"{n:08d}-2222-4333-8444-555555555555" for n in range(MOST_ROLES + 1)}
    assert "more than" in refused(written(tmp_path / "r", roles=many))


def test_P12_a_key_with_which_everybody_could_sign_is_refused(tmp_path: Path) -> None:
    """With the exponent 1 a signature is its own message; the library does not load it or it is refused here."""
    plain = bytes.fromhex("0203010001")
    for exponent in (1, 3, 0x10003):
        der = made().der.replace(plain, b"\x02\x03" + exponent.to_bytes(3, "big"))
        with pytest.raises(ValueError, match=r".+"):
            certificates.public(der)
        shown = base64.b64encode(der).decode()
        refused(written(tmp_path / "r", certificate=shown, thumbprint=certificates.thumbprint(der)))
