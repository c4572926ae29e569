"""What a log line looks like."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from consumers.logs import configure, logger


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Logging is process-wide: it is put back as pytest had it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_json_is_one_object_a_line() -> None:
    """A line names its event and carries its values, with a UTC time."""
    out = io.StringIO()
    configure("json", out)

    logger().info("notice_sent", grant_id="grant-1", partition=3)

    line = json.loads(out.getvalue())
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert line == {
        "event": "notice_sent",
        "grant_id": "grant-1",
        "partition": 3,
        "level": "info",
    }
    assert at.tzinfo == UTC


def test_console_is_event_then_key_value() -> None:
    """For people: the event's name first, then key=value, on one line without colours."""
    out = io.StringIO()
    configure("console", out)

    logger().warning("notice_failed", grant_id="grant-1", reason="550 no\nsuch mailbox")

    _, _, rest = out.getvalue().partition("notice_failed ")
    assert rest == "grant_id=grant-1 reason='550 no\\nsuch mailbox'\n"


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_libraries_come_out_in_the_same_form(log_format: str) -> None:
    """A line of librdkafka has its logger as the event and its text as a value."""
    out = io.StringIO()
    configure("json" if log_format == "json" else "console", out)

    logging.getLogger("countersign.kafka").error("FAIL [thrd:app]: %s", "broker down")

    text = out.getvalue()
    assert text.count("\n") == 1
    assert "countersign.kafka" in text
    assert "FAIL [thrd:app]: broker down" in text


def test_debug_is_silent() -> None:
    """What is for debugging only costs nothing and shows nothing."""
    out = io.StringIO()
    configure("json", out)

    logger().debug("poll")
    logging.getLogger("countersign.kafka").debug("broker trouble")

    assert out.getvalue() == ""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_shows_no_local_variables(log_format: str) -> None:
    """An exception names where it came from, and repeats nothing that a variable held."""
    out = io.StringIO()
    configure("json" if log_format == "json" else "console", out)

    try:
        token = "tok" + "en-7f3a"  # kept out of the source line that a traceback shows
        raise ValueError(len(token))
    except ValueError:
        logger().exception("step_failed")

    assert "ValueError: 10" in out.getvalue()
    assert "token-7f3a" not in out.getvalue()


def test_configuring_again_replaces_the_set_up() -> None:
    """No line comes twice, and a logger made before writes to the new place."""
    first, second = io.StringIO(), io.StringIO()
    configure("json", first)
    log = logger()
    log.info("one")
    configure("console", second)
    log.info("two")

    assert json.loads(first.getvalue())["event"] == "one"
    assert second.getvalue().count("two") == 1
