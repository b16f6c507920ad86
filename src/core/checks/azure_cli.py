"""Azure CLI: is it there, who is signed in, and what an Agent ID API would say to such a token."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from core.checks.base import Check, Diagnosis, Unseen, Verdict
from core.errors import Interrupted, SetupError
from core.machine import prerequisites
from core.machine.azure_cli import Account
from core.steps import directory_roles
from core.steps.facts import SignedIn

#: A token that carries it is refused by every Agent ID API; each token of the Azure CLI for a person does.
_REFUSED: Final = "Directory.AccessAsUser.All"


def _cli(diagnosis: Diagnosis) -> Verdict:
    tool = next((tool for tool in diagnosis.ctx.tools() if tool.name == prerequisites.AZ), None)
    if tool is None:
        return Verdict("ok", "not needed here")
    if tool.ok:
        return Verdict("ok", f"{tool.found} (needed {tool.needed})" if tool.needed else tool.found)
    seen = f" (found {tool.found})" if tool.found else ""
    return Verdict("failure", f"{tool.name} {tool.needed}{seen}: {tool.why}", tool.install)


def _session(diagnosis: Diagnosis) -> Verdict:
    diagnosis.need("azure-cli", "the Azure CLI cannot be used")
    diagnosis.need("reach", "the service was not reached")
    ctx = diagnosis.ctx
    try:
        token = ctx.sign_in.graph_token(ctx.target.tenant)
    except Interrupted:
        raise
    except SetupError as error:
        if diagnosis.ctx.maybe_proof is not None and error.id in ("az.signed-out", "az.expired"):
            return Verdict("ok", f"{error.summary} This machine signs in with its certificate.")
        return Verdict.of(error)
    account = Account.of(token)
    ctx.facts.put(SignedIn(account, token))
    ctx.facts.put(replace(ctx.target, tenant=ctx.target.tenant or account.tenant))
    roles = directory_roles.directory_roles(ctx)
    return Verdict("ok", f"{account.user} ({account.kind}), tenant {ctx.target.tenant}, roles: {roles}")


def _agents(diagnosis: Diagnosis) -> Verdict:
    """Whose token Agent ID APIs would take."""
    signed_in, token = diagnosis.ctx.facts.maybe(SignedIn), diagnosis.ctx.maybe_proof
    own = sorted(role for role in token.roles if "AgentIdentity" in role) if token is not None else []
    refused = signed_in is not None and _REFUSED in signed_in.token.scopes
    why = f"Agent ID APIs answer 403 to every token that carries {_REFUSED}, as the Azure CLI's does."
    if own:
        evidence = f"the app's own token carries {len(own)} agent permissions"
        call = "Call them with 'entraclaw-setup token', not with az's token: repeating a call changes nothing."
        return Verdict("ok", f"{evidence}. {why}", call) if refused else Verdict("ok", evidence)
    if signed_in is None and token is None:
        raise Unseen("nobody is signed in")
    if token is None and diagnosis.ctx.maybe_key_pair is not None:
        raise Unseen("this machine has a certificate, but no token could be had with it")
    mine = "this machine has none" if token is None else "this machine's carries no agent permission"
    if refused:
        remedy = (
            "Repeating the call changes nothing. Give this machine its own identity: "
            "entraclaw-setup onboard --only provisioner; then call with 'entraclaw-setup token'."
        )
        return Verdict("warning", f"{why} The app's own token would do, but {mine}.", remedy)
    return Verdict(
        "warning",
        f"Nobody here could call Agent ID APIs: it takes a token of the app, and {mine}.",
        "entraclaw-setup onboard --only provisioner",
    )


CHECKS: Final = (
    Check("azure-cli", "Azure CLI", _cli, ("programs",)),
    Check("session", "Azure sign-in", _session, ("azure-cli", "reach", "token")),
    Check("agent-apis", "Agent ID APIs", _agents, ("session", "token")),
)
