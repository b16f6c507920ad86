"""The app: sign-in with the certificate, its credentials and whose they are, its permissions, and who may change it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from core.checks.base import ATTENDED, Check, Diagnosis, Unseen, Verdict
from core.checks.keystore import PENDING, made_here, own_key
from core.entra import application, permissions
from core.entra.application import App, Key
from core.entra.tokens import mint
from core.events import Grade
from core.steps import directory_roles, older_app
from core.steps.app import find, other_identities
from core.steps.facts import AppRegistration, Proof, SignedIn

#: How long after it was added an unknown certificate is explained by replication; over five minutes have been seen.
_LAG: Final = timedelta(minutes=30)
_RENEW: Final = "Run 'entraclaw-setup onboard --only provisioner': it registers this machine again, beside the others."
_MIGRATE: Final = "Run 'entraclaw-setup migrate'."
_AGAIN: Final = "Run 'entraclaw-setup migrate': it makes a new key and registers it, beside the others."
#: Permissions that are named one by one.
_NAMED: Final = 5
_SOON: Final = timedelta(days=30)


def token(diagnosis: Diagnosis) -> Verdict:
    """A token can be minted with this machine's key; `mint` compares what it says (M9)."""
    diagnosis.need("reach", "the sign-in service was not reached")
    ctx = diagnosis.ctx
    key_pair = own_key(diagnosis)
    if not ctx.target.app_id:
        raise Unseen("no app id is known", f"Pass --app-id, or name it in {ctx.statefile.path.name}.")
    minted = mint(ctx.session, ctx.cloud, ctx.target.tenant, ctx.target.app_id, key_pair)
    ctx.facts.put(Proof(minted))
    aud, tid = minted.claims.get("aud"), minted.claims.get("tid")
    evidence = f"a token of app {ctx.target.app_id}, with {len(minted.roles)} permissions, aud {aud}, tid {tid}"
    return Verdict("ok", evidence)


def registration(diagnosis: Diagnosis) -> Verdict:
    """The app can be read, and is the one that is meant (P1)."""
    profile = diagnosis.ctx.profile
    target = diagnosis.ctx.target
    diagnosis.need("reach", "Microsoft Graph was not reached")
    graph = diagnosis.graph()
    app = application.read(graph, target.app_id) if target.app_id else None
    diagnosis.ctx.facts.drop(AppRegistration)
    if app is not None:
        diagnosis.ctx.update_app(app)
        named = f"'{app.name}' ({app.app_id}), created {app.created[:10]}"
        known = diagnosis.ctx.settings.named(target.app_id) or find.holds_our_key(diagnosis.ctx, app)
        if app.name != profile.app_display_name and not known:
            what = f"{named}: its name is not '{profile.app_display_name}'; the state file may name the wrong app."
            return Verdict("warning", what, f"If it is right, say so: --app-id {target.app_id}")
        return Verdict("ok", named)
    stale = f"There is no app {target.app_id} in tenant {target.tenant}. " if target.app_id else ""
    same = find.of_that_name(diagnosis.ctx) if diagnosis.ctx.facts.maybe(SignedIn) is not None else []
    if len(same) > 1:
        told = find.Several(diagnosis.ctx, same)
        return Verdict("failure", f"{stale}{told.summary} [{told.id}]", told.remedy)
    if same:
        other = same[0]["appId"]
        unread = not diagnosis.ctx.project.members and diagnosis.ctx.statefile.exists()
        why = "could not be read" if unread else "does not name it"
        found = f"{stale}One app is called '{profile.app_display_name}': {other}; the state file {why}."
        return Verdict("warning", found, f"If it is the one, say so: --app-id {other}")
    remedy = "entraclaw-setup onboard --only provisioner"
    return Verdict("failure" if stale else "warning", f"{stale}No app is called '{profile.app_display_name}'.", remedy)


def _accepted(diagnosis: Diagnosis) -> Verdict:
    """The app knows this machine's certificate, and so does the sign-in service."""
    verdict = certificate(diagnosis)
    refused = diagnosis.ctx.maybe_proof is None and diagnosis.verdicts["token"].state == "failure"
    key = _read(diagnosis).holds(own_key(diagnosis))
    if verdict.state == "ok" and refused and key is not None:
        return _refused(verdict.evidence, diagnosis.ctx.clock.now() - _begin(key))
    return verdict


