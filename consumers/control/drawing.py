"""The draw that samples decisions for an audit (guarantee 25).

It is drawn with a secret, so that nobody who sends a command can know or choose what will be
audited, and it is derived, so that a step done again draws the same.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

DRAW_BITS: Final = 53
"""As many as a float holds exactly: a share of the draws can be compared without rounding."""
_LABEL: Final = b"countersign draw"


def draw_key(secret: bytes) -> bytes:
    """The key of the draw, of the secret that all workers of a deployment know."""
    return hmac.digest(secret, _LABEL, "sha256")


def drawn(key: bytes, origin: str, package: bytes, timer: str = "") -> int:
    """The draw of one step, 0 to 2**53 - 1: of an input at `origin`, or of a timer that fired.

    package: the record key of the control point.
    """
    # Each part is digested first, so that no two triples are one text.
    parts = (origin.encode(), package, timer.encode())
    said = b"".join(hashlib.sha256(part).digest() for part in parts)
    return int.from_bytes(hmac.digest(key, said, "sha256")[:8], "big") >> (64 - DRAW_BITS)
