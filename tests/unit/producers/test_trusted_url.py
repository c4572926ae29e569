"""Trusted keys from an https URL, against a real TLS server: fetched, kept, refused, closed."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path

import pytest

from producers import trusted_keys as module
from producers.trusted_keys import (
    BACKOFF_MAX_S,
    FRESH_S,
    SET_BYTES_MAX,
    STALE_MAX_S,
    KeysUnavailable,
    TrustedKeysUrl,
)
from tests.support.key_site import KeySite, Misbehaviour, key_site
from tests.unit.producers.test_trusted_keys import a_set, names


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeySite]:
    """A key server whose CA this process trusts."""
    with key_site(tmp_path) as made:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        made.text = a_set("a")
        yield made


class Seconds:
    """A clock to hand in."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_keys_come_over_tls_and_change_without_a_restart(site: KeySite) -> None:
    """One question a minute; then a rotated key is there and a revoked one is gone."""
    clock = Seconds()
    source = TrustedKeysUrl(site.url, clock=clock)
    first, again = names(source), names(source)
    site.text = a_set("b")
    clock.now += FRESH_S

    assert (first, again, names(source)) == ({"a"}, {"a"}, {"b"})
    assert site.asked == ["/keys.json"] * 2


def test_a_server_that_no_known_ca_vouches_for_is_not_believed(
    site: KeySite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who stands in between could trust themselves."""
    folder = tmp_path / "other"
    folder.mkdir()
    with key_site(folder) as other:
        monkeypatch.setenv("SSL_CERT_FILE", str(other.ca))

    with pytest.raises(KeysUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        TrustedKeysUrl(site.url).current()


def an_error(request: BaseHTTPRequestHandler) -> None:
    """HTTP 500."""
    request.send_error(500)


def elsewhere(request: BaseHTTPRequestHandler) -> None:
    """A redirect to plain http."""
    request.send_response(302)
    request.send_header("Location", "http://127.0.0.1:9/keys.json")
    request.end_headers()


def nonsense(request: BaseHTTPRequestHandler) -> None:
    """No HTTP at all."""
    request.wfile.write(b"SSH-2.0-nonsense\r\n")


def half(request: BaseHTTPRequestHandler) -> None:
    """A set that is cut off."""
    request.send_response(200)
    request.send_header("Content-Length", "100")
    request.end_headers()
    request.wfile.write(b'{"keys": []}')


def a_page(request: BaseHTTPRequestHandler) -> None:
    """The login page of a portal."""
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b"<html>Please log in.</html>")


def too_much(request: BaseHTTPRequestHandler) -> None:
    """More than any set is."""
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b" " * (SET_BYTES_MAX + 70_000))


def nothing(request: BaseHTTPRequestHandler) -> None:
    """The connection ends."""
    request.close_connection = True


@pytest.mark.parametrize("wrong", [an_error, elsewhere, nonsense, half, a_page, too_much, nothing])
def test_whatever_else_comes_leaves_the_last_set_for_a_while_and_then_closes(
    site: KeySite, wrong: Misbehaviour
) -> None:
    """At the start nothing is trusted; later the last good set serves for ten minutes, no longer;
    and what comes back is taken."""
    clock = Seconds()
    fresh, source = TrustedKeysUrl(site.url, clock=clock), TrustedKeysUrl(site.url, clock=clock)
    source.current()
    site.instead = wrong

    with pytest.raises(KeysUnavailable):
        fresh.current()
    clock.now += STALE_MAX_S
    kept = names(source)
    clock.now += BACKOFF_MAX_S
    with pytest.raises(KeysUnavailable):
        source.current()
    site.instead = None
    clock.now += BACKOFF_MAX_S
    assert (kept, names(source)) == ({"a"}, {"a"})


def test_a_server_that_fails_is_asked_less_and_less_often(site: KeySite) -> None:
    """After 1, 2, 4 … seconds, never more than a minute apart."""
    clock = Seconds()
    source = TrustedKeysUrl(site.url, clock=clock)
    site.instead = an_error
    asked_at = []
    for _ in range(400):
        before = len(site.asked)
        with pytest.raises(KeysUnavailable):
            source.current()
        if len(site.asked) > before:
            asked_at.append(clock.now)
        clock.now += 0.5

    gaps = [after - before for before, after in pairwise(asked_at)]
    assert gaps[:6] == [1, 2, 4, 8, 16, 32]
    assert max(gaps) <= BACKOFF_MAX_S


def test_a_server_that_drips_does_not_hold_the_worker(
    site: KeySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole answer has a time, not each byte of it."""

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b" ")
        except OSError:
            return

    monkeypatch.setattr(module, "FETCH_TIMEOUT_S", 0.2)
    monkeypatch.setattr(module, "SET_BYTES_MAX", 1 << 40)
    site.instead = drip

    with pytest.raises(KeysUnavailable, match="too slowly"):
        TrustedKeysUrl(site.url).current()