def certificate(diagnosis: Diagnosis) -> Verdict:
    """Whether the app knows this machine's certificate, and if not, what may have happened to it (M9)."""
    app, key_pair, now = _read(diagnosis), own_key(diagnosis), diagnosis.ctx.clock.now()
    key = app.holds(key_pair)
    if key is not None:
        until = f"{key_pair.thumbprint} (keyId {key.id}), {key.validity}"
        if key.expired(now) or key_pair.expired(now):
            return Verdict("failure", f"{until}: it has expired", _RENEW)
        return Verdict("ok", until)
    gone = f"The certificate {key_pair.thumbprint} of this machine is no longer on the app"
    others = [k for k in app.keys if not k.signs and _begin(k) > key_pair.not_before]
    if others:
        newest = max(others, key=_begin)
        whose = f"{newest.thumbprint} '{newest.name}'"
        evidence = (
            f"{gone}. Another one was added after it ({whose}, {_begin(newest).date()}): most likely by a tool that "
            "replaces the whole list of keys, and so wiped those of other machines, too."
        )
        return Verdict("failure", evidence, f"{_AGAIN} Stop using that tool on the other machines.")
    return Verdict("failure", f"{gone}: somebody removed it. Sign-in fails with AADSTS700027.", _AGAIN)


def _refused(until: str, age: timedelta) -> Verdict:
    if age < _LAG:
        evidence = (
            f"{until}: it is on the app since a moment ago, and the sign-in service does not know it yet (replication; "
            "mostly up to a minute, over five have been seen)."
        )
        return Verdict(
            "warning", evidence, "Wait some minutes, then run 'entraclaw-setup doctor' again. Change nothing."
        )
    return Verdict("failure", f"{until}: it is on the app, and sign-in is refused all the same.", _RENEW)


def passwords(diagnosis: Diagnosis) -> Verdict:
    """No password credential is left; a replica that lags does not show that of a rollback (M9, M10)."""
    app, profile, members = _read(diagnosis), diagnosis.ctx.profile, diagnosis.ctx.project.members
    left, rollback = app.all_passwords, diagnosis.verdicts["rollback"]
    listing = "\n".join(f"  {application.HOLDER_NAME[password.holder]}: {password}" for password in left)
    if rollback.state == "failure":
        evidence = f"{len(left)} left, of a rollback of this machine:\n{listing}" if left else rollback.evidence
        return Verdict("failure", evidence, _MIGRATE)
    if not left:
        return Verdict("ok", "none on the app registration, none on its service principal")
    if members.get(profile.thumbprint_member) and diagnosis.ctx.project.secret is None:
        evidence = (
            f"{len(left)} left, although the state file looks migrated: an earlier run did not delete them all, "
            f"whatever it said. Whoever has such a secret still signs in as the app.\n{listing}"
        )
        return Verdict("failure", evidence, f"{_MIGRATE} It deletes them, and proves that they are gone.")
    evidence = f"{len(left)} can sign in as the app:\n{listing}"
    return Verdict("failure", evidence, f"{_MIGRATE} It replaces them by a certificate.")


def unknown(diagnosis: Diagnosis) -> Verdict:
    """What else can sign in as the app, and is neither this machine's nor acknowledged (M17)."""
    return Verdict.all(_unknown(diagnosis), _known(_read(diagnosis)))


def _unknown(diagnosis: Diagnosis, ours: frozenset[str] = frozenset()) -> list[Verdict]:
    found = other_identities.unacknowledged(diagnosis.ctx, _read(diagnosis), ours)
    return [Verdict("warning", finding.message, finding.remedy) for finding in found]


def _known(app: App) -> str:
    return f"owners: {app.owned_by}; nothing that is neither this machine's nor acknowledged"


def _others(diagnosis: Diagnosis) -> Verdict:
    """Likewise, but for what this machine says it made, and every key of others that ends."""
    app, now, ours = _read(diagnosis), diagnosis.ctx.clock.now(), diagnosis.ctx.maybe_key_pair
    ending = [
        f"The certificate {k.thumbprint} '{k.name}' {'ended' if k.expired(now) else 'ends'} on {k.end_date}."
        for k in app.keys
        if k.expired(now + _SOON) and not (ours is not None and k.der == ours.der)
    ]
    found = [
        *_unknown(diagnosis, made_here(diagnosis)),
        *(Verdict("warning", told, "Whoever uses it renews it.") for told in ending),
    ]
    return Verdict.all(found, _known(app))


