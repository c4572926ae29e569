"""`demo`: the whole system on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.options import examples, plain
from countersign.output import JsonFlag

app = plain()


@app.command(epilog=examples("demo", "demo --auto", "demo --json | jq .notices[].outcome"))
def demo(
    auto: Annotated[
        bool,
        typer.Option("--auto", help="Decide by script; so does a demo without a terminal."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the whole system on this machine: three notices, from draft to audit.

    Starts Kafka, Redis, the worker, the notifier and a mail server that sends nothing; you decide
    on the first notice. Ends by itself and ends all it started. Exit 0 when every audit is
    complete. With --json it decides by script, the story goes to standard error.
    """
    from countersign.demo.run import run  # only this command needs all of the system

    raise typer.Exit(run(auto=auto, as_json=as_json))
