"""The keys of subjects: files and Redis keep the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from deploy.dev_stack.local import redis_in
from producers.sealing import KEY_BYTES, Subject
from producers.subject_keys import Erased, RedisSubjectKeys, SubjectKeyFiles, SubjectKeys
from producers.subject_keys import subject_keys as store_at
from producers.trusted_keys import KeysUnavailable
from tests import examples as e

ONE = Subject.of(e.TENANT, "case:1")
TWO = Subject.of(e.TENANT, "case:2")


class _Days:
    """A clock that goes on by a day whenever it is asked."""

    def __init__(self) -> None:
        self.day = 0

    def __call__(self) -> datetime:
        self.day += 1
        return e.NOW + timedelta(days=self.day - 1)


@pytest.fixture(params=["files", pytest.param("redis", marks=pytest.mark.kafka)])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SubjectKeys]:
    """An empty store of each kind."""
    if request.param == "files":
        yield SubjectKeyFiles(tmp_path / "keys", clock=_Days())
        return
    redis = redis_in(tmp_path / "redis")
    redis.start()
    store = RedisSubjectKeys(redis.url, prefix="t.", clock=_Days())
    yield store
    store.close()
    redis.kill()


def test_a_key_is_made_once(keys: SubjectKeys) -> None:
    """Whoever asks first; then it is the same, and another's is another."""
    assert keys.find(ONE) is None

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: keys.make(ONE), range(16)))

    [key] = made
    assert isinstance(key, bytes) and len(key) == KEY_BYTES
    assert keys.find(ONE) == key != keys.make(TWO)


def test_an_erasure_is_for_ever_and_keeps_its_first_date(keys: SubjectKeys) -> None:
    """The key is gone, no other takes its place, and the neighbour keeps its own."""
    neighbour = keys.make(TWO)
    keys.make(ONE)

    assert keys.erase(ONE) == Erased("2026-03-02T09:00:00Z", now=True)
    assert keys.erase(ONE) == Erased("2026-03-02T09:00:00Z", now=False)
    assert keys.find(ONE) == keys.make(ONE) == Erased("2026-03-02T09:00:00Z")
    assert keys.find(TWO) == neighbour


def test_a_subject_without_a_key_is_not_marked(keys: SubjectKeys) -> None:
    """A slip of the pen must not shut out somebody else."""
    assert keys.erase(ONE) is None
    assert isinstance(keys.make(ONE), bytes)


def test_files_are_their_owners_and_hold_nothing_after_an_erasure(tmp_path: Path) -> None:
    """0600 in a folder of 0700; names are pseudonyms; the bytes of the key are nowhere."""
    folder = tmp_path / "keys"
    store = SubjectKeyFiles(folder, clock=lambda: e.NOW)
    key = store.make(ONE)
    assert isinstance(key, bytes)
    [file] = folder.iterdir()
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert file.name == f"{ONE.pseudonym}.key"
    held = file.open("rb")  # what the disk has under the name that goes

    store.erase(ONE)

    with held:
        assert set(held.read()) == {ord("0")}
    assert [one.name for one in folder.iterdir()] == [f"{ONE.pseudonym}.erased"]


def test_a_crash_between_mark_and_destruction_is_finished_by_the_next_erasure(
    tmp_path: Path,
) -> None:
    """The mark alone counts already: nobody reads a key beside it."""
    store = SubjectKeyFiles(tmp_path, clock=lambda: e.NOW)
    store.make(ONE)
    (tmp_path / f"{ONE.pseudonym}.erased").write_text("2026-01-01T00:00:00Z", encoding="ascii")

    assert store.find(ONE) == Erased("2026-01-01T00:00:00Z")
    assert store.erase(ONE) == Erased("2026-01-01T00:00:00Z", now=False)
    assert not (tmp_path / f"{ONE.pseudonym}.key").exists()


def test_a_store_out_of_reach_is_no_answer(tmp_path: Path) -> None:
    """Never `no key`: a damaged file, a path that is none, a Redis that is away; no secret said."""
    (tmp_path / f"{ONE.pseudonym}.key").write_text("short", encoding="ascii")
    (tmp_path / "file").touch()

    for location in (
        str(tmp_path),
        str(tmp_path / "file"),
        "redis://:hunter2@127.0.0.1:9/0",
    ):
        with pytest.raises(KeysUnavailable) as caught:
            store_at(location).find(ONE)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="must be a directory"):
        store_at("https://keys.example")
