"""What the rules' tables mean in words: rules, moves, modes, clocks, acts. `rules_page` prints it.

Each mapping has an entry for every member of the closed set that keys it; a test holds it to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from core.needs import Act
from core.timers import TimerName
from core.transitions import Rule, Status
from schemas.vocabulary import AuthorityTransition, ControlMode, ExceptionKind, GateState


@dataclass(frozen=True, slots=True)
class RuleText:
    """does: what the rule does. to: where it can lead the interrupt; empty: it stays."""

    does: str
    to: tuple[Status, ...] = ()


RULES: Final[Mapping[Rule, RuleText]] = MappingProxyType(
    {
        "open": RuleText(
            "Checks the package and opens its review; commands that waited for it are judged now.",
            ("pending",),
        ),
        "supersede": RuleText(
            "The new version takes the place of the open one, which ends `cancelled`, `superseded`; "
            "approvals, claims and presentations of the old one are void.",
            ("pending",),
        ),
        "reopen": RuleText(
            "After `revise` or `request_more_evidence`: version + 1 opens; else `NOT_REOPENABLE`.",
            ("pending",),
        ),
        "park": RuleText(
            "The command waits for its package, at most `PARK_TTL`, and is then judged by its own "
            "append time.",
            ("awaited",),
        ),
        "decide": RuleText(
            "Records the decision; an approval decides when it completes the quorum, `escalate` "
            "asks the next role, `defer` hides the task, all else closes.",
            ("escalated", "decided"),
        ),
        "objection": RuleText(
            "Takes back the gate of what ran on the loop, until it is taken; else `NOT_OPEN`.",
        ),
        "override": RuleText(
            "Opens the gate for another action only, or for none; at high or critical risk after a "
            "second person has approved that action.",
            ("decided",),
        ),
        "work": RuleText(
            "Claims, releases, assigns, comments, presents, recuses; decides nothing."
        ),
        "revoke": RuleText("Shuts an open gate until an executor has taken the grant."),
        "audit": RuleText("Records the verdict of a sampled audit."),
        "exception": RuleText(
            "Grants a policy exception while the package is open; revokes one at any time.",
        ),
        "cancel": RuleText("The requester takes the request back.", ("cancelled",)),
        "withdraw": RuleText("The requester takes an untaken approval back: the gate is revoked."),
        "take": RuleText("The first take of an open gate wins; every other is told why not."),
        "receive": RuleText("Records a receipt that fits its take; a difference goes to a human."),
    }
)

WITHOUT_A_MESSAGE: Final[tuple[tuple[Status, Status, str], ...]] = (
    ("pending", "escalated", "nobody eligible"),
    ("escalated", "escalated", "nobody eligible"),
    ("pending", "decided", "out_of_the_loop"),
    ("pending", "escalated", "decide_by passes"),
    ("escalated", "escalated", "decide_by passes"),
    ("pending", "pending", "decide_by passes"),
    ("pending", "decided", "objection_window passes"),
    ("pending", "decided", "decide_by passes"),
    ("escalated", "decided", "decide_by passes"),
    ("pending", "expired", "decide_by passes"),
    ("escalated", "expired", "decide_by passes"),
    ("pending", "cancelled", "decide_by passes"),
    ("escalated", "cancelled", "decide_by passes"),
    ("awaited", "absent", "park_ttl passes"),
)
"""Moves of the interrupt that no message makes: by the policy at once, or by a clock."""

GATE_MOVES: Final[tuple[tuple[GateState, GateState, str], ...]] = (
    ("closed", "open", "quorum, override, window, policy"),
    ("closed", "denied", "reject, object, cancel, expiry, override to nothing"),
    ("open", "consumed", "take"),
    ("open", "revoked", "revoke, object, withdraw"),
    ("open", "expired", "grant_valid_until passes"),
)
"""Moves of the gate. A new version begins with a closed one."""


@dataclass(frozen=True, slots=True)
class ModeText:
    """meant_for: the risk it is made for. happens: when the gate opens. people: what they do."""

    meant_for: str
    happens: str
    people: str


MODES: Final[Mapping[ControlMode, ModeText]] = MappingProxyType(
    {
        "out_of_the_loop": ModeText(
            "low, deterministic", "opens at once, reason `policy`", "none; a sample is audited"
        ),
        "on_the_loop": ModeText(
            "low to medium",
            "opens when `objection_window` ends and nobody has objected, reason `window`",
            "watch; `object` denies, and revokes until the grant is taken",
        ),
        "in_the_loop": ModeText(
            "high", "opens when the quorum is complete", "approve, one slot each"
        ),
        "human_led": ModeText(
            "critical",
            "opens when the quorum is complete",
            "approve with a rationale of their own; the agent only assists",
        ),
    }
)
AROUND_THE_LOOP: Final[Mapping[str, ModeText]] = MappingProxyType(
    {
        "after_the_loop": ModeText(
            "any; `audit_sample` in the policy",
            "is not touched",
            "judge a drawn decision without seeing it: `verdict`; an override is always drawn",
        ),
        "over_the_loop": ModeText(
            "-",
            "is not touched",
            "set the policy itself: `policy check`, `policy apply`; every decision names its version",
        ),
    }
)
"""No modes of a rule: what people do after decisions, and above them."""


@dataclass(frozen=True, slots=True)
class ClockText:
    """runs: while what. length: from where it comes. then: what happens when it runs out."""

    runs: str
    length: str
    then: str


CLOCKS: Final[Mapping[TimerName, ClockText]] = MappingProxyType(
    {
        "decide_by": ClockText(
            "pending or escalated, but not on the loop",
            "`decide_within`, or `within` of the ladder's step, in working time where there is a "
            "`calendar`; `expires_at` or `deadline` of the request if earlier",
            "`on_timeout`: escalate (at the end of the ladder: expire), expire, cancel, defer "
            "once, auto_reject. An end that the request set expires it. Nothing approves.",
        ),
        "objection_window": ClockText(
            "pending, on the loop",
            "`objection_window`, in working time where there is a `calendar`",
            "the gate opens, unless somebody objected",
        ),
        "sla_warning": ClockText(
            "pending or escalated, not deferred",
            "50 % and 80 % of the time to decide",
            "`review_task.sla_warning`",
        ),
        "claim_lease": ClockText(
            "a review task is claimed",
            "`claim_for`",
            "`review_task.released`; an assignment has no lease",
        ),
        "deferral": ClockText(
            "deferred",
            "`defer_until`, at most `defer_max`; with a condition alone `defer_max`",
            "`review_task.resumed`, or earlier by `comment --condition-met`; `decide_by` has moved by "
            "the time that was waited",
        ),
        "grant_valid_until": ClockText("the gate is open", "`grant_valid_for`", "the gate expires"),
        "execute_within": ClockText(
            "the grant is taken and nothing reported",
            "`execute_within`",
            "`review_task.in_doubt`: a human looks; nothing is tried again by itself",
        ),
        "exception_end": ClockText(
            "a policy exception holds",
            "its `expires_at`, at most `exception_max`",
            "the exception expires; approvals that rest on it are refused",
        ),
        "park_ttl": ClockText(
            "a command waits for its package",
            "the setting `PARK_TTL`",
            "`UNKNOWN_PACKAGE`",
        ),
    }
)

ACTS: Final[Mapping[Act, str]] = MappingProxyType(
    {
        "approve": "`decide --decision approve`",
        "reject": "`decide --decision reject`",
        "revise": "`decide --decision revise`",
        "request_more_evidence": "`decide --decision request_more_evidence`",
        "escalate": "`decide --decision escalate`",
        "defer": "`decide --decision defer`",
        "object": "`object`",
        "override": "`override`, and confirming one",
        "revoke": "`revoke`; who did not approve the grant must hold a role above the one asked",
        "audit_verdict": "`verdict`; nobody who decided",
        "grant_exception": "`exception grant`",
        "revoke_exception": "`exception revoke`",
        "claim": "`claim`; and whoever a task is assigned to",
        "assign": "`assign` or `release` of a task that another person holds",
        "take_part": "`assign`, `release`, `comment`, `present`, `recuse`",
    }
)
"""By which command each act is done, and what it asks besides."""

TRANSITIONS_OF_AUTHORITY: Final[Mapping[AuthorityTransition, str]] = MappingProxyType(
    {
        "draft_to_send": "a draft leaves the house",
        "recommendation_to_decision": "advice becomes a decision",
        "internal_to_official": "an internal finding becomes official",
        "score_to_field_update": "a score is written into a record",
        "summary_to_conclusion": "a summary becomes the conclusion",
        "reversible_to_irreversible": "what could be undone no longer can",
        "low_to_high_risk": "the matter moves to a higher risk",
    }
)
EXCEPTIONS: Final[Mapping[ExceptionKind, str]] = MappingProxyType(
    {
        "missing_evidence": "`evidence_refs` may be empty",
        "threshold": "`min_risk` of the tools table does not count; never out of or on the loop",
        "reopening": "a closed package may be named in `reopens` where the policy says "
        "`reopening: exception`",
        "outside_sla": "the package's own `deadline` does not end it",
    }
)

EXECUTORS_OWN: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "GRANT_INVALID": (
            (
                "The gate is not open, or its grant is not signed by a key in `GRANT_TRUSTED_KEYS` "
                "for just this action, or not valid yet; or the gate was consumed for another action."
            ),
            (
                "Compare the keys with the worker's `/grants/jwks.json`, and the clock; if they "
                "agree, somebody else than the worker wrote that gate."
            ),
        ),
        "GRANT_EXPIRED": (
            "The grant has expired, or, once taken, the time to execute is over.",
            "The agent asks again, the executor takes sooner.",
        ),
        "SEALED": (
            (
                "The arguments are sealed and cannot be opened here: `SUBJECT_KEYS` is not set or "
                "out of reach, has no key for this person, or the person was erased."
            ),
            "Set `SUBJECT_KEYS` and take again; nothing brings back who was erased.",
        ),
        "NO_ANSWER": (
            "The take was sent and no answer came in time: whether the grant is taken is not known.",
            "See that the workers run; `audit show` says what became of it.",
        ),
    }
)
"""What `producers.guard.Denied` says of itself: what it means, and its mend."""
