"""The `countersign` command."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from countersign.app import app
from countersign.failure import INTERRUPTED, OK, report, understood


def run(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; see `countersign.failure`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character shows its escape; no command dies of it.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=None if argv is None else list(argv), prog_name="countersign")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        failed = understood(error)
        if failed is None:
            raise
        return report(failed)
    return OK


def main() -> None:
    """The entry point."""
    sys.exit(run())


if __name__ == "__main__":
    main()