def _permissions(diagnosis: Diagnosis) -> Verdict:
    """The difference between what is wanted, declared and granted; a read that fails is no answer (P6)."""
    app = _read(diagnosis)
    _, offered = permissions.read_offered(diagnosis.graph())
    wanted = permissions.wanted(offered)
    names = {role: name for name, role in {**offered, **permissions.KNOWN}.items()}
    found = []
    if drift := other_identities.drift(app):
        listing = ", ".join(names.get(role, role) for role in drift)
        evidence = f"{len(drift)} declared by the app and not granted to it (consent drift): {listing}"
        remedy = "entraclaw-setup onboard --only provisioner, or migrate --repair-permissions"
        found.append(Verdict("failure", evidence, remedy))
    missing = sorted(name for name, role in wanted.items() if role not in app.granted | app.declared)
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        evidence = f"{len(missing)} neither declared nor granted: {', '.join(missing[:_NAMED])}{more}"
        found.append(Verdict("warning", evidence, "entraclaw-setup onboard --only provisioner"))
    told = other_identities.roles(app)
    if told.remedy:
        found.append(Verdict("warning", told.message, told.remedy))
    return Verdict.all(found, told.message)


def _rights(diagnosis: Diagnosis) -> Verdict:
    app, ctx = _read(diagnosis), diagnosis.ctx
    signed_in = ctx.facts.maybe(SignedIn)
    if signed_in is None:
        raise Unseen("nobody is signed in to the Azure CLI")
    reason = directory_roles.told_to_write(ctx, app)
    if reason is not None:
        return Verdict("ok", f"{signed_in.account.user} may: {reason}")
    work = bool(app.all_passwords) or ctx.maybe_proof is None
    state: Grade = "failure" if work else "ok"
    evidence = (
        f"Nothing tells that {signed_in.account.user} may change '{app.name}': neither an owner of it, nor Application "
        "Administrator, nor Cloud Application Administrator; a custom role, or one for this app alone, would not show "
        f"in the token. Its owners: {app.owned_by}."
    )
    remedy = (
        "Run 'entraclaw-setup migrate' all the same: it asks Microsoft Graph. Where that refuses, it makes the key and "
        "writes a request, which an administrator or an owner applies with 'entraclaw-setup apply FILE'."
    )
    return Verdict(state, evidence, remedy if work else "")


def _older(diagnosis: Diagnosis) -> Verdict:
    """A machine that went through the renaming of its product (M19)."""
    ctx = diagnosis.ctx
    try:
        older = older_app.look(ctx, diagnosis.graph)
    except Unseen as why:
        path = ctx.statefile.path
        told = f"State files of before and after a renaming lie in {path.parent}; {path.name} is used. {why}"
        raise Unseen(told) from None
    if older is None:
        return Verdict("ok", "there is none beside the current one")
    ctx.facts.put(older)
    told, left = older_app.crossed(ctx, older), older_app.what_is_left(ctx)
    if not left:
        return Verdict("ok", f"{told} Nothing of this machine signs in as it.")
    remedy = f"Retire it: entraclaw-setup migrate --retire-older {older.app.app_id}"
    return Verdict("warning", f"{told} Left: {left}.", remedy)


def _read(diagnosis: Diagnosis) -> App:
    app = diagnosis.ctx.maybe_app
    if app is None:
        raise Unseen(*diagnosis.why("app", "the app could not be read"))
    return app


def _begin(key: Key) -> datetime:
    return application.moment(str(key.entry.get("startDateTime")))


CHECKS: Final = (
    Check("token", "Sign-in with the certificate", token, ("key", "reach")),
    Check("app", "App registration", registration, ("session", "token")),
    Check("certificate", "Certificate on the app", _accepted, ("app",)),
    Check("passwords", "Password credentials", passwords, ("app", "rollback")),
    Check("others", "Others who can act as the app", _others, ("app",)),
    Check("permissions", "Permissions", _permissions, ("app",)),
    Check("rights", "Who may change the app", _rights, ("app",)),
    Check("older-app", "App of before the renaming", _older, ("app",), ATTENDED),
    PENDING,
)
