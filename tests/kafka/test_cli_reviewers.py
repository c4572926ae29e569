"""Every signed command of reviewers, typed, against the real worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from consumers.settings import PREFIX
from schemas.events import ToolGateEvent
from tests import examples as e
from tests.support.deployment import OTHER_REVIEWER, Deployment, deployed
from tests.support.servers import TestServers
from tests.unit.countersign.command import Command, Ran

HEADS = ("r.head", "r.deputy")
SCOPES = [
    f"notice:{decision}"
    for decision in (
        "approve", "reject", "revise", "request_more_evidence", "escalate", "defer", "object",
        "override", "revoke", "assign", "audit_verdict", "grant_exception", "revoke_exception",
    )
]  # fmt: skip
PACKAGES = ("tasks", "override", "clocks", "loop")


class Desk:
    """A shell of each reviewer, and four packages that wait for a decision."""

    def __init__(self, deployment: Deployment, cli: Command) -> None:
        self._deployment = deployment
        self._cli = cli

    def ask(self) -> None:
        """The agent asks; `loop` is a call that needs nobody unless somebody objects."""
        agent = self._deployment.agent()
        for name in PACKAGES:
            package: dict[str, Any] = {"decision_package_id": name}
            if name == "loop":
                package["tool_call"] = e.a_tool_call(tool_name="note.add")
            request = e.a_request(interrupt_id=f"int-{name}", package=e.a_package(**package))
            agent.submit(request)

    def __call__(self, who: str, command: str, package_id: str, *more: str) -> Ran:
        """One command of one reviewer about version 1."""
        key = self._deployment.key_file(who)
        return self._cli(*command.split(), package_id, "--tenant", e.TENANT, "--as", who, "--key",
                         key, "--version", "1", "--json", *more)  # fmt: skip

    def told(self, who: str, command: str, package_id: str, *more: str) -> Any:
        """The same, recorded."""
        ran = self(who, command, package_id, *more)
        assert ran.code == 0, (command, ran.out, ran.err)
        return ran.json


@pytest.fixture
def desk(
    servers: TestServers,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A worker, people with every scope, and what the agent asked for."""
    with deployed(servers.bootstrap_servers, servers.redis_url, tmp_path, people=False) as made:
        seniors = [
            e.a_reviewer(reviewer_id=name, scopes=SCOPES, active_until=None)
            for name in (e.REVIEWER, OTHER_REVIEWER)
        ]
        heads = [
            e.a_reviewer(
                reviewer_id=name, roles=["head_of_enforcement"], scopes=SCOPES, active_until=None
            )
            for name in HEADS
        ]
        for name in HEADS:
            made.reviewer(name)
        form = e.a_policy_form()
        note = {"tool": "note.*", "effect_type": e.EFFECT, "approval_required": False}
        on_the_loop = {
            "name": "notes", "when": {"tools": ["note.*"]}, "subject": "notice",
            "mode": "on_the_loop", "objection_window": "1h",
        }  # fmt: skip
        made.publish_policy(
            form | {"tools": [*form["tools"], note], "rules": [on_the_loop, *form["rules"]]}
        )
        made.publish_people(*seniors, *heads, e.an_agent())
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            monkeypatch.delenv(name)
        for name, value in made.env.items():
            if name.startswith(PREFIX):
                monkeypatch.setenv(name, value)
        monkeypatch.chdir(made.directory)
        made.worker()
        desk = Desk(made, Command(capsys, monkeypatch))
        desk.ask()
        yield desk


def test_every_signed_command_is_recorded(desk: Desk) -> None:
    """From claim to verdict, each with its own answer."""
    _work_on_a_task(desk)
    _override_and_look_afterwards(desk)
    _stop_and_start_the_clock(desk)
    objected = desk.told(OTHER_REVIEWER, "object", "loop", "--comment", "not this one")
    assert (objected["decision"], objected["final"]) == ("object", True)


