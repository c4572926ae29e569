"""What `init` writes: a policy, people and a request that work together, to start from."""

from __future__ import annotations

from typing import Final

from producers.drafting import new_request
from schemas.requests import Draft, InterruptRequested

TENANT: Final = "acme"
AGENT: Final = "agent:drafter"
EXECUTOR: Final = "notifier"
EXECUTOR_TOOLS: Final = ("notice.*",)
REVIEWERS: Final = ("r.okafor", "r.lind", "r.boss")
PACKAGE_ID: Final = "notice-1"
INTERRUPT_ID: Final = "notice-1-v1"

POLICY: Final = """\
# What needs a human, and which one. Check it: countersign policy check policy.yaml
# A version is immutable: raise policy_version with every change.
tenant_id: acme
policy_version: "1"
unsigned_requests: refuse
role_order: [reviewer, senior_reviewer, head_of_enforcement]   # lowest first
defaults:
  decide_within: 24h
  on_timeout: escalate                # nothing approves
  escalation: [{role: head_of_enforcement, within: 24h}]
  grant_valid_for: 48h                # an approval that nobody used by then is void
  execute_within: 1h
  uncertainties_required_below: 0.8   # under this confidence the agent must say what it doubts
tools:                                # what the agent says about a tool is not believed
  - tool: "notice.*"
    effect_type: external_notice
    min_risk: medium
    min_reviewer_role: senior_reviewer
    approval_required: true
rules:                                # the first that matches wins
  - name: critical notices
    when: {tools: ["notice.*"], risk_levels: [critical]}
    subject: notice
    mode: human_led
    approvals:
      - {role: senior_reviewer, scope: "notice:approve"}
      - {role: head_of_enforcement, scope: "notice:approve", distinct_team: true}
    comment_required: [critical]
  - name: notices
    when: {tools: ["notice.*"]}
    subject: notice
    mode: in_the_loop
    approvals: [{role: senior_reviewer, scope: "notice:approve"}]
"""

DIRECTORY: Final = """\
# Who may decide. Check it: countersign reviewers check directory.yaml
tenant_id: acme
reviewers:
  - reviewer_id: r.okafor
    roles: [senior_reviewer]
    scopes: ["notice:approve", "notice:reject", "notice:revise", "notice:request_more_evidence",
             "notice:escalate", "notice:defer", "notice:object", "notice:revoke",
             "notice:grant_exception", "notice:revoke_exception"]
    max_risk_level: critical
    team: north
  - reviewer_id: r.lind
    roles: [reviewer]
    scopes: ["notice:reject", "notice:revise", "notice:request_more_evidence", "notice:escalate",
             "notice:defer", "notice:object", "notice:audit_verdict"]
    max_risk_level: high
    team: north
  - reviewer_id: r.boss
    roles: [head_of_enforcement]
    scopes: ["notice:approve", "notice:reject", "notice:revise", "notice:request_more_evidence",
             "notice:escalate", "notice:defer", "notice:object", "notice:override", "notice:revoke",
             "notice:assign", "notice:audit_verdict", "notice:grant_exception",
             "notice:revoke_exception"]
    max_risk_level: critical
    team: headquarters
agents:
  - agent_id: "agent:drafter"
    owner: r.boss                     # answers for the agent, so never approves what it asks
    may_request_for: ["svc:case-intake"]
"""

_BODY: Final = (
    "Site 12 exceeded its permitted discharge on 18 February 2026 by 31 percent.\n"
    "You have 28 days to file a corrective plan or to appeal.\n"
)


def sample_request() -> InterruptRequested:
    """An agent asks before it sends an enforcement notice."""
    return new_request(
        agent_id=AGENT,
        tenant_id=TENANT,
        decision_package_id=PACKAGE_ID,
        interrupt_id=INTERRUPT_ID,
        run_id="run-1",
        requested_by="svc:case-intake",
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
        subject_type="case",
        subject_id="case-5512",
        consequence="The operator receives an official notice and a deadline starts.",
        does_not_authorize=["Publishing the notice."],
        draft=Draft(media_type="text/plain", text=_BODY),
        authority_transition="draft_to_send",
        tool_name="notice.send",
        effect_type="external_notice",
        args={
            "notice_id": "EN-2041",
            "recipient": "compliance@harbour-freight.example",
            "subject": "Enforcement notice EN-2041",
            "body": _BODY,
        },
        preview={"mails": 1, "to": "compliance@harbour-freight.example"},
    )
