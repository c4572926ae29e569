"""The requests of the trial: one for each way in which people stand to an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from countersign.starter import AGENT, TENANT
from producers.drafting import new_request
from schemas.requests import Dissent, Draft, InterruptRequested, MemoryApprovalPackage

PACKAGE_ID: Final = "notice-1"
INTERRUPT_ID: Final = "notice-1-v1"

_BODY: Final = (
    "Site 12 exceeded its permitted discharge on 18 February 2026 by 31 percent.\n"
    "You have 28 days to file a corrective plan or to appeal.\n"
)
_STOP: Final = (
    "All works within 50 metres of the east pier must stop at once.\n"
    "You may appeal within 14 days; an appeal does not suspend this order.\n"
)
_SMELTER: Final = (
    "Stack QL-3 exceeded its particulate limit 14 times between 16 and 22 February 2026.\n"
    "You have 14 days to repair the filter and to report it, or to appeal.\n"
)
WARNING: Final[Mapping[str, Any]] = {
    "notice_id": "EN-2042",
    "recipient": "office@quarry-lane.example",
    "subject": "Warning EN-2042",
    "body": "Repair the filter of stack QL-3 within 14 days and report it; nothing else is asked.\n",
}
"""Arguments of the action that overrides notice-3."""


def sample_request() -> InterruptRequested:
    """An agent asks before it sends an enforcement notice."""
    return _request(
        PACKAGE_ID,
        title="Send enforcement notice EN-2041 to Harbour Freight",
        reason="An official notice cannot be taken back.",
        proposed_action="Send the enforcement notice by mail to the operator of site 12.",
        rationale="Three samples in February exceed the permit; the operator was warned.",
        evidence_refs=["lab:2026-02-18/3", "permit:EP-884"],
        policy_basis=["enforcement-guide 4.2"],
        risk_level="high",
        confidence=0.74,
        known_uncertainties=["Sample 2 was taken during heavy rain."],
        alternatives=["Send a second warning.", "Ask for a site visit first."],
        subject_id="case-5512",
        consequence="The operator receives an official notice and a deadline starts.",
        does_not_authorize=["Publishing the notice."],
        draft=Draft(media_type="text/plain", text=_BODY),
        authority_transition="draft_to_send",
        tool_name="notice.send",
        effect_type="external_notice",
        args=_mail("EN-2041", "compliance@harbour-freight.example", "Enforcement notice", _BODY),
        preview={"mails": 1, "to": "compliance@harbour-freight.example"},
    )


def further_requests() -> Mapping[str, InterruptRequested]:
    """The others, by their package ids."""
    made = (_critical_notice(), _second_notice(), _note(), _memory(), _lookup())
    return {request.package.decision_package_id: request for request in made}


def _request(package_id: str, **said: Any) -> InterruptRequested:
    return new_request(
        agent_id=AGENT,
        tenant_id=TENANT,
        decision_package_id=package_id,
        interrupt_id=f"{package_id}-v1",
        run_id="run-1",
        requested_by="svc:case-intake",
        subject_type="case",
        **said,
    )


def _mail(notice_id: str, recipient: str, what: str, body: str) -> dict[str, str]:
    subject = f"{what} {notice_id}"
    return {"notice_id": notice_id, "recipient": recipient, "subject": subject, "body": body}


def _critical_notice() -> InterruptRequested:
    """Human-led: two people of two teams, and another agent that disagrees."""
    recipient = "site@fen-bridge.example"
    return _request(
        "notice-2",
        title="Send stop-work order SW-0107 to Fen Bridge Works",
        reason="A stop-work order halts a building site at once.",
        proposed_action="Order the works at the bridge to stop, by mail to the site manager.",
        rationale="The nesting survey and the works permit contradict each other.",
        evidence_refs=["survey:FB-11", "permit:WP-301"],
        policy_basis=["enforcement-guide 7.1"],
        risk_level="critical",
        confidence=0.55,
        known_uncertainties=["The survey is of last spring.", "The permit may have been amended."],
        dissents=[
            Dissent(
                by="agent:permits",
                position="Ask the operator for the amended permit first.",
                rationale="An amendment was filed in January and is not in the register yet.",
            )
        ],
        subject_id="case-5523",
        consequence="Work stops at once; each day costs the operator.",
        does_not_authorize=["Fining the operator.", "Telling the press."],
        draft=Draft(media_type="text/plain", text=_STOP),
        tool_name="notice.send",
        effect_type="external_notice",
        args=_mail("SW-0107", recipient, "Stop-work order", _STOP),
        preview={"mails": 1, "to": recipient},
    )


def _second_notice() -> InterruptRequested:
    """In the loop, as notice-1: something to override, defer, escalate or except."""
    recipient = "office@quarry-lane.example"
    return _request(
        "notice-3",
        title="Send enforcement notice EN-2042 to Quarry Lane Metals",
        reason="An official notice cannot be taken back.",
        proposed_action="Send the enforcement notice by mail to the operator of the smelter.",
        rationale="The stack monitor recorded 14 exceedances in a week.",
        evidence_refs=["monitor:QL-3/2026-W08", "inspection:2026-02-20"],
        policy_basis=["enforcement-guide 4.2"],
        risk_level="high",
        confidence=0.91,
        subject_id="case-5518",
        consequence="The operator receives an official notice and a deadline of 14 days starts.",
        draft=Draft(media_type="text/plain", text=_SMELTER),
        tool_name="notice.send",
        effect_type="external_notice",
        args=_mail("EN-2042", recipient, "Enforcement notice", _SMELTER),
        preview={"mails": 1, "to": recipient},
    )


def _note() -> InterruptRequested:
    """On the loop: goes ahead unless somebody objects."""
    note = "The operator of site 12 called and asked for a copy of sample 3."
    return _request(
        "note-1",
        title="Add a note of a call to case 5512",
        proposed_action="Add a note to the file of case 5512.",
        rationale="Calls are kept in the file.",
        evidence_refs=["call:2026-02-24/2"],
        policy_basis=["filing-guide 2"],
        risk_level="low",
        confidence=0.97,
        subject_id="case-5512",
        tool_name="note.add",
        effect_type="case_note",
        args={"case": "5512", "note": note},
    )


def _memory() -> InterruptRequested:
    """A memory is written only when somebody agrees."""
    return _request(
        "memory-1",
        title="Remember how site 12 wants to be reached",
        proposed_action="Keep in memory that the operator of site 12 asks for mail, not calls.",
        rationale="The operator asked for it on the telephone.",
        evidence_refs=["call:2026-02-24/2"],
        policy_basis=["memory-guide 1"],
        risk_level="low",
        confidence=0.9,
        subject_id="case-5512",
        authority_transition="summary_to_conclusion",
        memory=MemoryApprovalPackage(
            package_id="memory-1",
            proposed_memory="The operator of site 12 asks to be written to, not called.",
            subject_type="site",
            subject_id="site-12",
            source_refs=["call:2026-02-24/2"],
            sensitivity="internal",
            retention="1 year",
            proposed_by=AGENT,
        ),
    )


def _lookup() -> InterruptRequested:
    """Out of the loop: goes ahead at once, and may be judged afterwards."""
    return _request(
        "lookup-1",
        title="Read the permit of site 12 in the public register",
        proposed_action="Read permit EP-884 in the public register.",
        rationale="The limits of the permit are needed.",
        evidence_refs=["permit:EP-884"],
        policy_basis=["register-guide 1"],
        risk_level="low",
        confidence=0.99,
        subject_id="case-5512",
        tool_name="register.read",
        effect_type="lookup",
        args={"permit": "EP-884"},
    )
