"""The real worker on an in-memory broker and store, with people, keys and a movable clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry

from consumers.control.checkpoints import Checkpoints
from consumers.control.judging import Judge, Known
from consumers.control.loop import Worker
from consumers.control.outputs import Writer
from consumers.control.ports import InputRecord
from consumers.control.reception import Receiver
from consumers.health import Health
from consumers.metrics import Metrics
from core.authentication import CONTEXT_TYP, typ_of
from core.checkpoints import CHECKPOINT_TYP
from core.governing import Trust
from core.jwk import TrustedKeys, trusted_key
from producers.keys import SigningKey, new_key
from producers.signing import sign_grant, sign_record
from schemas.canonical import canonical_json
from schemas.codec import decode, decode_bytes, encode
from schemas.directory import PolicyDocument
from schemas.headers import SIGNATURE, ce_headers
from schemas.journal import JournalEntry
from schemas.model import Record
from schemas.registry import ce_type_of, topic_of
from schemas.topics import key_of, partition_for
from tests import examples as e
from tests.fakes.clock import MovableClock
from tests.fakes.memory_broker import Hook, MemoryBroker, MemoryCluster, no_hook
from tests.fakes.memory_store import MemoryStore

AUDIENCE: Final = "test"
R = TypeVar("R", bound=Record)
KEYS: Final[dict[str, SigningKey]] = {
    name: new_key() for name in (e.AGENT, e.REVIEWER, "r.lind", "r.boss", e.EXECUTOR, "grant")
}


def trusted() -> TrustedKeys:
    """The public keys of everybody."""
    tenants = [e.TENANT]
    jwks = [
        KEYS[e.AGENT].public_jwk(agent_id=e.AGENT, tenant_id=e.TENANT),
        *(
            KEYS[name].public_jwk(reviewer_id=name, tenant_id=e.TENANT)
            for name in (e.REVIEWER, "r.lind", "r.boss")
        ),
        KEYS[e.EXECUTOR].public_jwk(executor_id=e.EXECUTOR, tenant_ids=tenants, tools=["notice.*"]),
    ]
    return TrustedKeys.from_jwks({"keys": jwks})


@dataclass
class World:
    """One cluster and one store; workers come and go."""

    clock: MovableClock = field(default_factory=MovableClock)
    cluster: MemoryCluster = field(init=False)
    store: MemoryStore = field(default_factory=MemoryStore)
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    keys: TrustedKeys = field(default_factory=trusted)
    policy: dict[str, Any] = field(default_factory=lambda: e.a_policy_form(tenant_id=e.TENANT))
    unsigned: bool = False
    open_max: int = 100_000
    make_judge: Any = None
    checkpoint_entries: int = 1000

    def __post_init__(self) -> None:
        self.cluster = MemoryCluster(self.clock)
        for person in ("r.lind", e.REVIEWER):
            self.directory(e.a_reviewer(reviewer_id=person, team=person))
        boss = e.a_reviewer(
            reviewer_id="r.boss", roles=["head_of_enforcement"], team="top",
            max_risk_level="critical",
        )  # fmt: skip
        self.directory(boss)
        self.directory(e.an_agent(owner="r.owner"))
        self.directory(
            PolicyDocument(
                tenant_id=e.TENANT,
                policy_version=self.policy["policy_version"],
                document_json=canonical_json(self.policy),
            )
        )

    def directory(self, record: Record) -> None:
        """Publishes a directory record."""
        topic = topic_of(record)
        assert topic is not None
        headers = ce_headers(record, ce_id="d", source="/test", time=self.clock())
        self.cluster.append(topic, 0, key_of(record), encode(record), list(headers))

    def worker(self, hook: Hook = no_hook) -> Worker:
        """A worker that has joined; run it with `settle`."""
        self.store.hook = hook
        self.metrics = CollectorRegistry()
        return Worker(
            MemoryBroker(self.cluster, hook),
            self.store,
            make_judge=self.make_judge or self.judge,
            trust=self.trust,
            clock=self.clock,
            health=Health(stalled_after_s=60),
            metrics=Metrics(self.metrics),
            checkpoints=self.checkpoints(),
        )

    def checkpoints(self, by: str = "grant") -> Checkpoints:
        """Signed checkpoints, as the worker makes them."""
        return Checkpoints(
            lambda claims: KEYS[by].sign(claims, typ=CHECKPOINT_TYP),
            TrustedKeys.of([trusted_key(KEYS[by].public_jwk())]),
            entries_max=self.checkpoint_entries,
            every=timedelta(minutes=10),
        )

    def trust(self) -> Trust:
        """Whom the worker believes about the directories."""
        return Trust(
            keys=self.keys,
            audience=AUDIENCE,
            balancer_id="svc:balancer",
            workers=TrustedKeys.of([trusted_key(KEYS["grant"].public_jwk())]),
            unsigned=self.unsigned,
        )

    def judge(self, known: Known) -> Judge:
        """The judge of a batch."""
        return Judge(
            receiver=Receiver(
                keys=self.keys,
                audience=AUDIENCE,
                partitions=self.cluster.partitions,
                proof_key=b"p" * 32,
            ),
            known=known,
            writer=Writer(
                prove=lambda claims: KEYS["grant"].sign(claims, typ=CONTEXT_TYP),
                audience=AUDIENCE,
                unsigned=self.unsigned,
            ),
            sign_grant=lambda claims: sign_grant(claims, KEYS["grant"]),
            park_ttl=e.at(60) - e.NOW,
            draw_key=b"d" * 32,
            open_max=self.open_max,
            unsigned=self.unsigned,
        )

    def send(
        self,
        record: Record,
        by: str | None,
        record_id: str,
        *,
        partition: int | None = None,
        **forged: Any,
    ) -> int:
        """Appends a record signed by `by`; its offset. forged: other arguments of sign_record."""
        value, topic, key = encode(record), topic_of(record), key_of(record)
        assert topic is not None and key is not None
        headers: list[tuple[str, bytes | None]] = list(
            ce_headers(record, ce_id=record_id, source="/test", time=self.clock())
        )
        if by is not None:
            said = {
                "key": KEYS[by],
                "typ": typ_of(record),
                "audience": AUDIENCE,
                "sub": by,
                "tenant_id": getattr(record, "tenant_id"),  # noqa: B009
                "ce_type": ce_type_of(record),
                "jti": record_id,
                "now": self.clock(),
            }
            headers.append((SIGNATURE, sign_record(value, **(said | forged)).encode()))
        at = partition_for(key, self.cluster.partitions) if partition is None else partition
        return self.cluster.append(topic, at, key, value, headers)

    def request(self, **over: Any) -> None:
        """The agent asks."""
        request = e.a_request(**over)
        self.send(request, e.AGENT, request.interrupt_id)

    def decide(self, by: str = e.REVIEWER, **over: Any) -> None:
        """A reviewer decides."""
        command = e.a_decision(**({"reviewer_id": by} | over))
        self.send(command, by, command.command_id)

    def take(self, grant_id: str, **over: Any) -> None:
        """The executor takes."""
        take = e.a_take(**({"grant_id": grant_id} | over))
        self.send(take, e.EXECUTOR, take.attempt_id)

    def all(self, model: type[R], topic: str | None = None) -> list[R]:
        """The records of a model on its topic, decoded."""
        name = topic or topic_of(model)
        assert name is not None
        found = [decode(r.value, r.headers, bytes_max=8 << 20) for r in self.cluster.records(name)]
        return [record for record in found if isinstance(record, model)]

    def journal(self, partition: int | None = None) -> list[JournalEntry]:
        """The journal's entries."""
        records = self.cluster.records("audit-journal", partition)
        return [decode_bytes(record.value or b"", JournalEntry) for record in records]

    def dead(self) -> list[InputRecord]:
        """The dead letters."""
        return self.cluster.records("dead-letter")

    def outputs(self) -> list[tuple[str, bytes | None, bytes | None]]:
        """Everything the worker published but its journal, in an order that does not depend on
        who wrote when."""
        topics = (
            "human.decision_recorded", "tool-gate", "interrupt-status", "review-task",
            "command-refused", "dead-letter", "rekeyed",
        )  # fmt: skip
        found = [
            (topic, record.key, record.value)
            for topic in topics
            for record in self.cluster.records(topic)
            if ("ce_type", b"clock.tick") not in record.headers or topic == "dead-letter"
        ]  # a tick more does no harm
        return sorted(found, key=repr)


def settle(*workers: Worker, turns: int = 60) -> None:
    """Turns until nothing is left to do."""
    for _ in range(turns):
        for worker in workers:
            worker.run_once(0)


def codes(refusals: Iterable[Any]) -> list[str]:
    """The codes of refusals."""
    return [refusal.code for refusal in refusals]
