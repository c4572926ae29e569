"""One example of every record that has one."""

from __future__ import annotations

from typing import Final

from schemas.model import Record
from tests import examples as e

INPUTS: Final[tuple[Record, ...]] = (
    e.a_request(),
    e.a_cancellation(),
    e.a_decision(),
    e.an_override(),
    e.a_task_command(),
    e.a_revocation(),
    e.a_verdict(),
    e.an_exception(),
    e.a_take(),
    e.an_executed(),
    e.a_failed(),
    e.an_in_doubt(),
    e.a_denied(),
    e.an_outcome(),
    e.a_notice_sent(),
    e.a_notice_failed(),
    e.a_tick(),
)
EXAMPLES: Final[tuple[Record, ...]] = (
    *INPUTS,
    e.a_decision_event(),
    e.a_status(),
    e.a_gate_event(),
    e.a_task_event(),
    e.a_refusal(),
    e.a_reviewer(),
    e.an_agent(),
    e.a_policy_document(),
    e.a_journal_entry(),
    e.a_state(),
)
