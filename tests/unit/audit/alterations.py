"""What somebody may do to evidence: by hand in the files, or in the topics before it is exported."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from consumers.audit.bundle import GRANTS, MANIFEST, MANIFEST_DIGEST, README, Scope, jwks_text
from consumers.audit.export import export, proof_line
from consumers.reading import Read
from core.authentication import GRANT_TYP
from core.checkpoints import CHECKPOINT_TYP, signed_checkpoint
from core.journal import genesis
from core.jwk import TrustedKeys, trusted_key
from core.merkle import Frontier, Tree, leaf_hash
from producers.keys import SigningKey, new_key
from schemas.codec import decode_any, decode_bytes, encode
from schemas.events import ToolGateEvent
from schemas.journal import JournalCheckpoint, JournalEntry
from tests import examples as e
from tests.unit.audit.bundles import PACKAGE, contents, repaired, resealed, source_of
from tests.unit.audit.stories import entries_of, forged, gate_of, journal_of, partition_of, read_of
from tests.unit.control.world import KEYS, World

Bytes = dict[str, bytes]


@dataclass(frozen=True)
class Evidence:
    """A world, and its good bundles."""

    world: World
    whole: Bytes
    scoped: Bytes
    scratch: Path

    @property
    def partition(self) -> int:
        """Where the story is."""
        return partition_of(self.world)

    def name(self, folder: str) -> str:
        """The story's file in a folder of the bundle."""
        return f"{folder}/{self.partition}.jsonl"

    def checkpoints(self) -> list[Read]:
        """Those of the story's partition."""
        return [read_of(r) for r in self.world.cluster.records("audit-checkpoint", self.partition)]

    def exported(
        self,
        journal: Iterable[Read] | None = None,
        checkpoints: Iterable[Read] | None = None,
        scope: Scope | None = None,
    ) -> Bytes:
        """A bundle that says what altered topics say, all of it in order but for that."""
        source = source_of(self.world)
        mine = list(journal_of(self.world) if journal is None else journal)
        signed = list(self.checkpoints() if checkpoints is None else checkpoints)
        changed = replace(
            source,
            journal=lambda n: mine if n == self.partition else source.journal(n),
            checkpoints=lambda n: signed if n == self.partition else source.checkpoints(n),
        )
        folder = self.scratch / hashlib.sha256(repr((mine, signed, scope)).encode()).hexdigest()
        export(changed, folder, scope or Scope())
        return contents(folder)


Alter = Callable[[Evidence], Bytes]
ALTERATIONS: Final[dict[str, Alter]] = {}
"""By what was done."""


def alteration(what: str) -> Callable[[Alter], Alter]:
    """Notes an alteration under its description."""

    def note(alter: Alter) -> Alter:
        assert what not in ALTERATIONS
        ALTERATIONS[what] = alter
        return alter

    return note


# --- in the topics, before the export ---------------------------------------------------------


def later(entry: JournalEntry) -> dict[str, Any]:
    """The worker's clock said something else; no rule asks for it."""
    return {"context": entry.context.model_copy(update={"handled_at": e.at(-7)})}


def rewritten(evidence: Evidence, number: int = 1) -> list[Read]:
    """The journal with one entry changed and every hash computed anew."""
    journal = journal_of(evidence.world)
    return forged(journal, number, **later(entries_of(journal)[number]))


def signed_anew(evidence: Evidence, journal: Sequence[Read], key: SigningKey) -> list[Read]:
    """Checkpoints of the same sizes over this journal, by any key."""
    entries, reads = entries_of(list(journal)), []
    start = genesis("cluster-1", evidence.world.cluster.journal_id, evidence.partition)
    for read in evidence.checkpoints():
        old, tree = decode_bytes(read.value or b"", JournalCheckpoint), Frontier()
        for one in journal[: old.size]:
            tree = tree.grown(leaf_hash(one.value or b""))
        new = old.model_copy(
            update={
                "root": tree.root.hex(),
                "head_hash": entries[old.size - 1].hash,
                "frontier": [peak.hex() for peak in tree.peaks],
            }
        )
        signed = signed_checkpoint(
            new, genesis=start, sign=lambda claims: key.sign(claims, typ=CHECKPOINT_TYP)
        )
        reads.append(replace(read, value=encode(signed)))
    return reads


