"""Files named by a lock: fetched over HTTPS, checked by SHA-256, kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.dev_stack.failures import CannotStart

MAVEN_CENTRAL: Final = "https://repo.maven.apache.org/maven2"
KAFKA_LOCK: Final = Path(__file__).with_name("kafka_jars.lock")
_AT_ONCE: Final = 6
"""Connections; more is no faster and less polite."""
_TRIES: Final = 3
_TIMEOUT_S: Final = 60.0
_CHUNK_BYTES: Final = 256 * 1024
_CA_FILES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")

Progress = Callable[[int, int], None]
"""Called with (bytes that came just now, bytes wanted in all)."""


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A file that may be used only with exactly these bytes."""

    path: str
    sha256: str
    size: int


def read_lock(text: str) -> tuple[LockedFile, ...]:
    """The files of a lock: `path sha256 size` a line. Raises ValueError for any other line."""
    found = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        path, sha256, size = line.split()
        parts = PurePosixPath(path).parts
        if len(sha256) != 64 or path.startswith("/") or ".." in parts:
            raise ValueError(f"not a line of a lock: {line}")
        found.append(LockedFile(path, sha256, int(size)))
    return tuple(found)


def cache_dir() -> Path:
    """Where this user's downloads and development data are kept; created when missing."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    place = Path(base) / "countersign"
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """One process at a time in here, whoever it is; the lock goes when its holder ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fetch_all(
    files: Sequence[LockedFile],
    into: Path,
    *,
    base_url: str = MAVEN_CENTRAL,
    progress: Progress | None = None,
) -> list[Path]:
    """Every file below `into`, checked; what is there already is not fetched again.

    Raises CannotStart with the mend. An interrupted download goes on where it stopped.
    """
    with only_one(into / ".lock"):
        missing = [file for file in files if not _is(into / file.path, file)]
        total = sum(file.size for file in missing)

        def came(count: int) -> None:
            if progress is not None:
                progress(count, total)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            jobs = [pool.submit(_fetch, file, into, base_url, came) for file in missing]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [into / file.path for file in files]


def _is(path: Path, file: LockedFile) -> bool:
    try:
        if path.stat().st_size != file.size:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    except OSError:
        return False


def _fetch(file: LockedFile, into: Path, base_url: str, came: Callable[[int], None]) -> None:
    """Downloads to `<name>.part`, checks it, and moves it into place at once."""
    target = into / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    url = f"{base_url}/{file.path}"
    for attempt in range(_TRIES):
        try:
            _download(url, part, file.size, came)
            break
        except OSError as error:  # URLError and time-outs are among them
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            if attempt == _TRIES - 1:
                raise CannotStart(
                    f"{url} cannot be fetched: {_reason(error)}",
                    "mend the network or the proxy settings, then run it again: "
                    "it goes on where it stopped",
                ) from None
    if not _is(part, file):
        part.unlink(missing_ok=True)
        raise CannotStart(
            f"{url} is not the file that was pinned (SHA-256 {file.sha256}); nothing of it is used",
            "something between here and the repository changes files: ask who runs the proxy",
        )
    os.replace(part, target)


def _download(url: str, part: Path, size: int, came: Callable[[int], None]) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        part.unlink()
        have = 0
    request = urllib.request.Request(url, headers={"User-Agent": "countersign"})  # noqa: S310 - ours
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(  # noqa: S310 - MAVEN_CENTRAL, or a test's server
        request, timeout=_TIMEOUT_S, context=_tls()
    ) as answer:
        resumed = have and answer.status == 206
        if resumed:
            came(have)
        with part.open("ab" if resumed else "wb") as out:
            written = have if resumed else 0
            while chunk := answer.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > size:
                    break  # not our file; the check says so
                out.write(chunk)
                came(len(chunk))


def _tls() -> ssl.SSLContext:
    """The system's authorities, or the bundle that the environment names for other tools too."""
    named = next((os.environ[name] for name in _CA_FILES if os.environ.get(name)), None)
    return ssl.create_default_context(cafile=named)


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
