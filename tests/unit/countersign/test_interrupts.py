"""`interrupts list` and `interrupts show`: from the projection, and from the log where it is away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumers import queue
from consumers.audit.directories import DirectoryLog
from consumers.control.ports import Watermark
from consumers.control.view import stored
from consumers.reading import Read
from core.directory import DirectoryRecord
from core.governing import Said
from countersign.commands import interrupts
from countersign.deployment import Deployment
from countersign.task_position import TaskPosition
from schemas.codec import encode
from schemas.events import ExceptionTerms, OverrideRecord
from schemas.requests import Dissent, Draft
from schemas.state import (
    Approval,
    ControlPointState,
    GrantedException,
    PendingOverride,
    Presented,
    Refusal,
    TaskComment,
)
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
    records: list[DirectoryRecord] = [
        e.a_reviewer(),
        e.a_reviewer(reviewer_id="r.lind"),
        e.an_agent(),
    ]
    people = [Said(record, offset, e.NOW) for offset, record in enumerate(records)]
    monkeypatch.setattr(Deployment, "directories", lambda _: DirectoryLog(people=people))
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


HOSTILE = "\x1b[2J\u202efdp\x07\nApproved by: r.boss"
"""What a terminal would act on, and what would pass for a line of ours."""
INERT = "\\u001b[2J\\u202efdp\\u0007"


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
        audit=an_audited("p", closed=True).audit,
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
        ": its verdict is given",
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
    assert shown["audit"]["closed"] is True
    assert shown["presented"][0]["reviewer_id"] == e.REVIEWER
    assert shown["deferred_until"] and shown["lease_until"]


def test_show_says_what_may_be_decided_and_by_whom(queues: Queues) -> None:
    """The command to type, and the people of the directory of today."""
    now = datetime.now(UTC)
    queues.holds(an_open("p", decide_by=now + timedelta(hours=1)))

    ran, offers = queues("show", "p"), queues("show", "p", "--json").json["offers"]

    assert (
        "may be decided now, with --tenant acme --version 1 --as … --key …\n"
        "  decide --decision approve\n"
        f"    by r.lind, {e.REVIEWER}\n"
    ) in ran.out
    assert "  decide --decision escalate\n    by nobody in the directory\n" in ran.out
    assert offers[0] == {
        "act": "approve",
        "command": "decide --decision approve",
        "people": ["r.lind", e.REVIEWER],
    }


def test_show_says_that_nothing_is_to_be_decided(queues: Queues) -> None:
    """When all is over."""
    queues.holds(an_audited("p", closed=True))

    assert queues("show", "p").out.endswith("nothing is to be decided now\n")


def test_show_puts_first_what_a_reviewer_asks_first(queues: Queues) -> None:
    """Also that there is no dissent, and nothing that approval would not authorise."""
    state = an_open("p")
    assert state.accepted is not None
    lines = queues_said(queues, state)

    named = [line.strip().partition(":")[0] for line in lines if ":" in line]
    order = ["title", "proposed_action", "risk_level", "confidence", "known_uncertainties",
             "dissents", "rationale", "evidence_refs", "policy_basis", "tool_call", "run_id"]  # fmt: skip
    places = [named.index(name) for name in order]
    assert places == sorted(places)
    assert "  dissents: none is named" in lines


def queues_said(queues: Queues, state: ControlPointState) -> list[str]:
    """What the agent says of a control point, line by line."""
    queues.holds(state)
    lines = queues("show", state.decision_package_id).out.splitlines()
    return lines[lines.index("the agent says") :]


def _hostile() -> ControlPointState:
    """Every text that somebody else has written acts on a terminal."""
    terms = ExceptionTerms(
        exception_id="x-1", policy_id="p", requested_exception=HOSTILE, justification=HOSTILE,
        applies_to="p", expires_at=e.at(9000),
    )  # fmt: skip
    record = OverrideRecord(
        original_recommendation=HOSTILE,
        override_decision=HOSTILE,
        override_reason=HOSTILE,
        evidence_refs=[HOSTILE.replace("\n", " ")],
        original_action=HOSTILE,
        override_tool_call=e.a_tool_call({HOSTILE: HOSTILE}),
    )
    approval = Approval(reviewer_id="r.boss", persons=["r.boss"], event_id="ev")
    state = an_open(
        "p",
        defer_condition=HOSTILE.replace("\n", " "),
        comments=[TaskComment(by="r.lind", text=HOSTILE, version=1, occurred_at=e.at(6))],
        exceptions=[GrantedException(terms=terms, approver_id="r.boss", decision_event_id="d")],
        override=PendingOverride(by=approval, record=record, action_digest="d"),
    )
    assert state.accepted is not None
    package = state.accepted.request.package.model_copy(
        update={
            "title": HOSTILE.replace("\n", " "),
            "known_uncertainties": [HOSTILE.replace("\n", " ")],
            "dissents": [Dissent(by="a", position=HOSTILE, rationale=HOSTILE)],
            "consequence": HOSTILE,
            "draft": Draft(media_type="text/plain", text=HOSTILE),
        }
    )
    request = state.accepted.request.model_copy(update={"package": package})
    return state.model_copy(
        update={"accepted": state.accepted.model_copy(update={"request": request})}
    )


def test_what_others_wrote_acts_on_no_terminal_and_passes_for_no_line_of_ours(
    queues: Queues,
) -> None:
    """Comments, exceptions, overrides, dissents, drafts: escaped, and set in below their name."""
    queues.holds(_hostile())

    ran, as_json = queues("show", "p"), queues("show", "p", "--json")

    assert not {"\x1b", "\u202e", "\x07"} & set(ran.out + as_json.out)
    assert "Approved by: r.boss" not in ran.out.splitlines()
    assert not [line for line in ran.out.splitlines() if line.startswith("  Approved")]
    said = ran.out[ran.out.index("reviewers say") : ran.out.index("the agent says")]
    assert said.count(INERT) == 1 + 7 + 2  # a comment; the override's texts, and two exceptions'
    assert as_json.json["comments"][0]["text"] == HOSTILE
    assert as_json.json["override"]["record"]["override_reason"] == HOSTILE


def test_show_tells_an_exception_and_an_override_in_their_own_words(queues: Queues) -> None:
    """What is excepted and why; what is done instead, and the digest that confirms it."""
    queues.holds(_hostile())

    out = queues("show", "p").out

    for line in (
        "  exception x-1 of p, until ",
        "    applies_to: p",
        "    requested_exception:",
        "    justification:",
        "  override by r.boss, event ev",
        "    override_reason:",
        "    override_tool_call:",
        "    action_digest: d",
    ):
        assert line in out, line


# --- blind ------------------------------------------------------------------------------------


def _under_audit() -> ControlPointState:
    """Approved, opened and used, with the words of who decided and of who did not."""
    hostile, doubtful = _hostile(), a_doubtful("p")
    approval = Approval(reviewer_id=e.REVIEWER, persons=[e.REVIEWER], event_id="ev-approved")
    said = [
        TaskComment(by=by, text=text, version=1, occurred_at=e.at(6))
        for by, text in ((e.REVIEWER, "I let it go"), ("r.lind", "read the permit"))
    ]
    return an_audited(
        "p",
        outcome="approve",
        gate="consumed",
        grant=doubtful.grant,
        approvals=[approval],
        deciders=[e.REVIEWER],
        comments=said,
        override=hostile.override,
        presented=[Presented(reviewer_id=e.REVIEWER, presented_at=e.at(5))],
        refusals=[Refusal(command_id="c-9", code="GRANT_TAKEN", occurred_at=e.at(9))],
    )


OF_THE_DECISION = (
    "outcome", "consumed", "gate", "I let it go", "ev-approved", e.REVIEWER, "GRANT_TAKEN",
    "override by", "in doubt",
)  # fmt: skip


@pytest.fixture
def anyone(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Types any command; no worker has the task."""
    nowhere = TaskPosition(0, None, {})
    monkeypatch.setattr(interrupts, "task_position", lambda *_: nowhere)
    return lambda *argv: queues.command(*argv, settings={"PARTITIONS": str(PARTITIONS)})


