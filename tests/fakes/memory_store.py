"""The store in memory. Held to the same contract suite as the one in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from consumers.control.ports import (
    TAGS,
    Loaded,
    Opener,
    Stored,
    Tag,
    Watermark,
    WatermarkMismatch,
)
from consumers.queue_projection import Asked, Page
from consumers.queue_rows import Ranked, Wanted, in_order
from tests.fakes.memory_broker import Hook, no_hook


@dataclass
class _Part:
    watermark: Watermark | None = None
    values: dict[bytes, bytes] = field(default_factory=dict)
    due: dict[bytes, datetime] = field(default_factory=dict)
    tags: dict[bytes, frozenset[Tag]] = field(default_factory=dict)
    rows: dict[bytes, Ranked] = field(default_factory=dict)
    openers: dict[bytes, Opener] = field(default_factory=dict)
    token: str | None = None

    def write(self, changes: Mapping[bytes, Stored]) -> None:
        for key, stored in changes.items():
            self.values.pop(key, None)
            self.due.pop(key, None)
            self.rows.pop(key, None)
            self.openers.pop(key, None)
            self.tags[key] = stored.tags
            if stored.value is not None:
                self.values[key] = stored.value
            if stored.due is not None:
                self.due[key] = stored.due
            if stored.row is not None:
                self.rows[key] = stored.row
            if stored.opener is not None:
                self.openers[key] = stored.opener

    def open_of(self, opener: Opener) -> tuple[int, int]:
        there = list(self.openers.values())
        return sum(one[0] == opener[0] for one in there), there.count(opener)


class MemoryStore:
    """See StateStore and QueuePages."""

    def __init__(self, hook: Hook = no_hook) -> None:
        self.hook = hook
        self._parts: dict[int, _Part] = {}
        self._tokens = 0

    def flush(self) -> None:
        """FLUSHALL."""
        self._parts.clear()

    def load(self, task: int, keys: Sequence[bytes], openers: Sequence[Opener] = ()) -> Loaded:
        """See StateStore."""
        self.hook("load")
        part = self._part(task)
        values = {key: part.values[key] for key in keys if key in part.values}
        counts: dict[Tag, int] = {
            tag: sum(tag in tags for tags in part.tags.values()) for tag in TAGS
        }
        open_of = {opener: part.open_of(opener) for opener in openers}
        next_due = min(part.due.values(), default=None)
        return Loaded(part.watermark, values, next_due, counts, open_of)

    def due(self, task: int, before: datetime, limit: int) -> list[bytes]:
        """See StateStore."""
        part = self._part(task)
        found = sorted((due, key) for key, due in part.due.items() if due < before)
        return [key for _, key in found][:limit]

    def apply(
        self, task: int, expected: Watermark, new: Watermark, changes: Mapping[bytes, Stored]
    ) -> None:
        """See StateStore."""
        self.hook("apply")
        part = self._part(task)
        if part.watermark == new:
            return
        if part.watermark != expected:
            raise WatermarkMismatch(part.watermark)
        part.write(changes)
        part.watermark = new
        self.hook("applied")

    def begin_restore(self, task: int) -> str:
        """See StateStore."""
        self.hook("begin_restore")
        self._tokens += 1
        self._parts[task] = _Part(token=str(self._tokens))
        return str(self._tokens)

    def restore(self, task: int, token: str, changes: Mapping[bytes, Stored]) -> None:
        """See StateStore."""
        self.hook("restore")
        self._restoring(task, token).write(changes)

    def end_restore(self, task: int, token: str, watermark: Watermark) -> None:
        """See StateStore."""
        part = self._restoring(task, token)
        part.watermark, part.token = watermark, None

    def pages(
        self, asked: Sequence[Asked], wanted: Wanted, *, rows_max: int, looked_at_max: int
    ) -> list[Page | None]:
        """See QueuePages."""
        return [
            None
            if (part := self._part(task)).watermark is None
            else _page(in_order(part.rows.values()), after, wanted, rows_max, looked_at_max)
            for task, after in asked
        ]

    def _part(self, task: int) -> _Part:
        return self._parts.setdefault(task, _Part())

    def _restoring(self, task: int, token: str) -> _Part:
        part = self._part(task)
        if part.token != token:
            raise WatermarkMismatch(part.watermark)
        return part


def _page(
    rows: list[Ranked], after: Ranked | None, wanted: Wanted, rows_max: int, looked_at_max: int
) -> Page:
    left = [row for row in rows if after is None or row.place > after.place]
    found: list[Ranked] = []
    for looked_at, row in enumerate(left[:looked_at_max], 1):
        if wanted.matches(row):
            found.append(row)
        if len(found) == rows_max:
            return Page(found, row if looked_at < len(left) else None)
    return Page(found, left[looked_at_max - 1] if looked_at_max < len(left) else None)
