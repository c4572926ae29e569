"""`audit show|verify`: nine questions about one package, and the proof of the whole journal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from consumers.audit.history import read_history
from consumers.audit.proof import journal_identity, prove_journal
from consumers.audit.trail import QUESTIONS, Audit, UnknownPackage, audited
from consumers.audit.verify import Counts, JournalFault
from consumers.queue import UnknownControlPoint
from consumers.reading import Progress as Report
from countersign.deployment import Deployment, deployment
from countersign.failure import NO, AnswerIsNo
from countersign.options import SomeId, Tenant, examples, group
from countersign.output import JsonFlag, emit, note, outline, print_json, say

app = group("What was decided and done, and the proof that the record of it is what was written.")


@app.command(epilog=examples("audit show notice-1 --tenant acme", "audit show notice-1 --tenant acme --json"))  # fmt: skip
def show(some_id: SomeId, tenant: Tenant, as_json: JsonFlag = False) -> None:
    """Answer the nine questions of an audit. Exit 1 while an answer is still open."""
    where = deployment()
    audit = _audited(where, tenant, some_id)
    emit(audit.form(), as_json=as_json, text=lambda: _show(audit))
    if not audit.complete:
        raise typer.Exit(NO)


@app.command(epilog=examples("audit verify", "audit verify --partition 3 --json"))
def verify(
    partition: Annotated[
        list[int] | None,
        typer.Option("--partition", min=0, metavar="N", help="Only this one; several."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Prove the journal: gapless, chained from its genesis, and every judgement made again.

    Where COUNTERSIGN_TRUSTED_KEYS is set the signatures are proven too. Exit 1 names the partition
    and seq of the first fault.
    """
    where = deployment()
    identity = journal_identity(where.settings)
    try:
        with _bar() as progress:
            looked = prove_journal(
                where.settings, partitions=partition, keys=where.trusted(), progress=progress
            )
    except JournalFault as fault:
        if as_json:
            print_json({"good": False, "fault": _fault(fault)})
        raise AnswerIsNo(str(fault)) from None
    total = Counts()
    for counts in looked.values():
        total.add(counts)
    data = {
        "good": True,
        "cluster_id": identity.cluster_id,
        "journal_id": identity.topic_id,
        **total.form(),
        "partitions": {str(number): counts.form() for number, counts in looked.items()},
    }
    emit(data, as_json=as_json, text=lambda: _say_good(total, len(looked)))


def _fault(fault: JournalFault) -> dict[str, Any]:
    return {"partition": fault.partition, "seq": fault.seq, "what": fault.what}


def _say_good(total: Counts, partitions: int) -> None:
    say(f"good: {total.entries} entries in {partitions} partitions follow from their genesis")
    say(f"  judged again, same events: {total.rejudged}; refolded only: {total.refolded}; "
        f"passed on or counted: {total.unjudged}")  # fmt: skip
    say(f"  signatures proven: {total.signatures}")
    if total.unproven:
        note(
            f"{total.unproven} signatures are by keys that are not in COUNTERSIGN_TRUSTED_KEYS; "
            "their bytes and signers fit, their keys were not checked"
        )


def _audited(where: Deployment, tenant: str, some_id: str) -> Audit:
    """The audit of a package, or of the package of an interrupt id."""
    registry = where.kafka.registry
    try:
        history = read_history(where.config, where.named, tenant, some_id, registry=registry)
        return audited(history)
    except UnknownPackage as unknown:
        try:
            package_id = where.queue().find(tenant, some_id).decision_package_id
        except UnknownControlPoint:
            raise AnswerIsNo(str(unknown)) from None
    try:
        history = read_history(where.config, where.named, tenant, package_id, registry=registry)
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
def _bar() -> Iterator[Callable[[int], Report] | None]:
    """A progress bar on a terminal's standard error; none elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def of_partition(partition: int) -> Report:
            task = bar.add_task(f"partition {partition}", total=None)

            def report(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            return report

        yield of_partition
