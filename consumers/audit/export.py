"""Writes an evidence bundle: see `bundle` for its form, `bundle_proof` for how it is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from consumers.audit.bundle import (
    GRANTS,
    MANIFEST,
    MANIFEST_DIGEST,
    README,
    TRUSTED,
    About,
    Folder,
    Part,
    Scope,
    digest_of,
    jwks_text,
    manifest_digest_text,
    manifest_text,
    read_line,
    text64,
)
from consumers.audit.bundle_readme import readme_text
from consumers.audit.readable import Readable, dumped, schema_text, schemas_in
from consumers.reading import Read
from core.journal import genesis
from core.jwk import TrustedKeys
from core.merkle import Tree, leaf_hash
from schemas.codec import decode_bytes
from schemas.journal import JournalCheckpoint, JournalEntry

DIRECTORIES: Final[tuple[str, ...]] = ("control-policy", "reviewer-directory", "review-context")


class NotEmpty(Exception):
    """The folder has something in it; the message names it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the evidence comes from. Each is asked once a partition or topic, from its start.

    audience, balancer_id: the deployment's, without which directories cannot be judged again.
    """

    cluster_id: str
    journal_id: str
    audience: str
    balancer_id: str
    partitions: tuple[int, ...]
    journal: Callable[[int], Iterable[Read]]
    checkpoints: Callable[[int], Iterable[Read]]
    directory: Callable[[str], Iterable[Read]]
    trusted: TrustedKeys
    grants: TrustedKeys


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    about: About
    manifest_sha256: str
    files: int


def export(source: Source, folder: Path, scope: Scope) -> Exported:
    """Writes the bundle. Raises NotEmpty, Undecodable, and whatever the source raises."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotEmpty(f"{folder} is there and not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    readable = Readable()
    used: dict[str, int] = {topic: 0 for topic in DIRECTORIES}
    parts = []
    for partition in source.partitions:
        # Read before the journal: then the journal has all that they cover.
        signed = [read.value or b"" for read in source.checkpoints(partition)]
        parts.append(_partition(source, folder, scope, partition, signed, readable, used))
    for topic in DIRECTORIES:
        reads = source.directory(topic)
        _write(
            folder, f"directories/{topic}.jsonl", _directory(reads, scope, used[topic], readable)
        )
    _write(folder, TRUSTED, [jwks_text(source.trusted)])
    _write(folder, GRANTS, [jwks_text(source.grants)])
    for writer in schemas_in(readable):
        _write(folder, schema_name(writer.name, writer.fingerprint), [schema_text(writer)])
    about = About(
        source.cluster_id,
        source.journal_id,
        source.audience,
        source.balancer_id,
        scope,
        tuple(parts),
    )
    _write(folder, README, [readme_text(about)])
    return _sealed(folder, about)


def schema_name(name: str, fingerprint: bytes) -> str:
    """The file of a schema."""
    return f"schemas/{name.rpartition('.')[2]}.{fingerprint.hex()}.avsc"


def used_offsets(entry: JournalEntry) -> dict[str, int]:
    """How far each directory topic had been read when it was judged."""
    context = entry.context
    offsets = (context.policy_offset, context.directory_offset, context.review_context_offset)
    return dict(zip(DIRECTORIES, offsets, strict=True))


def withheld_line(seq: int, leaf: bytes | None) -> bytes:
    """An entry that is not given. leaf: None where no checkpoint would show that it is altered."""
    return dumped({"seq": seq} if leaf is None else {"seq": seq, "leaf": leaf.hex()})


def proof_line(tree: Tree, seq: int, covered: int) -> bytes:
    """The inclusion proof of one entry in the tree of the last checkpoint."""
    return dumped(
        {
            "seq": seq,
            "leaf": tree.leaf(seq).hex(),
            "size": covered,
            "root": tree.root(covered).hex(),
            "path": [step.hex() for step in tree.inclusion(seq, covered)],
        }
    )


def _partition(
    source: Source,
    folder: Path,
    scope: Scope,
    partition: int,
    signed: list[bytes],
    readable: Readable,
    used: dict[str, int],
) -> Part:
    """Journal, checkpoints, decoded entries and proofs of one partition."""
    tree, whole, withheld, scoped = Tree(), list[int](), 0, scope.tenant_id is not None
    covered = max((decode_bytes(value, JournalCheckpoint).size for value in signed), default=0)
    count = 0
    with (
        _created(folder, f"journal/{partition}.jsonl") as journal,
        _created(folder, f"readable/{partition}.jsonl") as decoded,
    ):
        for seq, read in enumerate(source.journal(partition)):
            value, count = read.value or b"", seq + 1
            entry = decode_bytes(value, JournalEntry)
            if scoped:
                tree.append(leaf_hash(value))
            if not scope.has(entry.input.key):
                journal.write(withheld_line(seq, tree.leaf(seq) if seq < covered else None))
                withheld += 1
                continue
            for topic, offset in used_offsets(entry).items():
                used[topic] = max(used[topic], offset)
            journal.write(dumped({"seq": seq, "value": text64(value)}))
            decoded.write(readable.line(seq, value))
            whole.append(seq)
    _write(folder, f"checkpoints/{partition}.jsonl", _checkpoints(signed, readable))
    if scoped:
        proofs = (proof_line(tree, seq, covered) for seq in whole if seq < covered <= count)
        _write(folder, f"proofs/{partition}.jsonl", proofs)
    start = genesis(source.cluster_id, source.journal_id, partition)
    return Part(partition, start, count, withheld, len(signed))


def _checkpoints(signed: list[bytes], readable: Readable) -> Iterator[bytes]:
    for number, value in enumerate(signed):
        readable.form(value)
        yield dumped({"number": number, "value": text64(value)})


def _directory(
    reads: Iterable[Read], scope: Scope, upto: int, readable: Readable
) -> Iterator[bytes]:
    for read in reads:
        if read.offset < upto and scope.has_directory(read.key):
            readable.form(read.value)
            yield read_line(read)


def _sealed(folder: Path, about: About) -> Exported:
    """Writes the manifest over everything that is there, and what binds the manifest."""
    files = Folder(folder)
    digests: Mapping[str, tuple[int, str]] = {name: _digest(files, name) for name in files.names()}
    manifest = manifest_text(about, digests)
    digest = manifest_digest_text(manifest)
    _write(folder, MANIFEST, [manifest])
    _write(folder, MANIFEST_DIGEST, [digest])
    return Exported(about, digest.decode().partition(" ")[0], len(digests) + 2)


def _digest(files: Folder, name: str) -> tuple[int, str]:
    with files.open(name) as file:
        return digest_of(file)


def _created(folder: Path, name: str) -> IO[bytes]:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    return path.open("xb")


def _write(folder: Path, name: str, chunks: Iterable[bytes]) -> None:
    with _created(folder, name) as file:
        for chunk in chunks:
            file.write(chunk)
