"""`interrupts list` and `interrupts show`: from the projection, and from the log where it is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from consumers import queue
from consumers.control.ports import Watermark
from consumers.control.view import stored
from consumers.reading import Read
from countersign.commands import interrupts
from schemas.codec import encode
from schemas.state import ControlPointState, GrantedException, Presented, TaskComment
from schemas.topics import partition_for, record_key
from tests import examples as e
from tests.examples.tasks import a_deferred, a_doubtful, an_audited, an_open
from tests.fakes.memory_store import MemoryStore
from tests.unit.countersign.command import Command, Ran

PARTITIONS = 3


@dataclass
class Queues:
    """What lies in the log and, once `project` is called, in Redis too."""

    command: Command
    log: list[Read] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)

    def holds(self, *states: ControlPointState, projected: bool = True) -> None:
        """Fills the log, and Redis unless it is being restored."""
        for offset, state in enumerate(states):
            key = record_key(state.tenant_id, state.decision_package_id)
            self.log.append(Read("interrupt-state", 0, offset, e.NOW, key, encode(state), ()))
        if projected:
            self.project(states)

    def project(self, states: Sequence[ControlPointState]) -> None:
        """What workers do at takeover."""
        for task in range(PARTITIONS):
            token = self.store.begin_restore(task)
            for state in states:
                key = record_key(state.tenant_id, state.decision_package_id)
                if partition_for(key, PARTITIONS) == task:
                    self.store.restore(task, token, {key: stored(encode(state), state)})
            self.store.end_restore(task, token, Watermark("journal", 0))

    def __call__(self, *argv: object) -> Ran:
        return self.command("interrupts", *argv, settings={"PARTITIONS": str(PARTITIONS)})

    def listed(self, *argv: object) -> list[str]:
        """The packages in the order of the list."""
        return [row["decision_package_id"] for row in self("list", *argv, "--json").json]


@pytest.fixture
def queues(command: Command, monkeypatch: pytest.MonkeyPatch) -> Queues:
    """Empty ones."""
    made = Queues(command)

    class Source:
        """Stands for Redis."""

        def __init__(self, *_: Any, **__: Any) -> None: ...

        def pages(self, *args: Any, **more: Any) -> Any:
            return made.store.pages(*args, **more)

        def close(self) -> None: ...

    monkeypatch.setattr(interrupts, "RedisQueue", Source)
    monkeypatch.setattr(queue, "read_topic", lambda *_, **__: iter(made.log))
    monkeypatch.setattr(queue, "partitions_of", lambda *_: PARTITIONS)
    return made


def tasks() -> list[ControlPointState]:
    """Some of each kind."""
    return [
        an_open("low", risk="low", plan={"effective_risk": "low"}),
        an_open("held", assigned_to=e.REVIEWER, lease_until=e.at(60)),
        an_open("soon", decide_by=e.at(60)),
        an_open("other", tenant_id="other", decide_by=e.at(70)),
        a_deferred("deferred"),
        a_doubtful("doubtful"),
        an_audited("audited"),
    ]


@pytest.mark.parametrize("projected", [True, False])
@pytest.mark.parametrize(
    ("argv", "found"),
    [
        ([], ["soon", "other", "held", "low"]),
        (["--limit", "2"], ["soon", "other"]),
        (["--tenant", "other"], ["other"]),
        (["--risk", "low"], ["low"]),
        (["--assignee", "none"], ["soon", "other", "low"]),
        (["--assignee", e.REVIEWER], ["held"]),
        (["--role", "head_of_enforcement", "--limit", "1"], ["soon"]),
        (["--role", "reviewer"], []),
        (["--due-before", e.at(70).isoformat()], ["soon"]),
        (["--kind", "in_doubt"], ["doubtful"]),
        (["--kind", "audit"], ["audited"]),
        (["--deferred"], ["deferred"]),
    ],
)
def test_tasks_are_found_by_what_is_asked(
    queues: Queues, argv: list[str], found: list[str], projected: bool
) -> None:
    """The same from Redis and from the log."""
    queues.holds(*tasks(), projected=projected)

    assert queues.listed(*argv) == found


def test_both_ways_give_the_same_list(queues: Queues) -> None:
    """To the byte; where the log was read, one line beside it says why."""
    queues.holds(*tasks())
    projected = queues("list", "--json")
    queues.store.flush()
    from_log = queues("list", "--json")
    queues.project(tasks())
    restored = queues("list", "--json")

    assert projected.out == from_log.out == restored.out
    assert (projected.err, restored.err) == ("", "")
    assert from_log.err == "partition 0 is being restored; read from the log instead\n"


def test_a_list_in_words_says_who_holds_what(queues: Queues) -> None:
    """And that there is more than what is shown."""
    queues.holds(*tasks())

    ran = queues("list", "--assignee", e.REVIEWER, "--limit", "1")

    assert "held by" in ran.out and e.REVIEWER in ran.out
    assert ran.err == "the first 1; more with --limit\n"


def test_an_empty_list_says_so(queues: Queues) -> None:
    """Whether nothing is open, or nothing of what was asked."""
    queues.holds()

    assert queues("list").out == "nothing is open\n"
    assert queues("list", "--kind", "audit").out == "there is nothing of the kind\n"


@pytest.mark.parametrize(
    ("argv", "mend"),
    [
        (["--risk", "huge"], "one of low, medium, high, critical"),
        (["--kind", "huge"], "one of review, in_doubt, audit, deferred"),
        (["--deferred", "--kind", "audit"], "take one of them"),
        (["--due-before", "soon"], "2027-01-01T00:00:00Z"),
        (["--limit", "0"], "at least 1"),
    ],
)
def test_a_wrong_filter_is_exit_2_and_named(queues: Queues, argv: list[str], mend: str) -> None:
    """Before anything is read."""
    ran = queues("list", *argv)

    assert (ran.code, ran.out, mend in ran.err) == (2, "", True), ran.err


def test_a_title_acts_on_no_terminal(queues: Queues) -> None:
    """Agents word it."""
    queues.holds(an_open("p", title="\x1b[2J[red]"))

    ran, as_json = queues("list"), queues("list", "--json")

    assert "\x1b" not in ran.out + as_json.out
    assert "[red]" in ran.out
    assert as_json.json[0]["title"] == "\x1b[2J[red]"


def _reviewed() -> ControlPointState:
    terms: dict[str, Any] = {
        "exception_id": "x-1", "policy_id": "p", "requested_exception": "x", "justification": "y",
        "applies_to": "p", "expires_at": e.at(9000),
    }  # fmt: skip
    return a_deferred(
        "p", assigned_to=e.REVIEWER, lease_until=e.at(60), recused=["r.lind"],
        defer_condition="the lab answers",
        presented=[Presented(reviewer_id=e.REVIEWER, presented_at=e.at(5))],
        comments=[TaskComment(by="r.lind", text="I know\nthem", version=1, occurred_at=e.at(6))],
        exceptions=[GrantedException.model_validate(
            {"terms": terms, "approver_id": "r.boss", "decision_event_id": "d"})],
        audit=an_audited("p").audit,
    )  # fmt: skip


def test_show_says_what_people_did(queues: Queues) -> None:
    """Slots, holder, deferral, who saw it, who stepped aside, comments, exceptions and audit."""
    queues.holds(_reviewed())

    ran = queues("show", "p")

    for line in (
        "  asks for senior_reviewer with notice:approve",
        f"  assigned_to: {e.REVIEWER}",
        "  defer_condition: the lab answers",
        f"  shown to {e.REVIEWER} at ",
        "  stepped aside: r.lind",
        "  exception x-1 of p, until ",
        ": it waits for a verdict",
        "note on version 1: I know\\u000athem",
    ):
        assert line in ran.out


def test_show_has_it_all_as_json(queues: Queues) -> None:
    """For programs."""
    queues.holds(_reviewed())

    shown = queues("show", "p", "--json").json

    assert shown["slots"][0]["role"] == "senior_reviewer"
    assert (shown["assigned_to"], shown["recused"]) == (e.REVIEWER, ["r.lind"])
    assert shown["comments"][0]["text"] == "I know\nthem"
    assert shown["exceptions"][0]["terms"]["exception_id"] == "x-1"
    assert shown["audit"]["closed"] is False
    assert shown["presented"][0]["reviewer_id"] == e.REVIEWER
    assert shown["deferred_until"] and shown["lease_until"]
