"""Small bundles of the audit story, as `audit export` writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from consumers.audit.bundle import (
    MANIFEST,
    MANIFEST_DIGEST,
    InMemory,
    Scope,
    manifest_digest_text,
)
from consumers.audit.export import Exported, Source, export
from consumers.reading import Read
from core.jwk import TrustedKeys, trusted_key
from tests import examples as e
from tests.unit.audit.stories import read_of, told
from tests.unit.control.world import AUDIENCE, KEYS, World, settle, trusted

GRANTS = TrustedKeys.of([trusted_key(KEYS["grant"].public_jwk())])
PACKAGE = Scope(e.TENANT, (e.PACKAGE_ID,))


def a_told_world() -> World:
    """The whole story behind other packages in its partition, under several checkpoints."""
    world = World(checkpoint_entries=4)
    for number in range(6):
        world.request(
            package=e.a_package(decision_package_id=f"pkg-{number}", run_id=f"run-{number}"),
            interrupt_id=f"int-{number}",
            run_id=f"run-{number}",
        )
    settle(world.worker())
    world.cluster.members.clear()
    return told(world=world)


def source_of(world: World) -> Source:
    """The topics of a world."""

    def reads(topic: str, partition: int) -> Iterable[Read]:
        return map(read_of, world.cluster.records(topic, partition))

    return Source(
        cluster_id="cluster-1",
        journal_id=world.cluster.journal_id,
        audience=AUDIENCE,
        balancer_id="svc:balancer",
        partitions=tuple(range(world.cluster.partitions)),
        journal=lambda partition: reads("audit-journal", partition),
        checkpoints=lambda partition: reads("audit-checkpoint", partition),
        directory=lambda topic: reads(topic, 0),
        trusted=trusted(),
        grants=GRANTS,
    )


def exported(world: World, folder: Path, scope: Scope | None = None) -> Exported:
    """Writes the bundle of a world."""
    return export(source_of(world), folder, scope or Scope())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a bundle."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def in_memory(files: dict[str, bytes]) -> InMemory:
    """The same without the disk."""
    return InMemory(files)


def repaired(files: dict[str, bytes]) -> dict[str, bytes]:
    """With a manifest that fits: what somebody who alters a bundle can do about it."""
    form: dict[str, Any] = json.loads(files[MANIFEST])
    listed = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(files.items())
        if name not in (MANIFEST, MANIFEST_DIGEST)
    }
    return resealed(files, {**form, "files": listed})


def resealed(files: dict[str, bytes], manifest: dict[str, Any]) -> dict[str, bytes]:
    """With this manifest and its digest."""
    text = (json.dumps(manifest, indent=1) + "\n").encode()
    return {**files, MANIFEST: text, MANIFEST_DIGEST: manifest_digest_text(text)}
