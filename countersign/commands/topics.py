"""`topics`: what the topics must be, and making them so."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from consumers.settings import load
from consumers.topics_admin import Difference, differences, wanted
from consumers.topics_admin import apply as apply_topics
from countersign.failure import NO, UsageWrong
from countersign.options import examples, group
from countersign.output import JsonFlag, emit, say, table

app = group("The topics of this deployment and their configuration.")


@app.command(epilog=examples("topics plan", "topics plan --json"))
def plan(as_json: JsonFlag = False) -> None:
    """Show what is missing or differs, and change nothing. Exit 1 when something cannot be mended.

    Exit 0 when `topics apply` would make it right, or nothing differs.
    """
    settings = load()
    found = differences(settings)
    stuck = [difference for difference in found if not difference.mendable]

    def text() -> None:
        if found:
            _show(found)
        else:
            say(f"{len(wanted(settings))} topics are as they must be")

    emit(
        {"right": not found, "differences": [_form(one) for one in found]},
        as_json=as_json,
        text=text,
    )
    if stuck:
        raise typer.Exit(NO)


@app.command(epilog=examples("topics apply", "  COUNTERSIGN_PARTITIONS=4 countersign topics apply"))
def apply(
    acls: Annotated[
        bool, typer.Option("--acls", help="Give each principal its topics too.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make the missing topics and set the configuration that differs. Twice does no harm.

    Refused, with nothing changed, when something cannot be mended: a partition count is for life.
    """
    if acls:
        raise UsageWrong("--acls: comes with a later release; until then leave it out")
    settings = load()
    done = apply_topics(settings)

    def text() -> None:
        for one in done:
            if one.kind == "missing":
                say(f"{one.topic}: made, {one.expected}")
            else:
                say(f"{one.topic}: {one.key} was {one.found}, is {one.expected}")
        say(f"{len(wanted(settings))} topics are as they must be")

    emit({"right": True, "mended": [_form(one) for one in done]}, as_json=as_json, text=text)


def _show(found: list[Difference]) -> None:
    table(
        ("topic", "what", "is", "must be", "mend"),
        ((one.topic, one.key or one.kind, one.found, one.expected, one.mend) for one in found),
    )


def _form(one: Difference) -> dict[str, object]:
    return {**asdict(one), "mendable": one.mendable, "mend": one.mend}
