"""The rights of `consumers/access.py` at the broker: which are there, giving them, and probing.

Nothing here takes a right away: that is done by name, with the cluster's own tools.
"""
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any, Final, Literal

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from consumers.access import Principals, Right, rights
from consumers.offsets import ANSWER_WITHIN_S
from consumers.settings import Settings
from consumers.topics_admin import connect, failure, results_of
from producers.connection import BrokerUnreachable, NotAllowed, logger
from schemas.topics import TOPICS

_SEEN_WITHIN_S: Final = 30.0
"""A broker learns of a new right from the controller's log, a moment after it was given."""
_LOOK_EVERY_S: Final = 0.1
_PROBED_WITHIN_S: Final = 20.0
_CHANGING: Final = frozenset({"ALL", "WRITE", "ALTER", "DELETE", "ALTER_CONFIGS"})
_EVERY_HOST: Final = "*"

NOT_ENFORCED: Final = (
    "the broker enforces no ACLs; set authorizer.class.name="
    "org.apache.kafka.metadata.authorizer.StandardAuthorizer and super.users there"
)


class NotEnforced(NotAllowed):
    """The broker has no authorizer: whatever rights are given, everybody may do everything."""

    def __init__(self) -> None:
        super().__init__(NOT_ENFORCED)


@dataclass(frozen=True, slots=True)
class Acls:
    """Rights as they are, against rights as they must be.

    strange: what the table does not give: somebody else may change a topic or a transactional id
    of ours, or a principal of ours is denied something. It is left alone, and said.
    """

    missing: tuple[Right, ...]
    strange: tuple[str, ...]


def look_at_acls(settings: Settings, principals: Principals) -> Acls:
    """Compares. Raises NotEnforced, BrokerUnreachable, NotAllowed."""
    return _look(settings, connect(settings), principals)


def apply_acls(settings: Settings, principals: Principals) -> tuple[Right, ...]:
    """Gives what is missing, and says what it gave. Twice does no harm. Raises as `look_at_acls`."""
    admin = connect(settings)
    missing = _look(settings, admin, principals).missing
    if not missing:
        return ()
    asked: Any = admin.create_acls(
        [_binding(right) for right in missing], request_timeout=ANSWER_WITHIN_S
    )
    results_of(settings, asked)
    deadline = monotonic() + _SEEN_WITHIN_S
    while left := _look(settings, admin, principals).missing:
        if monotonic() >= deadline:
            raise BrokerUnreachable(
                f"{settings.bootstrap_servers} has not heard of {len(left)} rights after "
                f"{_SEEN_WITHIN_S:.0f} s, such as {left[0]}; run it again"
            )
        Event().wait(_LOOK_EVERY_S)
    return missing


@dataclass(frozen=True, slots=True)
class Found:
    """A rule of the broker, in its words."""

    principal: str
    resource: str
    name: str
    pattern: str
    operation: str
    host: str = _EVERY_HOST
    allows: bool = True

    @property
    def gives(self) -> tuple[str, ...] | None:
        """What it gives, as `_wanted` has it; None: not what we give."""
        if not self.allows or self.host != _EVERY_HOST:
            return None
        return self.principal, self.resource, self.name, self.pattern, self.operation

    def __str__(self) -> str:
        may = "may" if self.allows else "is denied to"
        star = "*" if self.pattern == "PREFIXED" else ""
        kind = self.resource.lower().replace("_", " ")
        host = "" if self.host == _EVERY_HOST else f" from {self.host}"
        return f"{self.principal} {may} {self.operation} {kind} {self.name}{star}{host}"


def compare(wanted: Sequence[Right], found: Sequence[Found], topics: Sequence[str]) -> Acls:
    """What is missing, and what is there that the table does not give. topics: with the prefix."""
    expected = {_given(right) for right in wanted}
    there = {one.gives for one in found}
    ours = {right.principal for right in wanted}
    transactional = [right.name for right in wanted if right.resource == "TRANSACTIONAL_ID"]
    strange = [
        str(one)
        for one in found
        if one.gives not in expected
        and (
            one.operation in _CHANGING and _reaches(one, topics, transactional)
            if one.allows
            else one.principal in ours
        )
    ]
    missing = tuple(right for right in wanted if _given(right) not in there)
    return Acls(missing, tuple(sorted(strange)))


def _given(right: Right) -> tuple[str, ...]:
    return right.principal, right.resource, right.name, right.pattern, right.operation


def _reaches(one: Found, topics: Sequence[str], transactional: Sequence[str]) -> bool:
    """Whether it is about something of this deployment. Our transactional ids are prefixes."""
    prefixed = one.pattern == "PREFIXED"
    if one.resource == "TOPIC":
        return any(
            name.startswith(one.name) if prefixed else one.name in (name, "*") for name in topics
        )
    return one.resource == "TRANSACTIONAL_ID" and any(
        one.name == "*" or one.name.startswith(name) or (prefixed and name.startswith(one.name))
        for name in transactional
    )


