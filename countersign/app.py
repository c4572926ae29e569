"""The command line, put together from its groups; each command stands in `commands/`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from countersign.commands import (
    asking,
    audit,
    deciding,
    demo,
    dev,
    doctor,
    erasing,
    exceptions,
    init,
    interrupts,
    keys,
    overruling,
    policy,
    reading,
    reconcile,
    reviewers,
    schemas,
    services,
    tasks,
    topics,
)
from countersign.options import PlainWords, examples

app = typer.Typer(
    cls=PlainWords,
    help="An authorised human between an AI agent's wish and its effect.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=examples("demo --auto", "init trial", "explain notice-1 --tenant acme"),
)


def _version(asked: bool) -> None:
    if asked:
        print(f"countersign {version('countersign')}")
        raise typer.Exit


@app.callback()
def _root(
    version_: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


# Getting started.
app.add_typer(demo.app)
app.add_typer(init.app)
app.add_typer(dev.app, name="dev")
app.add_typer(topics.app, name="topics")
# Governing.
app.add_typer(policy.app, name="policy")
app.add_typer(reviewers.app, name="reviewers")
app.add_typer(keys.app, name="keys")
# Asking and deciding.
app.add_typer(asking.app)
app.add_typer(deciding.app)
app.add_typer(overruling.app)
app.add_typer(tasks.app)
app.add_typer(exceptions.app, name="exception")
app.add_typer(interrupts.app, name="interrupts")
app.add_typer(interrupts.top)
# Running.
app.add_typer(services.app)
app.add_typer(doctor.app)
# Looking afterwards.
erasing.register(audit.app)
app.add_typer(audit.app, name="audit")
app.add_typer(reconcile.app)
app.add_typer(reading.app)
app.add_typer(reading.dlq, name="dlq")
app.add_typer(schemas.app, name="schemas")
