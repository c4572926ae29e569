"""Who may do what at the broker: one table, from which ACLs, their plan and a script are made.

Nobody is believed because a topic let them write (every record is signed and judged); the table
keeps away what need not be judged at all. A principal that has several roles has the rights of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from schemas.topics import TOPICS

Role = Literal[
    "worker", "notifier", "executor", "agent", "reviewer", "balancer", "governor", "auditor"
]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
Operation = Literal["READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"]
"""At the broker READ and WRITE include DESCRIBE. Kafka 2.8 and later let whoever may write a topic
write it idempotently (KIP-679), so nobody who writes needs anything of the cluster."""
Resource = Literal["TOPIC", "GROUP", "TRANSACTIONAL_ID", "CLUSTER"]
Pattern = Literal["LITERAL", "PREFIXED"]
CLUSTER: Final = "kafka-cluster"
"""What Kafka calls the cluster itself."""
_MIB: Final = 1024 * 1024
_ANSWERS: Final = ("answers-*", "countersign-reader")
"""Groups that a client names and never joins: it only asks for their coordinator."""
_UNPREFIXED: Final = frozenset({"countersign-reader"})
_DIRECTORIES: Final = ("control-policy", "reviewer-directory", "review-context")
_PROOF: Final = ("audit-journal", "audit-checkpoint")
"""They tell what was drawn to be audited before the audit is done."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of a principal at each broker: bytes a second, and percent of one of its threads."""

    producer_byte_rate: int
    consumer_byte_rate: int
    request_percentage: int

    def form(self) -> dict[str, int]:
        """As Kafka names them."""
        return {
            "producer_byte_rate": self.producer_byte_rate,
            "consumer_byte_rate": self.consumer_byte_rate,
            "request_percentage": self.request_percentage,
        }


@dataclass(frozen=True, slots=True)
class Access:
    """What a role may do. Names without the deployment's prefix; a `*` at the end: so they begin.

    joins: groups it is a member of. names: groups and transactional ids are as the programs have
    them. quota None: it is not slowed, since everybody would wait for it.
    """

    who: str
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    names: tuple[str, ...] = _ANSWERS
    transactional_ids: tuple[str, ...] = ()
    sees_configuration: bool = False
    sees_acls: bool = False
    quota: Quota | None = None


def _all_but(*left_out: str) -> tuple[str, ...]:
    return tuple(name for name in TOPICS if name not in left_out)


ACCESS: Final[Mapping[Role, Access]] = MappingProxyType(
    {
        "worker": Access(
            "countersign worker",
            # its inputs too: clock ticks
            writes=_all_but("control-policy", "reviewer-directory"),
            reads=tuple(TOPICS),
            joins=("control-worker",),
            names=("control-reader", *_ANSWERS),
            transactional_ids=("control-*",),
            sees_configuration=True,
        ),
        "notifier": Access(
            "countersign notifier",
            writes=("tool-execution", "notice.sent"),
            reads=("tool-gate", "command-refused", "tool-execution", "notice.sent", "dead-letter"),
            joins=("notifier",),
            names=("notifier-history", *_ANSWERS),
            quota=Quota(4 * _MIB, 32 * _MIB, 100),
        ),
        "executor": Access(
            "any other executor",
            writes=("tool-execution",),
            reads=("tool-gate", "command-refused", "tool-execution", "dead-letter"),
            joins=("executor.*",),
            quota=Quota(1 * _MIB, 16 * _MIB, 50),
        ),
        "agent": Access(
            "agent services: AgentClient, request, wait, cancel",
            writes=("interrupt-requested",),
            reads=(
                *("interrupt-status", "tool-gate", "command-refused", "dead-letter"),
                "interrupt-state",  # `wait` and `cancel` find a package by its id
            ),
            quota=Quota(1 * _MIB, 16 * _MIB, 50),
        ),
        "reviewer": Access(
            "reviewers' programs: ReviewerClient, decide and the other signed commands, explain",
            writes=("decision-command",),
            reads=_all_but(*_PROOF),
            names=(*_ANSWERS, "control-worker"),
            quota=Quota(1 * _MIB, 32 * _MIB, 50),
        ),
        "balancer": Access(
            "countersign balancer",
            writes=("decision-command", "review-context"),
            reads=(
                *(*_DIRECTORIES, "interrupt-state"),
                *("command-refused", "human.decision_recorded"),
            ),
            names=("balancer", *_ANSWERS),
            sees_configuration=True,
            quota=Quota(1 * _MIB, 32 * _MIB, 100),
        ),
        "governor": Access(
            "policy apply, reviewers apply",
            writes=("control-policy", "reviewer-directory"),
            reads=_DIRECTORIES,
            quota=Quota(1 * _MIB, 16 * _MIB, 50),
        ),
        "auditor": Access(
            "everything that only reads: audit, reconcile, tail, dlq list, doctor, topics plan",
            reads=tuple(TOPICS),
            names=(*_ANSWERS, "control-worker"),
            sees_configuration=True,
            sees_acls=True,
            quota=Quota(_MIB, 64 * _MIB, 100),
        ),
    }
)
"""The table. Who makes topics and ACLs (`topics apply`) is a super user, and is not in it."""

