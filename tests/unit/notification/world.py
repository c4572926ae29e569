"""A Kafka in memory, a mail server and a worker, for the notifier to live in.

The Kafka knows what matters here: partitions, one owner a partition whose commits are fenced,
committed progress, publishing that may fail. Every step that touches the world is counted, so that
a test can crash at any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from consumers.health import Health
from consumers.notification.executor import Executor, executor_of
from consumers.notification.history import Receipts
from consumers.notification.mailer import Mail, Outcome, Sent
from consumers.notification.metrics import Metrics
from consumers.notification.notice import sender_from
from consumers.notification.notifier import Notifier
from consumers.notification.ports import (
    Assigned,
    Happening,
    Heard,
    NotOwner,
    Revoked,
    TopicName,
    Unavailable,
)
from consumers.notification.progress import Progress, progress_from
from consumers.notification.surroundings import Surroundings
from core.authentication import typ_of
from core.jwk import TrustedKeys, trusted_key
from producers.keys import SigningKey, new_key
from producers.signing import sign_grant, sign_record
from producers.trusted_keys import KeysUnavailable
from schemas.canonical import action_digest, canonical_json
from schemas.codec import encode
from schemas.events import ToolGateEvent
from schemas.execution import GrantTake, Notice, Receipt
from schemas.headers import SIGNATURE, ce_headers
from schemas.model import Record
from schemas.registry import ce_type_of, topic_of
from tests.examples import EFFECT, EXECUTOR, NOW, TENANT, TOOL, a_gate_event, a_refusal, notice_args

AUDIENCE = "test"
TOPICS: tuple[TopicName, ...] = ("tool-gate", "command-refused", "notice.sent", "tool-execution")


class Crash(BaseException):
    """The process ends here, as by kill -9."""


@dataclass
class World:
    """What outlives a process: Kafka, the mail server, the keys, the clock."""

    now: datetime = NOW
    grant_key: SigningKey = field(default_factory=new_key)
    executor_key: SigningKey = field(default_factory=new_key)
    logs: dict[tuple[TopicName, int], list[Heard]] = field(default_factory=dict)
    committed: dict[int, tuple[int, str]] = field(default_factory=dict)
    owner: dict[int, FakeLog] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    unavailable: set[str] = field(default_factory=set)
    steps: list[str] = field(default_factory=list)
    crash_at: int | None = None
    worker_answers: bool = True
    execute_within: timedelta = timedelta(hours=1)
    keys_unavailable: bool = False
    taken: dict[str, str] = field(default_factory=dict)

    def step(self, name: str) -> None:
        """A point between two things that the world can see."""
        self.steps.append(name)
        if self.crash_at == len(self.steps):
            raise Crash(name)

    def append(self, record: Record, *, partition: int = 0, by: SigningKey | None = None) -> Heard:
        """A record at the end of its topic, signed by a key or by nobody."""
        topic = topic_of(record)
        assert topic in TOPICS
        log = self.logs.setdefault((topic, partition), [])
        record_id = getattr(record, "event_id", None) or getattr(record, "attempt_id")  # noqa: B009
        value = encode(record)
        headers = ce_headers(record, ce_id=record_id, source="/test", time=self.now)
        if by is not None:
            token = sign_record(
                value,
                key=by,
                typ=typ_of(record),
                audience=AUDIENCE,
                sub=EXECUTOR,
                tenant_id=TENANT,
                ce_type=ce_type_of(record),
                jti=record_id,
                now=self.now,
            )
            headers.append((SIGNATURE, token.encode()))
        heard = Heard(topic, partition, len(log), self.now, record, value, headers)
        log.append(heard)
        return heard

    def records(self, topic: TopicName) -> list[Record]:
        """What stands in a topic."""
        return [
            heard.record
            for (name, _), log in sorted(self.logs.items())
            for heard in log
            if name == topic and heard.record is not None
        ]

    def receipts(self) -> list[Record]:
        """What was reported, in both topics."""
        found = [*self.records("notice.sent"), *self.records("tool-execution")]
        return [record for record in found if isinstance(record, Notice | Receipt)]

    # --- gates

    def open_gate(
        self,
        number: int = 1,
        *,
        partition: int = 0,
        args: Mapping[str, object] | None = None,
        key: SigningKey | None = None,
        valid_for: timedelta = timedelta(hours=48),
        **over: object,
    ) -> ToolGateEvent:
        """The worker opens a gate with a signed grant."""
        args_json = canonical_json(dict(notice_args() if args is None else args))
        form: dict[str, object] = {
            "event_id": f"gate-{number}",
            "decision_package_id": f"pkg-{number}",
            "grant_id": f"grant-{number}",
            "args_json": args_json,
            "action_digest": action_digest(TOOL, EFFECT, args_json),
            "occurred_at": self.now,
            "valid_until": self.now + valid_for,
        }
        gate = a_gate_event(**form)
        claims = {
            "aud": gate.tool_name,
            "sub": gate.run_id,
            "jti": gate.grant_id,
            "nbf": int(self.now.timestamp()),
            "exp": int((self.now + valid_for).timestamp()),
            **{
                name: getattr(gate, name)
                for name in (
                    "tenant_id",
                    "interrupt_id",
                    "decision_package_id",
                    "package_version",
                    "effect_type",
                    "action_digest",
                )
            },
        }
        gate = gate.model_copy(update={"grant_jws": sign_grant(claims, key or self.grant_key)})
        gate = gate.model_copy(update=over)
        self.append(gate, partition=partition)
        return gate

    def consume(
        self, gate: ToolGateEvent, attempt_id: str, *, partition: int = 0, executor: str = EXECUTOR
    ) -> None:
        """The worker lets an attempt have a gate."""
        self.taken[str(gate.grant_id)] = attempt_id
        update: dict[str, object] = {
            "event_id": f"consumed-{gate.grant_id}",
            "gate": "consumed",
            "args_json": None,
            "grant_jws": None,
            "executor_id": executor,
            "attempt_id": attempt_id,
            "execute_by": self.now + self.execute_within,
            "occurred_at": self.now,
        }
        self.append(gate.model_copy(update=update), partition=partition)

    def close(self, gate: ToolGateEvent, how: str, *, partition: int = 0) -> None:
        """The worker closes a gate."""
        update = {"event_id": f"{how}-{gate.grant_id}", "gate": how, "grant_jws": None}
        self.append(gate.model_copy(update=update), partition=partition)

    def refuse(self, take: GrantTake, code: str, *, partition: int = 0) -> None:
        """The worker refuses a take."""
        self.append(
            a_refusal(
                command_id=take.attempt_id,
                refused_type="grant.take",
                code=code,
                decision_package_id=take.decision_package_id,
            ),
            partition=partition,
        )

    def answer_takes(self, take: GrantTake, partition: int) -> None:
        """What the control worker says to a take: the first attempt has it."""
        gates = [g for g in self.records("tool-gate") if isinstance(g, ToolGateEvent)]
        gate = next(g for g in gates if g.grant_id == take.grant_id)
        if any(g.grant_id == take.grant_id and g.gate in ("revoked", "expired") for g in gates):
            self.refuse(take, "GRANT_REVOKED", partition=partition)
        elif take.grant_id not in self.taken:
            self.consume(gate, take.attempt_id, partition=partition)
        else:
            ours = self.taken[take.grant_id] == take.attempt_id
            code = "DUPLICATE_COMMAND" if ours else "GRANT_TAKEN"
            self.refuse(take, code, partition=partition)

    @property
    def executor(self) -> Executor:
        """The notifier as the trusted keys have it."""
        return executor_of(self.executor_key, self.trusted)

    @property
    def trusted(self) -> TrustedKeys:
        """Who may sign."""
        jwk = self.executor_key.public_jwk(
            executor_id=EXECUTOR, tools=["notice.*"], tenant_ids=[TENANT]
        )
        return TrustedKeys.of([trusted_key(jwk)])

    def grant_keys(self) -> TrustedKeys:
        """Who signs grants."""
        if self.keys_unavailable:
            raise KeysUnavailable("the file is gone")
        return TrustedKeys.of([trusted_key(self.grant_key.public_jwk())])


class FakeLog:
    """One member of the group. See ports.Log; its history is the whole of the world's logs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._noted: list[Happening] = []
        self._next: dict[tuple[TopicName, int], int] = {}
        self.paused: set[int] = set()
        self.commits: list[Mapping[int, Progress]] = []

    def join(self, *partitions: int) -> None:
        """The group gives partitions to this member, from their committed offsets on."""
        for partition in partitions or (0,):
            self._world.owner[partition] = self
            self._next["tool-gate", partition] = self._world.committed.get(partition, (0, ""))[0]
            self._next.setdefault(("command-refused", partition), 0)
            self.paused.add(partition)
        self._noted.append(Assigned(partitions or (0,)))

    def hear_of_revocation(self, *partitions: int) -> None:
        """The member learns that partitions are not its own any more."""
        for partition in partitions or (0,):
            self._next = {place: at for place, at in self._next.items() if place[1] != partition}
        self._noted.append(Revoked(partitions or (0,)))

    def poll(self, timeout_s: float) -> Sequence[Happening]:
        """See Log."""
        self._check("poll")
        found, self._noted = self._noted, []
        for (topic, partition), at in self._next.items():
            if topic == "tool-gate" and partition in self.paused:
                continue
            news = self._world.logs.get((topic, partition), [])[at:]
            found += news
            self._next[topic, partition] = at + len(news)
        return found

    def committed(self, partition: int) -> Progress | None:
        """See Log."""
        self._check("committed")
        kept = self._world.committed.get(partition)
        return None if kept is None else progress_from(*kept)

    def commit(self, progress: Mapping[int, Progress]) -> None:
        """See Log."""
        self._world.step("before commit")
        self._check("commit")
        if any(self._world.owner.get(partition) is not self for partition in progress):
            raise NotOwner("UNKNOWN_MEMBER_ID")
        for partition, kept in progress.items():
            self._world.committed[partition] = (kept.offset, kept.metadata)
        self.commits.append(progress)
        self._world.step("after commit")

    def pause(self, partition: int) -> None:
        """See Log."""
        self.paused.add(partition)

    def resume(self, partition: int) -> None:
        """See Log."""
        self.paused.discard(partition)

    def end(self, topic: TopicName, partition: int) -> int:
        """See Log."""
        self._check("end")
        return len(self._world.logs.get((topic, partition), []))

    def history(
        self,
        topic: TopicName,
        partition: int,
        *,
        end: int,
        start: int | None = None,
        since: datetime | None = None,
    ) -> Iterator[Heard]:
        """See Log."""
        for heard in self._world.logs.get((topic, partition), [])[start or 0 : end]:
            if since is None or heard.appended >= since:
                yield heard

    def publish(self, record: Record, *, record_id: str, traceparent: bytes | None) -> None:
        """See Log. "publish": it is not there; "acknowledge": it is, and nobody says so."""
        self._world.step(f"before {ce_type_of(record)}")
        self._check("publish")
        package = str(getattr(record, "decision_package_id", ""))
        partition = next(
            heard.partition
            for log in self._world.logs.values()
            for heard in log
            if isinstance(heard.record, ToolGateEvent)
            and heard.record.decision_package_id == package
        )
        self._world.append(record, partition=partition, by=self._world.executor_key)
        self._world.step(f"after {ce_type_of(record)}")
        if type(record) is GrantTake and self._world.worker_answers:
            self._world.answer_takes(record, partition)
        self._check("acknowledge")

    def _check(self, what: str) -> None:
        if what in self._world.unavailable:
            raise Unavailable("kafka", f"{what} fails")


