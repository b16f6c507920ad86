"""The Provisioner's permissions: what is known, what is wanted of a tenant, what amounts to a takeover (P6, M14)."""

from __future__ import annotations

import re
from pathlib import Path

from core.entra import permissions
from core.sandbox.graph import roles


def test_P6_the_products_list_and_the_sandboxs_are_the_same() -> None:
    assert dict(permissions.BASE) == dict(roles.BASE)
    assert dict(permissions.AGENT) == dict(roles.AGENT)
    assert len(permissions.KNOWN) == 26


def test_P6_the_page_of_protocol_facts_has_the_same_list() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "entra-protocol.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| \d+ \| ([\w.]+) \| `([0-9a-f-]{36})` \|$", page, re.MULTILINE)) == dict(
        permissions.KNOWN
    )


def test_P6_wanted_is_the_base_list_and_what_the_tenant_offers_of_the_known_agent_roles() -> None:
    offered = dict(roles.OFFERED)
    assert permissions.wanted(offered) == dict(permissions.KNOWN)
    del offered["AgentIdentity.Create.All"]
    assert permissions.wanted(offered).keys() == permissions.KNOWN.keys() - {"AgentIdentity.Create.All"}
    assert permissions.wanted({}) == dict(permissions.BASE)


def test_P6_a_new_agent_role_is_shown_and_near_misses_are_not() -> None:
    assert permissions.unknown([*roles.OFFERED, "AgentIdentity.UpdateSponsors.All"]) == [
        "AgentIdentity.UpdateSponsors.All"
    ]
    assert permissions.unknown(roles.NEAR_MISSES) == []
    assert not any(permissions.is_agent(name) for name in roles.NEAR_MISSES)


def test_M14_what_amounts_to_a_takeover_is_marked() -> None:
    assert permissions.takeover(permissions.BASE) == [
        "AppRoleAssignment.ReadWrite.All",
        "Application.ReadWrite.All",
        "DelegatedPermissionGrant.ReadWrite.All",
    ]
    assert permissions.takeover(["Organization.Read.All"]) == []
    assert permissions.name_of("no-such-id") == "no-such-id"


def test_M14_the_narrow_ways_to_a_takeover_are_marked_like_the_broad_ones() -> None:
    narrow = {
        *("UserAuthMethod-TAP.ReadWrite.All", "UserAuthMethod-Passkey.ReadWrite.All"),
        *("Domain-InternalFederation.ReadWrite.All", "PublicKeyInfrastructure.ReadWrite.All"),
        "PrivilegedAccess.ReadWrite.AzureAD",
    }
    assert set(permissions.takeover(narrow)) == narrow
    assert permissions.takeover(["UserAuthMethod-TAP.Read.All", "Domain-InternalFederation.Read.All"]) == []
