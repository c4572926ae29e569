"""Every refusal code, brought about through the real worker: signed records in, answers out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeVar

import pytest

from consumers.control.loop import Worker
from schemas.commands import Command
from schemas.events import CommandRefused, ToolGateEvent
from schemas.requests import MemoryApprovalPackage
from schemas.topics import partition_for, record_key
from schemas.vocabulary import CODES, Code
from tests import examples as e
from tests.unit.control.world import World, settle

SCOPES: Final = [
    f"notice:{act}"
    for act in (
        "approve", "reject", "revise", "request_more_evidence", "escalate", "defer", "object",
        "override", "revoke", "assign", "audit_verdict", "grant_exception", "revoke_exception",
    )
]  # fmt: skip
CommandT = TypeVar("CommandT", bound=Command)


@dataclass
class Desk:
    """A world with its worker; whatever is said is handled before the next thing is."""

    policy: dict[str, Any] = field(default_factory=e.a_policy_form)
    open_max: int = 100_000
    world: World = field(init=False)
    worker: Worker = field(init=False)
    numbers: count[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.world = World(policy=self.policy, open_max=self.open_max)
        self.person(e.REVIEWER)
        self.person("r.lind")
        self.person("r.lawyer", roles=["legal"])
        self.person("r.boss", roles=["head_of_enforcement"], max_risk_level="critical")
        self.worker = self.world.worker()

    def person(self, reviewer_id: str, **over: Any) -> None:
        """Publishes what a reviewer may do."""
        form = {"reviewer_id": reviewer_id, "scopes": SCOPES, "team": reviewer_id}
        self.world.directory(e.a_reviewer(**(form | over)))

    def asks(self, *, by: str | None = e.AGENT, **over: Any) -> Desk:
        """The agent asks."""
        request = e.a_request(**over)
        self.world.send(request, by, request.interrupt_id)
        settle(self.worker)
        return self

    def says(
        self,
        maker: Callable[..., CommandT],
        by: str = e.REVIEWER,
        *,
        key: str | None = None,
        **over: Any,
    ) -> Desk:
        """A reviewer sends a command with an id of its own; `key`: the idempotency key."""
        command_id = f"cmd-{next(self.numbers)}"
        form = {"reviewer_id": by, "command_id": command_id, "idempotency_key": key or command_id}
        self.world.send(maker(**(form | over)), by, command_id)
        settle(self.worker)
        return self

    def executor(self, maker: Callable[..., Any], **over: Any) -> Desk:
        """The executor sends a take or a receipt for the open gate, unless `over` names another."""
        opened = [gate for gate in self.world.all(ToolGateEvent) if gate.gate == "opened"]
        record = maker(**({"grant_id": opened[-1].grant_id} | over))
        self.world.send(record, e.EXECUTOR, getattr(record, "event_id", record.attempt_id))
        settle(self.worker)
        return self

    def waits(self, seconds: float) -> Desk:
        """The clock moves on."""
        self.world.clock.advance(seconds)
        settle(self.worker)
        return self

    def approved(self) -> Desk:
        """A request and its approval: the gate is open."""
        return self.asks().says(e.a_decision)


def _ruled(**rule: Any) -> Desk:
    form = e.a_policy_form()
    return Desk(policy=form | {"rules": [form["rules"][0] | rule]})


def _who(**over: Any) -> Desk:
    """The reviewer who approves has these fields in the directory."""
    desk = Desk()
    desk.person(e.REVIEWER, **over)
    return desk.approved()


def _unsigned_cancellation() -> Desk:
    desk = Desk(policy=e.a_policy_form(unsigned_requests="allow")).asks()
    desk.world.send(e.a_cancellation(), None, e.INTERRUPT_ID)
    settle(desk.worker)
    return desk


def _cancelled_unknown() -> Desk:
    desk = Desk()
    desk.world.send(e.a_cancellation(), e.AGENT, e.INTERRUPT_ID)
    settle(desk.worker)
    return desk


def _unsigned_decision() -> Desk:
    desk = Desk().asks()
    desk.world.send(e.a_decision(), None, "cmd-1")
    settle(desk.worker)
    return desk


def _for_another_tenant() -> Desk:
    desk = Desk()
    desk.world.send(e.a_decision(tenant_id="globex"), e.REVIEWER, "cmd-1", tenant_id=e.TENANT)
    settle(desk.worker)
    return desk


def _one_too_many() -> Desk:
    desk = Desk(open_max=1).asks()
    partitions = desk.world.cluster.partitions
    here = partition_for(record_key(e.TENANT, e.PACKAGE_ID), partitions)
    neighbour = next(
        name
        for name in (f"pkg-{number}" for number in count(1))
        if partition_for(record_key(e.TENANT, name), partitions) == here
    )
    return desk.asks(interrupt_id="int-2", package=e.a_package(decision_package_id=neighbour))


def _too_long_a_memory() -> Desk:
    memory = MemoryApprovalPackage(
        package_id="mem-1", proposed_memory="m" * 65_500, subject_type="operator",
        subject_id="harbour", source_refs=["case:5512"], sensitivity="internal", retention="2y",
        proposed_by=e.AGENT,
    )  # fmt: skip
    return Desk().asks(package=e.a_package(tool_call=None, memory=memory))


def _called(**over: Any) -> Desk:
    return Desk().asks(package=e.a_package(tool_call=e.a_tool_call(**over)))


def _owned_by_the_reviewer() -> Desk:
    desk = Desk()
    desk.world.directory(e.an_agent(owner=e.REVIEWER))
    return desk.approved()


def _second(**over: Any) -> dict[str, Any]:
    return {"interrupt_id": "int-2", "package": e.a_package(**({"version": 2} | over))}


QUORUM: Final = [{"role": "senior_reviewer"}, {"role": "legal"}]
CASES: Final[dict[Code, Callable[[], Desk]]] = {
    "UNAUTHENTICATED": _unsigned_decision,
    "TENANT_MISMATCH": _for_another_tenant,
    "DUPLICATE_COMMAND": lambda: Desk().asks().asks(),
    "IDEMPOTENCY_CONFLICT": lambda: (
        Desk().asks()
        .says(e.a_decision, key="k", decision="escalate")
        .says(e.a_decision, key="k", decision="reject")
    ),
    "PACKAGE_INCOMPLETE": lambda: Desk().asks(package=e.a_package(title=" ")),
    "PACKAGE_VERSION_OUT_OF_ORDER": lambda: Desk().asks(**_second()),
    "INTERRUPT_CONFLICT": lambda: Desk().asks().asks(reason="Another reason."),
    "NOT_REOPENABLE": lambda: (
        Desk().asks().says(e.a_decision, decision="reject").asks(**_second())
    ),
    "ARGS_NOT_CANONICAL": lambda: _called(args_json='{"b": 1, "a": 2}'),
    "EFFECT_MISMATCH": lambda: _called(effect_type="internal_note"),
    "NOT_A_CONTROL_POINT": lambda: (
        Desk().asks(package=e.a_package(tool_call=None), authority_transition=None)
    ),
    "NO_POLICY": lambda: Desk(policy=e.a_policy_form(tenant_id="globex")).asks(),
    "TOO_MANY_OPEN": _one_too_many,
    "PACKAGE_FULL": _too_long_a_memory,
    "NOT_REQUESTER": _unsigned_cancellation,
    "UNKNOWN_PACKAGE": _cancelled_unknown,
    "NOT_OPEN": lambda: Desk().approved().says(e.a_decision, "r.lind", decision="reject"),
    "TOO_LATE": lambda: (
        _ruled(on_timeout="expire").asks().waits(24 * 3600 + 1).says(e.a_decision)
    ),
    "STALE_PACKAGE_VERSION": lambda: Desk().asks().asks(**_second()).says(e.a_decision),
    "ACTION_DIGEST_MISMATCH": lambda: Desk().asks().says(e.a_decision, action_digest="0" * 64),
    "UNKNOWN_REVIEWER": lambda: _who(removed=True),
    "MISSING_SCOPE": lambda: _who(scopes=["payment:approve"]),
    "MISSING_ROLE": lambda: _who(roles=["reviewer"]),
    "RISK_ABOVE_LIMIT": lambda: _who(max_risk_level="low"),
    "DELEGATION_INVALID": lambda: Desk().asks().says(e.a_decision, on_behalf_of="r.lind"),
    "SEPARATION_OF_DUTIES": _owned_by_the_reviewer,
    "CONFLICT_OF_INTEREST": lambda: _who(conflicts=["case:case-5512"]),
    "DUPLICATE_APPROVER": lambda: _ruled(approvals=QUORUM).approved().says(e.a_decision),
    "NO_OPEN_SLOT": lambda: _ruled(approvals=QUORUM).approved().says(e.a_decision, "r.lind"),
    "NOT_ASSIGNEE": lambda: Desk().asks().says(e.a_task_command, "r.lind").says(e.a_decision),
    "DECISION_NOT_ALLOWED": lambda: Desk().asks().says(e.a_decision, decision="object"),
    "COMMENT_REQUIRED": lambda: (
        Desk().asks().says(e.a_decision, decision="revise", comment=" ")
    ),
    "REASON_REQUIRED": lambda: Desk().asks().says(e.a_decision, decision="defer"),
    "EVIDENCE_REQUIRED": lambda: Desk().asks().says(e.an_override, "r.boss", evidence_refs=[]),
    "GRANT_TAKEN": lambda: (
        Desk().approved().executor(e.a_take).executor(e.a_take, attempt_id="attempt-2")
    ),
    "GRANT_REVOKED": lambda: Desk().approved().says(e.a_revocation).executor(e.a_take),
    "GRANT_EXPIRED": lambda: Desk().approved().waits(49 * 3600).executor(e.a_take),
    "UNKNOWN_GRANT": lambda: Desk().approved().executor(e.a_take, grant_id="grant-of-another"),
    "RECEIPT_MISMATCH": lambda: (
        Desk().approved().executor(e.a_take).executor(e.an_executed, action_digest="0" * 64)
    ),
    "NOT_TAKEN": lambda: Desk().approved().executor(e.an_executed),
}  # fmt: skip
"""For each code the tale whose last record is refused with it."""


@pytest.mark.parametrize("code", CASES)
def test_a_code_is_answered_through_the_worker(code: Code) -> None:
    """The last record of its tale is refused with the code, once, with words that say more."""
    desk = CASES[code]()

    refusals = desk.world.all(CommandRefused)

    assert [code] == [refusal.code for refusal in refusals]
    assert code == refusals[-1].codes[0]
    assert len(refusals[-1].message) > len(code)


def test_every_code_has_its_tale() -> None:
    """A code that is added to the closed set needs a tale here; none is out of reach."""
    assert set(CODES) == set(CASES)
