"""`reviewers check|apply`: a tenant's people and agents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.directory import Directory
from countersign.deployment import deployment
from countersign.directory_file import DirectoryEntry, DirectoryFile, changes, entries, faults
from countersign.failure import AnswerIsNo, UsageWrong
from countersign.governing import CosignKey, GovernorKey, governors, require_two
from countersign.options import examples, group
from countersign.output import JsonFlag, emit, say
from countersign.structured_file import read_structured, validated
from producers.publisher import Publisher
from schemas.directory import ReviewerAuthorization

app = group("The people and agents of a tenant: who may decide, and who may ask.")

DirectoryPath = Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON.")]


@app.command(epilog=examples("reviewers check directory.yaml"))
def check(file: DirectoryPath, as_json: JsonFlag = False) -> None:
    """Check a directory file; each error names its line and its mend."""
    directory, digest = read_directory_file(file)
    data = {
        "valid": True,
        "tenant_id": directory.tenant_id,
        "reviewers": len(directory.reviewers),
        "agents": len(directory.agents),
        "directory_digest": digest,
    }
    emit(
        data,
        as_json=as_json,
        text=lambda: say(
            f"{file}: valid: tenant {directory.tenant_id}, {len(directory.reviewers)} reviewers, "
            f"{len(directory.agents)} agents"
        ),
    )


@app.command(
    epilog=examples(
        "reviewers apply directory.yaml --key keys/governor.pem",
        "reviewers apply directory.yaml --key keys/one.pem --cosign keys/two.pem",
        "reviewers apply directory.yaml          # while the tenant has no governors",
    )
)
def apply(
    file: DirectoryPath,
    key: GovernorKey = None,
    cosign: CosignKey = None,
    as_json: JsonFlag = False,
) -> None:
    """Publish what changed since the last time; who left the file loses their authority."""
    directory, digest = read_directory_file(file)
    where, tenant_id = deployment(), directory.tenant_id
    signers = governors(where, tenant_id, key, cosign)
    before = where.directories().latest()
    require_two(signers, before, tenant_id)
    present = _present(before, tenant_id)
    changed = changes(entries(directory, digest), present, digest)
    with Publisher(where.kafka) as out:
        # Who left comes first: authority is taken before any is given.
        for entry in sorted(changed, key=lambda one: not one.removed):
            out.publish(
                entry,
                identity=None,
                cosigners=signers,
                record_id=f"{tenant_id}-{who(entry)}",
                jti=digest,
            )
    _check_believed(where.directories().latest(), tenant_id, changed)
    data = {
        "tenant_id": tenant_id,
        "directory_digest": digest,
        "published": [who(entry) for entry in changed if not entry.removed],
        "removed": [who(entry) for entry in changed if entry.removed],
        "signed_by": [signer.subject for signer in signers],
    }
    emit(data, as_json=as_json, text=lambda: _say(tenant_id, changed))


def _check_believed(after: Directory, tenant_id: str, changed: list[DirectoryEntry]) -> None:
    present = _present(after, tenant_id)
    lost = [who(entry) for entry in changed if entry not in present]
    if lost:
        raise AnswerIsNo(
            f"{', '.join(lost)}: published, and not in force: somebody else has changed it "
            "meanwhile, or the worker does not believe it (directory_record_refused in its log)"
        )


def read_directory_file(path: Path) -> tuple[DirectoryFile, str]:
    """The directory of a file and its SHA-256. Raises UsageWrong, one line an error."""
    file = read_structured(path)
    directory = validated(file, DirectoryFile)
    found = faults(directory)
    if found:
        raise UsageWrong(*(file.complaint(loc, what) for loc, what in found))
    return directory, file.sha256


def who(entry: DirectoryEntry) -> str:
    """The reviewer or agent that an entry is about."""
    return entry.reviewer_id if isinstance(entry, ReviewerAuthorization) else entry.agent_id


def _present(directory: Directory, tenant_id: str) -> list[DirectoryEntry]:
    tenant = directory.tenant(tenant_id)
    return [*tenant.reviewers.values(), *tenant.agents.values()]


def _say(tenant_id: str, changed: list[DirectoryEntry]) -> None:
    if not changed:
        say(f"tenant {tenant_id}: unchanged")
    for entry in changed:
        say(f"tenant {tenant_id}: {who(entry)} {'removed' if entry.removed else 'published'}")
