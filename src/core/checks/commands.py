"""What `verify` proves, as commands of az, jq, openssl and the keystore's own tool, for whoever trusts nobody (M9).

They read, print no secret and no key, and want bash. Nothing is asked of the keystore or the service to make them.
"""

from __future__ import annotations

import shlex
import sys
from typing import Final, NamedTuple

from core.errors import SetupError
from core.steps import prerequisites
from core.steps.context import Context

#: Read an entry: what is printed goes to the next program alone.
_READ: Final = {
    "linux": "secret-tool lookup service {service} username {account}",
    "darwin": "security find-generic-password -s {service} -a {account} -w | (xxd -r -p)",
}
#: A client assertion (RFC 7523) signed by openssl, and a token for it; the key stays in the shell's own memory, because
#: printf is part of bash.
_BY_HAND: Final = """\
(
  entry=$({read})
  b64() {{ openssl base64 -A | tr '+/' '-_' | tr -d '='; }}
  x5t=$(printf '%s\\n' "$entry" | openssl x509 -outform DER | openssl dgst -sha256 -binary | b64)
  now=$(date +%s)
  head=$(jq -cn --arg x "$x5t" '{{alg:"RS256",typ:"JWT","x5t#S256":$x}}' | b64)
  body=$(jq -cn --arg a {endpoint} --arg c {app_id} --argjson n "$now" --arg j "$(openssl rand -hex 16)" \\
    '{{aud:$a,iss:$c,sub:$c,jti:$j,nbf:$n,exp:($n+300)}}' | b64)
  signature=$(printf %s "$head.$body" | openssl dgst -sha256 -sign <(printf '%s\\n' "$entry") | b64)
  printf %s "$head.$body.$signature" | curl -sS{trust} {endpoint} --data-urlencode client_assertion@- \\
    -d grant_type=client_credentials -d client_id={app_id} --data-urlencode scope={scope} \\
    -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer |
    jq -r 'if .access_token then .access_token | split(".")[1] | gsub("-";"+") | gsub("_";"/")
      | . + "=" * ((4 - length % 4) % 4) | @base64d | fromjson | {{aud, appid, tid}} else . end'
)"""


class Command(NamedTuple):
    """One check by hand.

    :param check: the name of the check in `verify`.
    :param expected: what it prints if the check holds.
    :param line: for bash.
    """

    check: str
    expected: str
    line: str


def commands(ctx: Context) -> tuple[Command, ...]:
    """The checks of this project, in the order in which `verify` tells them.

    :param ctx: with the state file not read yet.
    :raises SetupError: the state file cannot be read, or names no app; `verify.no-commands`: this system has no
        program that prints an entry.
    """
    prerequisites.ReadStateFile().apply(ctx)
    target, profile = ctx.target, ctx.profile
    if not target.app_id:
        raise SetupError(
            "usage.settings", detail=f"{ctx.statefile.path.name} names no app id; pass --app-id", command="verify"
        )
    if sys.platform not in _READ:
        raise SetupError("verify.no-commands", system=sys.platform)
    path = ctx.statefile.path.resolve()
    file, folder, name, app = (shlex.quote(str(v)) for v in (path, path.parent, path.name, target.app_id))
    read = _READ[sys.platform].format(service=shlex.quote(ctx.service), account=shlex.quote(target.tenant))
    token = _BY_HAND.format(
        read=read,
        endpoint=shlex.quote(f"{ctx.cloud.authority}/{target.tenant}/oauth2/v2.0/token"),
        app_id=app,
        scope=shlex.quote(ctx.cloud.graph_scope),
        trust=f" --cacert {shlex.quote(str(ctx.cloud.ca_bundle))}" if ctx.cloud.ca_bundle else "",
    )
    left = "az ad {kind} credential list --id " + app + " --query 'length(@)'"
    keys = (
        f"az ad app credential list --id {app} --cert --query '[].[customKeyIdentifier,endDateTime,displayName]' -o tsv"
    )
    thumbprint = f"jq -r .{profile.thumbprint_member} {file}"
    return (
        Command("state-file", "true", f"jq 'has(\"{profile.secret_member}\") | not' {file}"),
        Command("git", f"{path.name}, where git is used", f"git -C {folder} check-ignore --no-index {name}"),
        Command("git", "nothing", f"git -C {folder} ls-files {name}"),
        Command("key", "the certificate's end and SHA-1", f"{read} | openssl x509 -noout -enddate -fingerprint -sha1"),
        Command("token", f"aud, {target.app_id} and {target.tenant}", token),
        Command("passwords", "0", left.format(kind="app")),
        Command("passwords", "0", left.format(kind="sp")),
        Command("certificate", "a line with that SHA-1", keys),
        Command("thumbprint", "that SHA-1", thumbprint),
    )
