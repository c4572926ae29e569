"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from core.policy import duration_s
from countersign.failure import UsageWrong
from countersign.wording import sentence

ANSWER_WITHIN_S: Final = 30.0
"""How long a command waits for the worker's answer, unless told."""
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")


def examples(*lines: str) -> str:
    """The examples under a command's help, each on its own line; a line set in goes on."""
    shown = (f"  {line}" if line.startswith(" ") else f"  countersign {line}" for line in lines)
    return "\n".join(["\b", "Examples:", *shown])


def group(help_text: str) -> typer.Typer:
    """A group of commands; plain help, so that it reads the same in a terminal and in a file."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)


def plain() -> typer.Typer:
    """Commands that stand at the top."""
    return typer.Typer(rich_markup_mode=None)


class PlainWords(TyperGroup):
    """The root of the commands: what is wrong with an option is said in plain words."""

    def invoke(self, ctx: Any) -> Any:
        """Runs what was typed; also an option of a command below is read in here."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if isinstance(error.__cause__, ValidationError):  # how typer reads values
                [first, *_] = error.__cause__.errors(include_url=False)
                error.message = sentence(first)
            raise


def refused_options(error: ValidationError, names: Mapping[str, str]) -> UsageWrong:
    """What the record says of the options it was made from; `names`: fields named otherwise."""
    lines = []
    for one in error.errors(include_url=False):
        field = str(one["loc"][0]) if one["loc"] else ""
        flag = names.get(field, f"--{field.replace('_', '-')}")
        lines.append(f"{flag}: {sentence(one)}")
    return UsageWrong(*lines)


def seconds(text: str | float) -> float:
    """Seconds of `90s`, `15m`, `8h`, `7d`, or of a bare number of seconds."""
    if not isinstance(text, str):
        return float(text)
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        return float(duration_s(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def instant(text: str | datetime) -> datetime:
    """A point in time with its zone, such as 2027-01-01T00:00:00Z."""
    if isinstance(text, datetime):
        return text
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a time such as 2027-01-01T00:00:00Z") from None
    if time.tzinfo is None:
        raise typer.BadParameter("add the time zone, such as 2027-01-01T00:00:00Z")
    return time.astimezone(UTC)


Tenant = Annotated[str, typer.Option("--tenant", metavar="T", help="The tenant.")]
AnyTenant = Annotated[
    str | None,
    typer.Option("--tenant", metavar="T", help="The tenant; needed where two have the same id."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="PEM",
        help="Private key file (0600) that signs; unsigned without, which a worker refuses "
        "unless it is told otherwise.",
    ),
]
SomeId = Annotated[
    str, typer.Argument(metavar="ID", help="Decision package id, or an interrupt id of it.")
]


Comment = Annotated[str | None, typer.Option(help="It is recorded.")]
Evidence = Annotated[
    list[str] | None,
    typer.Option(metavar="REF", help="Evidence it rests on, or that is missing; several."),
]


def timeout_option(help_text: str, default_text: str = "30s") -> typer.models.OptionInfo:
    """`--timeout`, as a duration."""
    option: typer.models.OptionInfo = typer.Option(
        "--timeout", parser=seconds, metavar="DURATION", help=help_text, show_default=default_text
    )
    return option


AnswerTimeout = Annotated[float, timeout_option("How long to wait for the worker's answer.")]
