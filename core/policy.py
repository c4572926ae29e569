"""The policy file: what a tenant's governor writes (requirements, sections 2, 14, 22).

Only its form is here; `core.planning` turns it into a plan for one request.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from core.calendar import Weekday, date_text, stretch, zone_name
from core.limits import DURATION_S_MAX, LADDER_STEPS_MAX, ROLES_MAX, RULES_MAX, SLOTS_MAX
from schemas.model import Id, Line
from schemas.vocabulary import AuthorityTransition, ControlMode, OnTimeout, RiskLevel

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")


def duration_s(text: object) -> int:
    """Seconds of a duration such as `90s`, `15m`, `8h`, `7d`. Raises ValueError with the mend."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("write a duration as a whole number and s, m, h or d, such as 15m")
    seconds = int(match[1]) * _UNITS_S[match[2]]
    if seconds > DURATION_S_MAX:
        raise ValueError("a duration is at most 3660d; write a shorter one")
    return seconds


Duration = Annotated[int, BeforeValidator(duration_s)]
"""Written as `90s`, `15m`, `8h` or `7d`; held in seconds."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Stretch = Annotated[tuple[int, int], BeforeValidator(stretch)]
"""Written as `09:00-17:00`; held in minutes after midnight."""
Priority = Annotated[int, Field(ge=0, le=9)]
SessionAmr = Annotated[list[Annotated[Line, Field(max_length=64)]], Field(max_length=16)]
"""Methods of RFC 8176, such as `mfa`, `hwk`, `otp`: a session must show all of them."""
OpenMax = Annotated[int, Field(ge=1)]
"""Interrupts open at once; each task takes its share of it (core.room)."""
Reopening = Literal["allow", "exception"]
"""Whether a package may reopen a closed one by itself, or only under a policy exception."""


def _not_approve(value: object) -> object:
    if isinstance(value, str) and "approve" in value:
        raise ValueError(
            "a timeout never approves; write escalate, expire, cancel, defer or auto_reject"
        )
    return value


Timeout = Annotated[OnTimeout, BeforeValidator(_not_approve)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class EscalationStep(_Part):
    """A role and the time it has."""

    role: Line
    within: Duration


class ApprovalSlot(_Part):
    """A slot of the quorum; `scope` defaults to `<subject>:approve`."""

    role: Line
    scope: Line | None = None
    distinct_team: bool = False


class Defaults(_Part):
    """What holds where a rule says nothing. `open_max` and `open_max_per_agent` count over the whole
    tenant, so no rule can have others."""

    decide_within: Duration = 24 * 3600
    on_timeout: Timeout = "escalate"
    escalation: Annotated[list[EscalationStep], Field(max_length=LADDER_STEPS_MAX)] = []
    defer_max: Duration = 7 * 86400
    grant_valid_for: Duration = 48 * 3600
    execute_within: Duration = 3600
    uncertainties_required_below: Share = 0.8
    comment_required: list[RiskLevel] = []
    objection_window: Duration = 3600
    audit_sample: Share = 0.0
    priority: Priority = 0
    claim_for: Duration = 1800
    calendar: Line | None = None
    exception_max: Duration = 30 * 86400
    reopening: Reopening = "allow"
    decisions_per_hour_max: Annotated[int, Field(ge=1)] | None = None
    personal_keys: list[RiskLevel] = ["critical"]
    session_max_age: Duration | None = None
    session_amr: SessionAmr = []
    open_max: OpenMax | None = None
    open_max_per_agent: OpenMax | None = None


class Calendar(_Part):
    """Working hours and holidays; `hours` by weekday, such as `mon: ["09:00-17:00"]`."""

    name: Line
    zone: Annotated[str, AfterValidator(zone_name)]
    hours: Annotated[dict[Weekday, list[Stretch]], Field(min_length=1)]
    holidays: Annotated[
        list[Annotated[str, BeforeValidator(date_text)]], Field(max_length=1024)
    ] = []


class ToolRow(_Part):
    """What a tool is, whatever the agent says of it (section 22)."""

    tool: Line
    effect_type: Id
    min_risk: RiskLevel = "low"
    min_reviewer_role: Line | None = None
    approval_required: bool = True


class When(_Part):
    """Conditions of a rule; an empty list matches all."""

    tools: list[Line] = []
    effect_types: list[Line] = []
    risk_levels: list[RiskLevel] = []
    authority_transitions: list[AuthorityTransition] = []
    interrupt_types: list[Line] = []
    memory_sensitivity: list[Line] = []
    tenants: list[Id] = []


class Rule(_Part):
    """The first rule that matches wins. Every key of `defaults` may stand here too, but for those
    that count over the tenant."""

    name: Line
    when: When = When()
    subject: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")] | None = None
    mode: ControlMode = "in_the_loop"
    approvals: Annotated[list[ApprovalSlot], Field(max_length=SLOTS_MAX)] = []
    decide_within: Duration | None = None
    on_timeout: Timeout | None = None
    escalation: Annotated[list[EscalationStep], Field(max_length=LADDER_STEPS_MAX)] | None = None
    defer_max: Duration | None = None
    grant_valid_for: Duration | None = None
    execute_within: Duration | None = None
    uncertainties_required_below: Share | None = None
    comment_required: list[RiskLevel] | None = None
    objection_window: Duration | None = None
    audit_sample: Share | None = None
    priority: Priority | None = None
    claim_for: Duration | None = None
    calendar: Line | None = None
    exception_max: Duration | None = None
    reopening: Reopening | None = None
    decisions_per_hour_max: Annotated[int, Field(ge=1)] | None = None
    personal_keys: list[RiskLevel] | None = None
    session_max_age: Duration | None = None
    session_amr: SessionAmr | None = None


class Policy(_Part):
    """One version of a tenant's policy."""

    tenant_id: Id
    policy_version: Annotated[str, Field(min_length=1, max_length=128)]
    unsigned_requests: Literal["refuse", "allow"] = "refuse"
    unlisted_tools: Literal["review", "refuse"] = "review"
    dual_control: bool = False
    reapply_to_open: bool = False
    calendars: Annotated[list[Calendar], Field(max_length=64)] = []
    role_order: Annotated[list[Line], Field(min_length=1, max_length=ROLES_MAX)]
    defaults: Defaults = Defaults()
    tools: Annotated[list[ToolRow], Field(max_length=RULES_MAX)] = []
    rules: Annotated[list[Rule], Field(max_length=RULES_MAX)] = []

    @model_validator(mode="after")
    def _consistent(self) -> Policy:
        if len(set(self.role_order)) != len(self.role_order):
            raise ValueError("role_order names a role twice; name each once, lowest first")
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are named {name!r}; give each rule its own name")
        calendars = [calendar.name for calendar in self.calendars]
        for chosen in (self.defaults.calendar, *(rule.calendar for rule in self.rules)):
            if chosen is not None and chosen not in calendars:
                raise ValueError(f"no calendar is named {chosen!r}; add it to calendars")
        for row in self.tools:
            role = row.min_reviewer_role
            if role is not None and role not in self.role_order:
                raise ValueError(
                    f"tools: {row.tool!r} asks for role {role!r}, which is not in role_order; add it"
                )
        return self


def parse_policy(document: object) -> Policy:
    """The policy in a parsed YAML or JSON document. Raises pydantic.ValidationError."""
    return Policy.model_validate(document)
