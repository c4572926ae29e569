"""The control points of one batch: read once, changed in memory, committed, then remembered."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from consumers.control.ports import (
    Loaded,
    Opener,
    StateStore,
    Stored,
    Tag,
    Watermark,
    WatermarkMismatch,
)
from consumers.queue_rows import OPEN, ranked
from core.timers import next_due
from schemas.codec import decode_bytes, encode
from schemas.state import ControlPointState
from schemas.topics import record_key
from schemas.vocabulary import RiskLevel

OPEN_TAGS: Final[dict[RiskLevel, Tag]] = {
    "low": "open_low",
    "medium": "open_medium",
    "high": "open_high",
    "critical": "open_critical",
}


class View:
    """A task's control points as its records of one batch see them.

    An aborted step drops the view; nothing outside has changed.
    """

    def __init__(self, store: StateStore, task: int, watermark: Watermark) -> None:
        self._store = store
        self._task = task
        self._watermark = watermark
        self._values: dict[bytes, bytes | None] = {}
        self._states: dict[bytes, ControlPointState | None] = {}
        self._changed: dict[bytes, None] = {}
        self._open = 0
        self._open_of: dict[Opener, tuple[int, int]] = {}
        self._moved: Counter[Opener] = Counter()

    def load(self, keys: Iterable[bytes]) -> None:
        """Looks at the store, which must stand where the task does. Raises WatermarkMismatch,
        StoreCorrupt, Unavailable."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._values]
        if not wanted:
            return
        loaded = self._look(wanted)
        if not self._values:
            self._open = sum(loaded.counts.get(tag, 0) for tag in OPEN_TAGS.values())
        for key in wanted:
            self._values[key] = loaded.values.get(key)

    def open_count(self) -> int:
        """Open interrupts of the whole task, this batch's changes included; once something was
        loaded."""
        return self._open

    def open_of(self, opener: Opener) -> tuple[int, int]:
        """Open interrupts of the opener's tenant and of the opener in the task, this batch's changes
        included. Raises as `load`."""
        if opener not in self._open_of:
            self._open_of[opener] = self._look([], [opener]).open_of[opener]
        of_tenant, of_opener = self._open_of[opener]
        moved = sum(n for (tenant, _), n in self._moved.items() if tenant == opener[0])
        return of_tenant + moved, of_opener + self._moved[opener]

    def _look(self, keys: Sequence[bytes], openers: Sequence[Opener] = ()) -> Loaded:
        loaded = self._store.load(self._task, keys, openers)
        if loaded.watermark != self._watermark:
            raise WatermarkMismatch(loaded.watermark)
        return loaded

    def state(self, key: bytes) -> ControlPointState | None:
        """The control point as it stands; None if there is none. The key has been loaded."""
        if key not in self._states:
            value = self._values[key]
            self._states[key] = decode_bytes(value, ControlPointState) if value else None
        return self._states[key]

    def put(self, key: bytes, state: ControlPointState | None) -> bool:
        """The control point after a judgement; whether it is another than before."""
        before = self.state(key)
        if state == before:
            return False
        self._open += _is_open(state) - _is_open(before)
        for some, by in ((before, -1), (state, 1)):
            if (opener := opener_of(some)) is not None:
                self._moved[opener] += by
        self._states[key] = state
        self._values[key] = encode(state) if state is not None else None
        self._changed[key] = None
        return True

    def value(self, key: bytes) -> bytes | None:
        """Its bytes, as they go to the changelog and the store."""
        return self._values[key]

    def digest(self, key: bytes) -> str:
        """Lower-case hex SHA-256 of its bytes; empty where there is none."""
        value = self._values[key]
        return hashlib.sha256(value).hexdigest() if value is not None else ""

    def due(self, horizon: datetime | None, *, limit: int) -> list[bytes]:
        """Control points with a clock due before the horizon, loaded; at most `limit`."""
        if horizon is None:
            return []
        stored = self._store.due(self._task, horizon, limit)
        self.load(stored)
        return list(dict.fromkeys([*stored, *self._changed]))[:limit]

    def changes(self) -> dict[bytes, Stored]:
        """What the store must be told once the step is committed."""
        return {key: stored(self._values[key], self._states[key]) for key in self._changed}


def stored(value: bytes | None, state: ControlPointState | None) -> Stored:
    """A control point as the store keeps it: its bytes, its next due time, what it counts as, what the
    queue shows of it, and whose interrupt is open."""
    if state is None:
        return Stored(value)
    key = record_key(state.tenant_id, state.decision_package_id)
    return Stored(value, next_due(state), tags_of(state), ranked(key, state), opener_of(state))


def tags_of(state: ControlPointState) -> frozenset[Tag]:
    """What a control point counts as."""
    tags: set[Tag] = set()
    if state.accepted is not None and _is_open(state):
        tags.add(OPEN_TAGS[state.accepted.plan.effective_risk])
    if state.gate == "open":
        tags.add("grant_open")
    if state.grant is not None and state.grant.in_doubt:
        tags.add("grant_in_doubt")
    return frozenset(tags)


def opener_of(state: ControlPointState | None) -> Opener | None:
    """Whose interrupt is open there; None: none is."""
    if state is None or state.accepted is None or not _is_open(state):
        return None
    return state.tenant_id, state.accepted.lineage.first_signer


def _is_open(state: ControlPointState | None) -> bool:
    return state is not None and state.status in OPEN
