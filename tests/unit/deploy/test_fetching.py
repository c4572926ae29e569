"""Files named by a lock come whole, checked, and never twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.dev_stack import fetching
from deploy.dev_stack.failures import CannotStart
from deploy.dev_stack.fetching import KAFKA_LOCK, LockedFile, fetch_all, read_lock

CONTENT = bytes(range(256)) * 4000


@dataclass
class Repository:
    """A small web server that knows Range, and counts what it was asked."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def repository() -> Iterator[Repository]:
    """A repository on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            found.asked.append((self.path, wanted))
            content = found.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:])

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Repository(f"http://127.0.0.1:{server.server_port}")
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def locked(path: str, content: bytes = CONTENT) -> LockedFile:
    return LockedFile(path, hashlib.sha256(content).hexdigest(), len(content))


def test_a_file_comes_once(repository: Repository, tmp_path: Path) -> None:
    """What is there with the right bytes is not asked for again."""
    repository.files["/a/b.jar"] = CONTENT
    came: list[tuple[int, int]] = []

    paths = fetch_all(
        [locked("a/b.jar")],
        tmp_path,
        base_url=repository.url,
        progress=lambda count, total: came.append((count, total)),
    )
    fetch_all([locked("a/b.jar")], tmp_path, base_url=repository.url)

    assert paths == [tmp_path / "a/b.jar"]
    assert paths[0].read_bytes() == CONTENT
    assert sum(count for count, _ in came) == len(CONTENT)
    assert {total for _, total in came} == {len(CONTENT)}
    assert repository.asked == [("/a/b.jar", None)]


def test_an_interrupted_download_goes_on(repository: Repository, tmp_path: Path) -> None:
    """Only the rest is asked for, and the whole is checked."""
    repository.files["/b.jar"] = CONTENT
    (tmp_path / "b.jar.part").write_bytes(CONTENT[:1000])

    [path] = fetch_all([locked("b.jar")], tmp_path, base_url=repository.url)

    assert path.read_bytes() == CONTENT
    assert repository.asked == [("/b.jar", "bytes=1000-")]
    assert not (tmp_path / "b.jar.part").exists()


def test_other_bytes_are_refused(repository: Repository, tmp_path: Path) -> None:
    """A file that is not the pinned one is named, and nothing of it stays."""
    repository.files["/b.jar"] = b"x" * len(CONTENT)

    with pytest.raises(CannotStart, match="is not the file that was pinned"):
        fetch_all([locked("b.jar")], tmp_path, base_url=repository.url)

    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_changed_file_in_the_cache_is_fetched_again(
    repository: Repository, tmp_path: Path
) -> None:
    """The cache is not believed either."""
    repository.files["/b.jar"] = CONTENT
    (tmp_path / "b.jar").write_bytes(b"y" * len(CONTENT))

    [path] = fetch_all([locked("b.jar")], tmp_path, base_url=repository.url)

    assert path.read_bytes() == CONTENT


def test_a_missing_file_is_named(repository: Repository, tmp_path: Path) -> None:
    """The message has the address, the reason and the mend."""
    with pytest.raises(CannotStart) as caught:
        fetch_all([locked("no.jar")], tmp_path, base_url=repository.url)

    assert caught.value.lines[0] == f"{repository.url}/no.jar cannot be fetched: HTTP 404"
    assert "run it again" in caught.value.lines[1]


def test_the_lock_of_kafka_can_be_read() -> None:
    """The broker, its logger and all they need, each once."""
    files = read_lock(KAFKA_LOCK.read_text(encoding="utf-8"))

    names = [file.path.rpartition("/")[2] for file in files]
    assert len(set(names)) == len(names) == 46
    assert {"kafka_2.13-4.3.1.jar", "kafka-clients-4.3.1.jar"} <= set(names)
    assert any(name.startswith("log4j-slf4j-impl-") for name in names)
    assert fetching.MAVEN_CENTRAL.startswith("https://")


@pytest.mark.parametrize("line", ["../x.jar {} 1", "/x.jar {} 1", "x.jar abc 1", "x.jar {}"])
def test_a_bad_line_of_a_lock_is_refused(line: str) -> None:
    """A path that leads elsewhere, a short digest or a missing size."""
    with pytest.raises(ValueError):
        read_lock(line.format("0" * 64))
