"""A demo executor, killed by itself (SIGKILL) at the step that DIES_AT names. For tests only.

It wraps the guard; the executor itself knows nothing of it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from consumers.executor_settings import ExecutorKeys
from consumers.settings import Settings
from deploy.demo import memory_store, payments
from producers.guard import Denied, ExecutorGuard, Permit
from schemas.events import ToolGateEvent

DIES_AT = os.environ["DIES_AT"]


def step(name: str) -> None:
    """Dies here, if this is the step."""
    if name == DIES_AT:
        os.kill(os.getpid(), signal.SIGKILL)


class DyingGuard(ExecutorGuard):
    """A guard whose takes and receipts are steps."""

    def take(self, gate: ToolGateEvent, **options: Any) -> Permit | Denied:
        """See ExecutorGuard."""
        found = super().take(gate, **options)
        step("after take")
        return found

    def report(self, receipt: Any) -> Any:
        """See ExecutorGuard."""
        step("before receipt")
        found = super().report(receipt)
        step("after receipt")
        return found


def dying(keys: ExecutorKeys, settings: Settings) -> DyingGuard:
    """The real guard, with steps."""
    executor = keys.executor
    return DyingGuard(
        settings.kafka_config(), executor.executor_id, executor.key, keys.grant_keys.current
    )


if __name__ == "__main__":
    demo = {"payments": payments.main, "memory_store": memory_store.main}[sys.argv[1]]
    raise SystemExit(demo(sys.argv[2:], make=dying))
