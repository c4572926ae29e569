"""The store in Redis: written by scripts that compare the watermark first (guarantees 15 and 16).

All keys of a task share a hash tag, so a script sees one moment also on a cluster. Values carry a
MAC under a key of the workers: who can write Redis cannot approve.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from consumers.control.ports import (
    TAGS,
    Loaded,
    Opener,
    StoreCorrupt,
    Stored,
    Unavailable,
    Watermark,
    WatermarkMismatch,
)
from consumers.queue_rows import LISTS

TIMEOUT_S: Final = 2.0
_MAC_BYTES: Final = 16
_NUMBER_DIGITS_MAX: Final = 15
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")

_FIXED: Final = ("watermark", "states", "due", "restore", "labels", "rows", "openers", "open")
PARTS: Final = (*_FIXED, *LISTS, *TAGS)
"""What a task has in Redis, in the order of the scripts' KEYS: a string, a hash of control points, a
sorted set of due times, a string, hashes of what a row is found by and of rows, hashes of whose
interrupt is open where and of how many each tenant and opener has open, a sorted set of ranks for
each list, and a set for each tag."""
_LISTS_FROM: Final = len(_FIXED) + 1
_TAGS_FROM: Final = _LISTS_FROM + len(LISTS)

_LOAD: Final = f"""
local next = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
local values = {{}}
local keys = tonumber(ARGV[1])
if keys > 0 then values = redis.call('HMGET', KEYS[2], unpack(ARGV, 2, keys + 1)) end
local open = {{}}
if #ARGV > keys + 1 then open = redis.call('HMGET', KEYS[8], unpack(ARGV, keys + 2)) end
local counts = {{}}
for i = {_TAGS_FROM}, #KEYS do counts[i - {_TAGS_FROM - 1}] = redis.call('SCARD', KEYS[i]) end
return {{redis.call('GET', KEYS[1]), next[2] or false, values, counts, open}}
"""
# A tenant's id has no "/", so "tenant" and "tenant/agent" are never the same name. No HINCRBY: it
# would fail at what somebody else wrote there, with half of the changes made.
_WRITE: Final = f"""
local function count(opener, by)
  local tenant = string.match(opener, '^[^/]*')
  for _, name in ipairs({{tenant, opener}}) do
    local open = (tonumber(redis.call('HGET', KEYS[8], name) or 0) or 0) + by
    if open > 0 then
      redis.call('HSET', KEYS[8], name, open)
    else
      redis.call('HDEL', KEYS[8], name)
    end
  end
end
local function write(first)
  for i = first, #ARGV, 9 do
    local was = redis.call('HGET', KEYS[7], ARGV[i]) or ''
    if was ~= ARGV[i + 8] then
      if was ~= '' then count(was, -1) end
      if ARGV[i + 8] == '' then
        redis.call('HDEL', KEYS[7], ARGV[i])
      else
        redis.call('HSET', KEYS[7], ARGV[i], ARGV[i + 8])
        count(ARGV[i + 8], 1)
      end
    end
    if ARGV[i + 1] == '' then
      redis.call('HDEL', KEYS[2], ARGV[i])
    else
      redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    end
    if ARGV[i + 2] == '' then
      redis.call('ZREM', KEYS[3], ARGV[i])
    else
      redis.call('ZADD', KEYS[3], ARGV[i + 2], ARGV[i])
    end
    if ARGV[i + 5] == '' then
      redis.call('HDEL', KEYS[5], ARGV[i])
      redis.call('HDEL', KEYS[6], ARGV[i])
    else
      redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 5])
      redis.call('HSET', KEYS[6], ARGV[i], ARGV[i + 6])
    end
    for list = {_LISTS_FROM}, {_TAGS_FROM - 1} do
      local at = list - {_LISTS_FROM - 1}
      if string.sub(ARGV[i + 7], at, at) == '1' then
        redis.call('ZADD', KEYS[list], ARGV[i + 4], ARGV[i])
      else
        redis.call('ZREM', KEYS[list], ARGV[i])
      end
    end
    for tag = {_TAGS_FROM}, #KEYS do
      local at = tag - {_TAGS_FROM - 1}
      if string.sub(ARGV[i + 3], at, at) == '1' then
        redis.call('SADD', KEYS[tag], ARGV[i])
      else
        redis.call('SREM', KEYS[tag], ARGV[i])
      end
    end
  end
end
"""
# ARGV: expected, new, then of each change: key, value, due, tags (a digit each), score, labels, row,
# lists (a digit each) and opener. An unknown result is tried again by a later load: it finds either watermark.
_APPLY: Final = (
    _WRITE
    + """
local found = redis.call('GET', KEYS[1])
if found == ARGV[2] then return {1} end
if found ~= ARGV[1] then return {0, found} end
write(3)
redis.call('SET', KEYS[1], ARGV[2])
return {1}
"""
)
_BEGIN: Final = """
redis.call('UNLINK', unpack(KEYS))
redis.call('SET', KEYS[4], ARGV[1])
return {1}
"""
# ARGV: token, then changes.
_RESTORE: Final = (
    _WRITE
    + """
