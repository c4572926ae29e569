"""What an executor has said of an attempt, as the log has it."""

from __future__ import annotations

from typing import Final

from core.authentication import TenantMismatch, Unauthenticated, authenticate
from core.jwk import TrustedKeys, trusted_key
from producers.answers import Answer, AnswerReader
from producers.attempt import BROKER_SKEW_MAX, Attempt
from producers.guard import ExecutorGuard
from schemas.execution import Receipt
from schemas.registry import ce_type_of
from schemas.topics import record_key

READ_WITHIN_S: Final = 30.0


def receipts_of(
    attempt: Attempt, guard: ExecutorGuard, *, timeout_s: float = READ_WITHIN_S
) -> frozenset[type[Receipt]]:
    """Which receipts of an attempt stand in the log, signed by this guard's key.

    Raises NoAnswer: it could not be read to its end, nothing is known. Also BrokerUnreachable,
    NotAllowed.
    """
    gate = attempt.gate
    key = record_key(gate.tenant_id, gate.decision_package_id)
    start = gate.occurred_at - BROKER_SKEW_MAX
    with AnswerReader(guard.config, ["tool-execution"], key=key, start=start) as reader:
        return frozenset(
            type(answer.record)
            for answer in reader.so_far(timeout_s=timeout_s)
            if isinstance(answer.record, Receipt)
            and answer.record.attempt_id == attempt.attempt_id
            and _is_ours(answer.record, answer, guard)
        )


def _is_ours(receipt: Receipt, answer: Answer, guard: ExecutorGuard) -> bool:
    """Whether this key signed it: nobody else's word says that an attempt was reported."""
    if guard.key is None:
        return True
    jwk = guard.key.public_jwk(
        executor_id=guard.executor_id, tools=["*"], tenant_ids=[receipt.tenant_id]
    )
    try:
        authenticate(
            receipt,
            ce_type_of(receipt),
            answer.value,
            answer.headers,
            keys=TrustedKeys.of([trusted_key(jwk)]),
            audience=guard.config.audience,
            append_time=answer.appended,
        )
    except (Unauthenticated, TenantMismatch):
        return False
    return True
