"""One suite that every sign-in passes: the demo's, and the real Azure CLI in tests/real/test_login.py (U3, D4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from core.clock import Cancel
from core.config.cloud import load as load_cloud
from core.errors import Interrupted, SetupError
from core.machine.azure_cli import Account, SignIn
from core.machine.azure_login import Prompt
from core.sandbox.fake_machine.az import MOMENT, SandboxSignIn
from core.sandbox.lab import Lab
from core.sandbox.token_service import endpoint
from tests.machine import VirtualClock

GONE = "00000000-0000-4000-8000-000000000000"


@dataclass
class Bench:
    """A sign-in and the tenant behind it, in which nobody approves a code by himself."""

    sign_in: SignIn
    lab: Lab
    prompts: list[Prompt] = field(default_factory=list)

    def login(self, tenant: str = "", *, device_code: bool = True) -> None:
        """Sign in as the scenario's user, who types the code at once."""

        def tell(prompt: Prompt) -> None:
            self.prompts.append(prompt)
            assert endpoint.approve(self.lab.tenant, prompt.code, self.lab.tenant.signed_in_user)

        self.sign_in.login(tenant, device_code=device_code, tell=tell, cancel=Cancel())

    def signed_in(self) -> bool:
        try:
            self.sign_in.graph_token("")
        except SetupError as error:
            assert (error.id, error.exit_code) == ("az.signed-out", 4)
            return False
        return True


class SignInSuite:
    """Subclass it and give a `bench` fixture in which somebody is signed in."""

    def test_signing_out_and_in_again(self, bench: Bench) -> None:
        assert bench.signed_in()
        bench.sign_in.logout()
        assert not bench.signed_in()
        bench.sign_in.logout()
        bench.login(bench.lab.tenant.id)
        (prompt,) = bench.prompts
        assert prompt.address == f"{bench.lab.tenant.authority}/devicelogin"
        assert re.fullmatch(r"[A-Z0-9]{9}", prompt.code)
        assert prompt.address in prompt.text
        assert prompt.code in prompt.text
        assert prompt.code not in repr(prompt), "not in a traceback or a log by accident"
        token = bench.sign_in.graph_token(bench.lab.tenant.id)
        assert Account.of(token).user.startswith("dana@")

    @pytest.mark.parametrize("name", ["", "domain"])
    def test_a_tenant_may_be_a_domain_or_the_persons_own(self, bench: Bench, name: str) -> None:
        bench.sign_in.logout()
        bench.login(bench.lab.tenant.domain if name else "")
        assert bench.signed_in()

    @pytest.mark.parametrize("tenant", [GONE, "nobody.example"])
    def test_P11_a_tenant_that_does_not_exist(self, bench: Bench, tenant: str) -> None:
        bench.sign_in.logout()
        with pytest.raises(SetupError) as caught:
            bench.login(tenant)
        assert (caught.value.id, caught.value.exit_code) == ("az.refused", 2)
        found = caught.value.as_dict()
        assert found["codes"] == [90002]
        assert found["trace_id"]
        assert caught.value.summary.count("AADSTS90002") == 1
        assert "Traceback" not in caught.value.summary
        assert bench.prompts == []
        assert not bench.signed_in()

    @pytest.mark.parametrize("tenant", ["--help", "-x", "a b", "a;b", "a/b", "ä.example", "a\n", "x" * 300, " "])
    def test_P4_what_cannot_be_a_tenant_becomes_no_argument(self, bench: Bench, tenant: str) -> None:
        with pytest.raises(SetupError) as caught:
            bench.login(tenant)
        assert (caught.value.id, caught.value.exit_code) == ("usage.settings", 2)
        assert bench.signed_in()

    def test_U2_a_sign_in_that_is_cancelled(self, bench: Bench) -> None:
        bench.sign_in.logout()
        cancel = Cancel()

        def tell(prompt: Prompt) -> None:
            bench.prompts.append(prompt)
            cancel.ask(2)

        with pytest.raises(Interrupted):
            bench.sign_in.login("", device_code=True, tell=tell, cancel=cancel)
        assert len(bench.prompts) == 1
        assert not bench.signed_in()

    def test_a_front_end_that_fails_to_show_the_code_ends_it(self, bench: Bench) -> None:
        def tell(prompt: Prompt) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            bench.sign_in.login("", device_code=True, tell=tell, cancel=Cancel())


class TestSandbox(SignInSuite):
    @pytest.fixture
    def bench(self, start_lab: Callable[[str], Lab]) -> Bench:
        lab = start_lab("legacy")
        lab.tenant.switches.pending_polls = 10**9
        return Bench(SandboxSignIn(lab.tenant, load_cloud(str(lab.cloud_file))), lab)

    def test_the_pretend_person_takes_a_moment(self, bench: Bench, clock: VirtualClock) -> None:
        bench.sign_in.logout()
        bench.sign_in.login("", device_code=True, tell=bench.prompts.append, cancel=Cancel())
        assert clock.waited == pytest.approx(MOMENT, abs=0.5)
        assert bench.signed_in()

    def test_a_browser_signs_in_at_once(self, bench: Bench, clock: VirtualClock) -> None:
        bench.sign_in.logout()
        bench.sign_in.login("", device_code=False, tell=bench.prompts.append, cancel=Cancel())
        assert clock.waited == 0
        assert [prompt.code for prompt in bench.prompts] == [""]
        assert bench.signed_in()

    def test_a_code_that_expired_signs_nobody_in(self, bench: Bench, clock: VirtualClock) -> None:
        def tell(prompt: Prompt) -> None:
            clock.waited += 901

        bench.sign_in.logout()
        with pytest.raises(SetupError) as caught:
            bench.sign_in.login("", device_code=True, tell=tell, cancel=Cancel())
        assert caught.value.exit_code == 4
        assert not bench.signed_in()

    def test_an_app_that_was_signed_in_becomes_a_person(self, bench: Bench) -> None:
        principal = bench.lab.tenant.find("servicePrincipal", "displayName", "EntraClaw Agent ID Provisioner")
        assert principal is not None
        sign_in = SandboxSignIn(bench.lab.tenant, load_cloud(str(bench.lab.cloud_file)), principal["appId"])
        assert Account.of(sign_in.graph_token("")).kind == "service principal"
        sign_in.login("", device_code=False, tell=bench.prompts.append, cancel=Cancel())
        assert Account.of(sign_in.graph_token("")).kind == "user"

    def test_somebody_starts_signed_out(self, bench: Bench) -> None:
        cloud = load_cloud(str(bench.lab.cloud_file))
        with pytest.raises(SetupError) as caught:
            SandboxSignIn(bench.lab.tenant, cloud, signed_in=False).graph_token(GONE)
        assert caught.value.remedy == f"Run: az login --tenant {GONE}"
