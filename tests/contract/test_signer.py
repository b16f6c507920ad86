"""One suite that every signer passes, wherever its key lies (T2, T5, T6)."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import jwt
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding as paddings
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from core.entra import certificates, credentials
from core.entra.assertions import client_assertion, proof_of_possession
from core.entra.keys import Keys
from core.errors import SetupError
from core.sandbox.token_service.assertion import ASSERTION_TYPE
from core.secret import Secret
from core.signer import Padding, Signer
from tests.hardware import FakeHardware
from tests.machine import VirtualClock
from tests.sandbox.client import Client

NAME = "entraclaw-provisioner"
DIGEST = hashlib.sha256(b"what is to be signed").digest()
PADDINGS: dict[Padding, paddings.AsymmetricPadding] = {
    "pkcs1": paddings.PKCS1v15(),
    "pss": paddings.PSS(paddings.MGF1(SHA256()), 32),  # PS256 takes no other length of salt (RFC 7518)
}


def certificate(signer: Signer) -> x509.Certificate:
    return x509.load_der_x509_certificate(signer.der)


def holds(signer: Signer, signature: bytes, padding: Padding, digest: bytes = DIGEST) -> bool:
    key = certificate(signer).public_key()
    assert isinstance(key, RSAPublicKey)
    try:
        key.verify(signature, digest, PADDINGS[padding], Prehashed(SHA256()))
    except InvalidSignature:
        return False
    return True


class SignerSuite:
    """Subclass it and give a `keys` fixture: a class's tests share one key, since hardware takes its time.

    :cvar exportable: what the signer says of itself.
    """

    exportable = False

    @pytest.fixture(scope="class")
    def signer(self, keys: Keys) -> Signer:
        return keys.make(NAME, VirtualClock().now(), timedelta(days=365), "11111111-2222-4333-8444-555555555555")

    @pytest.mark.parametrize("padding", PADDINGS)
    def test_T2_what_it_signs_holds_with_its_certificate_and_in_no_other_way(
        self, signer: Signer, padding: Padding
    ) -> None:
        signature = signer.sign(DIGEST, padding)
        assert holds(signer, signature, padding)
        assert not holds(signer, signature, "pss" if padding == "pkcs1" else "pkcs1")
        assert not holds(signer, signature, padding, hashlib.sha256(b"something else").digest())

    def test_P3_its_certificate_is_its_keys_own_and_of_the_promised_form(self, signer: Signer) -> None:
        found = certificate(signer)
        found.verify_directly_issued_by(found)
        assert isinstance(found.signature_hash_algorithm, SHA256)
        assert found.subject == found.issuer == x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
        assert signer.not_after - signer.not_before == timedelta(days=365)
        assert (signer.not_before, signer.not_after) == (found.not_valid_before_utc, found.not_valid_after_utc)
        assert certificates.app_of(signer.der) == "11111111-2222-4333-8444-555555555555"
        assert re.fullmatch("[A-F0-9]{40}", signer.thumbprint)
        assert signer.thumbprint == hashlib.sha1(signer.der).hexdigest().upper()

    def test_T5_its_assertion_holds_and_no_two_are_alike(self, signer: Signer) -> None:
        now = VirtualClock().now()
        texts = [client_assertion(signer, "https://there/token", "an-app", now).reveal() for _ in range(2)]
        header = jwt.get_unverified_header(texts[0])
        assert (header["alg"], header["typ"]) == ("PS256", "JWT")
        assert re.fullmatch("[A-Za-z0-9_-]{43}", header["x5t#S256"])
        key = certificate(signer).public_key()
        assert isinstance(key, RSAPublicKey)
        claims = [jwt.decode(text, key, ["PS256"], audience="https://there/token") for text in texts]
        assert claims[0]["iss"] == claims[0]["sub"] == "an-app"
        assert claims[0]["exp"] - claims[0]["nbf"] == 600
        assert claims[0]["jti"] != claims[1]["jti"]

    def test_P5_the_service_takes_its_assertion(self, signer: Signer) -> None:
        client = Client()
        client.change("application", keyCredentials=[credentials.entry_of(signer, client.tenant.new_id(), "mine")])
        endpoint = f"{client.tenant.authority}/{client.tenant.id}/oauth2/v2.0/token"
        text = client_assertion(signer, endpoint, client.app_id, client.clock.now()).reveal()
        answer = client.sign_in(client_assertion_type=ASSERTION_TYPE, client_assertion=text)
        assert answer.status == 200, answer.body

    def test_P8_its_proof_adds_a_key(self, signer: Signer) -> None:
        client = Client()
        client.change("application", keyCredentials=[credentials.entry_of(signer, client.tenant.new_id(), "mine")])
        client.token = client.app_token()
        object_id, fresh = client.app["id"], certificates.make("fresh", client.clock.now())
        proof = proof_of_possession(signer, object_id, client.clock.now()).reveal()
        body = {"keyCredential": client.entry(fresh), "passwordCredential": None, "proof": proof}
        assert client.call("POST", f"/applications/{object_id}/addKey", body).status == 200
        assert client.sign_in_with(fresh).status == 200

    def test_T2_it_is_opened_again_from_what_the_keystore_keeps(self, keys: Keys, signer: Signer) -> None:
        again = keys.open(signer.entry, "somebody")
        assert again == signer
        assert holds(signer, again.sign(DIGEST, "pss"), "pss")

    def test_T2_the_key_can_be_taken_out_only_if_it_says_so(self, signer: Signer) -> None:
        assert signer.exportable is self.exportable
        assert ("PRIVATE KEY" in signer.entry.reveal()) is self.exportable
        if not self.exportable:
            with pytest.raises(SetupError, match=r"keystore\.bundle|not PEM"):
                certificates.parse(signer.entry, "somebody")

    def test_T6_a_key_and_a_certificate_that_are_not_each_others_are_refused(self, keys: Keys, signer: Signer) -> None:
        other = keys.make("other", VirtualClock().now(), timedelta(days=1))
        end = "-----END CERTIFICATE-----\n"
        swapped = other.entry.reveal().partition(end)[0] + end + signer.entry.reveal().partition(end)[2]
        with pytest.raises(SetupError) as caught:
            keys.open(Secret(swapped), "somebody")
        assert caught.value.id == ("keystore.bundle" if self.exportable else "hardware.key")

    def test_T2_it_says_where_its_key_lies(self, signer: Signer) -> None:
        assert re.match(r"(in|on) \w+", signer.where), "it goes on: the key lies …"

    def test_T2_two_threads_sign_at_once(self, signer: Signer) -> None:
        digests = [hashlib.sha256(bytes([number])).digest() for number in range(8)]
        with ThreadPoolExecutor(2) as threads:
            signatures = list(threads.map(lambda digest: signer.sign(digest, "pss"), digests))
        assert all(holds(signer, each, "pss", digest) for each, digest in zip(signatures, digests, strict=True))


class TestSoftware(SignerSuite):
    exportable = True

    @pytest.fixture(scope="class")
    def keys(self) -> Keys:
        return Keys()


class TestFake(SignerSuite):
    @pytest.fixture(scope="class")
    def keys(self) -> Keys:
        return Keys(FakeHardware())

    def test_T6_a_key_that_is_not_there_is_no_broken_entry(self, signer: Signer) -> None:
        for keys in (Keys(), Keys(FakeHardware())):
            with pytest.raises(SetupError) as caught:
                keys.open(signer.entry, "somebody")
            assert (caught.value.id, caught.value.exit_code) == ("hardware.key", 3)

    def test_T2_an_entry_that_is_the_key_itself_is_opened_all_the_same(self, keys: Keys) -> None:
        software = Keys().make(NAME, VirtualClock().now(), timedelta(days=1))
        assert keys.open(software.entry, "somebody") == software
