"""What `init` writes: a policy and people that work together, so that every feature can be tried.

The requests of the trial stand in `starter_requests`, its page in `starter_guide`.
"""

from __future__ import annotations

from typing import Final

TENANT: Final = "acme"
AGENT: Final = "agent:drafter"
EXECUTOR: Final = "notifier"
EXECUTOR_TOOLS: Final = ("notice.*",)
BALANCER: Final = "svc:balancer"
REVIEWERS: Final = ("r.okafor", "r.boss", "r.haas", "r.lind", "r.adler")
"""Who has a key of their own in the trial; the balancer's is beside them."""
MAIL_PORT: Final = 2525

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
  audit_sample: 1.0                   # in a trial each decision gets a second look; else 0.05, say
tools:                                # what the agent says about a tool is not believed
  - tool: "notice.*"
    effect_type: external_notice
    min_risk: medium
    min_reviewer_role: senior_reviewer
    approval_required: true
  - {tool: memory.write, effect_type: memory_write, min_risk: medium}
  - {tool: note.add, effect_type: case_note, approval_required: false}
  - {tool: register.read, effect_type: lookup, approval_required: false}
rules:                                # the first that matches wins
  - name: critical notices
    when: {tools: ["notice.*"], risk_levels: [critical]}
    subject: notice
    mode: human_led                   # each of the two writes a rationale of their own
    approvals:
      - {role: senior_reviewer, scope: "notice:approve"}
      - {role: head_of_enforcement, scope: "notice:approve", distinct_team: true}
    comment_required: [critical]
  - name: notices
    when: {tools: ["notice.*"]}
    subject: notice
    mode: in_the_loop
    approvals: [{role: senior_reviewer, scope: "notice:approve"}]
  - name: memories
    when: {tools: [memory.write]}
    subject: memory
    mode: in_the_loop
    approvals: [{role: senior_reviewer, scope: "memory:approve"}]
  - name: notes
    when: {tools: [note.add]}
    subject: case
    mode: on_the_loop                 # goes ahead when nobody has objected within the window
    objection_window: 2m
    approvals: [{role: senior_reviewer, scope: "case:approve"}]   # asked once it is escalated
  - name: lookups
    when: {tools: [register.read]}
    subject: case
    mode: out_of_the_loop             # goes ahead at once; looked at afterwards
"""

DIRECTORY: Final = """\
# Who may decide. Check it: countersign reviewers check directory.yaml
tenant_id: acme
reviewers:
  - reviewer_id: r.okafor             # decides about notices
    roles: [senior_reviewer]
    scopes: ["notice:approve", "notice:reject", "notice:revise", "notice:request_more_evidence",
             "notice:escalate", "notice:defer", "notice:revoke",
             "notice:grant_exception", "notice:revoke_exception",
             "memory:approve", "memory:reject", "case:approve", "case:reject", "case:escalate"]
    max_risk_level: critical
    team: north
  - reviewer_id: r.boss               # a head: is asked after an escalation, overrides
    roles: [head_of_enforcement]
    scopes: ["notice:approve", "notice:reject", "notice:revise", "notice:request_more_evidence",
             "notice:escalate", "notice:defer", "notice:override", "notice:revoke",
             "notice:assign", "notice:grant_exception", "notice:revoke_exception",
             "memory:approve", "memory:reject", "case:approve", "case:reject"]
    max_risk_level: critical
    team: headquarters
  - reviewer_id: r.haas               # the head of another team: confirms what r.boss overrides
    roles: [head_of_enforcement]
    scopes: ["notice:approve", "notice:reject", "notice:revise", "notice:request_more_evidence",
             "notice:escalate", "notice:defer", "notice:override", "notice:revoke",
             "notice:assign", "memory:approve", "memory:reject", "case:approve", "case:reject"]
    max_risk_level: critical
    team: south
  - reviewer_id: r.lind               # a monitor: objects to what would go ahead by itself
    roles: [reviewer]
    scopes: ["notice:object", "notice:audit_verdict", "case:object", "case:audit_verdict"]
    max_risk_level: high
    team: north
  - reviewer_id: r.adler              # an auditor: judges afterwards, has no part in the decision
    roles: [auditor]
    scopes: ["notice:audit_verdict", "case:audit_verdict", "memory:audit_verdict"]
    max_risk_level: critical
    team: audit
  - reviewer_id: "svc:balancer"       # hands out tasks, decides nothing
    roles: [balancer]
    scopes: ["notice:balance", "memory:balance", "case:balance"]
    max_risk_level: low
agents:
  - agent_id: "agent:drafter"
    owner: o.sato                     # answers for the agent, so would never approve what it asks
    may_request_for: ["svc:case-intake"]
"""
