"""The trusted keys, kept current: a JWKS file or an https URL. Closed when it cannot be read."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import IO, Final, NoReturn

from core.jwk import KeySetError, TrustedKeys

SET_BYTES_MAX: Final = 4 * 1024 * 1024
FETCH_TIMEOUT_S: Final = 5.0
"""Short, for the caller polls Kafka between two calls."""
_PORTION: Final = 64 * 1024
FRESH_S: Final = 60.0
"""How long a fetched set is used unasked: a revoked key works at most this long."""
STALE_MAX_S: Final = 600.0
"""How long the last good set serves while the URL does not answer; then closed."""
BACKOFF_MAX_S: Final = 60.0


class KeysUnavailable(Exception):
    """The trusted keys cannot be read now. Judge nothing: a refusal would be for ever. Retry."""


class TrustedKeysFile:
    """A JWKS file, read again whenever it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: TrustedKeys | None = None

    def current(self) -> TrustedKeys:
        """The keys as the file has them now. Raises KeysUnavailable with the mend."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if self._keys is None or stamp != self._stamp:
                with self._path.open("rb") as file:
                    self._keys = _parsed(file.read(SET_BYTES_MAX + 1))
                self._stamp = stamp
        except OSError as error:
            self._keys = None
            raise KeysUnavailable(f"{self._path} cannot be read: {error.strerror}") from None
        except KeySetError as error:
            self._keys = None
            raise KeysUnavailable(f"{self._path}: {error}") from None
        return self._keys


class TrustedKeysUrl:
    """A JWKS at an https URL, cached; asked again each minute, less often while it fails."""

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._url = url
        self._fetch = fetch or _fetch
        self._clock = clock
        self._keys: TrustedKeys | None = None
        self._fetched_at = 0.0
        self._ask_at = 0.0
        self._failures = 0
        self._reason = "not asked yet"

    def current(self) -> TrustedKeys:
        """The keys, at most FRESH_S old, or STALE_MAX_S while the URL fails. KeysUnavailable."""
        now = self._clock()
        if now >= self._ask_at:
            self._ask(now)
        if self._keys is None or now - self._fetched_at > STALE_MAX_S:
            raise KeysUnavailable(f"{self._url}: {self._reason}")
        return self._keys

    def _ask(self, now: float) -> None:
        try:
            self._keys = _parsed(self._fetch(self._url))
        except (OSError, HTTPException, ValueError) as error:  # KeySetError is a ValueError
            self._failures += 1
            self._reason = str(error) or type(error).__name__
            self._ask_at = now + min(2.0 ** min(self._failures - 1, 6), BACKOFF_MAX_S)
        else:
            self._failures, self._fetched_at, self._ask_at = 0, now, now + FRESH_S


TrustedKeysSource = TrustedKeysFile | TrustedKeysUrl


def trusted_keys(location: str) -> TrustedKeysSource:
    """The source behind a setting: a path, or an https URL. Raises KeySetError for http."""
    if location.startswith("https://"):
        return TrustedKeysUrl(location)
    if "://" in location:
        raise KeySetError("the trusted keys must be a file or an https URL")
    return TrustedKeysFile(Path(location))


def _parsed(text: bytes) -> TrustedKeys:
    if len(text) > SET_BYTES_MAX:
        raise KeySetError(f"the trusted keys are over {SET_BYTES_MAX} bytes")
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise KeySetError("not JSON, or an object has two equal keys") from None
    return TrustedKeys.from_jwks(document)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("two equal keys")
    return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could lead to plain http, or to somebody else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: object,
        newurl: str,
    ) -> NoReturn:
        raise urllib.error.URLError("it redirects; name the final URL")


def _fetch(url: str) -> bytes:
    """What the URL says. Its server is trusted by the system's CAs, or those of SSL_CERT_FILE."""
    until = monotonic() + FETCH_TIMEOUT_S
    opener = urllib.request.build_opener(_NoRedirect)
    body = bytearray()
    with opener.open(url, timeout=FETCH_TIMEOUT_S) as response:
        while portion := response.read1(_PORTION):
            body += portion
            if len(body) > SET_BYTES_MAX:
                break  # said by who parses it
            if monotonic() > until:
                raise TimeoutError("it answers too slowly")
        if response.length:
            raise ConnectionError("the answer was cut off")
    return bytes(body)