@alteration("an entry is changed, every hash computed anew")
def _rewritten(evidence: Evidence) -> Bytes:
    return evidence.exported(rewritten(evidence))


@alteration("an entry is changed, every hash and root anew, signed by another key")
def _signed_by_another(evidence: Evidence) -> Bytes:
    journal = rewritten(evidence)
    return evidence.exported(journal, signed_anew(evidence, journal, new_key()))


@alteration("an entry is changed, every hash and root anew, signed by a reviewer")
def _signed_by_a_reviewer(evidence: Evidence) -> Bytes:
    journal = rewritten(evidence)
    return evidence.exported(journal, signed_anew(evidence, journal, KEYS["r.boss"]))


@alteration("an entry is changed, every root anew under the old signatures")
def _old_signatures(evidence: Evidence) -> Bytes:
    journal = rewritten(evidence)
    new = signed_anew(evidence, journal, KEYS["grant"])
    old = [decode_bytes(read.value or b"", JournalCheckpoint) for read in evidence.checkpoints()]
    mixed = [
        replace(
            read,
            value=encode(
                decode_bytes(read.value or b"", JournalCheckpoint).model_copy(
                    update={"checkpoint_jws": one.checkpoint_jws}
                )
            ),
        )
        for read, one in zip(new, old, strict=True)
    ]
    return evidence.exported(journal, mixed)


@alteration("the entries under the last checkpoint are cut off at the end")
def _cut_off(evidence: Evidence) -> Bytes:
    last = decode_bytes(evidence.checkpoints()[-1].value or b"", JournalCheckpoint)
    return evidence.exported(journal_of(evidence.world)[: last.size - 1])


@alteration("the first entry is gone")
def _first_gone(evidence: Evidence) -> Bytes:
    return evidence.exported(journal_of(evidence.world)[1:], [])


@alteration("an entry in the middle is gone")
def _gap(evidence: Evidence) -> Bytes:
    journal = journal_of(evidence.world)
    return evidence.exported(journal[:3] + journal[4:], [])


@alteration("two entries have changed places")
def _swapped(evidence: Evidence) -> Bytes:
    journal = journal_of(evidence.world)
    return evidence.exported([journal[1], journal[0], *journal[2:]], [])


@alteration("the last entry stands there twice")
def _doubled(evidence: Evidence) -> Bytes:
    journal = journal_of(evidence.world)
    return evidence.exported([*journal, journal[-1]], [])


def with_gate(evidence: Evidence, **over: Any) -> Bytes:
    """The opened gate says something else; no checkpoint is left to know it."""
    journal = journal_of(evidence.world)
    for number, entry in enumerate(entries_of(journal)):
        events = []
        for raw in entry.events:
            event = decode_any(raw)
            if isinstance(event, ToolGateEvent) and event.gate == "opened":
                event = event.model_copy(update=over)
            events.append(encode(event))
        if events != list(entry.events):
            return evidence.exported(forged(journal, number, events=events), [])
    raise AssertionError("no gate was opened")


GATE_FIELDS: Final[dict[str, Any]] = {
    "tool_name": "payment.make",
    "effect_type": "payment",
    "args_json": '{"body":"other"}',
    "action_digest": "00" * 32,
    "grant_id": "grant-other",
    "run_id": "run-other",
    "interrupt_id": "int-other",
    "decision_package_id": "pkg-other",
    "package_version": 9,
    "policy_version": "other",
    "valid_until": e.at(10**6),
    "occurred_at": e.at(-9),
    "decision_event_ids": ["other"],
    "grant_jws": "e30.e30.e30",
}
for _field, _value in GATE_FIELDS.items():
    alteration(f"the opened gate has another {_field}, every hash computed anew")(
        lambda evidence, field=_field, value=_value: with_gate(evidence, **{field: value})  # type: ignore[misc]
    )


