"""Whether a service lives and is ready, and its metrics, over HTTP for whoever watches it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import monotonic
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_REQUEST_WITHIN_S: Final = 5.0
"""A client that sends its request slower than this is cut off: it would hold a thread."""


class Health:
    """What a service knows about itself. For several threads at once.

    Alive: the loop has beaten within `stalled_after_s`. Ready: at least one part has reported, and
    no part that reported is unready. So a service names each part it cannot work without with
    `not_ready` first, and then with `ready` as each gets there.
    """

    def __init__(self, stalled_after_s: float, clock: Callable[[], float] = monotonic) -> None:
        self.stalled_after_s = stalled_after_s
        self._clock = clock
        self._lock = Lock()
        self._beat_at = clock()
        self._parts: dict[str, str | None] = {}

    def beat(self) -> None:
        """The loop lives. Called once a turn."""
        self._beat_at = self._clock()

    def ready(self, part: str) -> None:
        """The part does its work (again)."""
        with self._lock:
            self._parts[part] = None

    def not_ready(self, part: str, why: str) -> None:
        """The part cannot work now. why: one line for the operator, with the mend if there is."""
        with self._lock:
            self._parts[part] = why

    @property
    def silent_for_s(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._beat_at

    @property
    def alive(self) -> bool:
        """Whether the loop has beaten lately."""
        return self.silent_for_s < self.stalled_after_s

    @property
    def problems(self) -> dict[str, str]:
        """Each part that is not ready, and why; empty: ready."""
        with self._lock:
            if not self._parts:
                return {"start": "no part has reported yet"}
            return {part: why for part, why in self._parts.items() if why is not None}


class HealthServer:
    """`/livez`, `/readyz` and `/metrics`, answered by daemon threads until `close`.

    documents: by path, further JSON that never changes, such as public keys. port 0: any free one, then found in `.port`. Raises OSError when it cannot listen there.
    """

    def __init__(
        self,
        health: Health,
        *,
        host: str,
        port: int,
        registry: CollectorRegistry,
        documents: Mapping[str, object] | None = None,
    ) -> None:
        class Handler(_Handler):
            pass

        Handler.health, Handler.registry = health, registry
        Handler.documents = {
            path: json.dumps(document).encode() for path, document in (documents or {}).items()
        }
        self._server = _server_class(host)((host, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="health",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stops listening. Twice is fine."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _ServerV6(_Server):
    address_family = socket.AF_INET6


def _server_class(host: str) -> type[_Server]:
    return _ServerV6 if ":" in host else _Server


class _Handler(BaseHTTPRequestHandler):
    health: Health
    registry: CollectorRegistry
    documents: Mapping[str, bytes]
    timeout = _REQUEST_WITHIN_S

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        match path:
            case "/livez":
                self._live()
            case "/readyz":
                self._ready()
            case "/metrics":
                self._metrics()
            case _ if path in self.documents:
                self._answer(HTTPStatus.OK, self.documents[path], _JSON)
            case _:
                more = "".join(f", {name}" for name in sorted(self.documents))
                self._answer(HTTPStatus.NOT_FOUND, f"try /livez, /readyz, /metrics{more}\n")

    do_HEAD = do_GET

    def _live(self) -> None:
        if self.health.alive:
            self._answer(HTTPStatus.OK, "alive\n")
        else:
            silent = f"the loop has not moved for {self.health.silent_for_s:.0f} s\n"
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, silent)

    def _ready(self) -> None:
        problems = self.health.problems
        if not problems:
            self._answer(HTTPStatus.OK, "ready\n")
        else:
            lines = "".join(f"{part}: {why}\n" for part, why in sorted(problems.items()))
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, lines)

    def _metrics(self) -> None:
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        self._answer(HTTPStatus.OK, encode(self.registry), content_type)

    def _answer(self, status: HTTPStatus, body: str | bytes, content_type: str = _TEXT) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Probes are not worth a line."""
