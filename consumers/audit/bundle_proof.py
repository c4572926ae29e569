"""The proof of an evidence bundle, from its own bytes: no broker, no network.

1. The manifest is the one its digest names, and every file is the one the manifest names.
2. What can be derived from other bytes of the bundle is what is derived: genesis, schemas, README,
   decoded entries, inclusion proofs. So a manifest made anew does not help who altered them.
3. The chain, the trees, the signatures and the judgements, as at the broker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from consumers.audit.bundle import (
    GRANTS,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    MANIFEST_DIGEST,
    README,
    TRUSTED,
    About,
    BundleFault,
    Files,
    Part,
    Scope,
    bytes64,
    digest_of,
    jwks_text,
    line_read,
    lines,
    manifest_digest_text,
    manifest_text,
)
from consumers.audit.bundle_readme import readme_text
from consumers.audit.checkpoints import CheckpointProof
from consumers.audit.directories import CONTEXT, PEOPLE, POLICIES, DirectoryLog, decoded
from consumers.audit.export import DIRECTORIES, proof_line, schema_name
from consumers.audit.faults import JournalFault
from consumers.audit.readable import Readable, schema_text, schemas_in
from consumers.audit.verify import Counts, DirectoryAt, PartitionProof
from consumers.reading import Progress, Read
from core.directory import Directory
from core.governing import Trust
from core.journal import genesis
from core.jwk import KeySetError, TrustedKeys
from core.merkle import Tree, leaf_hash
from schemas.canonical import parse_json_strict
from schemas.codec import Undecodable, decode_bytes
from schemas.directory import (
    AgentRegistration,
    PolicyDocument,
    PolicyExceptionChanged,
    ReviewerAuthorization,
    ReviewerCapChanged,
)
from schemas.journal import JournalCheckpoint, JournalEntry

_KEYS_BYTES_MAX: Final = 16 * 1024 * 1024
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HASH_CHARS: Final = 64
_NO_LEAF: Final = bytes(32)
"""Stands behind the last checkpoint, where no root is asked for."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the checker has by another way than the bundle; None: what stands in it counts."""

    trusted: TrustedKeys | None = None
    grants: TrustedKeys | None = None
    manifest_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class BundleProof:
    """A good bundle: what it is of, and what was looked at, by partition."""

    about: About
    manifest_sha256: str
    counts: dict[int, Counts]
    trusted: TrustedKeys
    grants: TrustedKeys


def prove_bundle(
    files: Files,
    given: Given | None = None,
    *,
    progress: Callable[[int], Progress] | None = None,
) -> BundleProof:
    """Raises BundleFault or JournalFault at the first thing that is not what was exported."""
    given = given or Given()
    about, digest = check_files(files, given.manifest_sha256)  # 1.
    trusted = _keys(files, TRUSTED, given.trusted)
    grants = _keys(files, GRANTS, given.grants)
    readable = Readable()
    known = _directories(files, about, Trust(trusted, about.audience, about.balancer_id, grants),
                         readable)  # fmt: skip
    counts = {
        part.partition: _Partition(files, about, part, readable).proven(
            known, trusted, grants, progress(part.partition) if progress else None
        )
        for part in about.parts
    }
    _check_schemas(files, readable)
    return BundleProof(about, digest, counts, trusted, grants)


def check_files(files: Files, manifest_sha256: str | None = None) -> tuple[About, str]:
    """What the bundle is of, and the digest of its manifest: every byte of every file is bound.

    Raises BundleFault.
    """
    manifest = _small(files, MANIFEST, MANIFEST_BYTES_MAX)
    digest = hashlib.sha256(manifest).hexdigest()
    if manifest_sha256 is not None and digest != manifest_sha256:
        raise BundleFault(MANIFEST, f"its SHA-256 is {digest}, not the one that was given")
    if _small(files, MANIFEST_DIGEST, MANIFEST_BYTES_MAX) != manifest_digest_text(manifest):
        raise BundleFault(MANIFEST_DIGEST, "is not the digest of manifest.json")
    about, listed = _manifest(manifest)
    names = files.names()
    for name in sorted(listed.keys() | names - {MANIFEST, MANIFEST_DIGEST}):
        if name not in listed:
            raise BundleFault(name, "is not in the manifest")
        with files.open(name) as file:
            if digest_of(file) != listed[name]:
                raise BundleFault(name, "is not what the manifest says (SHA-256)")
    _check_names(about, set(listed))
    if _small(files, README, MANIFEST_BYTES_MAX) != readme_text(about):
        raise BundleFault(README, "is not the one of such a bundle")
    return about, digest


