"""What the real service does in ways that sources disagree about (S2)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Switches:
    """Behaviours that sources disagree about (docs/reference/sandbox.md lists each).

    :param agent_id: the tenant has Agent ID; without it nobody knows the grant `user_fic`.
    :param assertion_life: seconds until a client assertion may expire at most; 0: any time.
    :param bad_signature: AADSTS number of an assertion whose signature does not hold: 700027, 7000274 or 50012.
    :param duplicate_grant: status of the refusal to grant an app role twice: 400 or 409.
    :param exchange_guid: T1 and T2 name their audience by its app id, not by its address.
    :param expired_entry_blocks: an expired key credential left in the list makes a PATCH fail.
    :param fallback_is_public: an app that allows public client flows may not present a credential (700025).
    :param federation_detail: 700211, 700212 and 700213 say what does not fit a federated credential; else 70021 does.
    :param login_refuses: AADSTS number of refusals.toml that every request for a token meets; 0: none.
    :param loop_limit: equal requests for a token within five minutes before 50196; 0: any number.
    :param organization_reads_domains: `/domains` takes Organization.Read.All too, as the original was let.
    :param page_size: items of a list page.
    :param pending_polls: polls of a device code that answer `authorization_pending`.
    :param premium: the tenant has the licence for sign-in reports.
    :param principal_too_early: status of the refusal of a service principal for an app not known yet: 403, 400 or 404.
    :param replay: a client assertion may be used again.
    :param restore_brings_principal: restoring an application restores its service principal.
    :param skew: seconds of clock difference that the token endpoint tolerates.
    :param storage_polls: looks at a storage account that is being made which are answered 202.
    :param token_use_required: the third hop takes `requested_token_use`.
    :param users_may_consent: a missing consent is 65001, which anybody may give; else 90094.
    :param users_may_create_apps: anybody may register apps; else it takes a directory role.
    :param proof_ps256: a proof of possession may be signed PS256; else RS256 alone.
    :param remove_signing_key: removeKey removes the key that signs its proof.
    :param start_time_required: a consent for one principal needs `startTime`.
    :param consent_too_early: status of the refusal of a consent for what is not known yet: 400 or 404.
    :param untyped_credentials: credentials of a Blueprint may be changed on its untyped path too.
    :param blueprint_roles: app roles may be granted to the service principal of a Blueprint.
    :param blueprints: how many Blueprints there may be.
    :param deleted_blueprints_count: those that can be restored count too.
    :param identities: how many Agent Identities one Blueprint may have, deleted ones included.
    :param agent_objects: how many objects of the agent chain there may be, deleted ones included.
    :param cascade_after: seconds from the deletion of a Blueprint, or of its service principal, to its children's.
    :param cascade_users: the Agent Users go with the Agent Identities.
    """

    agent_id: bool = True
    assertion_life: float = 86400.0
    bad_signature: int = 700027
    duplicate_grant: int = 400
    exchange_guid: bool = False
    expired_entry_blocks: bool = False
    fallback_is_public: bool = False
    federation_detail: bool = True
    login_refuses: int = 0
    loop_limit: int = 0
    organization_reads_domains: bool = False
    page_size: int = 100
    pending_polls: int = 1
    premium: bool = True
    principal_too_early: int = 403
    replay: bool = True
    restore_brings_principal: bool = True
    skew: float = 300.0
    storage_polls: int = 1
    token_use_required: bool = False
    users_may_consent: bool = True
    users_may_create_apps: bool = True
    proof_ps256: bool = False
    remove_signing_key: bool = False
    start_time_required: bool = True
    consent_too_early: int = 400
    untyped_credentials: bool = False
    blueprint_roles: bool = True
    blueprints: int = 250
    deleted_blueprints_count: bool = True
    identities: int = 250
    agent_objects: int = 50_000
    cascade_after: float = 300.0
    cascade_users: bool = False