class FakeOutbox:
    """Sends at once and tells at the next turn; what comes of it, the world says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._done: list[tuple[str, Outcome]] = []
        self.held: list[tuple[str, Mail]] | None = None
        self.free = 2

    def hand_over(self, ticket: str, mail: Mail) -> None:
        """See Outbox."""
        assert self.free > 0
        self.free -= 1
        self._world.step("before mail")
        if self.held is not None:
            self.held.append((ticket, mail))
            return
        self._send(ticket, mail)
        self._world.step("after mail")

    def done(self) -> Sequence[tuple[str, Outcome]]:
        """See Outbox."""
        found, self._done = self._done, []
        self.free += len(found)
        return found

    def release(self) -> None:
        """Lets the mails go that were held on their way."""
        held, self.held = self.held or [], None
        for ticket, mail in held:
            self._send(ticket, mail)

    def _send(self, ticket: str, mail: Mail) -> None:
        outcome = self._world.outcomes.pop(0) if self._world.outcomes else Sent()
        if isinstance(outcome, Sent):
            self._world.mails.append(mail)
        self._done.append((ticket, outcome))


class Life:
    """One process of the notifier, from its start to its crash."""

    def __init__(self, world: World, *partitions: int) -> None:
        self.world = world
        self.log = FakeLog(world)
        self.outbox = FakeOutbox(world)
        self.registry = CollectorRegistry()
        self.health = Health(60, clock=lambda: world.now.timestamp())
        self.notifier = Notifier(
            Surroundings(
                log=self.log,
                outbox=self.outbox,
                executor=world.executor,
                receipts=Receipts(self.log, world.executor, lambda: world.trusted, AUDIENCE),
                grant_keys=world.grant_keys,
                sender=sender_from("notices@agency.example"),
                clock=lambda: world.now,
                jitter=lambda: 1.0,
                health=self.health,
                metrics=Metrics(self.registry),
            )
        )
        self.log.join(*partitions)

    def turns(self, count: int = 12, *, every: timedelta = timedelta(seconds=1)) -> None:
        """Some turns, the clock moving between them."""
        for _ in range(count):
            self.notifier.run_once(0)
            self.world.now += every

    def until(self, is_so: Callable[[], bool], *, every: timedelta = timedelta(seconds=1)) -> None:
        """Turns until something is so."""
        for _ in range(1000):
            if is_so():
                return
            self.turns(1, every=every)
        raise AssertionError("it never came about")

    def ended(self, outcome: str) -> float:
        """How many gates ended in this way, by the metric."""
        value = self.registry.get_sample_value("countersign_notices_total", {"outcome": outcome})
        return value or 0.0
