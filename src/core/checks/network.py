"""Network: what answers, whose clock is right, and which proxy and which roots each client uses."""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from core.checks.base import Check, Diagnosis, Unseen, Verdict
from core.checks.project import ROLLBACK
from core.clock import together
from core.errors import NetworkError
from core.events import Grade
from core.machine import prerequisites
from core.steps.app.find import TOLERANCE

#: Seconds to connect, and between two bytes: a diagnosis does not wait for what does not come.
PATIENCE: Final = (3.05, 5.0)
#: Seconds from which on a difference of the clocks is told; a date header has whole seconds.
_NOTABLE: Final = 60.0
_VARIABLES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_OFF: Final = "AZURE_CLI_DISABLE_CONNECTION_VERIFICATION"


def _reach(diagnosis: Diagnosis) -> Verdict:
    cloud, session = diagnosis.ctx.cloud, diagnosis.ctx.session
    tenant = diagnosis.ctx.target.tenant or "organizations"
    places: tuple[tuple[str, str, Grade], ...] = (
        ("sign-in", f"{cloud.authority}/{tenant}/v2.0/.well-known/openid-configuration", "failure"),
        ("Microsoft Graph", f"{cloud.graph}/v1.0/", "failure"),
        ("Azure Resource Manager", f"{cloud.arm}/metadata/endpoints?api-version=2019-05-01", "warning"),
    )

    def ask(what: str, url: str, grade: Grade) -> Verdict:
        try:
            answer = session.request("GET", url, timeout=PATIENCE)
        except NetworkError as error:
            remedy = error.remedy if error.id != "network.unreachable" else _UNREACHED
            return Verdict(grade, f"{what}: {error.summary} [{error.id}]", remedy)
        if answer.status_code == 407:
            remedy = "Put it into HTTPS_PROXY, percent-encoded: http://name:password@host:port."
            return Verdict(grade, f"{what}: the proxy wants a password (407)", remedy)
        if answer.status_code >= 500 or not _spoken(answer.content):
            kind = answer.headers.get("Content-Type", "no type")
            said = f"{what}: what answered is not the service (status {answer.status_code}, {kind})"
            return Verdict(grade, said, f"A proxy or a sign-in page of this network may be in between. {_UNREACHED}")
        return Verdict("ok", what)

    found = together(*(partial(ask, *place) for place in places))
    return Verdict.all(found, f"{', '.join(what for what, _, _ in places)} of cloud '{cloud.name}' answer")


def _spoken(body: bytes) -> bool:
    """Whether it is JSON, as every answer of the three services is, refusals too; Resource Manager's is a list."""
    try:
        return isinstance(json.loads(body), dict | list)
    except (ValueError, RecursionError):
        return False


_UNREACHED: Final = (
    "Check the network, a VPN and the proxy (see the line on proxies); 'entraclaw-setup doctor' shows when it is back."
)


def _clock(diagnosis: Diagnosis) -> Verdict:
    session = diagnosis.ctx.session
    if not session.dated:
        raise Unseen("no answer told the service's time")
    seconds = abs(session.skew)
    if seconds < _NOTABLE:
        return Verdict("ok", f"{seconds:.0f} s apart from the service's")
    state: Grade = "failure" if seconds > TOLERANCE else "warning"
    evidence = f"This machine's clock is {session.clock_error}. Sign-in is refused from {TOLERANCE:.0f} s on."
    return Verdict(state, evidence, "Set it: sudo timedatectl set-ntp true (Windows: w32tm /resync).")


def _proxy(diagnosis: Diagnosis) -> Verdict:
    """All three use requests, and so read the same variables; this process hands its own to az."""
    cloud, session = diagnosis.ctx.cloud, diagnosis.ctx.session
    routes = {origin: session.proxy(origin) or "directly" for origin in sorted(cloud.origins)}
    told = "; ".join(f"{origin} {f'through {how}' if how != 'directly' else how}" for origin, how in routes.items())
    evidence = f"This program (requests), azure-identity with MSAL, and az alike: {told}"
    odd = [origin for origin, how in routes.items() if how != "directly" and not _whole(how)]
    if odd:
        what = f"The proxy for {', '.join(odd)} cannot be read as an address: {routes[odd[0]]}"
        remedy = "Write it as http://host:port. In a name or password, write / ? # @ : and \\ percent-encoded (%2F …)."
        return Verdict("failure", what, remedy)
    both = [name for name in _VARIABLES if len({os.environ[n] for n in (name, name.lower()) if n in os.environ}) > 1]
    if both:
        what = f"{', '.join(both)}: upper and lower case name different values, and not every program takes the same."
        return Verdict("warning", f"{what}\n{evidence}", "Unset one of the two.")
    return Verdict("ok", evidence)


def _whole(proxy: str) -> bool:
    """Whether every program reads a proxy in the same way; a wrong one may hide a part of its password."""
    raw = [value for name, value in os.environ.items() if name.lower().endswith("_proxy") and value.endswith(proxy)]
    try:
        parts = [urlsplit(value if "//" in value else f"http://{value}") for value in (*raw, proxy)]
        return all(part.hostname and part.port != 0 and not part.query and not part.fragment for part in parts)
    except ValueError:
        return False


def _trust(diagnosis: Diagnosis) -> Verdict:
    """This program and MSAL in it share one session; az runs in a process of its own, with roots of its own."""
    cloud, session = diagnosis.ctx.cloud, diagnosis.ctx.session
    told = f"This program and azure-identity with MSAL: {session.trust}."
    if not any(tool.name == prerequisites.AZ and tool.needed for tool in diagnosis.ctx.tools()):
        return Verdict("ok", told)  # somebody else signs in
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or ""
    found = list(_faults(named, str(cloud.ca_bundle or "")))
    told += f" az: {named or 'the roots that it brings along'}."
    verdict = Verdict.all(found, told)
    return verdict if not found else Verdict(verdict.state, f"{verdict.evidence}\n{told}", verdict.remedy)


def _faults(named: str, of_cloud: str) -> Iterator[Verdict]:
    if os.environ.get(_OFF):
        yield Verdict("failure", f"{_OFF} is set: az trusts whoever answers.", f"unset {_OFF}")
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if os.environ.get(variable) and not named:
            what = f"{variable} is set, but neither this program nor MSAL nor az reads it."
            yield Verdict("warning", what, "Name the roots in REQUESTS_CA_BUNDLE.")
    missing = _certificates(of_cloud) - (_certificates(named) if named else frozenset()) if of_cloud else frozenset()
    if missing:
        what = f"az does not trust what the cloud file trusts ({of_cloud}): it ends with CERTIFICATE_VERIFY_FAILED."
        yield Verdict("warning", what, f"export REQUESTS_CA_BUNDLE='{of_cloud}'")


def _certificates(path: str) -> frozenset[str]:
    """The certificates of a PEM file; none of a folder, or of what cannot be read."""
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace")
        found = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)
        return frozenset(ssl.PEM_cert_to_DER_cert(pem).hex() for pem in found)
    except (OSError, ValueError):
        return frozenset()


CHECKS: Final = (
    Check("proxy", "Proxy", _proxy),
    Check("trust", "Trusted roots", _trust, ("programs",)),
    Check("reach", "Answers", _reach, ("state-file",)),
    Check("clock", "Clock", _clock, ("reach",)),
    ROLLBACK,
)