@alteration("the opened gate has a grant by a reviewer's key, every hash computed anew")
def _grant_by_a_reviewer(evidence: Evidence) -> Bytes:
    _, body, _ = (gate_of(evidence.world).grant_jws or "").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return with_gate(evidence, grant_jws=KEYS["r.boss"].sign(claims, typ=GRANT_TYP))


@alteration("the opened gate's grant has another signature, every hash computed anew")
def _grant_signature(evidence: Evidence) -> Bytes:
    token = gate_of(evidence.world).grant_jws or ""
    return with_gate(evidence, grant_jws=f"{token[:-9]}AAAAAAAA{token[-1]}")


@alteration("the signature of an input is another's, every hash computed anew")
def _input_signature(evidence: Evidence) -> Bytes:
    journal = journal_of(evidence.world)
    entries = entries_of(journal)
    number = max(n for n, entry in enumerate(entries) if entry.context.kid is not None)
    entry = entries[number]
    headers = [
        h.model_copy(update={"value": h.value[:-9] + b"AAAAAAAAA"})
        if h.name == "countersign-signature" and h.value
        else h
        for h in entry.input.headers
    ]
    changed = entry.input.model_copy(update={"headers": headers})
    return evidence.exported(forged(journal, number, input=changed), [])


@alteration("a number of an entry is written longer than need be")
def _longer(evidence: Evidence) -> Bytes:
    journal = journal_of(evidence.world)
    value = journal[0].value or b""
    longer = value[:10] + bytes([value[10] | 0x80, 0]) + value[11:]
    return evidence.exported([replace(journal[0], value=longer), *journal[1:]], [])


def with_checkpoint(evidence: Evidence, **over: Any) -> Bytes:
    """The last checkpoint says something else under its old signature."""
    *before, last = evidence.checkpoints()
    changed = decode_bytes(last.value or b"", JournalCheckpoint).model_copy(update=over)
    return evidence.exported(None, [*before, replace(last, value=encode(changed))])


for _field, _value in {
    "root": "00" * 32,
    "head_hash": "00" * 32,
    "occurred_at": e.at(77),
    "frontier": [],
    "size": 3,
}.items():
    alteration(f"a checkpoint has another {_field}")(
        lambda evidence, field=_field, value=_value: with_checkpoint(evidence, **{field: value})  # type: ignore[misc]
    )


@alteration("the checkpoints stand in another order")
def _reordered(evidence: Evidence) -> Bytes:
    return evidence.exported(None, evidence.checkpoints()[::-1])


@alteration("a checkpoint has the signature of another")
def _exchanged(evidence: Evidence) -> Bytes:
    first = decode_bytes(evidence.checkpoints()[0].value or b"", JournalCheckpoint)
    return with_checkpoint(evidence, checkpoint_jws=first.checkpoint_jws)


# --- in the files, the manifest made anew -----------------------------------------------------


