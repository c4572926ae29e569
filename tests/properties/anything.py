"""Of what the property tests choose: people, policies, and fields of commands."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from schemas.canonical import canonical_json
from schemas.directory import PolicyDocument, ReviewerAuthorization
from schemas.requests import MemoryApprovalPackage
from tests import examples as e
from tests.unit.core.rulebook import SCOPES
from tests.unit.core.world import a_person

PEOPLE: Final = {
    e.REVIEWER: ("senior_reviewer", "north"),
    "r.lind": ("senior_reviewer", "north"),
    "r.diaz": ("reviewer", "south"),
    "r.head": ("head_of_enforcement", "south"),
    "r.chief": ("head_of_enforcement", "west"),
    "r.legal": ("legal", "south"),
    "r.boss": ("head_of_enforcement", "east"),  # owns the agent
}
ROLES: Final = ("reviewer", "senior_reviewer", "head_of_enforcement", "legal")
SLOTS: Final = (
    [{"role": "senior_reviewer"}],
    [{"role": "senior_reviewer"}, {"role": "legal"}],
    [{"role": "senior_reviewer"}, {"role": "senior_reviewer", "distinct_team": True}],
    [{"role": "senior_reviewer"}, {"role": "legal", "distinct_team": True}, {"role": "reviewer"}],
)
OFFICE: Final = {day: ["09:00-17:00"] for day in ("mon", "tue", "wed", "thu", "fri")}
MODES: Final = ("in_the_loop",) * 3 + ("on_the_loop", "on_the_loop", "human_led", "out_of_the_loop")
RISKS: Final = ("medium", "medium", "high", "critical", "low")
RULES: Final = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(MODES),
        "approvals": st.sampled_from(SLOTS),
        "on_timeout": st.sampled_from(["escalate", "escalate", "defer", "expire", "auto_reject"]),
        "escalation": st.sampled_from(
            [
                [],
                [{"role": "head_of_enforcement", "within": "24h"}],
                [
                    {"role": "senior_reviewer", "within": "1h"},
                    {"role": "head_of_enforcement", "within": "8h"},
                ],
            ]
        ),
        "audit_sample": st.sampled_from([0.0, 1.0]),
        "calendar": st.sampled_from([None, "office"]),
        "reopening": st.sampled_from(["allow", "exception"]),
    }
)
MEMORY: Final = MemoryApprovalPackage(
    package_id="mem-1",
    proposed_memory="The operator prefers mail.",
    subject_type="case",
    subject_id="case-5512",
    source_refs=["mail:2026-02-20"],
    sensitivity="internal",
    retention="1y",
    proposed_by=e.AGENT,
)
WHO: Final = st.sampled_from([*PEOPLE, *PEOPLE, "r.nobody"])
BEHIND: Final = st.sampled_from([0] * 8 + [1, -1])
CHOICES: Final = (
    "approve", "approve", "approve", "reject", "revise", "request_more_evidence", "escalate",
    "defer", "object",
)  # fmt: skip
ONE_IN_SIX: Final = st.sampled_from([False] * 5 + [True])
TEXT: Final = st.sampled_from(["said", "said", "said", " "])
LATER: Final = st.sampled_from([None, 3600.0, 86_400.0, 30 * 86_400.0, -1.0])


def a_policy_of(version: str, form: dict[str, Any], *, reapply: bool) -> PolicyDocument:
    """A policy whose one rule is for everything."""
    rule = {"name": "all", "subject": "notice"} | {k: v for k, v in form.items() if v is not None}
    document = e.a_policy_form(
        policy_version=version,
        reapply_to_open=reapply,
        calendars=[{"name": "office", "zone": "Europe/Berlin", "hours": OFFICE}],
        tools=[
            {"tool": "notice.*", "effect_type": e.EFFECT, "approval_required": False},
            {"tool": "memory.*", "effect_type": "memory_write", "approval_required": False},
        ],
        rules=[rule],
    )
    return e.a_policy_document(policy_version=version, document_json=canonical_json(document))


def one_of(name: str, **over: Any) -> ReviewerAuthorization:
    """One of the people, with every scope; some fields replaced."""
    role, team = PEOPLE[name]
    return a_person(name, role, **({"scopes": SCOPES, "team": team} | over))
