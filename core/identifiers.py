"""Ids are derived, never drawn: the same input always gives the same bytes (RFC 9562, UUIDv5)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("6c1d1f9a-3f0b-5a55-9a0e-0c9b6a4b7f11")


def input_origin(topic: str, partition: int, offset: int, append_time: datetime) -> str:
    """What the ids of an input come from: its coordinates and its effective append time.

    The time keeps two deployments apart whose topics have the same names.
    """
    return f"{topic}/{partition}/{offset}@{append_time.astimezone(UTC).isoformat()}"


def derived_id(origin: str, kind: str) -> str:
    """The id of the one thing of this `kind` that the input at `origin` brings about."""
    return str(uuid5(NAMESPACE, f"{origin}#{kind}"))


def review_task_id(tenant_id: str, decision_package_id: str, interrupt_id: str) -> str:
    """The one review task of an interrupt."""
    return derived_id(f"{tenant_id}/{decision_package_id}/{interrupt_id}", "review-task")


def audit_task_id(tenant_id: str, decision_package_id: str, interrupt_id: str) -> str:
    """The one audit task of an interrupt's decision."""
    return derived_id(f"{tenant_id}/{decision_package_id}/{interrupt_id}", "audit-task")


def key_digest(signer: str, idempotency_key: str) -> str:
    """An idempotency key bound to its authenticated sender; 32 hex digits."""
    return hashlib.sha256(f"{signer}\x00{idempotency_key}".encode()).hexdigest()[:32]
