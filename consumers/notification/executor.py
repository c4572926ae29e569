"""Who the notifier is: its key, and which gates are for it."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from consumers.notification.facts import Closed, Consumed
from core.jwk import TrustedKeys
from producers.guard import stable_attempt_id
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

    def attempt_id(self, grant_id: str) -> str:
        """The one attempt that this executor ever makes at a grant."""
        return stable_attempt_id(grant_id, self.executor_id)

    def meaning(self, gate: ToolGateEvent, action_digest: str) -> Consumed | Closed:
        """What a later event of a gate means: ours to act on, or closed."""
        if gate.gate != "consumed":
            return Closed(gate.gate)
        ours = (self.executor_id, gate.grant_id and self.attempt_id(gate.grant_id), action_digest)
        execute_by = gate.execute_by or gate.valid_until
        if (gate.executor_id, gate.attempt_id, gate.action_digest) != ours or execute_by is None:
            return Closed("taken_by_another")
        return Consumed(execute_by)


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