def _look(settings: Settings, admin: AdminClient, principals: Principals) -> Acls:
    everybody: Any = None
    answer: Sequence[Any] = _answered(
        settings, admin.describe_acls(_filter(everybody), request_timeout=ANSWER_WITHIN_S)
    )
    if not answer:
        _assert_enforced(settings, admin)
    found = [
        Found(
            one.principal,
            "CLUSTER" if one.restype == ResourceType.BROKER else one.restype.name,
            one.name,
            one.resource_pattern_type.name,
            one.operation.name,
            one.host,
            one.permission_type == AclPermissionType.ALLOW,
        )
        for one in answer
    ]
    wanted = rights(principals, settings.topic_prefix)
    return compare(wanted, found, [settings.topic(name) for name in TOPICS])


def _assert_enforced(settings: Settings, admin: AdminClient) -> None:
    """Asked where no rule was told: librdkafka 2.16 gives an empty answer also for an error.

    To delete what nobody can have deletes nothing, and that error it does tell. Raises NotEnforced,
    NotAllowed: these credentials may not see the rules.
    """
    nothing = _filter("User:countersign no such principal")
    [asked] = admin.delete_acls([nothing], request_timeout=ANSWER_WITHIN_S).values()
    _answered(settings, asked)


def _answered(settings: Settings, asked: Future[Any]) -> Any:
    try:
        return asked.result(timeout=ANSWER_WITHIN_S * 2)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.SECURITY_DISABLED:
            raise NotEnforced from None
        raise failure(error.args[0], settings) from None
    except TimeoutError:
        raise BrokerUnreachable(f"{settings.bootstrap_servers} did not answer") from None


def _filter(principal: str) -> AclBindingFilter:
    anything: Any = None
    return AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        principal,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def _binding(right: Right) -> AclBinding:
    return AclBinding(
        ResourceType.BROKER if right.resource == "CLUSTER" else ResourceType[right.resource],
        right.name,
        ResourcePatternType[right.pattern],
        right.principal,
        _EVERY_HOST,
        AclOperation[right.operation],
        AclPermissionType.ALLOW,
    )


# --- what these credentials may write ------------------------------------------------------------

May = Literal["may", "may not", "unknown"]
_PROBE: Final = b"countersign doctor: may this be written?"


def probe_writes(settings: Settings) -> Mapping[str, May]:
    """Which topics these credentials may write, found out by really asking to write each of them.

    The record is sent with `acks=2`, which no broker has served since Kafka 0.9: it is asked for
    the right first, and refuses the acknowledgement then, so that nothing is appended whatever the
    answer. (A transaction that is aborted would leave a record and a marker, and needs a right of
    its own; a description of rights is only what the broker says of itself.) What may not even be
    seen may not be written; what is not there is not asked for, since that may make it: unknown.
    Raises BrokerUnreachable, NotAllowed.
    """
    admin = connect(settings)
    try:
        listed = admin.list_topics(timeout=ANSWER_WITHIN_S).topics
    except KafkaException as error:
        raise failure(error.args[0], settings) from None
    seen = [name for name in TOPICS if settings.topic(name) in listed]
    hidden = _hidden(settings, admin, [name for name in TOPICS if name not in seen])
    answers = _asked_to_write(settings, seen)
    return {name: "may not" if name in hidden else answers.get(name, "unknown") for name in TOPICS}


def _hidden(settings: Settings, admin: AdminClient, names: Sequence[str]) -> frozenset[str]:
    """Those that are not shown for want of a right, and not because they are missing."""
    if not names:
        return frozenset()
    asked = admin.describe_topics(
        TopicCollection([settings.topic(name) for name in names]), request_timeout=ANSWER_WITHIN_S
    )
    found = set()
    for name in names:
        try:
            asked[settings.topic(name)].result(timeout=ANSWER_WITHIN_S * 2)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                found.add(name)
    return frozenset(found)


def _asked_to_write(settings: Settings, names: Sequence[str]) -> Mapping[str, May]:
    producer = Producer(
        {
            **settings.kafka_config().common(),
            "acks": "2",
            "enable.idempotence": False,
            "retries": 0,
            "linger.ms": 0,
            "delivery.timeout.ms": int(_PROBED_WITHIN_S * 1000),
        },
        logger=logger,
    )
    found: dict[str, May] = {}

    def noting(name: str) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, _message: Message) -> None:
            code = None if error is None else error.code()
            if code == KafkaError.INVALID_REQUIRED_ACKS:
                found[name] = "may"
            elif code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                found[name] = "may not"

        return note

    for name in names:
        producer.produce(settings.topic(name), _PROBE, partition=0, on_delivery=noting(name))
    if producer.flush(_PROBED_WITHIN_S):
        producer.purge()
        raise BrokerUnreachable(f"{settings.bootstrap_servers} did not answer")
    return found
