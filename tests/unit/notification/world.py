"""What outlives a notifier: Kafka in memory, a mail server, a worker, keys and the clock.

Every step that touches the world is counted, so that a test can crash at any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from consumers.notification.mailer import Mail, Outcome
from consumers.notification.ports import (
    Heard,
    TopicName,
)
from core.authentication import typ_of
from core.jwk import TrustedKeys, trusted_key
from producers.executor import Executor, executor_of
from producers.keys import SigningKey, new_key
from producers.sealed_records import Sealing
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
    owner: dict[int, object] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    unavailable: set[str] = field(default_factory=set)
    steps: list[str] = field(default_factory=list)
    crash_at: int | None = None
    worker_answers: bool = True
    execute_within: timedelta = timedelta(hours=1)
    keys_unavailable: bool = False
    sealing: Sealing | None = None
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
