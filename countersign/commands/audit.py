"""`audit show|verify|export`: nine questions about one package, the proof of the whole journal, and
the evidence to take away."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from consumers.audit.bundle import BundleFault, Folder, Scope
from consumers.audit.bundle_proof import Given, prove_bundle
from consumers.audit.deployed import deployed_source
from consumers.audit.export import Exported, NotEmpty
from consumers.audit.export import export as write_bundle
from consumers.audit.faults import JournalFault
from consumers.audit.history import History, read_history
from consumers.audit.proof import journal_identity, prove_journal
from consumers.audit.trail import QUESTIONS, Audit, UnknownPackage, audited
from consumers.audit.verify import Counts
from consumers.queue import UnknownControlPoint
from consumers.reading import Progress as Report
from consumers.trusting import key_set
from core.jwk import TrustedKeys
from countersign.deployment import Deployment, deployment
from countersign.failure import NO, AnswerIsNo, UsageWrong
from countersign.options import SomeId, Tenant, examples, group
from countersign.output import JsonFlag, emit, note, outline, print_json, say
from schemas.topics import record_key

Bar = Callable[[int | str], Report] | None
"""Makes a bar for a partition, or for what is named; None: nobody looks."""
app = group("What was decided and done, and the proof that the record of it is what was written.")


@app.command(epilog=examples("audit show notice-1 --tenant acme", "audit show notice-1 --tenant acme --json"))  # fmt: skip
def show(some_id: SomeId, tenant: Tenant, as_json: JsonFlag = False) -> None:
    """Answer the nine questions of an audit. Exit 1 while an answer is still open."""
    where = deployment()
    with _bar(quiet=as_json) as bar:
        audit = _audited(where, tenant, some_id, bar)
    audit = replace(audit, answers=where.readable(audit.answers, audit.tenant_id))
    emit(audit.form(), as_json=as_json, text=lambda: _show(audit))
    if not audit.complete:
        raise typer.Exit(NO)


@app.command(epilog=examples(
    "audit verify", "audit verify --partition 3 --json", "audit verify evidence --manifest-sha256 4c1f…"
))  # fmt: skip
def verify(
    directory: Annotated[
        Path | None, typer.Argument(help="An exported bundle; without it, the broker's journal.")
    ] = None,
    partition: Annotated[
        list[int] | None,
        typer.Option("--partition", min=0, metavar="N", help="Only this one; several."),
    ] = None,
    manifest_sha256: Annotated[
        str | None,
        typer.Option("--manifest-sha256", metavar="HEX", help="What export printed."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Prove the journal: gapless, chained from its genesis, under signed checkpoints, and every
    judgement made again. Of a bundle also that no byte of it was altered; that needs no server.

    Where COUNTERSIGN_TRUSTED_KEYS is set the signatures are proven too, and where
    COUNTERSIGN_GRANT_TRUSTED_KEYS is set those of checkpoints; for a bundle the keys in it count
    where they are not set. Exit 1 names the partition and seq of the first fault.
    """
    where = deployment()
    grants = _grant_keys(where)
    try:
        if directory is not None:
            if partition:
                raise UsageWrong("--partition: a bundle is checked whole; leave it out")
            given = Given(where.trusted(), grants, manifest_sha256)
            _verify_bundle(directory, given, as_json=as_json)
            return
        if manifest_sha256 is not None:
            raise UsageWrong("--manifest-sha256: name the folder of the bundle too")
        _verify_journal(where, partition, grants, as_json=as_json)
    except JournalFault as fault:
        if as_json:
            print_json({"good": False, "fault": _fault(fault)})
        raise AnswerIsNo(str(fault)) from None
    except BundleFault as fault:
        if as_json:
            print_json({"good": False, "fault": {"file": fault.file, "what": fault.what}})
        raise AnswerIsNo(str(fault)) from None


