"""Who an executor is, as the trusted keys name it: for which tools, of which tenants."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from core.jwk import TrustedKeys
from producers.keys import SigningKey
from schemas.events import ToolGateEvent


class NotAnExecutor(ValueError):
    """The trusted keys do not make this key an executor's; the message says what to mend."""


@dataclass(frozen=True, slots=True)
class Executor:
    """An executor as the trusted keys name it: for these tools (patterns), of these tenants."""

    executor_id: str
    key: SigningKey
    tools: tuple[str, ...]
    tenant_ids: frozenset[str]

    def may_take(self, gate: ToolGateEvent) -> bool:
        """Whether an opened gate is for this executor at all."""
        return (
            gate.tool_name is not None
            and gate.tenant_id in self.tenant_ids
            and any(fnmatchcase(gate.tool_name, pattern) for pattern in self.tools)
        )


def executor_of(key: SigningKey, keys: TrustedKeys) -> Executor:
    """The executor whose key this is. Raises NotAnExecutor."""
    trusted = keys.find(key.kid)
    if trusted is None:
        raise NotAnExecutor(
            f"no key {key.kid} is trusted; add its JWK (keys new --executor printed it)"
        )
    if trusted.executor_id is None:
        raise NotAnExecutor(f"key {key.kid} has no executor_id; make one with keys new --executor")
    if not trusted.tools:
        raise NotAnExecutor(f'key {key.kid} has no tools; add such as "tools": ["notice.*"]')
    if not trusted.tenant_ids:
        raise NotAnExecutor(f"key {key.kid} has no tenant_ids; add the tenants it may act for")
    return Executor(trusted.executor_id, key, trusted.tools, trusted.tenant_ids)
