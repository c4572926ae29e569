"""The topics as they must be, against the topics as they are: what differs, and mending it.

The comparison is pure. Only `look`, `make` and `mend` speak to the broker.
"""
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any, Final, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from consumers.kafka_trouble import trouble
from consumers.offsets import ANSWER_WITHIN_S
from consumers.settings import Settings
from producers.connection import BrokerUnreachable, NotAllowed, logger, unreachable
from schemas.topics import TOPICS

REPLICAS: Final = 3
"""Where there are as many brokers; below that, one: two replicas survive no more than one does."""
MIN_INSYNC: Final = 2
"""With three replicas: one may be away, and an acknowledged write is still on two."""
_MIN_INSYNC_KEY: Final = "min.insync.replicas"
_SEEN_WITHIN_S: Final = 30.0
"""A new topic is there once every broker has heard of it."""
_LOOK_EVERY_S: Final = 0.1

Kind = Literal["missing", "partitions", "replication", "config"]


class TopicsWrong(Exception):
    """The topics are not what they must be; `differences` name each with its mend."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        self.differences = tuple(differences)
        self.lines = tuple(difference.line for difference in differences)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it must be; `topic` with its prefix."""

    topic: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is."""

    partitions: int
    replicas: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about one topic that is not as it must be. `expected` and `found` are text."""

    topic: str
    kind: Kind
    expected: str
    found: str
    key: str | None = None
    """The configuration key, where kind is config."""

    @property
    def mendable(self) -> bool:
        """Whether `topics apply` can mend it."""
        return self.kind in ("missing", "config")

    @property
    def mend(self) -> str:
        """What to do about it."""
        match self.kind:
            case "missing" | "config":
                return "run: countersign topics apply"
            case "partitions":
                return (
                    f"the count is fixed for life: set COUNTERSIGN_PARTITIONS={self.found}"
                    " if this is your deployment, else choose another COUNTERSIGN_TOPIC_PREFIX"
                    if self.expected != "1"
                    else "the order of a directory needs one partition: remove the topic, apply,"
                    " and publish the directories again (exceptions must be granted anew)"
                )
            case "replication":
                return "add replicas with your cluster's tool (kafka-reassign-partitions)"

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"{self.topic}: missing"
        what = self.key if self.kind == "config" else self.kind
        return f"{self.topic}: {what} is {self.found}, must be {self.expected}"

    @property
    def line(self) -> str:
        """It and its mend in one line."""
        return f"{self}; {self.mend}"


def wanted(settings: Settings) -> tuple[Wanted, ...]:
    """Every topic of this deployment."""
    return tuple(
        Wanted(
            settings.topic(spec.name),
            settings.partitions if spec.partitions == "task" else 1,
            spec.config,
        )
        for spec in TOPICS.values()
    )


def compare(
    wanted: Iterable[Wanted], found: Mapping[str, Found], *, brokers: int
) -> list[Difference]:
    """What differs. brokers: how many there are.

    More replicas than wanted are fine: two brokers of three may be away just now.
    """
    differences = []
    for topic in wanted:
        have = found.get(topic.topic)
        if have is None:
            count = f"partitions {topic.partitions}, replicas {replicas_for(brokers)}"
            differences.append(Difference(topic.topic, "missing", count, "nothing"))
            continue
        if have.partitions != topic.partitions:
            differences.append(
                Difference(topic.topic, "partitions", str(topic.partitions), str(have.partitions))
            )
        if have.replicas < replicas_for(brokers):
            differences.append(
                Difference(
                    topic.topic, "replication", str(replicas_for(brokers)), str(have.replicas)
                )
            )
        config = {**topic.config, _MIN_INSYNC_KEY: min_insync_for(have.replicas)}
        differences += [
            Difference(topic.topic, "config", value, have.config.get(key, "unset"), key)
            for key, value in config.items()
            if have.config.get(key) != value
        ]
    return differences


def replicas_for(brokers: int) -> int:
    """How many replicas a new topic gets."""
    return REPLICAS if brokers >= REPLICAS else 1


def min_insync_for(replicas: int) -> str:
    """`min.insync.replicas` of a topic with so many replicas."""
    return str(MIN_INSYNC if replicas >= REPLICAS else 1)


def differences(settings: Settings) -> list[Difference]:
    """What differs at the broker. Raises BrokerUnreachable, NotAllowed."""
    return _differences(settings, connect(settings))


def assert_topics(settings: Settings) -> None:
    """Raises TopicsWrong unless every topic is as it must be; BrokerUnreachable, NotAllowed."""
    if found := differences(settings):
        raise TopicsWrong(found)