@app.command(epilog=examples(
    "audit export --out evidence", "audit export notice-1 --tenant acme --out evidence"
))  # fmt: skip
def export(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder.")],
    ids: Annotated[
        list[str] | None, typer.Argument(help="Packages or interrupts; none: all.", metavar="ID")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Of others only hashes; needed with ids.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write an evidence bundle that can be checked without a server: entries, checkpoints, inclusion
    proofs, policies and people, schemas, public keys, and a README for an auditor.

    Keep the digest that is printed apart from the bundle: `audit verify DIR --manifest-sha256`.
    """
    where = deployment()
    if ids and tenant is None:
        raise UsageWrong("--tenant: not given; ids are looked up in a tenant")
    grants = _grant_keys(where)
    if grants is None:
        raise UsageWrong(
            "COUNTERSIGN_GRANT_TRUSTED_KEYS: not set; name the JWKS of the workers' grant keys, by "
            "which checkpoints and grants are checked"
        )
    with _bar(quiet=as_json) as bar:
        found = [_audited(where, tenant or "", one, bar).decision_package_id for one in ids or ()]
    packages = tuple(dict.fromkeys(found))
    with _bar(quiet=as_json) as progress:
        source = deployed_source(
            where.settings,
            keys=[record_key(tenant or "", package_id) for package_id in packages],
            trusted=where.trusted() or TrustedKeys({}),
            grants=grants,
            progress=progress,
        )
        try:
            written = write_bundle(source, out, Scope(tenant, packages))
        except NotEmpty as error:
            raise UsageWrong(f"--out: {error}") from None
    data = {
        "directory": str(out),
        "manifest_sha256": written.manifest_sha256,
        "files": written.files,
        **written.about.form(),
    }
    emit(data, as_json=as_json, text=lambda: _say_exported(out, written))


def _verify_journal(
    where: Deployment, partitions: list[int] | None, grants: TrustedKeys | None, *, as_json: bool
) -> None:
    identity = journal_identity(where.settings)
    with _bar(quiet=as_json) as progress:
        looked = prove_journal(
            where.settings,
            partitions=partitions,
            keys=where.trusted(),
            grant_keys=grants,
            progress=progress,
        )
    data = {"cluster_id": identity.cluster_id, "journal_id": identity.topic_id}
    _emit_good(data, looked, as_json=as_json, keys="COUNTERSIGN_TRUSTED_KEYS")


def _verify_bundle(directory: Path, given: Given, *, as_json: bool) -> None:
    if not directory.is_dir():
        raise UsageWrong(f"{directory}: no such folder; name one that audit export wrote")
    with _bar(quiet=as_json) as progress:
        proof = prove_bundle(Folder(directory), given, progress=progress)
    data = {
        "cluster_id": proof.about.cluster_id,
        "journal_id": proof.about.journal_id,
        "manifest_sha256": proof.manifest_sha256,
        "grant_keys": sorted(proof.grants.by_kid),
    }
    _emit_good(data, proof.counts, as_json=as_json, keys="the trusted keys")
    if given.grants is None:
        note(
            "the keys are those in the bundle; compare keys/ with what its owner publishes, or set "
            "COUNTERSIGN_TRUSTED_KEYS and COUNTERSIGN_GRANT_TRUSTED_KEYS to your own copies"
        )
    if given.manifest_sha256 is None:
        note(f"manifest {proof.manifest_sha256}: is it the digest that audit export printed?")


def _grant_keys(where: Deployment) -> TrustedKeys | None:
    location = where.settings.grant_trusted_keys
    return None if location is None else key_set("GRANT_TRUSTED_KEYS", location)()


def _fault(fault: JournalFault) -> dict[str, Any]:
    return {
        "where": fault.where,
        "partition": fault.partition,
        "seq": fault.seq,
        "what": fault.what,
    }


def _emit_good(
    data: dict[str, Any], looked: Mapping[int, Counts], *, as_json: bool, keys: str
) -> None:
    total = Counts()
    for counts in looked.values():
        total.add(counts)
    form = {
        "good": True,
        **data,
        **total.form(),
        "partitions": {str(number): counts.form() for number, counts in looked.items()},
    }
    emit(form, as_json=as_json, text=lambda: _say_good(total, len(looked), keys))


def _say_good(total: Counts, partitions: int, keys: str) -> None:
    say(f"good: {total.entries} entries in {partitions} partitions follow from their genesis")
    say(f"  judged again, same events: {total.rejudged}; refolded only: {total.refolded}; "
        f"passed on or counted: {total.unjudged}")  # fmt: skip
    if total.withheld:
        say(f"  withheld, proven as hashes only: {total.withheld}")
    say(f"  signatures proven: {total.signatures} of inputs, {total.grants} of grants")
    say(f"  under {total.checkpoints} signed checkpoints: the first {total.covered} of "
        f"{total.entries} entries, counted over all partitions")  # fmt: skip
    if total.unproven:
        note(
            f"{total.unproven} signatures are by keys that are not in {keys}; "
            "their bytes and signers fit, their keys were not checked"
        )
    if total.unsigned:
        note(
            f"the signatures of {total.unsigned} checkpoints were not checked; set "
            "COUNTERSIGN_GRANT_TRUSTED_KEYS"
        )


def _say_exported(out: Path, written: Exported) -> None:
    entries = sum(part.entries for part in written.about.parts)
    withheld = sum(part.withheld for part in written.about.parts)
    say(f"{out}: {written.files} files, {entries - withheld} entries whole, {withheld} withheld")
    say(f"manifest SHA-256: {written.manifest_sha256}")
    say(
        f"check it with: countersign audit verify {out} --manifest-sha256 {written.manifest_sha256}"
    )


def _history(where: Deployment, tenant: str, package_id: str, bar: Bar) -> History:
    return read_history(
        where.config,
        where.named,
        tenant,
        package_id,
        registry=where.kafka.registry,
        progress=bar("journal") if bar is not None else None,
    )


def _audited(where: Deployment, tenant: str, some_id: str, bar: Bar) -> Audit:
    """The audit of a package, or of the package of an interrupt id."""
    try:
        history = _history(where, tenant, some_id, bar)
        return audited(history)
    except UnknownPackage as unknown:
        try:
            package_id = where.queue().find(tenant, some_id).decision_package_id
        except UnknownControlPoint:
            raise AnswerIsNo(str(unknown)) from None
    try:
        history = _history(where, tenant, package_id, bar)
        return audited(history)
    except UnknownPackage as unknown:
        raise AnswerIsNo(str(unknown)) from None


def _show(audit: Audit) -> None:
    state = audit.state
    say(f"Audit of {audit.tenant_id}/{audit.decision_package_id}: {state.status}, "
        f"outcome {state.outcome or 'none yet'}, gate {state.gate}")  # fmt: skip
    for number, (name, question) in enumerate(QUESTIONS.items(), 1):
        print()
        say(f"{number}. {question}")
        for line in list(outline(audit.answers[name])) or ["nothing is recorded"]:
            print(f"   {line}")
    print()
    for open_question in audit.missing:
        say(f"still open: {open_question}")
    if audit.complete:
        say("complete: every question has its answer")


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Bar]:
    """Progress and the time that is left on a terminal's standard error; nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def of_partition(partition: int | str) -> Report:
            name = partition if isinstance(partition, str) else f"partition {partition}"
            task = bar.add_task(name, total=None)

            def report(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            return report

        yield of_partition
