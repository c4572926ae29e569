"""What a worker remembers of the store, so that nothing older can be put back under its eyes.

A MAC shows that a worker wrote a value for this control point, not that it is the last one. Whoever
may write Redis could put an older one back, or take one away. Only the owner of a task writes its
part, and each write moves the watermark: while it stands where we left it, every value must be the
one that we wrote or read last.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from consumers.control.ports import Loaded, StateStore, StoreCorrupt, Stored, Watermark

KEYS_MAX: Final = 100_000
"""Control points remembered of a task, the last used; about 200 bytes each."""


@dataclass(slots=True)
class _Memory:
    """Digests of values by control point, true at one watermark; None while it is restored."""

    watermark: Watermark | None
    digests: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)

    def note(self, key: bytes, digest: bytes, keys_max: int) -> None:
        self.digests[key] = digest
        self.digests.move_to_end(key)
        while len(self.digests) > keys_max:
            self.digests.popitem(last=False)


class RememberingStore:
    """A StateStore that another one is behind. See StateStore."""

    def __init__(self, store: StateStore, *, keys_max: int = KEYS_MAX) -> None:
        self._store = store
        self._keys_max = keys_max
        self._memories: dict[int, _Memory] = {}

    def load(self, task: int, keys: Sequence[bytes], *more: Any, **named: Any) -> Loaded:
        """See StateStore. Raises StoreCorrupt also for a value that is not the last one."""
        loaded = self._store.load(task, keys, *more, **named)
        memory = self._memories.get(task)
        if memory is None or memory.watermark != loaded.watermark:
            memory = self._memories[task] = _Memory(loaded.watermark)
        if loaded.watermark is None:
            return loaded
        for key in keys:
            digest = _digest(loaded.values.get(key))
            if memory.digests.get(key, digest) != digest:
                raise StoreCorrupt("a value in Redis is not the one that was written last")
            memory.note(key, digest, self._keys_max)
        return loaded

    def due(self, task: int, before: datetime, limit: int) -> list[bytes]:
        """See StateStore."""
        return self._store.due(task, before, limit)

    def apply(
        self, task: int, expected: Watermark, new: Watermark, changes: Mapping[bytes, Stored]
    ) -> None:
        """See StateStore."""
        memory = self._memories.pop(task, None)  # nothing is known unless it succeeds
        self._store.apply(task, expected, new, changes)
        if memory is None or memory.watermark != expected:
            memory = _Memory(new)
        memory.watermark = new
        self._note(memory, changes)
        self._memories[task] = memory

    def begin_restore(self, task: int) -> str:
        """See StateStore."""
        self._memories.pop(task, None)
        token = self._store.begin_restore(task)
        self._memories[task] = _Memory(None)
        return token

    def restore(self, task: int, token: str, changes: Mapping[bytes, Stored]) -> None:
        """See StateStore."""
        self._store.restore(task, token, changes)
        memory = self._memories.get(task)
        if memory is not None and memory.watermark is None:
            self._note(memory, changes)

    def end_restore(self, task: int, token: str, watermark: Watermark) -> None:
        """See StateStore."""
        memory = self._memories.pop(task, None)
        self._store.end_restore(task, token, watermark)
        if memory is not None and memory.watermark is None:
            memory.watermark = watermark
            self._memories[task] = memory

    def _note(self, memory: _Memory, changes: Mapping[bytes, Stored]) -> None:
        for key, stored in changes.items():
            memory.note(key, _digest(stored.value), self._keys_max)


def _digest(value: bytes | None) -> bytes:
    return b"" if value is None else hashlib.sha256(value).digest()[:16]