def with_line(files: Bytes, name: str, number: int, change: Callable[[Any], Any]) -> Bytes:
    """One line changed, or taken out where it is changed to nothing."""
    lines = files[name].splitlines(keepends=True)
    form = change(json.loads(lines[number]))
    new = json.dumps(form, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    lines[number] = b"" if form is None else new
    return repaired({**files, name: b"".join(lines)})


@alteration("a byte of an entry is flipped, the manifest made anew")
def _flipped(evidence: Evidence) -> Bytes:
    def flip(form: Any) -> Any:
        value = bytearray(base64.b64decode(form["value"]))
        value[len(value) // 2] ^= 1
        return {**form, "value": base64.b64encode(bytes(value)).decode()}

    return with_line(evidence.whole, evidence.name("journal"), 2, flip)


@alteration("bytes stand behind an entry, the manifest made anew")
def _trailing(evidence: Evidence) -> Bytes:
    def lengthen(form: Any) -> Any:
        value = base64.b64decode(form["value"]) + b"\x00"
        return {**form, "value": base64.b64encode(value).decode()}

    return with_line(evidence.whole, evidence.name("journal"), 2, lengthen)


def first_withheld(evidence: Evidence) -> int:
    """The first line of which only the leaf is there."""
    lines = evidence.scoped[evidence.name("journal")].splitlines()
    return next(number for number, line in enumerate(lines) if b"leaf" in line)


@alteration("the leaf of a withheld entry is another")
def _leaf(evidence: Evidence) -> Bytes:
    name = evidence.name("journal")
    return with_line(evidence.scoped, name, first_withheld(evidence),
                     lambda form: {**form, "leaf": "00" * 32})  # fmt: skip


@alteration("the leaf of a withheld entry is another, every inclusion proof computed anew")
def _leaf_and_proofs(evidence: Evidence) -> Bytes:
    changed, tree = first_withheld(evidence), Tree()
    for number, line in enumerate(evidence.scoped[evidence.name("journal")].splitlines()):
        form = json.loads(line)
        if "value" in form:
            tree.append(leaf_hash(base64.b64decode(form["value"])))
        elif "leaf" in form:
            tree.append(bytes(32) if number == changed else bytes.fromhex(form["leaf"]))
    name = evidence.name("proofs")
    old = [json.loads(line) for line in evidence.scoped[name].splitlines()]
    proofs = b"".join(proof_line(tree, one["seq"], one["size"]) for one in old)
    files = {**evidence.scoped, name: proofs}
    return with_line(files, evidence.name("journal"), changed,
                     lambda form: {**form, "leaf": "00" * 32})  # fmt: skip


@alteration("a withheld entry has no leaf")
def _no_leaf(evidence: Evidence) -> Bytes:
    name = evidence.name("journal")
    return with_line(evidence.scoped, name, first_withheld(evidence),
                     lambda form: {"seq": form["seq"]})  # fmt: skip


@alteration("an entry is withheld from a bundle of everything")
def _withheld(evidence: Evidence) -> Bytes:
    name = evidence.name("journal")
    return with_line(evidence.whole, name, 1, lambda form: {"seq": form["seq"]})


@alteration("a step of an inclusion proof is another")
def _path(evidence: Evidence) -> Bytes:
    return with_line(evidence.scoped, evidence.name("proofs"), 0,
                     lambda form: {**form, "path": ["00" * 32, *form["path"][1:]]})  # fmt: skip


@alteration("an inclusion proof is cut short")
def _short_path(evidence: Evidence) -> Bytes:
    return with_line(evidence.scoped, evidence.name("proofs"), 0,
                     lambda form: {**form, "path": form["path"][:-1]})  # fmt: skip


@alteration("an inclusion proof is missing")
def _no_proof(evidence: Evidence) -> Bytes:
    return with_line(evidence.scoped, evidence.name("proofs"), 0, lambda _: None)


@alteration("an inclusion proof is another entry's")
def _others_proof(evidence: Evidence) -> Bytes:
    return with_line(evidence.scoped, evidence.name("proofs"), 0,
                     lambda form: {**form, "seq": form["seq"] + 1})  # fmt: skip


def with_manifest(files: Bytes, **over: Any) -> Bytes:
    """The manifest says something else, and its digest fits."""
    return resealed(files, {**json.loads(files[MANIFEST]), **over})


@alteration("the manifest names another cluster")
def _cluster(evidence: Evidence) -> Bytes:
    return with_manifest(evidence.whole, cluster_id="cluster-2")


@alteration("the manifest names another journal and the genesis that fits")
def _journal(evidence: Evidence) -> Bytes:
    parts = json.loads(evidence.whole[MANIFEST])["partitions"]
    for part in parts:
        part["genesis"] = genesis("cluster-1", "another", part["partition"])
    return with_manifest(evidence.whole, journal_id="another", partitions=parts)


@alteration("the manifest counts another number of entries")
def _counts(evidence: Evidence) -> Bytes:
    parts = json.loads(evidence.whole[MANIFEST])["partitions"]
    parts[evidence.partition]["entries"] += 1
    return with_manifest(evidence.whole, partitions=parts)


@alteration("the manifest is of another format")
def _format(evidence: Evidence) -> Bytes:
    return with_manifest(evidence.whole, format="countersign-audit-bundle/2")


@alteration("the grant key is exchanged for another")
def _grant_key(evidence: Evidence) -> Bytes:
    keys = json.dumps({"keys": [new_key().public_jwk()]}, indent=1).encode() + b"\n"
    return repaired({**evidence.whole, GRANTS: keys})


@alteration("the grant key speaks for a person")
def _grant_key_of_a_person(evidence: Evidence) -> Bytes:
    person = trusted_key(KEYS["grant"].public_jwk(reviewer_id="r.lind", tenant_ids=[e.TENANT]))
    return repaired({**evidence.whole, GRANTS: jwks_text(TrustedKeys.of([person]))})


@alteration("a schema has another field")
def _schema(evidence: Evidence) -> Bytes:
    name = next(name for name in evidence.whole if name.startswith("schemas/JournalEntry."))
    return repaired({**evidence.whole, name: evidence.whole[name].replace(b'"verdict"', b'"verdikt"')})  # fmt: skip


@alteration("a schema is missing")
def _no_schema(evidence: Evidence) -> Bytes:
    name = next(name for name in evidence.whole if name.startswith("schemas/ToolGateEvent."))
    return repaired({n: data for n, data in evidence.whole.items() if n != name})


# --- in the files, and nothing else -------------------------------------------------------------


@alteration("README is altered")
def _readme(evidence: Evidence) -> Bytes:
    return {**evidence.whole, README: evidence.whole[README] + b"All is well.\n"}


@alteration("a decoded entry is altered")
def _readable(evidence: Evidence) -> Bytes:
    name = evidence.name("readable")
    return {**evidence.whole, name: evidence.whole[name].replace(b"recorded", b"revoked", 1)}


@alteration("a file is there that nothing names")
def _added(evidence: Evidence) -> Bytes:
    return {**evidence.whole, "notes.txt": b"All is well.\n"}


@alteration("a file is missing")
def _missing(evidence: Evidence) -> Bytes:
    return {
        n: data for n, data in evidence.whole.items() if n != "directories/control-policy.jsonl"
    }


@alteration("the manifest is altered")
def _manifest(evidence: Evidence) -> Bytes:
    return {
        **evidence.whole,
        MANIFEST: evidence.whole[MANIFEST].replace(b"acme", b"acmf", 1) + b" ",
    }


@alteration("the manifest's digest is written in capitals")
def _capitals(evidence: Evidence) -> Bytes:
    digest, _, rest = evidence.whole[MANIFEST_DIGEST].partition(b" ")
    return {**evidence.whole, MANIFEST_DIGEST: digest.upper() + b" " + rest}


GOOD: Final[dict[str, Alter]] = {
    "of everything": lambda evidence: evidence.whole,
    "of one package": lambda evidence: evidence.scoped,
    "of a tenant": lambda evidence: evidence.exported(scope=Scope(e.TENANT)),
    "of a tenant without entries": lambda evidence: evidence.exported(scope=Scope("nobody")),
    "without checkpoints": lambda evidence: evidence.exported(None, []),
    "of one package without checkpoints": lambda evidence: evidence.exported(None, [], PACKAGE),
}
"""Bundles that are what they say."""
