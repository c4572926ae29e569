"""Where the keys of subjects are kept: one each, made when it is first needed, destroyed for ever.

A directory of files, or a Redis of its own. Either must outlive every restart: a key that is lost is
an erasure that nobody asked for. What an erasure leaves is its date.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

import redis
from redis.exceptions import RedisError

from producers.sealing import KEY_BYTES, Subject
from producers.trusted_keys import KeysUnavailable

TIMEOUT_S: Final = 2.0
_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_ERASED: Final = b"erased:"
_CLOCK: Final = "%Y-%m-%dT%H:%M:%SZ"
Clock = Callable[[], datetime]

# KEYS: the subject's. ARGV: the mark of its erasure. One step, so that no maker comes between.
_ERASE: Final = """
local found = redis.call('GET', KEYS[1])
if not found then return false end
if string.sub(found, 1, 7) == 'erased:' then return {0, found} end
redis.call('SET', KEYS[1], ARGV[1])
return {1, ARGV[1]}
"""


@dataclass(frozen=True, slots=True)
class Erased:
    """The subject's key is destroyed. on: RFC 3339. now: by this call."""

    on: str
    now: bool = False


class SubjectKeys(Protocol):
    """A store of keys. Each method raises KeysUnavailable when it cannot be asked."""

    def find(self, subject: Subject) -> bytes | Erased | None:
        """The key; Erased; or None: there has never been one here."""
        ...

    def make(self, subject: Subject) -> bytes | Erased:
        """The key, a new one if there was none. Never another for one that was erased."""
        ...

    def erase(self, subject: Subject) -> Erased | None:
        """Destroys the key and leaves the date; again, it is the first date. None: no key here."""
        ...


def subject_keys(location: str, *, prefix: str = "") -> SubjectKeys:
    """The store behind the setting: a directory, or a URL of Redis. Raises ValueError."""
    if location.startswith(_SCHEMES):
        return RedisSubjectKeys(location, prefix=prefix)
    if "://" in location:
        raise ValueError("must be a directory, or redis://host:port/db (or rediss://, unix://)")
    return SubjectKeyFiles(Path(location))


def _now() -> datetime:
    return datetime.now(UTC)


class SubjectKeyFiles:
    """Files `<pseudonym>.key`, readable by their owner alone, and `<pseudonym>.erased`."""

    def __init__(self, directory: Path, *, clock: Clock = _now) -> None:
        self._directory = directory
        self._clock = clock

    def find(self, subject: Subject) -> bytes | Erased | None:
        """See SubjectKeys."""
        try:
            return self._found(subject)
        except OSError as error:
            raise self._trouble(error) from None

    def make(self, subject: Subject) -> bytes | Erased:
        """See SubjectKeys. The file appears whole or not at all."""
        try:
            found = self._found(subject)
            if found is not None:
                return found
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._path(subject, "key")
            self._appear(path, secrets.token_bytes(KEY_BYTES).hex())
            found = self._found(subject)
            if isinstance(found, Erased):  # between our two looks: the mark is older than our key
                self._destroy(path)
        except OSError as error:
            raise self._trouble(error) from None
        assert found is not None, "we or another have just made it"
        return found

    def erase(self, subject: Subject) -> Erased | None:
        """See SubjectKeys. The mark stands before the key goes, so a crash between leaves no doubt."""
        path = self._path(subject, "key")
        try:
            before = self._found(subject)
            if before is None:
                return None
            if not isinstance(before, Erased):
                self._appear(self._path(subject, "erased"), self._clock().strftime(_CLOCK))
            self._destroy(path)
            after = self._found(subject)
        except OSError as error:
            raise self._trouble(error) from None
        assert isinstance(after, Erased)
        return Erased(after.on, now=not isinstance(before, Erased))

    def _found(self, subject: Subject) -> bytes | Erased | None:
        for kind in ("erased", "key"):  # a mark counts, whatever lies beside it
            with suppress(FileNotFoundError):
                text = self._path(subject, kind).read_text(encoding="ascii").strip()
                return Erased(text) if kind == "erased" else self._key(text)
        return None

    def _key(self, text: str) -> bytes:
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise KeysUnavailable(f"{self._directory}: a key file is damaged; restore it")
        return key

    def _path(self, subject: Subject, kind: str) -> Path:
        return self._directory / f"{subject.pseudonym}.{kind}"

    def _appear(self, path: Path, text: str) -> None:
        """Writes a file that was not there, in one step; one that is there stays."""
        beside = path.with_name(f".{path.name}.{uuid4().hex}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(beside, path)
        finally:
            beside.unlink()
        self._settle()

    def _destroy(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            with path.open("r+b") as file:
                file.write(b"0" * path.stat().st_size)
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            self._settle()

    def _settle(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _trouble(self, error: OSError) -> KeysUnavailable:
        return KeysUnavailable(
            f"COUNTERSIGN_SUBJECT_KEYS: {self._directory} cannot be used ({error.strerror}); "
            "mend the path or its rights"
        )


class RedisSubjectKeys:
    """Redis: one value a subject, the key or the date of its erasure. It must be persistent."""

    def __init__(self, url: str, *, prefix: str = "", clock: Clock = _now) -> None:
        self._redis: Any = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        self._prefix = prefix
        self._clock = clock

    def find(self, subject: Subject) -> bytes | Erased | None:
        """See SubjectKeys."""
        value = self._asked(lambda: self._redis.get(self._name(subject)))
        return None if value is None else _read(value)

    def make(self, subject: Subject) -> bytes | Erased:
        """See SubjectKeys."""
        key, name = secrets.token_bytes(KEY_BYTES), self._name(subject)
        value = self._asked(lambda: self._redis.set(name, key.hex(), nx=True, get=True))
        return key if value is None else _read(value)

    def erase(self, subject: Subject) -> Erased | None:
        """See SubjectKeys. The date takes the place of the key, in one step."""
        mark = _ERASED + self._clock().strftime(_CLOCK).encode()
        answer = self._asked(lambda: self._redis.eval(_ERASE, 1, self._name(subject), mark))
        if answer is None:
            return None
        done = _read(answer[1])
        assert isinstance(done, Erased)
        return Erased(done.on, now=bool(answer[0]))

    def close(self) -> None:
        """Lets go of its connections."""
        self._redis.close()

    def _name(self, subject: Subject) -> str:
        return f"{self._prefix}subject-key:{subject.pseudonym}"

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except RedisError as error:
            raise KeysUnavailable(
                f"COUNTERSIGN_SUBJECT_KEYS: its Redis does not answer ({type(error).__name__}); "
                "is it up, and the URL right?"
            ) from None


def _read(value: bytes) -> bytes | Erased:
    if value.startswith(_ERASED):
        return Erased(value.removeprefix(_ERASED).decode())
    try:
        key = bytes.fromhex(value.decode())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeysUnavailable("COUNTERSIGN_SUBJECT_KEYS: a key in Redis is damaged; restore it")
    return key
