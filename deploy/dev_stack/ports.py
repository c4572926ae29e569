"""Loopback ports for servers."""

from __future__ import annotations

import random
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_FROM, _TO = 15_000, 32_000
"""Below the ports that systems give to outgoing connections (32 768 and up on Linux): a client that
tries a dead server's port there can connect to itself, and then holds the port."""
_TRIES: Final = 200
_draw: Final = random.SystemRandom()


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(*, prefer: int | None = None, avoid: frozenset[int] = frozenset()) -> int:
    """A free loopback port: `prefer` if it is free, else one drawn at random."""
    if prefer is not None and prefer not in avoid and is_free(prefer):
        return prefer
    for _ in range(_TRIES):
        port = _draw.randint(_FROM, _TO)
        if port not in avoid and is_free(port):
            return port
    raise OSError(f"no free port between {_FROM} and {_TO}")
