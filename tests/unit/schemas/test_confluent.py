"""The schema registry adapter against a small registry over HTTP."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from schemas.codec import RegistryUnavailable, Undecodable, decode, encode
from schemas.confluent import ConfluentRegistry, RegistryClientMissing
from tests.examples import a_take

HEADERS = [("ce_type", b"grant.take"), ("content-type", b"application/avro")]
CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


@dataclass
class Server:
    """What the registry holds, and which requests it saw."""

    url: str
    schemas: dict[int, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    broken: bool = False


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

        def answer(self, status: int, form: dict[str, Any]) -> None:
            body = json.dumps(form).encode()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            form = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(f"POST {self.path.partition('?')[0]}")
            if state.broken:
                return self.answer(500, {"error_code": 50001, "message": "broken"})
            state.schemas[257] = form["schema"]
            return self.answer(200, {"id": 257, "schema": form["schema"], "schemaType": "AVRO"})

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            state.requests.append(f"GET {path}")
            if state.broken:
                return self.answer(500, {"error_code": 50001, "message": "broken"})
            schema = state.schemas.get(int(path.rpartition("/")[2]))
            if schema is None:
                return self.answer(404, {"error_code": 40403, "message": "not found"})
            return self.answer(200, {"schema": schema, "schemaType": "AVRO"})

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    state = Server(f"http://127.0.0.1:{httpd.server_port}")
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_values_travel_with_the_id_of_their_schema(server: Server) -> None:
    """The schema is registered once under prefix, topic and record; a reader looks it up once."""
    writer = ConfluentRegistry(server.url, topic_prefix="t1.")
    reader = ConfluentRegistry(server.url)

    values = [encode(a_take(), registry=writer) for _ in range(3)]
    records = [decode(value, HEADERS, registry=reader) for value in values]

    assert records == [a_take()] * 3
    assert values[0][:5] == b"\x00" + (257).to_bytes(4, "big")
    posts = [request for request in server.requests if request.startswith("POST")]
    assert posts == ["POST /subjects/t1.tool-execution-countersign.GrantTake/versions"]
    assert len(server.requests) == 2


def test_an_id_the_registry_has_not_is_undecodable(server: Server) -> None:
    """An invented id is the sender's fault."""
    with pytest.raises(Undecodable) as caught:
        decode(b"\0\0\0\0\x09x", HEADERS, registry=ConfluentRegistry(server.url))

    assert caught.value.reason == "unknown_schema_id"


def test_a_broken_registry_is_not_the_records_fault(server: Server) -> None:
    """While the registry fails, the record is tried again and not dead-lettered."""
    server.broken = True
    registry = ConfluentRegistry(server.url)

    with pytest.raises(RegistryUnavailable):
        decode(b"\0\0\0\0\x09x", HEADERS, registry=registry)
    with pytest.raises(RegistryUnavailable):
        encode(a_take(), registry=registry)


def test_a_registry_that_is_away_is_named_without_its_password() -> None:
    """Nobody listens there; the error does not repeat the URL."""
    registry = ConfluentRegistry("http://user:hidden-word@127.0.0.1:1")

    with pytest.raises(RegistryUnavailable) as caught:
        registry.schema(1)

    assert "hidden-word" not in str(caught.value)


def test_a_missing_client_names_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the message says what to install."""
    monkeypatch.setitem(sys.modules, "confluent_kafka.schema_registry", None)

    with pytest.raises(RegistryClientMissing, match=r"countersign\[registry\]"):
        ConfluentRegistry("http://127.0.0.1:1")
