"""An SMTP server that follows a script, for what a proper one never does."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

CUT = b"<cut>"
"""In a script: the connection breaks instead of an answer."""


class ScriptedServer:
    """Answers each line with the next entry of the script, the mail itself with one entry too.

    One connection. `heard`: the lines that came, the mail's last.
    """

    def __init__(self, *script: bytes) -> None:
        self._script = list(script)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rb") as lines:
            in_mail = False
            for answer in self._script:
                if answer == CUT:
                    return
                connection.sendall(answer + b"\r\n")
                if answer.startswith(b"354"):
                    in_mail = True
                while line := lines.readline():
                    self.heard.append(line)
                    if not in_mail or line == b".\r\n":
                        break
                in_mail = False
