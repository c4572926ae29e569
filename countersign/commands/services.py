"""`worker`, `notifier` and `balancer`: the services, in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from consumers.settings import load
from countersign.options import examples, plain

app = plain()


@app.command(epilog=examples("worker", "worker --insecure-unsigned     # a loopback broker only"))
def worker(
    insecure_unsigned: Annotated[
        bool,
        typer.Option(
            "--insecure-unsigned",
            help="Believe unsigned records. For trying out; refused unless the broker is loopback.",
        ),
    ] = False,
) -> None:
    """Run the control worker: it judges requests, decisions, takes and receipts.

    SIGTERM and Ctrl-C drain it: it finishes its transaction, leaves the group and exits 0.
    """
    from consumers.control.main import run  # only this command needs the worker's code

    raise typer.Exit(run(load(), insecure_unsigned=insecure_unsigned))


@app.command(epilog=examples("notifier"))
def notifier() -> None:
    """Run the notification service: it takes grants for notices, sends the mails and reports."""
    from consumers.notification.main import run  # only this command needs the notifier's code

    raise typer.Exit(run(load()))


@app.command(epilog=examples("balancer"))
def balancer() -> None:
    """Run the balancer: it assigns review tasks to who may decide them and has the least to do, and
    caps who has decided as many in an hour as the policy allows.
    """
    from consumers.balancing.main import run  # only this command needs the balancer's code

    raise typer.Exit(run(load()))
