"""What `doctor` finds about the servers: reachable, configured as they must be, and on time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it is

from consumers.access import ACCESS, Role, role_that_writes
from consumers.acls_admin import May, probe_writes
from consumers.kafka_trouble import trouble
from consumers.offsets import ANSWER_WITHIN_S
from consumers.settings import Settings
from consumers.topics_admin import differences
from core.authentication import SKEW_MAX
from countersign.findings import Finding, error, ok, warning
from producers.connection import BrokerUnreachable, NotAllowed, logger
from schemas.avro_files import current, schema_files
from schemas.avro_schema import fingerprint
from schemas.registry import RECORDS
from schemas.topics import TOPICS

REDIS_TIMEOUT_S: Final = 2.0


def check_broker(settings: Settings, *, role: Role | None = None) -> list[Finding]:
    """Whether Kafka answers, whether the topics are as they must be, and what may be written.

    role: that of these credentials; one that may not see the topics' configuration is not asked to.
    """
    part = "kafka"
    try:
        admin = AdminClient(settings.admin_config(), logger=logger)
        cluster = admin.list_topics(timeout=ANSWER_WITHIN_S)
        found = [
            ok(part, f"cluster {cluster.cluster_id}, {len(cluster.brokers)} broker(s)"),
        ]
        if role is None or ACCESS[role].sees_configuration:
            found += check_topics(settings)
        if not any(finding.level == "error" for finding in found):
            found.append(_clock(settings, admin, cluster.topics))
        return [*found, *of_writable(probe_writes(settings), role)]
    except KafkaException as failure:
        said = trouble(settings.admin_config()) or failure.args[0].str()
        why = f"{settings.bootstrap_servers}: {said}"
    except (BrokerUnreachable, NotAllowed) as failure:
        why = str(failure)
    return [error(part, why, "start it, or mend COUNTERSIGN_BOOTSTRAP_SERVERS")]


def check_topics(settings: Settings) -> list[Finding]:
    """The topics and their configurations. Raises BrokerUnreachable, NotAllowed."""
    found = differences(settings)
    if not found:
        return [ok("topics", f"{len(TOPICS)} topics are as they must be")]
    return [error("topics", one.line.removesuffix(f"; {one.mend}"), one.mend) for one in found]


def of_writable(probed: Mapping[str, May], role: Role | None) -> list[Finding]:
    """What it means that these topics can be written. A topic that is missing is not counted."""
    part = "access"
    may = [name for name, answer in probed.items() if answer == "may"]
    refused = [name for name, answer in probed.items() if answer == "may not"]
    if role is not None:
        meant = ACCESS[role].writes
        mend = "see who gives it: countersign topics plan; take it away with kafka-acls.sh --remove"
        found = [
            error(part, f"these credentials may write {name}, which the {role} must not", mend)
            for name in may
            if name not in meant
        ]
        mend = f"countersign topics apply --acls --principal {role}=User:…"
        found += [
            error(part, f"these credentials may not write {name}, which the {role} must", mend)
            for name in refused
            if name in meant
        ]
        kept = f"the broker refused {len(refused)} other topics" if refused else "all were asked"
        return found or [ok(part, f"as {role}: may write {_listed(may)}; {kept}")]
    if may and not refused:
        mend = "with rights: countersign topics apply --acls; then ask as each: doctor --role ROLE"
        what = "these credentials may write every topic: the broker enforces no ACLs, or knows them"
        return [warning(part, f"{what} as a super user", mend)]
    known = role_that_writes(may)
    if known is None:
        what = f"these credentials may write {_listed(may)}, which is no role's"
        return [warning(part, what, "one principal a role: countersign topics plan")]
    return [ok(part, f"may write {_listed(may)}, as the role {known}")]


def _listed(names: Sequence[str]) -> str:
    left_out = [name for name in TOPICS if name not in names]
    if len(names) > len(left_out) > 0:
        return f"every topic but {', '.join(left_out)}"
    return ", ".join(names) or "no topic"


def check_redis(settings: Settings) -> list[Finding]:
    """Whether Redis answers, evicts nothing and keeps what it was told."""
    import redis  # a quarter of a second that only this command needs
    from redis.exceptions import AuthenticationError, NoPermissionError

    part, url = "redis", settings.redis_url.get_secret_value()
    try:
        client = redis.Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        )
        with client:
            info: Mapping[str, Any] = client.info("server")
            found = [ok(part, f"version {info.get('redis_version')}")]
            try:
                config: Mapping[str, Any] = client.config_get(  # type: ignore[assignment]
                    "maxmemory-policy", "appendonly"
                )
            except redis.ResponseError:
                mend = "see there that maxmemory-policy is noeviction"
                return [*found, warning(part, "it does not tell its configuration", mend)]
            return found + of_redis_config(config)
    except (AuthenticationError, NoPermissionError) as failure:
        why = f"refuses the user, the password or a command ({type(failure).__name__})"
        return [error(part, why, "COUNTERSIGN_REDIS_URL: rediss://user:password@host:port/0")]
    except (redis.RedisError, OSError, ValueError) as failure:
        if "CERTIFICATE_VERIFY_FAILED" in str(failure):
            mend = "name its CA: COUNTERSIGN_REDIS_URL=rediss://…/0?ssl_ca_certs=FILE"
            return [error(part, "TLS: its certificate is not trusted", mend)]
        # The message may hold the URL, and that may hold a password.
        why = f"does not answer ({type(failure).__name__})"
        return [error(part, why, "start it, or mend COUNTERSIGN_REDIS_URL")]


def of_redis_config(config: Mapping[str, Any]) -> list[Finding]:
    """What its configuration means for us."""
    policy, appendonly = config.get("maxmemory-policy"), config.get("appendonly")
    found = []
    if policy != "noeviction":
        what = f"maxmemory-policy is {policy}: it may forget states; the worker refuses to start"
        mend = "redis-cli config set maxmemory-policy noeviction, and in its configuration file"
        found.append(error("redis", what, mend))
    else:
        found.append(ok("redis", "maxmemory-policy is noeviction"))
    if appendonly != "yes":
        what = "appendonly is off: after its restart every state is read from Kafka again"
        found.append(warning("redis", what, "redis-cli config set appendonly yes"))
    else:
        found.append(ok("redis", "appendonly is on"))
    return found


def check_schemas() -> list[Finding]:
    """Whether the schema files that others are given are those this program writes."""
    files = {path.stem: path for path in schema_files()}
    wrong = [
        name
        for name, model in RECORDS.items()
        if name not in files
        or fingerprint(json.loads(files[name].read_text(encoding="utf-8")))
        != current(model).fingerprint
    ]
    if wrong:
        what = f"the files of {', '.join(wrong)} are not what this program writes"
        return [error("schemas", what, "install the program again")]
    return [ok("schemas", f"{len(files)} schemas")]


def _clock(settings: Settings, admin: AdminClient, topics: Mapping[str, Any]) -> Finding:
    """Whether this machine's clock is behind the broker's: a record appended in our future shows
    it. Nothing is written to find out, so a clock that is ahead is not seen."""
    places = [
        TopicPartition(settings.topic(name), number)
        for name in TOPICS
        if settings.topic(name) in topics
        for number in topics[settings.topic(name)].partitions
    ]
    newest: Any = getattr(OffsetSpec, "max_timestamp")()  # noqa: B009 - it has no type
    asked: Any = admin.list_offsets(
        {place: newest for place in places},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=ANSWER_WITHIN_S,
    )
    times = (one.result(ANSWER_WITHIN_S).timestamp for one in asked.values())
    return of_newest(max(times, default=-1), datetime.now(UTC))


def of_newest(newest_ms: int, now: datetime) -> Finding:
    """What the newest append time says about our clock; -1: there is no record."""
    if newest_ms < 0:
        return ok("clock", "no record yet to compare with")
    behind = datetime.fromtimestamp(newest_ms / 1000, UTC) - now
    if behind > SKEW_MAX:
        what = f"this machine's clock is {behind.total_seconds():.0f} s behind the broker's"
        return error("clock", what, "set it by NTP; signatures made here are refused as expired")
    if behind > timedelta(seconds=2):
        what = f"this machine's clock is {behind.total_seconds():.0f} s behind the broker's"
        return warning("clock", what, "set it by NTP")
    return ok("clock", "not behind the broker's")