def _manifest(text: bytes) -> tuple[About, dict[str, tuple[int, str]]]:
    try:
        form: Any = parse_json_strict(text)
        listed = {str(n): (int(f["bytes"]), str(f["sha256"])) for n, f in form["files"].items()}
        about = About(
            cluster_id=str(form["cluster_id"]),
            journal_id=str(form["journal_id"]),
            audience=str(form["audience"]),
            balancer_id=str(form["balancer_id"]),
            scope=Scope(form["tenant_id"], tuple(form["decision_package_ids"])),
            parts=tuple(Part(**part) for part in form["partitions"]),
        )
        again = manifest_text(about, listed)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BundleFault(MANIFEST, "is no manifest of such a bundle") from None
    if again != text:
        raise BundleFault(MANIFEST, "is not written as a manifest is")
    numbers = [part.partition for part in about.parts]
    if numbers != sorted(set(numbers)):
        raise BundleFault(MANIFEST, "names its partitions twice, or not in their order")
    for part in about.parts:
        if part.genesis != genesis(about.cluster_id, about.journal_id, part.partition):
            raise BundleFault(MANIFEST, f"partition {part.partition} has another genesis")
    return about, listed


def _check_names(about: About, names: set[str]) -> None:
    """Exactly the files of such a bundle; the schemas are looked at once it is known which."""
    folders = ["journal", "readable", "checkpoints"]
    if about.scope.tenant_id is not None:
        folders.append("proofs")
    wanted = {README, TRUSTED, GRANTS, *(f"directories/{topic}.jsonl" for topic in DIRECTORIES)}
    wanted |= {f"{folder}/{part.partition}.jsonl" for folder in folders for part in about.parts}
    found = {name for name in names if not name.startswith("schemas/")}
    for name in sorted(wanted ^ found):
        raise BundleFault(name, "is missing" if name in wanted else "is no file of such a bundle")


def _keys(files: Files, name: str, given: TrustedKeys | None) -> TrustedKeys:
    """The keys to prove with. Those given count; the bundle may not say otherwise of them."""
    text = _small(files, name, _KEYS_BYTES_MAX)
    try:
        found = TrustedKeys.from_jwks(parse_json_strict(text))
    except (KeySetError, ValueError, RecursionError):
        raise BundleFault(name, "is no set of public keys") from None
    if jwks_text(found) != text:
        raise BundleFault(name, "is not written as in such a bundle")
    if given is None:
        return found
    for kid, key in found.by_kid.items():
        other = given.find(kid)
        if other is not None and other != key:
            raise BundleFault(name, f"says otherwise of key {kid} than the keys you gave")
    return given


def _directories(files: Files, about: About, trust: Trust, readable: Readable) -> list[DirectoryAt]:
    """The directories as they may have been believed. The digest that an entry has of them is over
    the records of all tenants; where those of one are given, each way of believing is tried."""
    reads = {topic: list(_reads(files, topic, readable)) for topic in DIRECTORIES}
    policies = decoded(reads[POLICIES], (PolicyDocument,))
    people = decoded(reads[PEOPLE], (ReviewerAuthorization, AgentRegistration))
    context = decoded(reads[CONTEXT], (PolicyExceptionChanged, ReviewerCapChanged))
    trusted = trust if trust.keys.by_kid else None
    if about.scope.tenant_id is None:
        return [DirectoryLog(policies, people, context, trusted).at]
    sound = {kid: replace(key, compromised_at=None) for kid, key in trust.keys.by_kid.items()}
    believed = [trusted, replace(trust, keys=TrustedKeys(sound)), None] if trusted else [None]
    return [_without_digest(DirectoryLog(policies, people, context, whom)) for whom in believed]


def _without_digest(log: DirectoryLog) -> DirectoryAt:
    def at(policies: int, people: int, context: int, _digest: str | None = None) -> Directory:
        return log.at(policies, people, context)

    return at


def _reads(files: Files, topic: str, readable: Readable) -> Iterator[Read]:
    name, offset = f"directories/{topic}.jsonl", -1
    for form in lines(files, name):
        try:
            read = line_read(topic, form)
        except (ValueError, KeyError, TypeError, OverflowError):
            raise BundleFault(name, "a line is no record of the topic") from None
        if read.offset <= offset:
            raise BundleFault(name, f"offset {read.offset} is not behind the one before it")
        offset = read.offset
        readable.form(read.value)
        yield read


def _check_schemas(files: Files, readable: Readable) -> None:
    """Exactly the schemas by which something in the bundle was read, as they were released."""
    wanted = {
        schema_name(writer.name, writer.fingerprint): schema_text(writer)
        for writer in schemas_in(readable)
    }
    found = {name for name in files.names() if name.startswith("schemas/")}
    for name in sorted(wanted.keys() | found):
        if name not in wanted:
            raise BundleFault(name, "nothing in the bundle is read by it")
        if _small(files, name, MANIFEST_BYTES_MAX) != wanted[name]:
            raise BundleFault(name, "is not the schema of this fingerprint")


