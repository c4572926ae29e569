"""The story all examples tell: an enforcement notice at the tenant acme."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

NOW: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday morning; the append time that examples are made at."""
TENANT: Final = "acme"
PACKAGE_ID: Final = "pkg-2041"
INTERRUPT_ID: Final = "int-2041-1"
RUN_ID: Final = "run-77"
THREAD_ID: Final = "thread-77"
AGENT: Final = "agent:drafter"
REQUESTER: Final = "svc:case-intake"
REVIEWER: Final = "r.okafor"
EXECUTOR: Final = "notifier"
TOOL: Final = "notice.send"
EFFECT: Final = "external_notice"
RECIPIENT: Final = "compliance@harbour-freight.example"
GRANT_ID: Final = "grant-2041"
ATTEMPT_ID: Final = "attempt-2041"
POLICY_VERSION: Final = "7"
NOTICE_BODY: Final = (
    "Site 12 exceeded its permitted discharge on 18 February 2026 by 31 percent.\n"
    "You have 28 days to file a corrective plan or to appeal.\n"
)


def at(seconds: float) -> datetime:
    """The instant some seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def notice_args(**over: Any) -> dict[str, Any]:
    """Arguments of an enforcement notice."""
    return {
        "notice_id": "EN-2041",
        "recipient": RECIPIENT,
        "subject": "Enforcement notice EN-2041",
        "body": NOTICE_BODY,
    } | over
