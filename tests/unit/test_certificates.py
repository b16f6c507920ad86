"""Certificates and key bundles: what is made, and what is refused (P3, P9, T5)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from core.entra.certificates import SHA1_SHAPE, KeyPair, make, parse, thumbprint, thumbprint_of_identifier
from core.errors import SetupError
from core.renewal import renewal
from core.secret import Secret

NOW = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(scope="module")
def key_pair() -> KeyPair:
    return make("entraclaw-provisioner", NOW)


@pytest.fixture(scope="module")
def other() -> KeyPair:
    return make("entraclaw-provisioner", NOW)


def halves(key_pair: KeyPair) -> tuple[str, str]:
    certificate, _, key = key_pair.pem.reveal().partition("-----BEGIN PRIVATE KEY")
    return certificate, f"-----BEGIN PRIVATE KEY{key}"


def test_P3_what_is_made(key_pair: KeyPair) -> None:
    certificate = x509.load_der_x509_certificate(key_pair.der)
    public = certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert (public.key_size, public.public_numbers().e) == (2048, 65537)
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    assert certificate.version is x509.Version.v3
    names = [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    assert names == ["entraclaw-provisioner"]
    assert certificate.issuer == certificate.subject
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_before_utc == NOW.replace(microsecond=0) - timedelta(minutes=10)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=365)
    basic: Any = certificate.extensions.get_extension_for_oid(ExtensionOID.BASIC_CONSTRAINTS).value
    assert not basic.ca
    usage: Any = certificate.extensions.get_extension_for_oid(ExtensionOID.KEY_USAGE).value
    assert usage.digital_signature
    assert not usage.key_cert_sign


def test_P3_a_shorter_life_that_a_policy_asks_for() -> None:
    short = make("x", NOW, timedelta(days=90))
    assert short.not_after - short.not_before == timedelta(days=90)


def test_every_key_and_serial_is_its_own(key_pair: KeyPair, other: KeyPair) -> None:
    assert key_pair.thumbprint != other.thumbprint
    assert halves(key_pair)[1] != halves(other)[1]


def test_P4_a_bundle_does_not_show_its_key(key_pair: KeyPair) -> None:
    assert "PRIVATE" not in repr(key_pair)


def test_a_bundle_survives_the_keystore(key_pair: KeyPair) -> None:
    assert parse(key_pair.pem, "account") == key_pair
    certificate, key = halves(key_pair)
    assert parse(Secret((key + certificate).replace("\n", "\r\n")), "account").thumbprint == key_pair.thumbprint
    assert key_pair.thumbprint == thumbprint(key_pair.der) == hashlib.sha1(key_pair.der).hexdigest().upper()
    assert SHA1_SHAPE.fullmatch(key_pair.thumbprint)


def pem(key: Any) -> str:
    """A bundle of any kind of key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    hashed = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(key, hashed)
    text: bytes = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


def unknown_algorithm(key_pair: KeyPair) -> str:
    """The certificate's key under an algorithm that nobody knows."""
    der = key_pair.der.replace(bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d010163"))
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n{halves(key_pair)[1]}"


@pytest.mark.parametrize(
    "kind", ["empty", "garbage", "certificate", "key", "mixed", "ec", "ed25519", "rsa-1024", "cut", "unknown", "locked"]
)
def test_P4_an_entry_that_is_no_key_bundle_is_refused(kind: str, key_pair: KeyPair, other: KeyPair) -> None:
    certificate, key = halves(key_pair)
    texts: dict[str, Callable[[], str]] = {
        "empty": lambda: "",
        "garbage": lambda: "-----BEGIN NONSENSE-----\n\x00",
        "certificate": lambda: certificate,
        "key": lambda: key,
        "mixed": lambda: certificate + halves(other)[1],
        "ec": lambda: pem(ec.generate_private_key(ec.SECP256R1())),
        "ed25519": lambda: pem(ed25519.Ed25519PrivateKey.generate()),
        "rsa-1024": lambda: pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        "cut": lambda: key_pair.pem.reveal()[:-200],
        "unknown": lambda: unknown_algorithm(key_pair),
        "locked": lambda: certificate + key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
    }
    with pytest.raises(SetupError) as caught:
        parse(Secret(texts[kind]()), "tenant#thumb")
    assert (caught.value.id, caught.value.exit_code) == ("keystore.bundle", 3)
    assert "tenant#thumb" in caught.value.summary
    assert "PRIVATE" not in str(caught.value)


@given(st.binary(min_size=20, max_size=20))
def test_T5_an_identifier_names_the_same_thumbprint_in_every_encoding(raw: bytes) -> None:
    expected = raw.hex().upper()
    for spelling in (
        raw.hex(),
        expected,
        base64.b64encode(raw).decode(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        base64.b64encode(expected.encode()).decode(),
    ):
        assert thumbprint_of_identifier(spelling) == expected


@given(st.none() | st.text(max_size=60))
def test_T5_any_other_identifier_names_none(identifier: str | None) -> None:
    assert SHA1_SHAPE.fullmatch(thumbprint_of_identifier(identifier) or "0" * 40)


@pytest.mark.parametrize("identifier", [None, "", "x", "AAAA", "g" * 40, "0" * 39, "é" * 40])
def test_T5_an_identifier_without_a_thumbprint(identifier: str | None) -> None:
    assert thumbprint_of_identifier(identifier) == ""


@given(
    life=st.timedeltas(timedelta(minutes=10), timedelta(days=4000)),
    begin=st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    seed=st.text(max_size=8),
)
def test_P9_one_formula_tells_when_a_certificate_is_due_whatever_its_life(
    life: timedelta, begin: datetime, seed: str
) -> None:
    end = begin + life
    moments = renewal(begin, end, seed)
    first = begin + (life / 2 if life < timedelta(days=10) else life * 2 / 3)
    assert first <= moments.due <= first + life / 20, "the jitter is at most a twentieth of its life"
    assert abs(moments.warning - moments.due - life / 12) < timedelta(milliseconds=1)
    assert end - moments.critical == min(life / 12, timedelta(days=7))
    assert moments.due < moments.warning < moments.critical < end == moments.end
    assert moments == renewal(begin, end, seed), "the same at every look"
    order = ["valid", "due", "warning", "critical", "expired"]
    tick = timedelta(microseconds=1)
    edges = (moments.due, moments.warning, moments.critical, moments.end)
    assert [moments.state(edge) for edge in edges] == order[1:]
    assert [moments.state(edge - tick) for edge in edges] == order[:-1]


def test_P9_machines_that_were_set_up_together_do_not_renew_together(key_pair: KeyPair) -> None:
    lives = [renewal(key_pair.not_before, key_pair.not_after, str(n)).due for n in range(200)]
    assert max(lives) - min(lives) > timedelta(days=365 / 25)
    assert key_pair.renewal.state(key_pair.not_before) == "valid"
    assert (key_pair.expired(key_pair.not_after - timedelta(seconds=1)), key_pair.expired(key_pair.not_after)) == (
        False,
        True,
    )
