"""What is valid in a policy file and yet not what its writer can have meant; each with its mend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from core.policy import EscalationStep, Policy, Rule, ToolRow, When

Loc = tuple[str | int, ...]
Found = tuple[Loc, str]

_WITHOUT_PEOPLE: Final = frozenset({"out_of_the_loop", "on_the_loop"})
_WILD: Final = frozenset("*?[")


def findings(policy: Policy) -> list[Found]:
    """What to look at, in the order of the file."""
    found = list(_of_defaults(policy))
    if not policy.rules:
        found.append((("rules",), _NO_RULES))
    for index, rule in enumerate(policy.rules):
        found += _of_rule(policy, index, rule)
    return found


def _of_defaults(policy: Policy) -> Iterator[Found]:
    terms = policy.defaults
    yield from _ladder(policy, ("defaults",), terms.escalation)
    if terms.on_timeout == "escalate" and not terms.escalation:
        yield ("defaults",), _NO_LADDER


_NO_LADDER: Final = (
    "on_timeout is escalate and there is no escalation: what nobody decides expires; add "
    "escalation, or write on_timeout: expire"
)


_NO_RULES: Final = (
    "there are none: every request needs one approval of the highest role in role_order; add a "
    "rule for each tool that asks for something else"
)


def _of_rule(policy: Policy, index: int, rule: Rule) -> Iterator[Found]:
    at: Loc = ("rules", index)
    covering = next((r for r in policy.rules[:index] if _covers(r.when, rule.when)), None)
    if covering is not None:
        yield (
            at,
            (
                f"never matches: the rule {covering.name!r} above it takes all that it names; put "
                "this one first, or narrow that one"
            ),
        )
    if rule.when.tenants and policy.tenant_id not in rule.when.tenants:
        yield (
            (*at, "when", "tenants"),
            (f"never matches: this policy is of tenant {policy.tenant_id}; remove tenants"),
        )
    yield from _ladder(policy, at, rule.escalation or [])
    if rule.mode != "out_of_the_loop":
        said = rule.on_timeout is not None or rule.escalation is not None
        on_timeout = rule.on_timeout or policy.defaults.on_timeout
        ladder = policy.defaults.escalation if rule.escalation is None else rule.escalation
        if said and on_timeout == "escalate" and not ladder:
            yield at, _NO_LADDER
    yield from _slots(policy, at, rule)
    if rule.mode == "human_led" and len(rule.approvals) < 2:
        yield (
            (*at, "mode"),
            (
                "human_led with one approval: whoever leads decides alone; ask for a second approval, "
                "or write mode: in_the_loop"
            ),
        )
    sample = policy.defaults.audit_sample if rule.audit_sample is None else rule.audit_sample
    if rule.mode == "out_of_the_loop" and sample == 0:
        yield (
            (*at, "mode"),
            (
                "out_of_the_loop with audit_sample 0: nobody ever looks; set audit_sample, such as 0.05"
            ),
        )
    if rule.mode in _WITHOUT_PEOPLE:
        yield from _without_effect(policy, at, rule)


def _ladder(policy: Policy, at: Loc, steps: Sequence[EscalationStep]) -> Iterator[Found]:
    for number, step in enumerate(steps):
        if step.role not in policy.role_order:
            yield (
                (*at, "escalation", number, "role"),
                (
                    f"{step.role!r} is not in role_order, so nobody counts as above it; add it there "
                    "if somebody does"
                ),
            )


def _slots(policy: Policy, at: Loc, rule: Rule) -> Iterator[Found]:
    """Roles and scopes that perhaps nobody has, so that nobody could approve."""
    for number, slot in enumerate(rule.approvals):
        here: Loc = (*at, "approvals", number)
        if slot.role not in policy.role_order:
            yield (
                (*here, "role"),
                (
                    f"{slot.role!r} is not in role_order, so only who has this very role meets it, "
                    "nobody above; mend the spelling, or add it there if somebody is above it"
                ),
            )
        subject, _, act = (slot.scope or "").rpartition(":")
        if slot.scope is not None and (act != "approve" or subject != (rule.subject or subject)):
            wanted = f"{rule.subject or '<subject>'}:approve"
            yield (
                (*here, "scope"),
                (
                    f"{slot.scope!r} is not {wanted}, which is what approvers of this rule are "
                    f"given; remove scope, or write {wanted}"
                ),
            )


def _without_effect(policy: Policy, at: Loc, rule: Rule) -> Iterator[Found]:
    """A mode without people holds only for a tool that the table names and that needs none."""
    when = rule.when
    if when.tools:
        barred = {tool: why for tool in when.tools if (why := _barred(policy, tool))}
        if barred:
            never = "never takes effect" if len(barred) == len(when.tools) else "is not for all"
            yield (
                (*at, "mode"),
                (
                    f"{rule.mode} {never}: {'; '.join(f'{t} {w}' for t, w in barred.items())}; write "
                    "approval_required: false at the tool, or mode: in_the_loop here"
                ),
            )
    elif when.effect_types:
        rows = [row for row in policy.tools if row.effect_type in when.effect_types]
        if all(row.approval_required for row in rows):
            yield (
                (*at, "mode"),
                (
                    f"{rule.mode} never takes effect: every tool with such an effect is "
                    "approval_required, or not in tools; write approval_required: false at one, or "
                    "mode: in_the_loop here"
                ),
            )


def _barred(policy: Policy, tool: str) -> str | None:
    """Why a tool (or all that a pattern names) needs people; None: it may do without, or some."""
    rows: list[ToolRow] = []
    for row in policy.tools:
        if _names_all(row.tool, tool):
            rows.append(row)
            break
        if _may_share(row.tool, tool):
            rows.append(row)
    if not all(row.approval_required for row in rows):
        return None
    return "is approval_required" if rows else "is not in tools"


def _covers(above: When, below: When) -> bool:
    """Whether every request that `below` matches is matched by `above`."""
    tools = not above.tools or (
        bool(below.tools)
        and all(any(_names_all(wide, narrow) for wide in above.tools) for narrow in below.tools)
    )
    return tools and all(
        not wide or (bool(narrow) and set(narrow) <= set(wide))
        for wide, narrow in (
            (above.effect_types, below.effect_types),
            (above.risk_levels, below.risk_levels),
            (above.authority_transitions, below.authority_transitions),
            (above.interrupt_types, below.interrupt_types),
            (above.memory_sensitivity, below.memory_sensitivity),
            (above.tenants, below.tenants),
        )
    )


def _names_all(wide: str, narrow: str) -> bool:
    """Whether the pattern `wide` names all that `narrow` names; False where that is not plain."""
    if wide in (narrow, "*"):
        return True
    if not _WILD & set(narrow):
        return fnmatchcase(narrow, wide)
    head = wide.removesuffix("*")
    return wide.endswith("*") and not _WILD & set(head) and narrow.startswith(head)


def _may_share(one: str, other: str) -> bool:
    """Whether two patterns may name the same tool; True where that is not plain."""
    heads = (_head(one), _head(other))
    if not _WILD & set(one):
        return fnmatchcase(one, other)
    if not _WILD & set(other):
        return fnmatchcase(other, one)
    return heads[0].startswith(heads[1]) or heads[1].startswith(heads[0])


def _head(pattern: str) -> str:
    """What stands before the first wildcard."""
    return pattern[: next((n for n, char in enumerate(pattern) if char in _WILD), len(pattern))]
