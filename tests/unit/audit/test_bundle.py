"""Evidence bundles: good ones are proven without a broker, and no byte of one can be altered."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumers.audit.bundle import (
    GRANTS,
    MANIFEST,
    MANIFEST_DIGEST,
    README,
    TRUSTED,
    BundleFault,
    Folder,
    Scope,
)
from consumers.audit.bundle_proof import Given, check_files, prove_bundle
from consumers.audit.export import Exported, NotEmpty
from consumers.audit.faults import JournalFault
from core.jwk import TrustedKeys, trusted_key
from producers.keys import new_key
from tests import examples as e
from tests.unit.audit import bundles
from tests.unit.audit.bundles import PACKAGE, a_told_world, contents, in_memory, repaired
from tests.unit.audit.stories import partition_of
from tests.unit.control.world import World, trusted

Bytes = dict[str, bytes]


@pytest.fixture(scope="module")
def world() -> World:
    """The story, and others' packages."""
    return a_told_world()


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    """A bundle of everything."""
    folder = tmp_path_factory.mktemp("whole") / "bundle"
    return folder, bundles.exported(world, folder)


@pytest.fixture(scope="module")
def scoped(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    """A bundle of one package."""
    folder = tmp_path_factory.mktemp("scoped") / "bundle"
    return folder, bundles.exported(world, folder, PACKAGE)


def everything_in(folder: Path, but: tuple[str, ...] = ()) -> bytes:
    """All bytes of a bundle, those in base64 as what they stand for too."""
    found = []
    for name, data in contents(folder).items():
        if name not in but:
            found.append(data)
            if name.endswith(".jsonl"):
                values = [json.loads(line).get("value") for line in data.splitlines()]
                found += [base64.b64decode(value) for value in values if value]
    return b"".join(found)


def test_a_bundle_is_proven_without_a_broker(world: World, whole: tuple[Path, Exported]) -> None:
    """Chain, trees, signatures and judgements, all from the bundle's own bytes."""
    folder, exported = whole

    proof = prove_bundle(Folder(folder))

    counts = proof.counts[partition_of(world)]
    assert proof.manifest_sha256 == exported.manifest_sha256
    assert counts.entries == len(world.journal(partition_of(world)))
    assert counts.rejudged + counts.unjudged == counts.entries
    assert counts.signatures > 0
    assert counts.checkpoints > 1
    assert (counts.unproven, counts.unsigned, counts.withheld, counts.refolded) == (0, 0, 0, 0)
    assert 0 < counts.covered <= counts.entries


def test_a_bundle_of_one_package_withholds_the_others(
    world: World, scoped: tuple[Path, Exported]
) -> None:
    """Their entries are there as hashes only, and each entry that is there has its proof."""
    folder, _ = scoped
    partition = partition_of(world)

    proof = prove_bundle(Folder(folder))

    counts = proof.counts[partition]
    given = (folder / f"journal/{partition}.jsonl").read_text().splitlines()
    mine = [json.loads(line) for line in given if "value" in json.loads(line)]
    proofs = (folder / f"proofs/{partition}.jsonl").read_text().splitlines()
    assert counts.withheld == counts.entries - len(mine) > 0
    assert counts.rejudged + counts.unjudged == len(mine)
    assert len(proofs) == sum(one["seq"] < counts.covered for one in mine) > 0
    assert b"pkg-3" not in everything_in(folder)
    assert e.PACKAGE_ID.encode() in everything_in(folder)


def test_what_was_given_by_another_way_counts(whole: tuple[Path, Exported]) -> None:
    """The digest that export printed, and the keys one holds already."""
    folder, exported = whole
    good = Given(trusted(), bundles.GRANTS, exported.manifest_sha256)
    stranger = TrustedKeys.of([trusted_key(new_key().public_jwk())])
    other_tools = json.loads((folder / TRUSTED).read_text())
    for jwk in other_tools["keys"]:
        if "tools" in jwk:
            jwk["tools"] = ["*"]

    prove_bundle(Folder(folder), good)
    with pytest.raises(BundleFault, match="not the one that was given"):
        prove_bundle(Folder(folder), Given(manifest_sha256="00" * 32))
    with pytest.raises(JournalFault, match="checkpoints/"):
        prove_bundle(Folder(folder), Given(grants=stranger))
    with pytest.raises(BundleFault, match="says otherwise of key"):
        prove_bundle(Folder(folder), Given(trusted=TrustedKeys.from_jwks(other_tools)))


def test_a_folder_with_something_in_it_is_left_alone(world: World, tmp_path: Path) -> None:
    """Nothing is written over."""
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(NotEmpty):
        bundles.exported(world, tmp_path)


def every_flip_is_found(files: Bytes, name: str, *, stride: int = 1) -> None:
    """Flips a bit of each byte of one file in turn, or of each `stride`-th and the last."""
    data = files[name]
    for at in {*range(0, len(data), stride), len(data) - 1} - {-1}:
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(BundleFault):
            check_files(in_memory({**files, name: bytes(flipped)}))


def test_bytes_flipped_in_every_file_are_found(scoped: tuple[Path, Exported]) -> None:
    """In every file, README, manifest and the manifest's digest among them; none is forgotten."""
    files = contents(scoped[0])
    for name in files:
        every_flip_is_found(files, name, stride=37)

    assert set(files) == Folder(scoped[0]).names()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_byte_flipped_in_turn_is_found(scoped: tuple[Path, Exported]) -> None:
    """A bit of each byte of every file, all eight by turns."""
    files = contents(scoped[0])
    for name in files:
        every_flip_is_found(files, name)


def test_files_cut_off_added_or_gone_are_found(whole: tuple[Path, Exported]) -> None:
    """The last byte missing, one byte more, the file gone, another file there."""
    files = contents(whole[0])
    for name, data in files.items():
        for altered in (data[:-1] if data else b"x", data + b"\n", None):
            changed = {k: v for k, v in files.items() if k != name}
            if altered is not None:
                changed[name] = altered
            with pytest.raises(BundleFault):
                check_files(in_memory(changed))
    with pytest.raises(BundleFault, match=r"^notes.txt: is not in the manifest"):
        check_files(in_memory({**files, "notes.txt": b""}))


def test_a_flip_is_found_though_the_manifest_was_made_anew(scoped: tuple[Path, Exported]) -> None:
    """In each file but the keys, at random places: what follows from other bytes must follow."""
    files = contents(scoped[0])
    dice = random.Random(5)
    for name, data in files.items():
        if name in (MANIFEST, MANIFEST_DIGEST, TRUSTED, GRANTS) or not data:
            continue
        if name.startswith("directories/"):
            continue  # what took no part in a judgement says nothing; the digest binds it, if given
        for _ in range(6):
            flipped = bytearray(data)
            flipped[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            with pytest.raises((BundleFault, JournalFault)):
                prove_bundle(in_memory(repaired({**files, name: bytes(flipped)})))


def changed_line(files: Bytes, name: str, number: int, change: Callable[[Any], Any]) -> Bytes:
    """One line of a file changed, the manifest made anew."""
    lines = files[name].splitlines()
    form = change(json.loads(lines[number]))
    lines[number] = json.dumps(form, sort_keys=True, separators=(",", ":")).encode()
    return repaired({**files, name: b"\n".join(lines) + b"\n"})


def test_the_fault_names_file_partition_and_seq(world: World, whole: tuple[Path, Exported]) -> None:
    """So that an auditor can look at it."""
    files, partition = contents(whole[0]), partition_of(world)
    name = f"journal/{partition}.jsonl"

    def altered(form: dict[str, Any]) -> dict[str, Any]:
        value = bytearray(base64.b64decode(form["value"]))
        value[-70] ^= 1
        return {**form, "value": base64.b64encode(bytes(value)).decode()}

    with pytest.raises(JournalFault) as caught:
        prove_bundle(in_memory(changed_line(files, name, 5, altered)))

    assert (caught.value.where, caught.value.partition, caught.value.seq) == (name, partition, 5)
    assert str(caught.value).startswith(f"{name} partition {partition}, seq 5: ")


def test_a_statement_about_another_scope_is_found(scoped: tuple[Path, Exported]) -> None:
    """The manifest says what the bundle is of; entries of others do not pass for it."""
    files = contents(scoped[0])
    form = json.loads(files[MANIFEST])
    form["decision_package_ids"] = ["pkg-3"]

    with pytest.raises((BundleFault, JournalFault)):
        prove_bundle(in_memory(repaired(bundles.resealed(files, form))))


def test_an_entry_withheld_behind_anothers_hash_is_found(
    world: World, scoped: tuple[Path, Exported]
) -> None:
    """A leaf that is not the entry's breaks the root that was signed."""
    files, name = contents(scoped[0]), f"journal/{partition_of(world)}.jsonl"
    number = next(n for n, line in enumerate(files[name].splitlines()) if b"leaf" in line)

    def altered(form: dict[str, Any]) -> dict[str, Any]:
        return {"seq": form["seq"], "leaf": "00" * 32}

    with pytest.raises(JournalFault, match="the journal was rewritten"):
        prove_bundle(in_memory(changed_line(files, name, number, altered)))


def test_a_link_in_the_folder_is_found(world: World, tmp_path: Path) -> None:
    """What a file says must stand in the bundle."""
    bundles.exported(world, tmp_path / "bundle")
    readme = tmp_path / "bundle" / README
    readme.rename(tmp_path / "elsewhere")
    readme.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BundleFault, match="is a link"):
        prove_bundle(Folder(tmp_path / "bundle"))


def test_a_tenant_without_entries_has_an_empty_bundle(world: World, tmp_path: Path) -> None:
    """All hashes, nothing else; and no policies or people of others."""
    bundles.exported(world, tmp_path / "bundle", Scope("nobody"))

    proof = prove_bundle(Folder(tmp_path / "bundle"))

    assert all(counts.withheld == counts.entries for counts in proof.counts.values())
    assert e.REVIEWER.encode() not in everything_in(tmp_path / "bundle", but=(TRUSTED,))
