"""The action that a package asks for: its tool call, or the memory write it stands for (section 21)."""

from __future__ import annotations

from typing import Final

from schemas.canonical import action_digest, canonical_json
from schemas.requests import DecisionPackage, MemoryApprovalPackage, ToolCall

MEMORY_TOOL: Final = "memory.write"
MEMORY_EFFECT: Final = "memory_write"
ARGS_CHARS_MAX: Final = 65_536
"""What `ToolCall.args_json` holds."""


def tool_of(package: DecisionPackage) -> tuple[str, str] | None:
    """Tool name and effect type of the action; None: a decision without an effect."""
    if package.tool_call is not None:
        return package.tool_call.tool_name, package.tool_call.effect_type
    return (MEMORY_TOOL, MEMORY_EFFECT) if package.memory is not None else None


def memory_args(memory: MemoryApprovalPackage) -> str:
    """The memory as RFC 8785 text: what the write is approved for, byte for byte."""
    return canonical_json(memory.model_dump(mode="json", exclude_none=True))


def action_of(package: DecisionPackage) -> ToolCall | None:
    """The exact call an approval authorises; None: nothing is executed."""
    if package.tool_call is not None:
        return package.tool_call
    if package.memory is None:
        return None
    return ToolCall(
        tool_name=MEMORY_TOOL, effect_type=MEMORY_EFFECT, args_json=memory_args(package.memory)
    )


def digest_of(call: ToolCall | None) -> str | None:
    """The `action_digest` of a call whose arguments are canonical."""
    return action_digest(call.tool_name, call.effect_type, call.args_json) if call else None