def apply(settings: Settings) -> list[Difference]:
    """Makes missing topics and mends configurations; says what it did.

    Changes nothing and raises TopicsWrong when something cannot be mended. To do it twice, or from
    two places at once, does no harm. Raises BrokerUnreachable, NotAllowed.
    """
    admin = connect(settings)
    found = _differences(settings, admin)
    if stuck := [difference for difference in found if not difference.mendable]:
        raise TopicsWrong(stuck)
    if not found:
        return []
    by_name = {topic.topic: topic for topic in wanted(settings)}
    brokers = _brokers(settings, admin)
    make(settings, admin, [by_name[d.topic] for d in found if d.kind == "missing"], brokers)
    mend(settings, admin, [d for d in found if d.kind == "config"])
    _wait_until_seen(settings, admin)
    return found


def look(
    settings: Settings, admin: AdminClient, names: Iterable[str]
) -> tuple[dict[str, Found], int]:
    """The topics of these names that are there, and how many brokers there are."""
    try:
        cluster = admin.list_topics(timeout=ANSWER_WITHIN_S)  # of all: asking for one may make it
    except KafkaException as error:
        raise failure(error.args[0], settings) from None
    there = [name for name in names if name in cluster.topics]
    configs = _configs(settings, admin, there)
    found = {}
    for name in there:
        partitions = cluster.topics[name].partitions
        replicas = min((len(p.replicas) for p in partitions.values()), default=0)
        found[name] = Found(len(partitions), replicas, configs[name])
    return found, len(cluster.brokers)


def make(settings: Settings, admin: AdminClient, topics: Sequence[Wanted], brokers: int) -> None:
    """Makes topics; one that somebody else made meanwhile is left to the next look."""
    if not topics:
        return
    replicas = replicas_for(brokers)
    new = [
        NewTopic(
            topic.topic,
            num_partitions=topic.partitions,
            replication_factor=replicas,
            config={**topic.config, _MIN_INSYNC_KEY: min_insync_for(replicas)},
        )
        for topic in topics
    ]
    asked = admin.create_topics(new, request_timeout=ANSWER_WITHIN_S)
    results_of(settings, asked, tolerated=KafkaError.TOPIC_ALREADY_EXISTS)


def mend(settings: Settings, admin: AdminClient, changes: Sequence[Difference]) -> None:
    """Sets the configurations that differ, and no others."""
    if not changes:
        return
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(
                    str(change.key),
                    change.expected,
                    incremental_operation=AlterConfigOpType.SET,
                )
                for change in changes
                if change.topic == topic
            ],
        )
        for topic in dict.fromkeys(change.topic for change in changes)
    ]
    results_of(
        settings, admin.incremental_alter_configs(resources, request_timeout=ANSWER_WITHIN_S)
    )


def _differences(settings: Settings, admin: AdminClient) -> list[Difference]:
    topics = wanted(settings)
    found, brokers = look(settings, admin, [topic.topic for topic in topics])
    return compare(topics, found, brokers=brokers)


def _wait_until_seen(settings: Settings, admin: AdminClient) -> None:
    deadline = monotonic() + _SEEN_WITHIN_S
    while left := _differences(settings, admin):
        stuck = [difference for difference in left if not difference.mendable]
        if stuck or monotonic() >= deadline:
            raise TopicsWrong(stuck or left)
        Event().wait(_LOOK_EVERY_S)


def connect(settings: Settings) -> AdminClient:
    """A client for administration. Raises BrokerUnreachable at once where TLS or SASL is wrong."""
    if (why := trouble(settings.admin_config())) is not None:
        raise BrokerUnreachable(f"{settings.bootstrap_servers}: {why}")
    return AdminClient(settings.admin_config(), logger=logger)


def _brokers(settings: Settings, admin: AdminClient) -> int:
    return look(settings, admin, ())[1]


def _configs(
    settings: Settings, admin: AdminClient, topics: Sequence[str]
) -> dict[str, Mapping[str, str]]:
    if not topics:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    asked = admin.describe_configs(resources, request_timeout=ANSWER_WITHIN_S)
    return {
        resource.name: {key: entry.value for key, entry in entries.items()}
        for resource, entries in results_of(settings, asked).items()
    }


def results_of(
    settings: Settings, asked: Mapping[Any, Future[Any]], *, tolerated: int | None = None
) -> dict[Any, Any]:
    """What an administration call answers. Raises BrokerUnreachable, NotAllowed."""
    answers = {}
    for what, future in asked.items():
        try:
            answers[what] = future.result(timeout=ANSWER_WITHIN_S * 2)
        except KafkaException as error:
            if error.args[0].code() != tolerated:
                raise failure(error.args[0], settings, str(getattr(what, "name", what))) from None
        except TimeoutError:
            raise BrokerUnreachable(f"{settings.bootstrap_servers} did not answer") from None
    return answers


def failure(
    error: KafkaError, settings: Settings, what: str = ""
) -> BrokerUnreachable | NotAllowed:
    """What a broker's error means to us."""
    about = f"{what}: {error.str()}" if what else error.str()
    if unreachable(error):
        return BrokerUnreachable(f"{settings.bootstrap_servers}: {about}")
    return NotAllowed(about)
