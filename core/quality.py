"""Package quality: the bar a package must clear before a human is asked (requirements, sections 3, 5,
21). The policy sets it by risk; a policy exception in force lifts one rule of it.
"""

from __future__ import annotations

from core.actions import ARGS_CHARS_MAX, MEMORY_EFFECT, MEMORY_TOOL, memory_args, tool_of
from core.authority import Failure
from core.exceptions import Lifted
from core.planning import effective_risk, matching_rule, terms_of, tool_row
from core.policy import Policy
from schemas.requests import DecisionPackage, InterruptRequested


def quality_failures(policy: Policy, request: InterruptRequested, lifted: Lifted) -> list[Failure]:
    """Why no human is asked, or cannot be asked like this."""
    package, tool = request.package, tool_of(request.package)
    if tool is None and request.authority_transition is None:
        message = (
            "the package has neither an effect nor an authority transition; no human is needed"
        )
        return [Failure("NOT_A_CONTROL_POINT", message)]
    row = tool_row(policy, tool[0]) if tool else None
    if tool is not None and row is None and policy.unlisted_tools == "refuse":
        message = (
            f"the policy names no tool {tool[0]} and lets nobody decide on one; add it to tools"
        )
        return [Failure("NO_POLICY", message)]
    if tool is not None and row is not None and row.effect_type != tool[1]:
        message = (
            f"tool {tool[0]} has the effect {row.effect_type}, not {tool[1]}; "
            "declare the effect of the policy's table"
        )
        return [Failure("EFFECT_MISMATCH", message)]
    if package.memory is not None and len(memory_args(package.memory)) > ARGS_CHARS_MAX:
        message = f"the memory is longer than {ARGS_CHARS_MAX} characters; split it"
        return [Failure("PACKAGE_FULL", message)]
    missing = _missing_fields(policy, request, lifted)
    if missing:
        return [Failure("PACKAGE_INCOMPLETE", f"the package lacks {', '.join(missing)}; add it")]
    if package.reopens and _asks_exception(policy, request, lifted) and not lifted.has("reopening"):
        message = (
            f"reopening {package.reopens} needs a policy exception of kind reopening that applies "
            "to it; ask for one"
        )
        return [Failure("NOT_REOPENABLE", message)]
    return []


def rests_on(policy: Policy, request: InterruptRequested, lifted: Lifted) -> list[str]:
    """The exceptions without which this request would be judged otherwise, and those on record."""
    package = request.package
    tool = tool_of(package)
    row = tool_row(policy, tool[0]) if tool else None
    used = {
        "missing_evidence": not _filled(package.evidence_refs),
        "threshold": row is not None
        and effective_risk(policy, request) != effective_risk(policy, request, lifted),
        "reopening": package.reopens is not None,
        "outside_sla": package.deadline is not None,
    }
    kinds = [name for kind, name in lifted.by_kind.items() if used[kind]]
    return list(dict.fromkeys([*kinds, *lifted.on_record]))


def _asks_exception(policy: Policy, request: InterruptRequested, lifted: Lifted) -> bool:
    rule = matching_rule(policy, request, effective_risk(policy, request, lifted))
    return terms_of(policy, rule).reopening == "exception"


def _missing_fields(policy: Policy, request: InterruptRequested, lifted: Lifted) -> list[str]:
    package = request.package
    wanted = {
        "title": bool(package.title.strip()),
        "proposed_action": bool(package.proposed_action.strip()),
        "rationale": bool(package.rationale.strip()),
        "evidence_refs": _filled(package.evidence_refs) or lifted.has("missing_evidence"),
        "policy_basis": _filled(package.policy_basis),
        "run_id (the request's own)": package.run_id == request.run_id,
    }
    if package.tool_call is not None:
        wanted["authority_transition"] = request.authority_transition is not None
        wanted["side_effect_preview"] = package.side_effect_preview != "{}"
    if {MEMORY_TOOL, MEMORY_EFFECT} & set(tool_of(package) or ()):
        wanted["memory (what is kept, and where it comes from)"] = package.memory is not None
        if package.memory is not None:
            own = "tool_call.args_json that are the memory, byte for byte (or no tool_call)"
            wanted[own] = _is_memory(package)
    if package.memory is not None:
        wanted["memory.source_refs (its provenance)"] = _filled(package.memory.source_refs)
        wanted["memory.proposed_memory"] = bool(package.memory.proposed_memory.strip())
    missing = [name for name, there in wanted.items() if not there]
    rule = matching_rule(policy, request, effective_risk(policy, request, lifted))
    bound = terms_of(policy, rule).uncertainties_required_below
    if package.confidence < bound and not _filled(package.known_uncertainties):
        missing.append(f"known_uncertainties (confidence is under {bound})")
    return missing


def _is_memory(package: DecisionPackage) -> bool:
    """Whether the call, where there is one, writes exactly the memory that reviewers are shown."""
    assert package.memory is not None
    return package.tool_call is None or package.tool_call.args_json == memory_args(package.memory)


def _filled(lines: list[str]) -> bool:
    return bool(lines) and all(line.strip() for line in lines)
