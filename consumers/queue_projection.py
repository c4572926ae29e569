"""The queue as the projection in Redis has it: read a page at a time, a part for each task.

The workers write it in the script that moves a task's watermark, so each part is at any instant the
queue of that task at its watermark. Nothing is authorised by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from consumers.control.store import TIMEOUT_S, redis_key
from consumers.queue_rows import (
    DUE_SPAN,
    Ranked,
    Row,
    RowUnreadable,
    Wanted,
    in_order,
    unpacked,
)

LOOKED_AT_MAX: Final = 250
"""Rows that one script looks at; about a millisecond in which Redis serves nobody else."""
TASKS_PER_TRIP: Final = 12
"""Parts asked in one round trip: Redis runs what comes in one piece without a pause."""

_READ_ONLY: Final = """
local watermark = redis.call('GET', KEYS[1])
if not watermark then return false end
local wanted, looked_at_max = tonumber(ARGV[1]), tonumber(ARGV[2])
local start = 0
if ARGV[4] ~= '' then
  local score = redis.call('ZSCORE', KEYS[2], ARGV[4])
  if score and tonumber(score) == tonumber(ARGV[3]) then
    start = redis.call('ZRANK', KEYS[2], ARGV[4]) + 1
  else
    start = redis.call('ZCOUNT', KEYS[2], '-inf', '(' .. ARGV[3])
  end
end
local due_below, span = tonumber(ARGV[5]), tonumber(ARGV[6])
local function matches(row, score)
  if due_below and tonumber(score) % span >= due_below then return false end
  local found = false
  for i = 7, #ARGV do
    if ARGV[i] == '' then
      if not found then return false end
      found = false
    elseif not found then
      found = string.find(row, ARGV[i], 1, true)
    end
  end
  return true
end
local found, count, looked_at, key, score = {}, 0, 0, '', ''
while looked_at < looked_at_max do
  local step = math.min(math.max(wanted, 50), looked_at_max - looked_at)
  local ranks = redis.call('ZRANGE', KEYS[2], start, start + step - 1, 'WITHSCORES')
  if #ranks == 0 then return {found, '', ''} end
  local keys = {}
  for i = 1, #ranks, 2 do keys[#keys + 1] = ranks[i] end
  local rows = redis.call('HMGET', KEYS[3], unpack(keys))
  for i = 1, #keys do
    key, score = keys[i], ranks[2 * i]
    if rows[i] and matches(rows[i], score) then
      found[#found + 1] = score
      found[#found + 1] = key
      found[#found + 1] = rows[i]
      count = count + 1
      if count == wanted then return {found, score, key} end
    end
  end
  if #keys < step then return {found, '', ''} end
  looked_at, start = looked_at + #keys, start + #keys
end
return {found, score, key}
"""
# KEYS: watermark, queue, rows. ARGV: rows wanted, rows looked at at most, score and key of the row
# to go on behind, due below, span of the due time in a score, then labels, a '' behind each group.

Asked = tuple[int, Ranked | None]
"""A task, and the row behind which to go on; None: from its first."""


@dataclass(frozen=True, slots=True)
class Page:
    """Wanted rows of one task in their order. `after`: there may be more behind this row, of which
    only score and key count; None: there are no more."""

    rows: Sequence[Ranked]
    after: Ranked | None


class NotProjected(Exception):
    """The projection cannot be read now; the log can. The message says why."""


class QueuePages(Protocol):
    """The rows of tasks, page by page; each page is of one moment. Writes nothing."""

    def pages(
        self, asked: Sequence[Asked], wanted: Wanted, *, rows_max: int, looked_at_max: int
    ) -> list[Page | None]:
        """A page of each task asked for; None where the part is not there (being restored). At most
        so many rows are looked at, and so many given. Raises NotProjected."""
        ...


class RedisQueue:
    """See QueuePages. Needs no key of the workers'."""

    def __init__(self, url: str, *, prefix: str) -> None:
        """Connects at the first call."""
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._prefix = prefix

    def pages(
        self, asked: Sequence[Asked], wanted: Wanted, *, rows_max: int, looked_at_max: int
    ) -> list[Page | None]:
        """See QueuePages."""
        labels = [label for group in wanted.labels() for label in (*group, b"")]
        below = wanted.due_below
        trip = self._redis.pipeline(transaction=False)
        for task, after in asked:
            keys = [redis_key(self._prefix, task, part) for part in ("watermark", "queue", "rows")]
            behind = ("", "") if after is None else (after.score, after.key)
            args = (rows_max, looked_at_max, *behind, "" if below is None else below, DUE_SPAN)
            trip.eval(_READ_ONLY, len(keys), *keys, *args, *labels)
        try:
            return [None if answer is None else _page(answer) for answer in trip.execute()]
        except RedisError as error:
            raise NotProjected(f"Redis does not answer ({type(error).__name__})") from None

    def close(self) -> None:
        """Lets go of the connection."""
        self._redis.close()


class QueueProjection:
    """The queue of a deployment: the parts of all tasks in one order."""

    def __init__(self, source: QueuePages, partitions: int) -> None:
        self._source = source
        self._partitions = partitions

    def top(self, wanted: Wanted, limit: int) -> list[Row]:
        """The first rows that are wanted, at most `limit`. Raises NotProjected."""
        best: dict[bytes, Ranked] = {}
        left: list[Asked] = [(task, None) for task in range(self._partitions)]
        # A task behind the last one is not there, unless there are more than our settings say.
        beyond = (self._partitions, None)
        if self._source.pages([beyond], wanted, rows_max=1, looked_at_max=1) != [None]:
            raise NotProjected(f"there are more than {self._partitions} partitions")
        while left:
            more: list[tuple[int, Ranked]] = []
            for start in range(0, len(left), TASKS_PER_TRIP):
                asked = left[start : start + TASKS_PER_TRIP]
                pages = self._source.pages(
                    asked,
                    wanted,
                    rows_max=min(limit, LOOKED_AT_MAX),
                    looked_at_max=LOOKED_AT_MAX,
                )
                for (task, _), page in zip(asked, pages, strict=True):
                    if page is None:
                        raise NotProjected(f"partition {task} is being restored")
                    best |= {row.key: row for row in page.rows}
                    if page.after is not None:
                        more.append((task, page.after))
            first = in_order(best.values())[:limit]
            best = {row.key: row for row in first}
            last = first[-1].place if len(first) == limit else None
            left = [(task, at) for task, at in more if last is None or at.place < last]
        try:
            return [unpacked(row.packed) for row in best.values()]
        except RowUnreadable:
            raise NotProjected("a row is of another release") from None


def _page(answer: list[Any]) -> Page:
    flat, score, key = answer
    rows = [
        Ranked(int(float(flat[at])), flat[at + 1], flat[at + 2]) for at in range(0, len(flat), 3)
    ]
    return Page(rows, Ranked(int(float(score)), key, b"") if key else None)
