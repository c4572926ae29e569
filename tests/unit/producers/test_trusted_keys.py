"""The trusted keys: kept current, closed when they cannot be read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.jwk import KeySetError
from producers.keys import new_key
from producers.trusted_keys import (
    FRESH_S,
    STALE_MAX_S,
    KeysUnavailable,
    TrustedKeysFile,
    TrustedKeysUrl,
    trusted_keys,
)


def a_set(*names: str) -> str:
    """A JWKS of new reviewers' keys."""
    keys = [new_key().public_jwk(reviewer_id=name, tenant_id="t") for name in names]
    return json.dumps({"keys": keys})


def names(source: TrustedKeysFile | TrustedKeysUrl) -> set[str | None]:
    """Who is trusted."""
    return {key.reviewer_id for key in source.current().by_kid.values()}


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """In place or replaced."""
    path = tmp_path / "keys.json"
    path.write_text(a_set("a"))
    source = TrustedKeysFile(path)
    first = names(source)
    other = tmp_path / "new.json"
    other.write_text(a_set("a", "b"))
    os.replace(other, path)

    assert (first, names(source)) == ({"a"}, {"a", "b"})


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"keys": [], "keys": []}', '{"keys": [{"kty": "OKP", "crv": "Ed25519"}]}'],
)
def test_a_broken_file_closes_and_names_itself(tmp_path: Path, text: str) -> None:
    """What was trusted before does not live on: a revoked key would stay good."""
    path = tmp_path / "keys.json"
    path.write_text(a_set("a"))
    source = TrustedKeysFile(path)
    source.current()
    path.write_text(text)

    with pytest.raises(KeysUnavailable, match="keys.json"):
        source.current()


def test_a_missing_file_closes_and_comes_back(tmp_path: Path) -> None:
    """Judge nothing meanwhile; then go on."""
    path = tmp_path / "keys.json"
    source = TrustedKeysFile(path)
    with pytest.raises(KeysUnavailable, match="cannot be read"):
        source.current()
    path.write_text(a_set("a"))

    assert names(source) == {"a"}


class Site:
    """A URL that answers, or does not, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.text: str | None = a_set("a")
        self.asked = 0

    def fetch(self, _: str) -> bytes:
        self.asked += 1
        if self.text is None:
            raise OSError("away")
        return self.text.encode()

    @property
    def source(self) -> TrustedKeysUrl:
        return TrustedKeysUrl("https://x/keys", fetch=self.fetch, clock=lambda: self.now)


def test_a_url_is_asked_once_a_minute() -> None:
    """A revoked key works a minute at most."""
    site = Site()
    source = site.source
    source.current()
    source.current()
    site.text = a_set("b")
    before = names(source)
    site.now += FRESH_S

    assert (before, names(source), site.asked) == ({"a"}, {"b"}, 2)


def test_a_url_that_fails_serves_its_last_set_for_a_while_then_closes() -> None:
    """Ten minutes, asked less and less often."""
    site = Site()
    source = site.source
    source.current()
    site.text = None
    site.now += STALE_MAX_S
    still = names(source)
    site.now += 1

    assert still == {"a"}
    with pytest.raises(KeysUnavailable, match="away"):
        source.current()


def test_plain_http_is_refused() -> None:
    """Who is trusted must not be told by whoever stands in between."""
    with pytest.raises(KeySetError, match="https"):
        trusted_keys("http://x/keys")
    assert isinstance(trusted_keys("https://x/keys"), TrustedKeysUrl)
    assert isinstance(trusted_keys("keys.json"), TrustedKeysFile)