if redis.call('GET', KEYS[4]) ~= ARGV[1] then return {0, redis.call('GET', KEYS[1])} end
write(2)
return {1}
"""
)
_END: Final = """
if redis.call('GET', KEYS[4]) ~= ARGV[1] then return {0, redis.call('GET', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[4])
return {1}
"""


class RedisStore:
    """See StateStore. Not for several threads at once."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        mac_key: bytes,
        observe: Callable[[float], None] | None = None,
    ) -> None:
        """Connects at the first call. `observe` is told the seconds of each round trip."""
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            # redis-py would send a script again after a time-out; we must know.
            retry=Retry(NoBackoff(), 0),
        )
        self._prefix = prefix
        self._mac_key = mac_key
        self._observe = observe
        self._load = self._redis.register_script(_LOAD)
        self._apply = self._redis.register_script(_APPLY)
        self._begin = self._redis.register_script(_BEGIN)
        self._restore = self._redis.register_script(_RESTORE)
        self._end = self._redis.register_script(_END)

    def policy_fault(self) -> str | None:
        """Why this Redis must not be used: with any other policy it forgets states at will."""
        policy = str(self._asked(lambda: self._redis.info("memory")).get("maxmemory_policy"))
        if policy == "noeviction":
            return None
        return (
            f"Redis evicts keys (maxmemory-policy {policy}); mend: CONFIG SET maxmemory-policy "
            "noeviction, and in its configuration file"
        )

    def load(self, task: int, keys: Sequence[bytes], openers: Sequence[Opener] = ()) -> Loaded:
        """See StateStore."""
        names = [name for opener in openers for name in (opener[0], _name(opener))]
        raw, due, values, counts, there = self._asked(
            lambda: self._load(keys=self._keys(task), args=[len(keys), *keys, *names])
        )
        found = {
            key: self._opened(key, value)
            for key, value in zip(keys, values, strict=True)
            if value is not None
        }
        next_due = _instant(due) if due is not None else None
        numbers = [_number(number) for number in there]
        open_of = dict(zip(openers, zip(numbers[::2], numbers[1::2], strict=True), strict=True))
        tagged = dict(zip(TAGS, counts, strict=True))
        return Loaded(_watermark(raw), found, next_due, tagged, open_of)

    def due(self, task: int, before: datetime, limit: int) -> list[bytes]:
        """See StateStore."""
        found: list[bytes] = self._asked(
            lambda: self._redis.zrangebyscore(
                self._keys(task)[2], "-inf", f"({_micros(before)}", start=0, num=limit
            )
        )
        return found

    def apply(
        self, task: int, expected: Watermark, new: Watermark, changes: Mapping[bytes, Stored]
    ) -> None:
        """See StateStore."""
        args = [_text(expected), _text(new), *self._sealed(changes)]
        self._compared(lambda: self._apply(keys=self._keys(task), args=args))

    def begin_restore(self, task: int) -> str:
        """See StateStore."""
        token = str(uuid4())
        self._asked(lambda: self._begin(keys=self._keys(task), args=[token]))
        return token

    def restore(self, task: int, token: str, changes: Mapping[bytes, Stored]) -> None:
        """See StateStore."""
        args = [token, *self._sealed(changes)]
        self._compared(lambda: self._restore(keys=self._keys(task), args=args))

    def end_restore(self, task: int, token: str, watermark: Watermark) -> None:
        """See StateStore."""
        args = [token, _text(watermark)]
        self._compared(lambda: self._end(keys=self._keys(task), args=args))

    def close(self) -> None:
        """Lets go of the connection."""
        self._redis.close()

    def _keys(self, task: int) -> list[str]:
        return [redis_key(self._prefix, task, part) for part in PARTS]

    def _asked(self, call: Callable[[], T]) -> T:
        from time import perf_counter

        began = perf_counter()
        try:
            return call()
        except RedisError as error:
            raise Unavailable("redis", type(error).__name__) from None
        finally:
            if self._observe is not None:
                self._observe(perf_counter() - began)

    def _compared(self, call: Callable[[], Any]) -> None:
        answer = self._asked(call)
        if answer[0] != 1:
            raise WatermarkMismatch(_watermark(answer[1] if len(answer) > 1 else None))

    def _sealed(self, changes: Mapping[bytes, Stored]) -> list[bytes | str | int]:
        args: list[bytes | str | int] = []
        for key, stored in changes.items():
            value = b"" if stored.value is None else self._mac(key, stored.value) + stored.value
            due = "" if stored.due is None else str(_micros(stored.due))
            args += [key, value, due, _digits(TAGS, stored.tags)]
            if (row := stored.row) is None:
                args += ["", b"", b"", _digits(LISTS, ())]
            else:
                args += [row.score, row.labels, row.form, _digits(LISTS, row.lists)]
            args.append("" if stored.opener is None else _name(stored.opener))
        return args

    def _mac(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(self._mac_key, key + b"\0" + value, "sha256")[:_MAC_BYTES]

    def _opened(self, key: bytes, value: bytes) -> bytes:
        mac, body = value[:_MAC_BYTES], value[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(key, body)):
            raise StoreCorrupt("a value in Redis was not written by a worker")
        return body


def redis_key(prefix: str, task: int, part: str) -> str:
    """The name of one of PARTS; all of a task share a hash tag."""
    return f"{{{prefix}p{task}}}:{part}"


def _number(raw: bytes | None) -> int:
    if raw is None:
        return 0
    if not raw.isdigit() or len(raw) > _NUMBER_DIGITS_MAX:
        raise StoreCorrupt("a number in Redis was not written by a worker")
    return int(raw)


def _name(opener: Opener) -> str:
    return "/".join(opener)


def _digits(names: Sequence[str], some: Collection[str]) -> str:
    return "".join("01"[name in some] for name in names)


def _text(watermark: Watermark) -> str:
    return f"{watermark.journal_id}:{watermark.seq}"


def _watermark(raw: bytes | None) -> Watermark | None:
    journal_id, _, seq = (raw or b"").decode(errors="replace").rpartition(":")
    return Watermark(journal_id, int(seq)) if seq.isdecimal() and journal_id else None


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _instant(score: bytes) -> datetime:
    return _EPOCH + timedelta(microseconds=int(float(score)))
