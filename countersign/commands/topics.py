"""`topics`: what the topics and the rights to them must be, and making them so."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from consumers import quotas_admin
from consumers.access import Principals, Right, rights
from consumers.acls_admin import Acls, NotEnforced, apply_acls, look_at_acls
from consumers.settings import Settings, load
from consumers.topics_admin import Difference, differences, wanted
from consumers.topics_admin import apply as apply_topics
from countersign.failure import NO, AnswerIsNo
from countersign.options import examples, group
from countersign.output import JsonFlag, emit, note, say, table
from countersign.role_options import (
    LimitOptions,
    PrincipalOptions,
    principals_of,
    quotas_of,
    role_lines,
)
from producers.connection import NotAllowed

app = group("The topics of this deployment, their configuration, and who may use them.")


@app.command(
    epilog=examples(
        "topics plan", "topics plan --json", "topics plan --principal agent=User:billing-agent"
    )
)
def plan(
    principal: PrincipalOptions = None, limit: LimitOptions = None, as_json: JsonFlag = False
) -> None:
    """Show what is missing or differs, and change nothing. Exit 1 when something cannot be mended.

    Exit 0 when `topics apply` would make it right, or nothing differs. Also shows which role may
    write and read what; `topics apply --acls` gives these rights, `--quotas` sets the limits.
    """
    settings = load()
    principals = principals_of(principal)
    limits = quotas_of(principals, limit)
    found = differences(settings)
    stuck = [difference for difference in found if not difference.mendable]
    acls, why = _acls(settings, principals)

    def text() -> None:
        if found:
            _show(found)
        else:
            say(f"{len(wanted(settings))} topics are as they must be")
        missing = acls.missing if acls else ()
        for line in role_lines(principals, settings.topic_prefix, missing):
            say(line)
        if acls is None:
            say(f"rights: {why}")
            return
        count = len(rights(principals, settings.topic_prefix))
        mend = "; run: countersign topics apply --acls" if missing else ""
        say(f"rights: {count - len(missing)} of {count} are there{mend}")
        _warn(acls)

    access = {
        "enforced": acls is not None,
        "why_not": why,
        "rights": [
            {**right.form(), "there": None if acls is None else right not in acls.missing}
            for right in rights(principals, settings.topic_prefix)
        ],
        "strange": list(acls.strange) if acls else [],
        "quotas": limits,
    }
    emit(
        {"right": not found, "differences": [_form(one) for one in found], "access": access},
        as_json=as_json,
        text=text,
    )
    if stuck:
        raise typer.Exit(NO)


@app.command(
    epilog=examples(
        "topics apply",
        "  COUNTERSIGN_PARTITIONS=4 countersign topics apply",
        "topics apply --acls --principal agent=User:billing --principal agent=User:permits",
        "topics apply --quotas --command-config admin.properties",
    )
)
def apply(
    acls: Annotated[
        bool, typer.Option("--acls", help="Give each role's principals their rights too.")
    ] = False,
    quotas: Annotated[
        bool,
        typer.Option(
            "--quotas", help="Set each principal's limits too, with Kafka's kafka-configs.sh."
        ),
    ] = False,
    principal: PrincipalOptions = None,
    limit: LimitOptions = None,
    kafka_configs: Annotated[
        Path | None,
        typer.Option(metavar="PROGRAM", help="kafka-configs.sh, where it is not on the PATH."),
    ] = None,
    command_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Properties with which kafka-configs.sh logs in."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the missing topics and set the configuration that differs. Twice does no harm.

    Refused, with nothing changed, when something cannot be mended: a partition count is for life.
    Rights are only added; what else is there is said, and left to the cluster's own tools.
    """
    principals = principals_of(principal)
    limits = quotas_of(principals, limit)
    settings = load()
    done = apply_topics(settings)
    given = apply_acls(settings, principals) if acls else ()
    looked = look_at_acls(settings, principals) if acls else None

    def text() -> None:
        for one in done:
            if one.kind == "missing":
                say(f"{one.topic}: made, {one.expected}")
            else:
                say(f"{one.topic}: {one.key} was {one.found}, is {one.expected}")
        say(f"{len(wanted(settings))} topics are as they must be")
        _say_given(given, looked, len(rights(principals, settings.topic_prefix)))

    data: dict[str, Any] = {"right": True, "mended": [_form(one) for one in done]}
    if looked is not None:
        data["given"] = [right.form() for right in given]
        data["strange"] = list(looked.strange)
    if quotas:
        data["quotas"] = limits
    emit(data, as_json=as_json, text=text)
    if quotas:
        _set_quotas(settings, limits, kafka_configs, command_config)


def _set_quotas(
    settings: Settings,
    limits: dict[str, dict[str, int]],
    kafka_configs: Path | None,
    command_config: Path | None,
) -> None:
    """Raises AnswerIsNo, with the commands, where the program is not here: nothing is set then."""
    found = str(kafka_configs) if kafka_configs else quotas_admin.program()
    commands = quotas_admin.commands(
        limits,
        settings.bootstrap_servers,
        program=found or quotas_admin.PROGRAMS[0],
        command_config=command_config,
    )
    if found is None:
        raise AnswerIsNo(
            "limits were not set: our Kafka library cannot, and kafka-configs.sh is not on the PATH"
            " (--kafka-configs PROGRAM). Where it is, run:",
            *(f"  {shlex.join(command)}" for command in commands),
        )
    for who, command in zip(limits, commands, strict=True):
        quotas_admin.run(command)
        note(f"{who}: " + ", ".join(f"{key} {value}" for key, value in limits[who].items()))


def _acls(settings: Settings, principals: Principals) -> tuple[Acls | None, str | None]:
    """What rights there are, or why that cannot be said."""
    try:
        return look_at_acls(settings, principals), None
    except NotEnforced as error:
        return None, str(error)
    except NotAllowed as error:
        return None, f"these credentials may not see them ({error})"


def _say_given(given: Sequence[Right], looked: Acls | None, count: int) -> None:
    if looked is None:
        return
    for right in given:
        say(f"given: {right}")
    say(f"{count} rights are as they must be")
    _warn(looked)


def _warn(acls: Acls) -> None:
    for one in acls.strange:
        say(f"not of the table, and left alone: {one}; take it away with kafka-acls.sh --remove")


def _show(found: list[Difference]) -> None:
    table(
        ("topic", "what", "is", "must be", "mend"),
        ((one.topic, one.key or one.kind, one.found, one.expected, one.mend) for one in found),
    )


def _form(one: Difference) -> dict[str, object]:
    return {**asdict(one), "mendable": one.mendable, "mend": one.mend}
