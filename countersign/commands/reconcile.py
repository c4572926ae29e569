"""`reconcile`: grants against receipts, each disagreement with its ids and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from consumers.ledger import read_ledger
from consumers.reconciling import Difference, Ledger, differences
from countersign.deployment import deployment
from countersign.failure import NO
from countersign.options import examples, plain
from countersign.output import JsonFlag, emit, say

app = plain()


@app.command(epilog=examples("reconcile", "reconcile --tenant acme --json"))
def reconcile(
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="T", help="Only this tenant.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare what was granted, taken and reported. Exit 1 when they disagree anywhere.

    Receipts that the worker refused as unsigned or forged are left out: anybody can append them.
    """
    where, now = deployment(), datetime.now(UTC)
    ledger = read_ledger(where.config, where.named, tenant_id=tenant, registry=where.kafka.registry)
    found = differences(ledger, now)
    data = {
        "agree": not found,
        "grants": len(ledger.opened),
        "taken": len(ledger.consumed),
        "receipts": len(ledger.reported),
        "differences": [one.form() for one in found],
    }
    emit(data, as_json=as_json, text=lambda: _say(ledger, found))
    if found:
        raise typer.Exit(NO)


def _say(ledger: Ledger, found: list[Difference]) -> None:
    for one in found:
        tenant_id, package_id, grant_id = one.grant
        say(f"{one.kind}: {tenant_id}/{package_id}, grant {grant_id}")
        ids = {"attempt": one.attempt_id, "receipt": one.receipt_id, "executor": one.executor_id}
        for name, value in ids.items():
            if value is not None:
                say(f"  {name} {value}")
        say(f"  {one.what}")
        say(f"  do: {one.mend}")
    counts = f"{len(ledger.opened)} grants, {len(ledger.consumed)} takes, {len(ledger.reported)} receipts"
    say(f"{len(found)} difference(s) in {counts}" if found else f"they agree: {counts}")
