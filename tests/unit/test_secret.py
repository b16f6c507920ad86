"""A Secret never shows itself, and the redactor finds it in every spelling (P4, D4)."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.entra import certificates
from core.secret import _CLEAN, _PATTERNS, Redactor, Secret, looks_secret, redactor

VALUE = "p/ä+ \"q\\u'&=%7E-not-in-entra-shape"
#: 40 characters in Entra's shape, and its shortest relative.
ENTRA = "abc8Q~" + "x" * 30 + ".~_Z"
JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL2dyYXBoIn0.c2lnbmF0dXJl_-"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        lambda secret: f"{secret}{secret!r}{secret:>40}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        "{0} {0!r} {0!s} {0:x}".format,
        lambda secret: repr([secret, {"a": secret}, (secret,)]),
        lambda secret: repr(dir(secret)),
    ],
)
def test_P4_a_secret_is_never_shown(show: Callable[[Secret], str]) -> None:
    secret = Secret(VALUE, learn=False)
    assert VALUE not in show(secret)
    assert secret.reveal() == VALUE


@pytest.mark.parametrize("leave", [pickle.dumps, json.dumps, copy.copy, copy.deepcopy])
def test_P4_a_secret_is_not_serialised_or_copied(leave: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leave(Secret(VALUE, learn=False))
    assert VALUE not in str(caught.value)


def test_P4_a_traceback_does_not_show_a_secret() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(secret)

    with pytest.raises(ValueError, match="Secret") as caught:
        fail(Secret(VALUE, learn=False))
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert VALUE not in "".join(told.format())
    assert not hasattr(Secret(VALUE, learn=False), "__dict__")


def test_secrets_compare_by_value_and_hash_by_identity() -> None:
    one, two = Secret(VALUE, learn=False), Secret(VALUE, learn=False)
    assert one == two
    assert one != Secret("other", learn=False)
    assert one != VALUE
    assert len({one, two}) == 2
    assert not Secret("", learn=False)


def test_P4_what_is_asked_of_a_secret_needs_no_value() -> None:
    secret, empty = Secret(VALUE, learn=False), Secret("", learn=False)
    assert secret.hint == VALUE[:3]
    assert len(secret) == len(VALUE)
    assert secret.occurs_in(f"x={VALUE};")
    assert not secret.occurs_in(VALUE[:-1])
    assert not empty.occurs_in("anything")
    assert secret.begins(VALUE[:5])
    assert secret.begins(Secret(VALUE[:5], learn=False))
    assert not secret.begins(f"x{VALUE}")


def test_P4_a_value_that_is_known_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Redactor()
    mine.learn(VALUE)

    def again(*_: object, **__: object) -> str:
        raise AssertionError("it is spelled again")

    monkeypatch.setattr("core.secret.quote", again)
    mine.learn(VALUE)
    with pytest.raises(AssertionError, match="spelled again"):
        mine.learn(f"{VALUE} and more")


@pytest.mark.parametrize(
    "spelling",
    [
        lambda value: value,
        lambda value: quote(value, safe=""),
        quote_plus,
        json.dumps,
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
        lambda value: json.dumps({"nested": value}),
        lambda value: f"before{value}after",
    ],
)
def test_D4_a_known_value_is_removed_in_every_spelling(spelling: Callable[[str], str]) -> None:
    mine = Redactor()
    mine.learn(VALUE)
    shown = mine.redact(spelling(VALUE))
    for part in (VALUE, quote(VALUE, safe=""), json.dumps(VALUE)[1:-1], spelling(VALUE).strip('"=')):
        assert part not in shown
    assert mine.finds(spelling(VALUE))


def test_D4_one_line_of_a_key_bundle_is_enough_to_be_found() -> None:
    mine = Redactor()
    mine.learn(PEM)
    assert "MIIEvQ" not in mine.redact("read MIIEvQIBADANBgkqhkiG9w0BAQEFAASC here")
    assert "BEGIN PRIVATE" not in mine.redact("-----BEGIN PRIVATE KEY-----\ncut off")


def test_D4_a_part_of_one_secret_is_not_left_behind_another() -> None:
    mine = Redactor()
    mine.learn("password")
    mine.learn("password-and-more")
    assert "more" not in mine.redact("it is password-and-more!")


def test_making_a_secret_teaches_the_redactor() -> None:
    Secret("value-of-a-test-that-learns")
    assert redactor.redact("x value-of-a-test-that-learns y") == "x [redacted] y"
    Secret("value-that-is-not-learnt", learn=False)
    assert not looks_secret("value-that-is-not-learnt")


def test_D4_a_value_that_is_no_unicode_text_is_learnt_too() -> None:
    mine = Redactor()
    mine.learn("half-an-emoji-\ud83d")
    assert mine.redact("x half-an-emoji-\ud83d y") == "x [redacted] y"


@pytest.mark.parametrize(
    ("text", "leaked"),
    [
        (f"secret {ENTRA} here", ENTRA),
        (f'{{"password": "{ENTRA}"}}', ENTRA),
        (f"the secret is {ENTRA}.", ENTRA),
        (json.dumps(f"first line\n{ENTRA}"), ENTRA),
        (f"client_secret%3D{ENTRA}", ENTRA),
        (ENTRA[:37], ENTRA[:37]),
        (f"Authorization: Bearer {JWT}", JWT.split(".")[1]),
        (f"token={JWT}&x=1", JWT.split(".")[2]),
        (json.dumps(f"first line\n{JWT}"), JWT.split(".")[1]),
        (f"Authorization=Bearer%20{JWT}", JWT.split(".")[1]),
        (f"unsigned {JWT.rpartition('.')[0]}.", JWT.split(".")[1]),
        (f"log: {PEM} end", "MIIEvQ"),
        (PEM.replace("PRIVATE", "RSA PRIVATE"), "MIIEvQ"),
        (PEM.replace("PRIVATE", "ENCRYPTED PRIVATE"), "MIIEvQ"),
        (PEM.partition("-----END")[0], "MIIEvQ"),
        (json.dumps(PEM), "MIIEvQ"),
        ("grant_type=x&client_secret=hunter2&scope=y", "hunter2"),
        ("client_assertion=hunter2", "hunter2"),
        ("refresh_token=hunter2&", "hunter2"),
        ("device_code=hunter2", "hunter2"),
        ('{"keyId": "1", "secretText": "hunter2"}', "hunter2"),
        ('{"secretText":"hunter2"}', "hunter2"),
    ],
)
def test_D4_unknown_secrets_are_found_by_their_shape(text: str, leaked: str) -> None:
    mine = Redactor()
    assert leaked not in mine.redact(text)
    assert mine.finds(text)
    assert mine.redact(mine.redact(text)) == mine.redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "8c1f5b0e-3f3c-4d4c-9a47-0b8f3f6d2a11",
        "0123456789ABCDEF0123456789ABCDEF01234567",
        "yVxQ0Q-7m0m4n0m4n0m4n0m4n0m4n0m4n0m4n0m4n0m",
        "Migrated Provisioner from secret-auth to cert-auth. PROVISIONER_CLIENT_SECRET purged from state file.",
        "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token",
        "POST /applications/8c1f5b0e-3f3c-4d4c-9a47-0b8f3f6d2a11/removePassword",
        "hint abc, ends 2026-11-01T00:00:00Z",
        "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----",
        '"secretText": null',
        "AADSTS7000215: Invalid client secret provided.",
        "",
    ],
)
def test_D4_ids_thumbprints_and_prose_are_left_alone(text: str) -> None:
    assert Redactor().redact(text) == text
    assert not Redactor().finds(text)


pieces = st.one_of(
    st.sampled_from(
        [ENTRA, ENTRA[:39], JWT, PEM, VALUE, "client_secret=", '"secretText": "', "~", ".", "-", "&", '"', "\n"]
    ),
    st.text(max_size=12),
)


@given(st.lists(pieces, max_size=6).map("".join))
@example(f"{ENTRA[:39]}~{JWT}")
@example(f"client_secret={ENTRA} client_secret={JWT}")
def test_D4_redaction_is_idempotent(text: str) -> None:
    mine = Redactor()
    mine.learn(VALUE)
    once = mine.redact(text)
    assert mine.redact(once) == once
    assert VALUE not in once


@given(st.text(min_size=8, max_size=80).filter(lambda value: value not in "[redacted client secret private key token]"))
def test_D4_any_learnt_value_is_gone_afterwards(value: str) -> None:
    mine = Redactor()
    mine.learn(value)
    assert value not in mine.redact(f"a {value} b").replace("[redacted]", "")
    assert mine.finds(quote(value, safe=""))


def test_P12_what_a_key_shares_with_its_certificate_is_public() -> None:
    """The modulus stands in both; where the lines happen to break alike, a request would hold a line of the key."""
    now = datetime.now(UTC)
    for length in range(3):  # one of three lengths aligns the two
        redactor = Redactor()
        key_pair = certificates.make("x" * (length + 8), now)
        redactor.learn(key_pair.pem.reveal())
        assert not redactor.finds(base64.b64encode(key_pair.der).decode())
        private = key_pair.pem.reveal().partition("-----BEGIN PRIVATE KEY-----\n")[2].splitlines()
        assert redactor.finds(private[-4]), "a line of the secret part"


def test_P4_a_text_that_was_harmless_is_redacted_once_its_value_is_known() -> None:
    own, text = Redactor(), "the step says correct-horse-battery"
    assert [own.redact(text) for _ in range(3)] == [text] * 3
    own.learn("correct-horse-battery")
    assert own.redact(text) == "the step says [redacted]"


def test_P4_however_many_texts_are_harmless_few_of_them_are_kept() -> None:
    own = Redactor()
    for number in range(_CLEAN[0] + 10):
        own.redact(f"text {number}")
    own.redact("x" * (_CLEAN[1] + 1))
    assert len(own._clean) == _CLEAN[0]
    assert max(map(len, own._clean)) <= _CLEAN[1]


_PIECES: tuple[str, ...] = (
    "client_secret",
    "CLIENT_\u017fECRET",
    "refresh_token",
    "=",
    "&",
    '"secretText"',
    ":",
    '": "',
    '":"',
    '"',
    "v",
)
_PIECES += ("eyJ", "a" * 9, ".", "Q~", "abc8", "x" * 31, "-----BEGIN ", "-----END ", "RSA ", "PRIVATE KEY-----", " ")


@given(st.lists(st.sampled_from(_PIECES), max_size=9).map("".join))
def test_D4_what_is_not_looked_at_holds_no_match(text: str) -> None:
    assert [mark in text for _, mark, pattern in _PATTERNS if pattern.search(text)].count(False) == 0
