"""What each code of a refusal means, who mends it and how: `docs/rules.md` prints it.

A code without an entry fails `tests/unit/countersign/test_rules_page.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from schemas.vocabulary import Code

Party = Literal["agent", "reviewer", "executor", "governor", "operator", "nobody"]
"""Who mends: a governor writes policy and directory, an operator runs the deployment."""


@dataclass(frozen=True, slots=True)
class CodeText:
    """meaning: what the rules found. mended_by: who can change it, the likeliest first. mend: how."""

    meaning: str
    mended_by: tuple[Party, ...]
    mend: str


IDENTITY: Final[Mapping[Code, CodeText]] = {
    "UNAUTHENTICATED": CodeText(
        "The signature is missing, does not fit the record, has expired, is for another "
        "deployment, or its key may not sign this (an executor's key: not for this tool).",
        ("agent", "reviewer", "executor", "operator"),
        "Sign the exact record within ten minutes of sending, with a key of your own; the operator "
        "adds its public half to `TRUSTED_KEYS` and compares `AUDIENCE`.",
    ),
    "TENANT_MISMATCH": CodeText(
        "The record, its package and the signature do not name the same tenant.",
        ("agent", "reviewer", "executor"),
        "Name one tenant throughout, one that the key is entitled to.",
    ),
    "DUPLICATE_COMMAND": CodeText(
        "The same input was answered before; `first_event_id` names the answer, and nothing has "
        "changed.",
        ("nobody",),
        "Nothing is wrong: take the first answer.",
    ),
    "IDEMPOTENCY_CONFLICT": CodeText(
        "The idempotency key was used with another payload; the first stands.",
        ("reviewer",),
        "Take a new key for a new command; send a retry unchanged.",
    ),
}
REQUESTS: Final[Mapping[Code, CodeText]] = {
    "PACKAGE_INCOMPLETE": CodeText(
        "A field that a human needs is empty: title, proposed action, rationale, evidence, policy "
        "basis, preview and transition of an effect, provenance of a memory, or the uncertainties "
        "behind a low confidence.",
        ("agent",),
        "Fill the fields that the message names. Evidence alone can be excepted "
        "(`missing_evidence`).",
    ),
    "PACKAGE_VERSION_OUT_OF_ORDER": CodeText(
        "The version is not the current one plus one (1 for a new package).",
        ("agent",),
        "Send the version that the message names, with a new interrupt id.",
    ),
    "INTERRUPT_CONFLICT": CodeText(
        "The interrupt id stands for another request of this package.",
        ("agent",),
        "Take a new interrupt id; send a retry unchanged.",
    ),
    "NOT_REOPENABLE": CodeText(
        "The package is closed for good: approved, rejected, expired or cancelled. Or it reopens "
        "another one, and the policy asks for an exception.",
        ("agent", "reviewer"),
        "Send a new package that names the old one in `reopens`; where the policy says "
        "`reopening: exception`, a reviewer grants one of kind `reopening` first.",
    ),
    "ARGS_NOT_CANONICAL": CodeText(
        "Arguments or preview are not RFC 8785 canonical JSON, byte for byte.",
        ("agent", "reviewer"),
        "Canonicalise them; `producers.drafting` and `override --args` do.",
    ),
    "EFFECT_MISMATCH": CodeText(
        "The policy's tools table gives the tool another effect type.",
        ("agent", "reviewer", "governor"),
        "Declare the effect of the table; if the table is wrong, publish a policy that is right.",
    ),
    "NOT_A_CONTROL_POINT": CodeText(
        "The package has neither an effect nor an authority transition: no human is needed.",
        ("agent",),
        "Go on without asking, or say what the package crosses.",
    ),
    "NO_POLICY": CodeText(
        "The tenant has no policy.",
        ("governor",),
        "`countersign policy apply FILE`.",
    ),
    "TOO_MANY_OPEN": CodeText(
        "The task (partition) of the package has as many open interrupts as `OPEN_PER_TASK_MAX`, or "
        "of the tenant or agent its share of the policy's `open_max` or `open_max_per_agent`.",
        ("reviewer", "agent", "governor", "operator"),
        "Decide or cancel some and ask again; a governor can raise the policy's limits, an operator "
        "the setting.",
    ),
    "PACKAGE_FULL": CodeText(
        "A limit of one package is reached: versions, commands answered, names in its lineage, "
        "approvals, receipts, or the length of a memory.",
        ("agent",),
        "Start a new package; one approval or receipt too many: send a new version.",
    ),
    "NOT_REQUESTER": CodeText(
        "Only the signer of version 1 sends new versions and cancels.",
        ("agent",),
        "Use the key of the agent that asked first, or start a package of your own.",
    ),
}
COMMANDS: Final[Mapping[Code, CodeText]] = {
    "UNKNOWN_PACKAGE": CodeText(
        "Nobody asked for this package, or not within `PARK_TTL` after the command.",
        ("reviewer", "agent"),
        "Check tenant and id; send it again when the request is there.",
    ),
    "NOT_OPEN": CodeText(
        "There is nothing open that this could change: decided, cancelled, or no audit or "
        "exception is open.",
        ("nobody",),
        "Read `explain ID`. The first outcome stands; to decide anew, the agent asks anew.",
    ),
    "TOO_LATE": CodeText(
        "It was appended after `decide_by`, or the interrupt has expired.",
        ("agent", "governor"),
        "The agent asks again with a new package; if it happens often, the policy gives more time "
        "or a ladder.",
    ),
    "STALE_PACKAGE_VERSION": CodeText(
        "It is about another version than the current one, which the refusal names.",
        ("reviewer",),
        "Read the current version and decide about that one.",
    ),
    "ACTION_DIGEST_MISMATCH": CodeText(
        "The action named is not the one the package proposes.",
        ("reviewer",),
        "Read the package again: what you saw is not what would run.",
    ),
    "UNKNOWN_REVIEWER": CodeText(
        "The directory has no such reviewer in force: unknown, removed, past `active_until`, or "
        "absent today.",
        ("governor", "reviewer"),
        "`countersign reviewers apply FILE`; while somebody is absent, the delegate decides.",
    ),
    "MISSING_SCOPE": CodeText(
        "The reviewer lacks the scope that the act asks (the table of acts has it).",
        ("governor",),
        "Give it in the directory, or let somebody decide who has it.",
    ),
    "MISSING_ROLE": CodeText(
        "The reviewer has neither the role that is asked nor one above it.",
        ("governor",),
        "Let somebody of that role decide, or escalate; roles are given in the directory.",
    ),
    "RISK_ABOVE_LIMIT": CodeText(
        "The effective risk is above the reviewer's `max_risk_level`.",
        ("governor",),
        "Let somebody decide who may decide so much.",
    ),
    "DELEGATION_INVALID": CodeText(
        "`on_behalf_of` names a person who lent no authority to this reviewer now, or has not "
        "themselves what the act asks.",
        ("governor", "reviewer"),
        "Decide in your own name, or enter the delegation or absence in the directory.",
    ),
    "SEPARATION_OF_DUTIES": CodeText(
        "The person, their principal or a linked identity requested, drafted or owns the package; "
        "or made the decision that is to be audited or confirmed.",
        ("reviewer",),
        "Another person decides. This is never lifted.",
    ),
    "CONFLICT_OF_INTEREST": CodeText(
        "A declared conflict with the subject or its relations, or the person recused themselves.",
        ("reviewer",),
        "Another person decides.",
    ),
    "DUPLICATE_APPROVER": CodeText(
        "The same person, principal, key or gateway session has approved this version.",
        ("reviewer",),
        "Another person, with a key or session of their own, fills the next slot.",
    ),
    "NO_OPEN_SLOT": CodeText(
        "No free slot of the quorum fits this person: of another role, or of a team that has "
        "approved.",
        ("reviewer",),
        "Somebody whom `explain ID` names under the open slots approves.",
    ),
    "NOT_ASSIGNEE": CodeText(
        "Another person holds the review task; or nobody does, where it was to be given back.",
        ("reviewer",),
        "Wait for the end of the lease, ask the holder to release it, or have it assigned anew.",
    ),
    "DECISION_NOT_ALLOWED": CodeText(
        "This control point, as it stands, does not offer that; the message says why: an approval "
        "on the loop, an objection off it, no further step of the ladder, a second deferral or "
        "one past `defer_max`, an exception that has ended, a capped reviewer, and the like.",
        ("reviewer", "governor"),
        "Take what the message offers instead.",
    ),
    "COMMENT_REQUIRED": CodeText(
        "The comment is empty where one is asked: revise, what evidence is missing, an approval at "
        "a risk in `comment_required`, a comment, a verdict.",
        ("reviewer",),
        "Write it, and send the command again.",
    ),
    "REASON_REQUIRED": CodeText(
        "The reason is empty: the rationale of a human-led approval, of an override, a revocation "
        "or an exception; until when or until what a deferral lasts.",
        ("reviewer",),
        "Write it, and send the command again.",
    ),
    "EVIDENCE_REQUIRED": CodeText(
        "An override names no evidence.",
        ("reviewer",),
        "Fill `evidence_refs`.",
    ),
}
GRANTS: Final[Mapping[Code, CodeText]] = {
    "GRANT_TAKEN": CodeText(
        "An executor has taken the grant: no other may act, and nothing takes it back.",
        ("executor", "nobody"),
        "Do not act. What was done shows in `audit show`; undoing it is a request of its own.",
    ),
    "GRANT_REVOKED": CodeText(
        "The grant was revoked before it was taken.",
        ("executor", "agent"),
        "Do not act; the agent may ask again.",
    ),
    "GRANT_EXPIRED": CodeText(
        "`grant_valid_until` has passed.",
        ("executor", "agent"),
        "Do not act; the agent asks again, the executor takes sooner.",
    ),
    "UNKNOWN_GRANT": CodeText(
        "The package has no such grant.",
        ("executor", "reviewer"),
        "Read the latest gate event of the package, and do not act on anything else.",
    ),
    "RECEIPT_MISMATCH": CodeText(
        "The receipt does not fit its take: another executor, another action, or the contrary of "
        "what was reported. It is raised to a human.",
        ("executor", "operator"),
        "Look at what was really done, report that; mend or stop the executor.",
    ),
    "NOT_TAKEN": CodeText(
        "A receipt without a take, or for another attempt than took. It is raised to a human.",
        ("executor", "operator"),
        "Take before acting, act only on your own `consumed`; look at what was done.",
    ),
}
CODE_TEXTS: Final[Mapping[Code, CodeText]] = MappingProxyType(
    IDENTITY | REQUESTS | COMMANDS | GRANTS  # type: ignore[operator]  # all are dicts
)