def _work_on_a_task(desk: Desk) -> None:
    """Claim, comment, present, release, assign, recuse; a duplicate shows the first answer."""
    claimed = desk.told(e.REVIEWER, "claim", "int-tasks", "--idempotency-key", "k-1")
    again = desk.told(e.REVIEWER, "claim", "tasks", "--idempotency-key", "k-1")
    taken = desk(OTHER_REVIEWER, "claim", "tasks")
    commented = desk.told(e.REVIEWER, "comment", "tasks", "--comment", "asked the lab")
    presented = desk.told(e.REVIEWER, "present", "tasks")
    released = desk.told(e.REVIEWER, "release", "tasks")
    assigned = desk.told("r.head", "assign", "tasks", "--to", OTHER_REVIEWER)
    recused = desk.told(OTHER_REVIEWER, "recuse", "tasks", "--comment", "a relative")
    approve = desk(OTHER_REVIEWER, "decide", "tasks", "--decision", "approve")

    assert (claimed["change"], claimed["assigned_to"]) == ("claimed", e.REVIEWER)
    assert again["event_id"] == claimed["event_id"]
    assert (taken.code, taken.json["code"]) == (1, "NOT_ASSIGNEE")
    assert (commented["change"], commented["comment_kind"]) == ("commented", "note")
    assert presented["presented_digest"]
    assert released["assigned_to"] is None
    assert assigned["assigned_to"] == OTHER_REVIEWER
    assert recused["change"] == "recused"
    assert (approve.code, approve.json["code"]) == (1, "CONFLICT_OF_INTEREST")


def _override_and_look_afterwards(desk: Desk) -> None:
    """A second head confirms by digest; the grant is revoked; somebody else audits."""
    overridden = desk.told(
        "r.head", "override", "override", "--recommended", "send it", "--instead", "warn first",
        "--reason", "first offence", "--evidence", "file:2025", "--tool", "notice.send",
        "--effect-type", e.EFFECT, "--args", '{"subject": "Warning", "notice_id": "EN-1"}',
    )  # fmt: skip
    confirmed = desk.told("r.deputy", "decide", "override", "--decision", "approve",
                          "--action-digest", overridden["action_digest"])  # fmt: skip
    revoked = desk.told("r.head", "revoke", "override", "--reason", "the operator has appealed")
    verdict = desk.told(OTHER_REVIEWER, "verdict", "override", "--verdict", "disagree",
                        "--comment", "not a first offence")  # fmt: skip
    again = desk("r.deputy", "revoke", "override", "--reason", "once more")

    assert (overridden["final"], overridden["quorum"]) == (False, {"have": 1, "need": 2})
    assert (confirmed["final"], confirmed["quorum"]) == (True, {"have": 2, "need": 2})
    assert (revoked["decision"], verdict["decision"]) == ("revoke", "audit_verdict")
    assert (again.code, again.json["code"]) == (1, "GRANT_REVOKED")
    gates = [
        gate.gate
        for gate in desk._deployment.records("tool-gate", ToolGateEvent)
        if gate.decision_package_id == "override"
    ]
    assert gates == ["opened", "revoked"]


def _stop_and_start_the_clock(desk: Desk) -> None:
    """Defer until a condition, say that it is met, except the package, escalate."""
    deferred = desk.told(e.REVIEWER, "decide", "clocks", "--decision", "defer", "--condition",
                         "the lab has answered")  # fmt: skip
    met = desk.told(e.REVIEWER, "comment", "clocks", "--comment", "it has", "--condition-met")
    terms = ["--exception-id", "ex-1"]
    granted = desk.told(
        e.REVIEWER, "exception grant", "clocks", *terms, "--policy", "guide 4.2", "--exception",
        "no second sample", "--justification", "the lab is closed", "--kind", "missing_evidence",
        "--applies-to", "later",
    )  # fmt: skip
    taken_back = desk.told("r.head", "exception revoke", "clocks", *terms, "--justification",
                           "it has opened")  # fmt: skip
    escalated = desk.told(e.REVIEWER, "decide", "clocks", "--decision", "escalate")

    assert (deferred["decision"], deferred["final"]) == ("defer", False)
    assert deferred["defer_condition"] == "the lab has answered"
    assert (met["change"], met["comment_kind"]) == ("commented", "condition_met")
    assert granted["decision"] == "grant_exception"
    assert granted["policy_exception"]["applies_to"] == "later"
    assert taken_back["decision"] == "revoke_exception"
    assert (escalated["decision"], escalated["final"]) == ("escalate", False)
