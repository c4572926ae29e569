"""In whose name `policy apply` and `reviewers apply` sign, checked here as the worker will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from core.directory import Directory
from core.jwk import TrustedKey
from countersign.deployment import Deployment
from countersign.failure import UsageWrong
from producers.keys import read_key
from producers.publisher import Identity

GovernorKey = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="PEM",
        help="A governor's private key (0600); needed once the tenant has a policy_admin key.",
    ),
]
CosignKey = Annotated[
    Path | None,
    typer.Option("--cosign", metavar="PEM", help="A second governor's, under dual control."),
]


def governors(
    where: Deployment, tenant_id: str, key: Path | None, cosign: Path | None
) -> list[Identity]:
    """Who signs; nobody where the tenant has no governors and no key is given.

    Raises UsageWrong with what the worker would refuse it for, KeyFileError.
    """
    if cosign is not None and key is None:
        raise UsageWrong("--cosign: is the second signature; name the first key with --key")
    trusted = where.trusted()
    moment = datetime.now(UTC)
    known = trusted.by_kid.values() if trusted is not None else ()
    governed = any(one.policy_admin and tenant_id in one.tenant_ids for one in known)
    if key is None:
        if governed:
            raise UsageWrong(
                f"--key: is missing: {tenant_id} has governors, and the worker believes nothing "
                "else; name a policy_admin's PEM"
            )
        return []
    if trusted is None:
        raise UsageWrong(
            "--key: COUNTERSIGN_TRUSTED_KEYS is not set, so nobody can tell whose key it is; set "
            "it to the JWKS that the worker has"
        )
    given = {"--key": key} | ({"--cosign": cosign} if cosign is not None else {})
    found = [
        _governor(option, path, trusted.by_kid, tenant_id, moment) for option, path in given.items()
    ]
    if len({one.subject for one in found}) < len(found):
        raise UsageWrong(f"--cosign: both keys are {found[0].subject}'s; leave one out")
    return found


def _governor(
    option: str,
    path: Path,
    trusted: Mapping[str, TrustedKey],
    tenant_id: str,
    moment: datetime,
) -> Identity:
    key = read_key(path)
    entry = trusted.get(key.kid)
    mend = f"make one: countersign keys new --admin A --tenant {tenant_id} --add-to JWKS"
    if entry is None:
        raise UsageWrong(f"{option}: {path} is not in COUNTERSIGN_TRUSTED_KEYS; add its JWK")
    if not entry.policy_admin or entry.admin_id is None:
        raise UsageWrong(f"{option}: {path} is no policy_admin's key; {mend}")
    if tenant_id not in entry.tenant_ids:
        raise UsageWrong(f"{option}: {path} governs other tenants than {tenant_id}; {mend}")
    if reason := entry.unusable_at(moment):
        raise UsageWrong(f"{option}: {path}: {reason}; take another key")
    return Identity(key, entry.admin_id)


def require_two(signers: Sequence[Identity], directory: Directory, tenant_id: str) -> None:
    """Raises UsageWrong where the policy in force wants two signatures and there is one."""
    policy = directory.tenant(tenant_id).policy
    if policy is not None and policy.dual_control:
        check_two(signers, tenant_id)


def check_two(signers: Sequence[Identity], tenant_id: str) -> None:
    """Raises UsageWrong when only one has signed; nobody: the tenant has no governors yet."""
    if len(signers) == 1:
        raise UsageWrong(
            f"--cosign: {tenant_id} is under dual control (dual_control: true); name the key of a "
            f"second governor than {signers[0].subject}"
        )
