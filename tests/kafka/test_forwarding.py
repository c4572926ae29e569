"""A record on another partition than its key's, on the real broker: its headers come through."""

from __future__ import annotations

from datetime import UTC, datetime

from confluent_kafka import Producer

from core.authentication import typ_of
from producers.signing import sign_record
from schemas.codec import encode
from schemas.events import InterruptStatusChanged
from schemas.headers import SIGNATURE, ce_headers
from schemas.registry import ce_type_of
from schemas.topics import key_of, partition_for
from tests import examples as e
from tests.support.deployment import Deployment
from tests.support.eventually import eventually


def test_a_misrouted_request_is_judged_with_its_own_signature_and_headers(
    deployment: Deployment,
) -> None:
    """Forwarded with the worker's proof over all of it, a header without a value too."""
    deployment.agent()
    deployment.worker()
    request = e.a_request()
    value, now = encode(request), datetime.now(UTC)
    token = sign_record(
        value,
        key=deployment.key(e.AGENT),
        typ=typ_of(request),
        audience=deployment.settings.audience,
        sub=e.AGENT,
        tenant_id=e.TENANT,
        ce_type=ce_type_of(request),
        jti=request.interrupt_id,
        now=now,
    )
    headers: list[tuple[str, str | bytes | None]] = [
        *ce_headers(request, ce_id=request.interrupt_id, source="/test", time=now),
        (SIGNATURE, token.encode()),
        ("x-null", None),
        ("x-empty", b""),
    ]
    topic, key = deployment.topic("interrupt-requested"), key_of(request) or b""
    partitions = deployment.settings.partitions
    wrong = (partition_for(key, partitions) + 1) % partitions
    producer = Producer(deployment.config)
    producer.produce(topic, value, key, partition=wrong, headers=headers)
    assert producer.flush(30) == 0

    def answered() -> list[InterruptStatusChanged]:
        return deployment.records("interrupt-status", InterruptStatusChanged)

    [status] = eventually(answered, within_s=60)
    assert status.status == "pending"
    assert deployment.reads("dead-letter") == []