Principals = Mapping[Role, Sequence[str]]
DEFAULT_PRINCIPALS: Final[Principals] = MappingProxyType(
    {role: (f"User:countersign-{role}",) for role in ROLES}
)


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One ALLOW from every host. name: with the prefix."""

    principal: str
    resource: Resource
    name: str
    pattern: Pattern
    operation: Operation

    def __str__(self) -> str:
        star = "*" if self.pattern == "PREFIXED" else ""
        kind = self.resource.lower().replace("_", " ")
        return f"{self.principal}: {self.operation} {kind} {self.name}{star}"

    def form(self) -> dict[str, str]:
        """The right as JSON."""
        return {
            "principal": self.principal,
            "resource": self.resource,
            "name": self.name,
            "pattern": self.pattern,
            "operation": self.operation,
        }


def rights(principals: Principals, prefix: str = "") -> tuple[Right, ...]:
    """Every right of every principal of the deployment with this topic prefix, sorted."""
    return tuple(
        sorted(
            {
                Right(principal, resource, name, pattern, operation)
                for role, named in principals.items()
                for principal in named
                for resource, name, pattern, operation in rights_of(ACCESS[role], prefix)
            }
        )
    )


def rights_of(access: Access, prefix: str) -> Iterable[tuple[Resource, str, Pattern, Operation]]:
    """Resource, name with the prefix, pattern and operation of every right of a role."""
    seen = tuple(TOPICS) if access.sees_configuration else ()
    topics: list[tuple[Operation, Sequence[str]]] = [
        ("WRITE", access.writes),
        ("READ", access.reads),
        ("DESCRIBE", [name for name in seen if name not in (*access.writes, *access.reads)]),
        ("DESCRIBE_CONFIGS", seen),
    ]
    for operation, names in topics:
        for name in names:
            yield "TOPIC", f"{prefix}{name}", "LITERAL", operation
    others: list[tuple[Resource, Operation, Sequence[str]]] = [
        ("GROUP", "READ", access.joins),
        ("GROUP", "DESCRIBE", access.names),
        ("TRANSACTIONAL_ID", "WRITE", access.transactional_ids),
    ]
    for resource, operation, names in others:
        for name in names:
            full = name if name in _UNPREFIXED else f"{prefix}{name}"
            yield resource, full.removesuffix("*"), _pattern(full), operation
    if access.sees_acls:
        yield "CLUSTER", CLUSTER, "LITERAL", "DESCRIBE"


def _pattern(name: str) -> Pattern:
    return "PREFIXED" if name.endswith("*") else "LITERAL"


def role_that_writes(writable: Iterable[str]) -> Role | None:
    """The role that may write exactly these topics."""
    found = set(writable)
    return next((role for role in ROLES if set(ACCESS[role].writes) == found), None)


def quotas(
    principals: Principals, limits: Mapping[Role, Quota | None] | None = None
) -> dict[str, dict[str, int]]:
    """The limits by principal. limits: of roles that have others than the table says.

    A principal with several roles has the sum; one that must not be slowed has none.
    """
    of_role = {role: ACCESS[role].quota for role in ROLES} | dict(limits or {})
    free = {p for role, named in principals.items() if of_role[role] is None for p in named}
    found: dict[str, dict[str, int]] = {}
    for role, named in principals.items():
        quota = of_role[role]
        for principal in named:
            if quota is not None and principal not in free:
                sums = found.setdefault(principal, dict.fromkeys(quota.form(), 0))
                for key, value in quota.form().items():
                    sums[key] += value
    return found
