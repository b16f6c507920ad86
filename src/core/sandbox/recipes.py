"""How other clients are led to a running sandbox: lines to paste, with its own addresses and files in them (S4)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from core.sandbox.token_service.tokens import AZURE_CLI

_AZ: Final = """\
export AZURE_CONFIG_DIR={azure} REQUESTS_CA_BUNDLE={ca}
export {proxies}
az ad signed-in-user show
"""
_PYTHON: Final = """\
from azure.identity import DeviceCodeCredential  # the others take the same keywords

credential = DeviceCodeCredential(
    client_id={client!r},
    tenant_id={tenant!r},
    authority={authority!r},
    disable_instance_discovery=True,
    connection_verify={ca_file!r},
)
credential.get_token({scope!r})
"""
_TERRAFORM: Final = """\
# the azuread provider, signed in by az; from its source, not tried with a real Terraform
export AZURE_CONFIG_DIR={azure} REQUESTS_CA_BUNDLE={ca}
export {proxies}
export ARM_METADATA_HOSTNAME={host} ARM_TENANT_ID={tenant} ARM_USE_CLI=true SSL_CERT_FILE={ca}
terraform plan
"""
_BROWSER: Final = """\
# Chromium or Chrome on Linux, with a profile that trusts this CA and goes with the sandbox (certutil: libnss3-tools)
mkdir -p {profile}/.pki/nssdb
certutil -d sql:{profile}/.pki/nssdb -N --empty-password
certutil -d sql:{profile}/.pki/nssdb -A -n sandbox -t C,, -i {ca}
HOME={profile} chromium --user-data-dir={profile}/data {page}
"""
_TEXTS: Final = {"az": _AZ, "python": _PYTHON, "terraform": _TERRAFORM, "browser": _BROWSER}


def recipes(info: Mapping[str, object]) -> dict[str, str]:
    """Lines by client: for a shell, and for `python` in Python.

    :param info: from `Lab.info`.
    """
    authority, ca = str(info["authority"]), str(info["ca"])
    facts = {
        "azure": shlex.quote(str(info["az_config_dir"])),
        "ca": shlex.quote(ca),
        "ca_file": ca,
        "client": AZURE_CLI,
        "tenant": str(info["tenant"]),
        "authority": authority,
        "proxies": " ".join(f"{name}={shlex.quote(value)}" for name, value in _proxies(info).items()),
        "host": authority.removeprefix("https://"),
        "scope": f"{info['graph']}/.default",
        "page": f"{authority}/",
        "profile": shlex.quote(str(Path(ca).parent / "browser")),
    }
    return {name: text.format(**facts) for name, text in _TEXTS.items()}


def _proxies(info: Mapping[str, object]) -> dict[str, str]:
    """In both cases, because the lower one wins where somebody has set it already."""
    values = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    return values | dict.fromkeys(("HTTPS_PROXY", "https_proxy"), str(info["proxy"])) if info.get("proxy") else values
