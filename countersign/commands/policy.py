"""`policy check|apply`: a tenant's policy file, and the version of it that is in force."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.directory import TenantContext
from core.policy import Policy
from countersign.deployment import Deployment, deployment
from countersign.failure import AnswerIsNo, UsageWrong
from countersign.governing import CosignKey, GovernorKey, check_two, governors, require_two
from countersign.options import examples, group
from countersign.output import JsonFlag, emit, note, say
from countersign.policy_findings import findings
from countersign.structured_file import StructuredFile, read_structured, validated
from producers.publisher import Identity, Publisher
from schemas.canonical import canonical_json, sha256_hex
from schemas.directory import PolicyDocument

app = group("The policy of a tenant: what needs a human, and which one.")

PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON.")]


@app.command(epilog=examples("policy check policy.yaml"))
def check(file: PolicyFile, as_json: JsonFlag = False) -> None:
    """Check a policy file; each error names its line and its mend."""
    source, policy = _read(file)
    warnings = _warned(source, policy)
    data = _summary(policy, _canonical(source)) | {"valid": True, "warnings": warnings}
    emit(
        data,
        as_json=as_json,
        text=lambda: say(
            f"{file}: valid: tenant {policy.tenant_id}, version {policy.policy_version}, "
            f"{len(policy.rules)} rules, {len(policy.tools)} tools"
        ),
    )


@app.command(
    epilog=examples(
        "policy apply policy.yaml --key keys/governor.pem",
        "policy apply policy.yaml --key keys/one.pem --cosign keys/two.pem",
        "policy apply policy.yaml                # while the tenant has no governors",
    )
)
def apply(
    file: PolicyFile,
    key: GovernorKey = None,
    cosign: CosignKey = None,
    as_json: JsonFlag = False,
) -> None:
    """Publish a policy. A version is immutable: other content needs another version."""
    policy, document = read_policy(file)
    where = deployment()
    signers = governors(where, policy.tenant_id, key, cosign)
    if policy.dual_control:
        check_two(signers, policy.tenant_id)
    before = where.directories().latest()
    require_two(signers, before, policy.tenant_id)
    change = _publish(where, before.tenant(policy.tenant_id), policy, document, signers)
    signed_by = [signer.subject for signer in signers]
    data = _summary(policy, document) | {"change": change, "signed_by": signed_by}
    emit(
        data,
        as_json=as_json,
        text=lambda: say(f"tenant {policy.tenant_id}, version {policy.policy_version}: {change}"),
    )


def read_policy(path: Path) -> tuple[Policy, str]:
    """The policy of a file and its canonical text; warnings go to standard error.

    Raises UsageWrong, one line an error.
    """
    source, policy = _read(path)
    _warned(source, policy)
    return policy, _canonical(source)


def _read(path: Path) -> tuple[StructuredFile, Policy]:
    file = read_structured(path)
    return file, validated(file, Policy)


def _warned(file: StructuredFile, policy: Policy) -> list[str]:
    """Says and returns what is valid and worth a warning."""
    warnings = [file.complaint(loc, what) for loc, what in findings(policy)]
    for line in warnings:
        note(f"warning: {line}")
    return warnings


def _canonical(file: StructuredFile) -> str:
    try:
        return canonical_json(file.document)
    except ValueError as error:
        raise UsageWrong(f"{file.path}: has no canonical JSON form: {error}") from None


def _summary(policy: Policy, document: str) -> dict[str, object]:
    return {
        "tenant_id": policy.tenant_id,
        "policy_version": policy.policy_version,
        "rules": len(policy.rules),
        "tools": len(policy.tools),
        "document_digest": sha256_hex(document.encode()),
    }


def _publish(
    where: Deployment,
    before: TenantContext,
    policy: Policy,
    document: str,
    signers: Sequence[Identity],
) -> str:
    """Publishes the version if it is not in force already. Raises AnswerIsNo."""
    version, tenant_id = policy.policy_version, policy.tenant_id
    _refuse_other_content(before, policy, document)
    if before.policy is not None and before.policy.policy_version == version:
        return "unchanged"
    record = PolicyDocument(tenant_id=tenant_id, policy_version=version, document_json=document)
    with Publisher(where.kafka) as out:
        out.publish(
            record,
            identity=None,
            cosigners=signers,
            record_id=f"{tenant_id}-{sha256_hex(document.encode())}",
            jti=version,
        )
    # Two may have published at once; the first counts, and every task sees the same one.
    after = where.directories().latest().tenant(tenant_id)
    _refuse_other_content(after, policy, document)
    if version not in after.documents:
        raise AnswerIsNo(
            f"version {version!r} of {tenant_id} is published, and the worker does not believe it: "
            "its log says why (directory_record_refused); compare its COUNTERSIGN_TRUSTED_KEYS and "
            "clock with these here"
        )
    if version in before.documents:
        return "in force again"
    return "published" if before.policy is not None else "published, the tenant's first"


def _refuse_other_content(known: TenantContext, policy: Policy, document: str) -> None:
    present = known.documents.get(policy.policy_version)
    if present is None or present == document:
        return
    changed = sorted(_different_keys(present, document))
    raise AnswerIsNo(
        f"policy_version {policy.policy_version!r} of {policy.tenant_id} is published with other "
        f"content (differs in: {', '.join(changed)}); give the changed policy a new version"
    )


def _different_keys(one: str, other: str) -> set[str]:
    left, right = json.loads(one), json.loads(other)
    return {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}