@pytest.mark.parametrize("argv", [("interrupts", "show"), ("explain",)])
def test_an_audit_is_judged_without_seeing_what_was_decided(
    queues: Queues, anyone: Callable[..., Ran], argv: tuple[str, ...]
) -> None:
    """The decision, its people and their words are left out until --unblind; what is typed for a
    verdict is told."""
    queues.holds(_under_audit())

    blind, open_ = anyone(*argv, "p"), anyone(*argv, "p", "--unblind")
    data = anyone(*argv, "p", "--json")

    said = blind.out.partition("the agent says")[0]
    assert not [word for word in OF_THE_DECISION if word in said]
    assert "an audit is open: judge it as if nobody had decided; countersign verdict p " in said
    assert "gate consumed" in open_.out
    assert "I let it go" not in data.out and data.json["blind"] is True
    hidden = {"outcome", "gate", "approvals", "approved_by", "override", "grant", "last_refusals"}
    assert not hidden & set(data.json)
    unblind = anyone(*argv, "p", "--unblind", "--json").json
    assert (unblind["outcome"], unblind["gate"]) == ("approve", "consumed")


def test_a_blind_page_still_has_the_package_and_what_others_said(queues: Queues) -> None:
    """And offers the verdict alone."""
    queues.holds(_under_audit())

    ran, data = queues("show", "p"), queues("show", "p", "--json").json

    assert "evidence_refs:" in ran.out and "read the permit" in ran.out
    assert [offer["act"] for offer in data["offers"]] == ["audit_verdict"]


def test_a_given_verdict_ends_the_blindness(queues: Queues) -> None:
    """Then all is shown."""
    queues.holds(an_audited("p", closed=True))

    assert queues("show", "p", "--json").json["outcome"] == "reject"


def test_the_exceptions_that_a_plan_rests_on_are_named(
    queues: Queues, anyone: Callable[..., Ran]
) -> None:
    """Also one of which nothing else is known, and one that was granted here for another."""
    terms = ExceptionTerms(
        exception_id="x-2", policy_id="p 4", requested_exception="q", justification="j",
        kind="threshold", applies_to="q", expires_at=datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    here = GrantedException(terms=terms, approver_id="r.boss", decision_event_id="d")
    queues.holds(an_open("p", plan={"exceptions": ["x-1"]}, exceptions=[here]))

    for argv in (("interrupts", "show", "p"), ("explain", "p")):
        out = anyone(*argv).out
        assert "policy exception x-1, ended; the plan rests on it" in out
        assert "policy exception x-2: threshold for q, until " in out
        assert ", granted by r.boss; granted here" in out
        data = anyone(*argv, "--json").json
        listed = data["policy_exceptions" if argv[0] == "interrupts" else "exceptions"]
        assert [(one["exception_id"], one["plan_rests_on_it"]) for one in listed] == [
            ("x-1", True),
            ("x-2", False),
        ]


def test_who_may_confirm_an_override_is_not_told_to_override(
    queues: Queues, anyone: Callable[..., Ran]
) -> None:
    """It waits for a confirmation, so that is what people may do."""
    queues.holds(_hostile())

    out = anyone("explain", "p").out

    assert "who confirms the override by r.boss" in out
    assert "\nmay confirm it: " in out and "may override" not in out