class _Partition:
    """One partition of a bundle."""

    def __init__(self, files: Files, about: About, part: Part, readable: Readable) -> None:
        self._files = files
        self._about = about
        self._part = part
        self._readable = readable
        self._journal = f"journal/{part.partition}.jsonl"
        self._covered = 0

    def proven(
        self,
        known: list[DirectoryAt],
        trusted: TrustedKeys,
        grants: TrustedKeys,
        report: Progress | None,
    ) -> Counts:
        """What was looked at. Raises BundleFault, JournalFault."""
        part, seq, whole, tree = self._part, -1, list[int](), Tree()
        cover = CheckpointProof(
            part.partition, part.genesis, self._checkpoints(), keys=grants,
            where=f"checkpoints/{part.partition}.jsonl",
        )  # fmt: skip
        first, *others = known
        proof = PartitionProof(
            part.partition, part.genesis, first, keys=trusted, grant_keys=grants, or_at=others,
            cover=cover, where=self._journal,
        )  # fmt: skip
        readable = lines(self._files, f"readable/{part.partition}.jsonl")
        for seq, form in enumerate(lines(self._files, self._journal)):
            read = self._entry(seq, form)
            if read is None:
                leaf = self._leaf(seq, form)
                proof.withheld(leaf)
            else:
                proof.check(read)
                leaf = leaf_hash(read.value or b"")
                whole.append(seq)
                self._check_whole(seq, read, readable)
            if self._about.scope.tenant_id is not None:
                tree.append(leaf)
            if report is not None:
                report(seq + 1, part.entries)
        proof.finish()
        counts = proof.counts
        found = (counts.entries, counts.withheld, cover.count)
        if found != (part.entries, part.withheld, part.checkpoints):
            self._wrong(max(seq, 0), f"entries, withheld and checkpoints are {found}")
        if next(readable, None) is not None:
            raise BundleFault(f"readable/{part.partition}.jsonl", "has more entries")
        if self._about.scope.tenant_id is not None:
            self._check_proofs(tree, whole)
        return counts

    def _checkpoints(self) -> list[bytes | None]:
        name, values = f"checkpoints/{self._part.partition}.jsonl", list[bytes | None]()
        for number, form in enumerate(lines(self._files, name)):
            value = None
            with suppress(ValueError):
                value = bytes64(form.get("value"))
            if form.keys() != {"number", "value"} or form["number"] != number or value is None:
                raise BundleFault(name, f"line {number + 1} is no checkpoint")
            self._readable.form(value)
            with suppress(Undecodable):
                self._covered = max(self._covered, decode_bytes(value, JournalCheckpoint).size)
            values.append(value)
        return values

    def _entry(self, seq: int, form: dict[str, Any]) -> Read | None:
        """The entry as it stood in the topic; None where it is withheld."""
        if form.get("seq") != seq:
            self._wrong(seq, "another number stands here")
        if "value" not in form and self._about.scope.tenant_id is not None:
            return None
        value = None
        with suppress(ValueError):
            value = bytes64(form.get("value"))
        if form.keys() != {"seq", "value"} or value is None:
            self._wrong(seq, "the line is no entry")
        return Read(
            "audit-journal", self._part.partition, seq, _NO_TIME, key=None, value=value, headers=[]
        )

    def _leaf(self, seq: int, form: dict[str, Any]) -> bytes:
        """The leaf of an entry that is withheld; of one that nothing covers no leaf is given."""
        if seq >= self._covered:
            if form.keys() != {"seq"}:
                self._wrong(seq, "no checkpoint covers it, yet more than its number is given")
            return _NO_LEAF
        leaf = _hash(form.get("leaf"))
        if form.keys() != {"seq", "leaf"} or leaf is None:
            self._wrong(seq, "it is withheld without its leaf")
        return leaf

    def _check_whole(self, seq: int, read: Read, readable: Iterator[dict[str, Any]]) -> None:
        value = read.value or b""
        if not self._about.scope.has(decode_bytes(value, JournalEntry).input.key):
            self._wrong(seq, "it is not of what the manifest says the bundle is of")
        if next(readable, None) != json.loads(self._readable.line(seq, value)):
            raise JournalFault(
                self._part.partition, seq, "is not what its entry says",
                f"readable/{self._part.partition}.jsonl",
            )  # fmt: skip

    def _check_proofs(self, tree: Tree, whole: list[int]) -> None:
        """Exactly the inclusion proofs that the tree gives."""
        name, covered = f"proofs/{self._part.partition}.jsonl", self._covered
        found = lines(self._files, name)
        for seq in whole:
            if seq < covered and next(found, None) != json.loads(proof_line(tree, seq, covered)):
                raise JournalFault(
                    self._part.partition, seq, "does not prove that its entry is there", name
                )
        if next(found, None) is not None:
            raise BundleFault(name, "has more proofs than entries")

    def _wrong(self, seq: int, what: str) -> NoReturn:
        raise JournalFault(self._part.partition, seq, what, self._journal)


def _hash(text: object) -> bytes | None:
    if not isinstance(text, str) or len(text) != _HASH_CHARS or text != text.lower():
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _small(files: Files, name: str, bytes_max: int) -> bytes:
    with files.open(name) as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise BundleFault(name, f"is over {bytes_max} bytes")
    return data
