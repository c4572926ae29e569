"""Logging: one line an event, its name first, then key=value; or one JSON object a line.

No key, token, argument, comment or package text is ever logged (guarantees, 24); so tracebacks
come without local variables.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

logger: Final = structlog.get_logger
"""`log = logger()`; then `log.info("notice_sent", grant_id=…)`."""


def configure(log_format: Literal["console", "json"], stream: TextIO | None = None) -> None:
    """Sets up logging for the whole process; calling it again replaces the set-up.

    stream: standard error by default. What libraries log through `logging`, such as librdkafka
    through `countersign.kafka`, comes out in the same form.
    """
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _named],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(log_format, colors=out.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


def _rendering(log_format: Literal["console", "json"], *, colors: bool) -> list[Processor]:
    if log_format == "json":
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=False, default=str),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=colors,
            pad_event_to=0,
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]


def _named(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A line of a library: its text becomes a value, under the name of its logger."""
    record: Any = event.get("_record")
    if record is not None:
        event["message"] = event.get("event")
        event["event"] = record.name
    return event
