"""What the agent sends."""

from __future__ import annotations

from typing import Any, Final

from schemas.canonical import action_digest, canonical_json
from schemas.requests import (
    DecisionPackage,
    Draft,
    Evidence,
    InterruptCancelled,
    InterruptRequested,
    ToolCall,
)
from tests.examples.story import (
    AGENT,
    EFFECT,
    INTERRUPT_ID,
    NOTICE_BODY,
    PACKAGE_ID,
    RECIPIENT,
    REQUESTER,
    RUN_ID,
    TENANT,
    THREAD_ID,
    TOOL,
    notice_args,
)


def a_tool_call(args: dict[str, Any] | None = None, **over: Any) -> ToolCall:
    """The call that sends the notice."""
    form: dict[str, Any] = {
        "tool_name": TOOL,
        "effect_type": EFFECT,
        "args_json": canonical_json(notice_args() if args is None else args),
    }
    return ToolCall(**(form | over))


def digest_of(call: ToolCall) -> str:
    """The action digest of a call."""
    return action_digest(call.tool_name, call.effect_type, call.args_json)


ACTION_DIGEST: Final = digest_of(a_tool_call())


def a_package(**over: Any) -> DecisionPackage:
    """A complete package, version 1, high risk, with the notice as its tool call."""
    form: dict[str, Any] = {
        "decision_package_id": PACKAGE_ID,
        "tenant_id": TENANT,
        "run_id": RUN_ID,
        "subject_type": "case",
        "subject_id": "case-5512",
        "title": "Send enforcement notice EN-2041 to Harbour Freight",
        "proposed_action": "Send the enforcement notice by mail to the operator of site 12.",
        "proposed_by": AGENT,
        "rationale": "Three samples in February exceed the permit; the operator was warned.",
        "evidence_refs": ["lab:2026-02-18/3", "permit:EP-884"],
        "risk_level": "high",
        "confidence": 0.74,
        "known_uncertainties": ["Sample 2 was taken during heavy rain."],
        "alternatives": ["Send a second warning.", "Ask for a site visit first."],
        "policy_basis": ["enforcement-guide 4.2"],
        "side_effect_preview": canonical_json({"mails": 1, "to": RECIPIENT}),
        "version": 1,
        "evidence": [
            Evidence(ref="lab:2026-02-18/3", sha256="ab" * 32, media_type="application/pdf")
        ],
        "draft": Draft(media_type="text/plain", text=NOTICE_BODY),
        "consequence": "The operator receives an official notice and a deadline starts.",
        "does_not_authorize": ["Publishing the notice."],
        "tool_call": a_tool_call(),
        "drafted_by": AGENT,
    }
    return DecisionPackage(**(form | over))


def a_request(**over: Any) -> InterruptRequested:
    """The request for the package; package fields are overridden through `package=`."""
    form: dict[str, Any] = {
        "interrupt_id": INTERRUPT_ID,
        "tenant_id": TENANT,
        "run_id": RUN_ID,
        "thread_id": THREAD_ID,
        "checkpoint_id": "cp-3",
        "interrupt_type": "approval",
        "reason": "An official notice cannot be taken back.",
        "requested_by": REQUESTER,
        "authority_transition": "draft_to_send",
    }
    form |= over
    form.setdefault("package", a_package())
    return InterruptRequested(**form)


def a_cancellation(**over: Any) -> InterruptCancelled:
    """The agent takes its request back."""
    form: dict[str, Any] = {
        "interrupt_id": INTERRUPT_ID,
        "tenant_id": TENANT,
        "decision_package_id": PACKAGE_ID,
        "reason": "The operator filed a plan meanwhile.",
        "requested_by": AGENT,
    }
    return InterruptCancelled(**(form | over))
