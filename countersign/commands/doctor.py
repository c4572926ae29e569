"""`doctor`: looks at everything a deployment rests on, and says what to mend."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from confluent_kafka import KafkaException

from consumers.access import ACCESS
from consumers.reading import ReadStalled, TopicMissing
from countersign.deployment import Deployment, deployment
from countersign.failure import NO
from countersign.findings import Finding, error, ok, warning
from countersign.key_checks import check_keys
from countersign.options import examples, plain
from countersign.output import JsonFlag, emit, say
from countersign.role_options import role_of
from countersign.server_checks import check_broker, check_redis, check_schemas

app = plain()


@app.command(epilog=examples("doctor", "doctor --json", "doctor --role agent"))
def doctor(
    role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            help="The role of these credentials at the broker: to write anything else must fail, "
            "and is tried. Of an agent, say, only what concerns it is looked at.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check broker, topics, rights, Redis, clock, schemas, keys, policies; exit 1 on an error.

    To learn what may be written it asks the broker to write to every topic, in a way that no broker
    ever completes: nothing is left behind.
    """
    played = role_of(role) if role else None
    where = deployment()
    found = [*check_schemas(), *check_keys(where.settings, datetime.now(UTC))]
    broker = check_broker(where.settings, role=played)
    found += broker
    sees_all = played is None or ACCESS[played].sees_configuration
    if sees_all:
        found += check_redis(where.settings)
    if sees_all and not any(finding.level == "error" for finding in broker):
        found += _directories(where)
    errors = sum(finding.level == "error" for finding in found)
    data = {"good": errors == 0, "findings": [finding.form() for finding in found]}
    emit(data, as_json=as_json, text=lambda: _say(found, errors))
    if errors:
        raise typer.Exit(NO)


def _directories(where: Deployment) -> list[Finding]:
    part = "directories"
    try:
        tenants = where.directories().latest().tenants
    except (TopicMissing, ReadStalled, KafkaException) as failure:
        return [error(part, str(failure), "see kafka and topics above")]
    found = [
        warning(part, f"tenant {name} has no policy; its requests are refused", "policy apply")
        for name, tenant in tenants.items()
        if tenant.policy is None
    ]
    with_policy = [name for name, tenant in tenants.items() if tenant.policy is not None]
    if not with_policy:
        return [*found, warning(part, "no policy is published", "countersign policy apply FILE")]
    return [*found, ok(part, f"{len(with_policy)} tenant(s) with a policy")]


def _say(found: list[Finding], errors: int) -> None:
    for finding in found:
        mend = f"; mend: {finding.mend}" if finding.mend else ""
        say(f"{finding.level:7} {finding.part}: {finding.what}{mend}")
    say(f"{errors} error(s)" if errors else "no errors")
