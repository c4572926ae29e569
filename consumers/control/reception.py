"""From an input record's bytes to a command with a proven sender, or to why there is none."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from consumers.control.ports import InputRecord
from core.authentication import (
    Signer,
    TenantMismatch,
    Unauthenticated,
    authenticate,
    is_signed,
)
from core.context import Input
from core.identifiers import input_origin
from core.jwk import TrustedKeys
from schemas.codec import SchemaIds, Undecodable, decode
from schemas.directory import ClockTick
from schemas.headers import CE_TYPE, Headers, header
from schemas.registry import INPUT_TYPES, topic_of
from schemas.topics import INPUT_TOPICS, key_of, partition_for

REKEYED: Final = "rekeyed"
_TOPIC: Final = "rekeyed_topic"
_PARTITION: Final = "rekeyed_partition"
_OFFSET: Final = "rekeyed_offset"
_APPEND_TIME: Final = "rekeyed_append_time_us"
_PROOF: Final = "rekeyed_proof"
_REKEYED_HEADERS: Final = frozenset({_TOPIC, _PARTITION, _OFFSET, _APPEND_TIME, _PROOF})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record was first appended, and when; a rekeyed one keeps it."""

    topic: str
    partition: int
    offset: int
    append_time: datetime

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def identity(self) -> str:
        """What ids are derived from."""
        return input_origin(self.topic, self.partition, self.offset, self.append_time)


@dataclass(frozen=True, slots=True)
class Dead:
    """It cannot be read; `reason` is a stable slug."""

    origin: Origin
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Misrouted:
    """It stands on another partition than its key belongs to."""

    origin: Origin
    partition: int


@dataclass(frozen=True, slots=True)
class Tick:
    """It says nothing but what time it is."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class Received:
    """A command to judge. `signer` None: `failure` says why, or it carries no signature."""

    origin: Origin
    key: bytes
    command: Input
    signer: Signer | None
    failure: Unauthenticated | TenantMismatch | None
    signed: bool


Reception = Received | Misrouted | Tick | Dead


@dataclass(frozen=True, slots=True)
class Receiver:
    """What reading a record rests on. `keys` is asked anew for each batch, by the caller."""

    keys: TrustedKeys
    audience: str
    partitions: int
    proof_key: bytes
    registry: SchemaIds | None = None

    def receive(self, record: InputRecord, now: datetime) -> Reception:
        """Reads one record; `now` is its effective append time. Never raises for its content.

        Raises RegistryUnavailable: then nothing is known of the record.
        """
        origin = Origin(record.topic, record.partition, record.offset, now)
        headers: Headers = record.headers
        if record.append_time is None:
            return Dead(origin, "not_log_append_time", "set message.timestamp.type=LogAppendTime")
        if record.topic == REKEYED:
            found = self._origin_of(record)
            if found is None:
                if isinstance(read := self._read(record, origin, headers), Tick):
                    return read
                return Dead(origin, "rekeyed_not_ours", "only the worker writes this topic")
            origin, headers = found, without_rekeying(headers)
        return self._read(record, origin, headers)

    def rekeying(self, record: InputRecord, origin: Origin) -> list[tuple[str, bytes | None]]:
        """The headers to forward a record with: its own, its coordinates, and our proof of them."""
        said: list[tuple[str, bytes | None]] = [
            (_TOPIC, origin.topic.encode()),
            (_PARTITION, str(origin.partition).encode()),
            (_OFFSET, str(origin.offset).encode()),
            (_APPEND_TIME, str(_micros(origin.append_time)).encode()),
        ]
        proof = self._proof(origin, record).hex().encode()
        return [*without_rekeying(record.headers), *said, (_PROOF, proof)]

    def _read(self, record: InputRecord, origin: Origin, headers: Headers) -> Reception:
        if record.value is None:
            return Dead(origin, "null_value", "a tombstone says nothing")
        try:
            decoded = decode(record.value, headers, registry=self.registry)
        except Undecodable as error:
            return Dead(origin, error.reason, error.detail)
        if isinstance(decoded, ClockTick):
            return Tick(origin)
        if record.key is None:
            return Dead(origin, "null_key", "the key is tenant_id/decision_package_id")
        if type(decoded) not in INPUT_TYPES.values() or topic_of(decoded) != origin.topic:
            return Dead(origin, "wrong_topic", f"a {type(decoded).__name__} does not belong here")
        if record.key != key_of(decoded):
            return Dead(origin, "key_mismatch", "the key is tenant_id/decision_package_id")
        partition = partition_for(record.key, self.partitions)
        if partition != record.partition:
            if record.topic == REKEYED:
                return Dead(origin, "misrouted_twice", "the partition count has changed")
            return Misrouted(origin, partition)
        assert isinstance(decoded, Input)
        ce_type = (header(headers, CE_TYPE) or b"").decode()
        signer, failure = self._signer(decoded, ce_type, record.value, headers, origin)
        return Received(origin, record.key, decoded, signer, failure, is_signed(headers))

    def _signer(
        self, command: Input, ce_type: str, value: bytes, headers: Headers, origin: Origin
    ) -> tuple[Signer | None, Unauthenticated | TenantMismatch | None]:
        try:
            return authenticate(
                command,
                ce_type,
                value,
                headers,
                keys=self.keys,
                audience=self.audience,
                append_time=origin.append_time,
            ), None
        except (Unauthenticated, TenantMismatch) as failure:
            return None, failure

    def _proof(self, origin: Origin, record: InputRecord) -> bytes:
        """Over the whole record: with other headers it would be another one at the same place."""
        said = f"{origin}/{_micros(origin.append_time)}/".encode()
        headers = without_rekeying(record.headers)
        parts = [record.key, record.value, *(part for n, v in headers for part in (n.encode(), v))]
        body = hashlib.sha256()
        for part in parts:
            body.update(b"-" if part is None else b"%d:%b" % (len(part), part))
        return hmac.digest(self.proof_key, said + body.digest(), "sha256")

    def _origin_of(self, record: InputRecord) -> Origin | None:
        try:
            topic, partition, offset, micros, proof = (
                (header(record.headers, name) or b"").decode()
                for name in (_TOPIC, _PARTITION, _OFFSET, _APPEND_TIME, _PROOF)
            )
            origin = Origin(
                topic, int(partition), int(offset), _EPOCH + timedelta(microseconds=int(micros))
            )
            good = hmac.compare_digest(bytes.fromhex(proof), self._proof(origin, record))
        except (ValueError, OverflowError):
            return None
        return origin if good and topic in INPUT_TOPICS and topic != REKEYED else None


def without_rekeying(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The headers as their sender gave them."""
    return [(name, value) for name, value in headers if name not in _REKEYED_HEADERS]


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
