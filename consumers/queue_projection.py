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
    RISKS,
    Ranked,
    Row,
    RowUnreadable,
    Wanted,
    in_order,
    row_of,
)

LOOKED_AT_MAX: Final = 250
"""Rows that one script looks through; a fraction of a millisecond in which Redis serves nobody."""
TASKS_PER_TRIP: Final = 16
"""Parts asked in one round trip: Redis runs what comes in one piece without a pause."""
_ROWS_MIN: Final = 8

# KEYS: watermark, a list, labels, rows. ARGV: rows wanted, rows looked at at most, score and key of the
# row to go on behind, span of a band, due below, risks, band of the wanted risk, then labels, with a
# '' behind each group. Risk and due time are sought by the score, so only the rest is looked through.
_PAGE: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local queue, span, risks = KEYS[2], tonumber(ARGV[5]), tonumber(ARGV[7])
local wanted, looked_at_left = tonumber(ARGV[1]), tonumber(ARGV[2])
local due_below, band_wanted = tonumber(ARGV[6]), tonumber(ARGV[8])
local function before(score)
  return redis.call('ZCOUNT', queue, '-inf', '(' .. string.format('%.0f', score))
end
local at = 0
if ARGV[4] ~= '' then
  local score = redis.call('ZSCORE', queue, ARGV[4])
  if score and tonumber(score) == tonumber(ARGV[3]) then
    at = redis.call('ZRANK', queue, ARGV[4]) + 1
  else
    at = before(tonumber(ARGV[3]))
  end
end
local function matches(labels)
  local found = false
  for i = 9, #ARGV do
    if ARGV[i] == '' then
      if not found then return false end
      found = false
    elseif not found then
      found = string.find(labels, ARGV[i], 1, true)
    end
  end
  return true
end
local hits = {}
local function page(last)
  local found = {}
  for i, key in ipairs(hits) do
    found[i] = {redis.call('ZSCORE', queue, key), key, redis.call('HGET', KEYS[4], key)}
  end
  return {found, last and redis.call('ZSCORE', queue, last) or '', last or ''}
end
local last = false
while true do
  local next = redis.call('ZRANGE', queue, at, at, 'WITHSCORES')
  if #next == 0 then return page(false) end
  local band = math.floor(tonumber(next[2]) / span)
  local behind = before((band + 1) * span)
  local stop = behind
  if due_below then stop = before(band * span + due_below) end
  if band_wanted and band % risks ~= band_wanted then stop = at end
  while at < stop do
    if looked_at_left == 0 then return page(last) end
    local step = math.min(math.max(wanted, 50), looked_at_left, stop - at)
    local keys = redis.call('ZRANGE', queue, at, at + step - 1)
    local labels = redis.call('HMGET', KEYS[3], unpack(keys))
    for i = 1, step do
      last = keys[i]
      if labels[i] and matches(labels[i]) then
        hits[#hits + 1] = last
        if #hits == wanted then return page(last) end
      end
    end
    looked_at_left, at = looked_at_left - step, at + step
  end
  at = behind
end
"""

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
        parts = ("watermark", wanted.shortest, "labels", "rows")
        sought = [DUE_SPAN, _or_empty(wanted.due_below), RISKS, _or_empty(wanted.band)]
        trip = self._redis.pipeline(transaction=False)
        for task, after in asked:
            keys = [redis_key(self._prefix, task, part) for part in parts]
            behind = ("", "") if after is None else after.place
            trip.eval(_PAGE, len(keys), *keys, rows_max, looked_at_max, *behind, *sought, *labels)
        try:
            return [None if answer is None else _page(answer) for answer in trip.execute()]
        except RedisError as error:
            raise NotProjected(f"Redis does not answer ({type(error).__name__})") from None

    def close(self) -> None:
        """Lets go of the connection."""
        self._redis.close()


class QueueProjection:
    """The queue of a deployment: the parts of all tasks in one order."""

    def __init__(
        self, source: QueuePages, partitions: int, *, looked_at_max: int = LOOKED_AT_MAX
    ) -> None:
        self._source = source
        self._partitions = partitions
        self._looked_at_max = looked_at_max

    def top(self, wanted: Wanted, limit: int) -> list[Row]:
        """The first rows that are wanted, at most `limit`. Raises NotProjected."""
        best: list[Ranked] = []
        # The one behind the last is not there, unless there are more than our settings say.
        left: list[Asked] = [(task, None) for task in range(self._partitions + 1)]
        while left:
            pages = self._pages(left, wanted, limit)
            # A row that moved between two pages is seen twice; the later one counts.
            seen = {row.key: row for row in (*best, *(r for _, page in pages for r in page.rows))}
            best = in_order(seen.values())[:limit]
            last = best[-1].place if len(best) == limit else None
            left = [
                (task, page.after)
                for task, page in pages
                if page.after is not None and (last is None or page.after.place < last)
            ]
        try:
            return [row_of(row.form) for row in best]
        except RowUnreadable:
            raise NotProjected("a row is of another release") from None

    def _pages(self, left: list[Asked], wanted: Wanted, limit: int) -> list[tuple[int, Page]]:
        """A page of each; of many parts, each has a few of the first rows."""
        rows_max = min(limit, 2 * limit // self._partitions + _ROWS_MIN, self._looked_at_max)
        found = []
        for start in range(0, len(left), TASKS_PER_TRIP):
            asked = left[start : start + TASKS_PER_TRIP]
            pages = self._source.pages(
                asked, wanted, rows_max=rows_max, looked_at_max=self._looked_at_max
            )
            for (task, _), page in zip(asked, pages, strict=True):
                if page is not None and task == self._partitions:
                    raise NotProjected(f"there are more than {self._partitions} partitions")
                if page is not None:
                    found.append((task, page))
                elif task < self._partitions:
                    raise NotProjected(f"partition {task} is being restored")
        return found


def _page(answer: list[Any]) -> Page:
    found, score, key = answer
    rows = [Ranked(int(float(at)), name, form=form or b"") for at, name, form in found]
    return Page(rows, Ranked(int(float(score)), key) if key else None)


def _or_empty(number: int | None) -> int | str:
    return "" if number is None else number
