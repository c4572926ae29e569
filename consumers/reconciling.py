"""The reconciler: grants against takes and receipts, each way in which they can disagree.

Approval is not execution, and a receipt is an executor's word: what was granted, what was taken and
what was reported are three histories that must tell one story (requirements, section 22). The
comparison is a pure function of them; `consumers.ledger` reads them from the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from schemas.headers import rfc3339

Kind = Literal[
    "without_grant",
    "without_take",
    "other_action",
    "other_executor",
    "contradiction",
    "executed_twice",
    "consumed_twice",
    "not_reported",
    "in_doubt",
]
MENDS: Final[Mapping[Kind, str]] = {
    "without_grant": "stop the executor: it runs what nobody granted, or names a grant wrongly",
    "without_take": "stop the executor: it must publish its take and wait for its own consumed gate",
    "other_action": "look at what was really done; the approval does not cover it",
    "other_executor": "find out who ran it; take the executor's key out of the trusted keys if in doubt",
    "contradiction": "look at what was really done, and report the outcome",
    "executed_twice": "look whether it was done twice, undo one, and report the outcome",
    "consumed_twice": "stop the executors and run `countersign audit verify`: one grant runs once",
    "not_reported": "ask the executor what became of it, and have it report",
    "in_doubt": "look at what was really done, and have the executor report it",
}
"""What to do about each."""

DONE: Final = frozenset({"tool.executed", "notice.sent"})
NOT_DONE: Final = frozenset({"tool.failed", "notice.failed"})
DOUBT: Final = "tool.in_doubt"
NOT_TAKEN: Final = "NOT_TAKEN"
"""How the worker refuses what came before its take, or without one."""
NOBODYS: Final = frozenset({"UNAUTHENTICATED", "TENANT_MISMATCH"})
"""Refusals of records that nobody who may report has sent: anybody can append such a one."""

GrantName = tuple[str, str, str]
"""Tenant, package, grant: a receipt that names another package names another grant."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A gate was opened with this grant."""

    grant: GrantName
    event_id: str
    interrupt_id: str
    tool_name: str | None
    action_digest: str | None


@dataclass(frozen=True, slots=True)
class Consumed:
    """An attempt took the grant."""

    grant: GrantName
    event_id: str
    attempt_id: str
    executor_id: str | None
    execute_by: datetime | None


@dataclass(frozen=True, slots=True)
class Reported:
    """A receipt of an execution, as it stands in the log.

    executor_id None: nobody signed it, and a notice names none. result: what tells two executions apart. refused: the code
    that the worker refused it with.
    """

    grant: GrantName
    receipt_type: str
    receipt_id: str
    attempt_id: str
    executor_id: str | None
    action_digest: str
    result: str | None
    appended: datetime
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was granted, taken and reported; the receipts in the order of their append times."""

    opened: Sequence[Opened] = ()
    consumed: Sequence[Consumed] = ()
    reported: Sequence[Reported] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement: which ids, and what is wrong in words."""

    kind: Kind
    grant: GrantName
    what: str
    attempt_id: str | None = None
    receipt_id: str | None = None
    executor_id: str | None = None

    @property
    def mend(self) -> str:
        """What to do about it."""
        return MENDS[self.kind]

    def form(self) -> dict[str, str | None]:
        """The difference as JSON."""
        tenant_id, package_id, grant_id = self.grant
        return {
            "kind": self.kind,
            "tenant_id": tenant_id,
            "decision_package_id": package_id,
            "grant_id": grant_id,
            "attempt_id": self.attempt_id,
            "receipt_id": self.receipt_id,
            "executor_id": self.executor_id,
            "what": self.what,
            "mend": self.mend,
        }


@dataclass
class _Story:
    """All that is told about one grant."""

    opened: list[Opened] = field(default_factory=list)
    consumed: list[Consumed] = field(default_factory=list)
    reported: list[Reported] = field(default_factory=list)


def differences(ledger: Ledger, now: datetime) -> list[Difference]:
    """Every disagreement, by grant. now: a time before the ledger was read."""
    stories: dict[GrantName, _Story] = {}
    for opened in ledger.opened:
        stories.setdefault(opened.grant, _Story()).opened.append(opened)
    for consumed in ledger.consumed:
        stories.setdefault(consumed.grant, _Story()).consumed.append(consumed)
    for report in ledger.reported:
        if report.refused not in NOBODYS:
            stories.setdefault(report.grant, _Story()).reported.append(report)
    found = [one for name, story in stories.items() for one in _of_grant(name, story, now)]
    found = list(dict.fromkeys([*found, *_of_interrupts(stories)]))  # a receipt may come again
    return sorted(found, key=lambda one: (one.grant, one.kind))


def _of_grant(name: GrantName, story: _Story, now: datetime) -> Iterator[Difference]:
    takes = list({take.event_id: take for take in story.consumed}.values())
    if len(takes) > 1:
        attempts = ", ".join(take.attempt_id for take in takes)
        yield Difference(
            "consumed_twice", name, f"the gate says it was taken by each of {attempts}"
        )
    for report in story.reported:
        yield from _of_receipt(report, story)
    answers = [report for report in story.reported if report.refused != NOT_TAKEN]
    for take in takes:
        mine = [report for report in answers if report.attempt_id == take.attempt_id]
        yield from _of_attempt(name, take, mine, now)


def _of_receipt(report: Reported, story: _Story) -> Iterator[Difference]:
    """A receipt against the grant and the take that it names."""
    takes = [
        take
        for take in story.consumed
        if take.attempt_id == report.attempt_id and report.refused != NOT_TAKEN
    ]
    if report.receipt_type in NOT_DONE and not takes:
        return  # not taken, and said not to have been done: nothing has happened

    def differs(kind: Kind, what: str) -> Difference:
        return Difference(
            kind,
            report.grant,
            f"{report.receipt_type} {what}{_answered(report)}",
            report.attempt_id,
            report.receipt_id,
            report.executor_id,
        )

    if not story.opened:
        yield differs("without_grant", "for a grant that no gate was opened with")
        return
    if not takes:
        by = ", ".join(take.attempt_id for take in story.consumed) or "nobody"
        what = f"of an attempt that had not taken the grant; it was taken by {by}"
        yield differs("without_take", what)
    digests = {opened.action_digest for opened in story.opened}
    if report.action_digest not in digests:
        yield differs("other_action", f"for action {report.action_digest}, not the granted one")
    executors = {take.executor_id for take in takes}
    if takes and report.executor_id is not None and report.executor_id not in executors:
        yield differs("other_executor", f"by {report.executor_id}, who has not taken the grant")


def _of_attempt(
    name: GrantName, take: Consumed, reports: Sequence[Reported], now: datetime
) -> Iterator[Difference]:
    """What became of an attempt, by its own receipts."""

    def differs(kind: Kind, what: str, report: Reported | None = None) -> Difference:
        receipt = report.receipt_id if report else None
        return Difference(kind, name, what, take.attempt_id, receipt, take.executor_id)

    if not reports and take.execute_by is not None and take.execute_by < now:
        yield differs("not_reported", f"taken, and not reported by {rfc3339(take.execute_by)}")
    certain = [report for report in reports if report.receipt_type in DONE | NOT_DONE]
    if reports and not certain:
        yield differs("in_doubt", "the executor does not know whether it was done", reports[-1])
    for before, report in _contradictions(reports):
        what = f"{report.receipt_type} after {before.receipt_type}{_answered(report)}"
        yield differs("contradiction", what, report)
    done = [report for report in certain if report.receipt_type in DONE]
    if len({report.result for report in done if report.result is not None}) > 1:
        ids = ", ".join(report.receipt_id for report in done)
        yield differs("executed_twice", f"receipts {ids} tell of different results", done[-1])


def _contradictions(reports: Iterable[Reported]) -> Iterator[tuple[Reported, Reported]]:
    """Each receipt that says otherwise than the first certain one, with that one. A doubt before it
    is settled by it; a doubt after it is none."""
    first: Reported | None = None
    for report in sorted(reports, key=lambda one: one.appended):
        if first is None:
            first = report if report.receipt_type in DONE | NOT_DONE else None
        elif (report.receipt_type in DONE) != (first.receipt_type in DONE) or (
            report.receipt_type == DOUBT
        ):
            yield first, report


def _of_interrupts(stories: Mapping[GrantName, _Story]) -> Iterator[Difference]:
    """Two grants of one interrupt that were both taken: a decision is executed once."""
    taken: dict[tuple[str, str, str], GrantName] = {}
    for name, story in stories.items():
        if not story.consumed:
            continue
        for opened in story.opened[:1]:
            interrupt = (*name[:2], opened.interrupt_id)
            other = taken.setdefault(interrupt, name)
            if other != name:
                what = f"interrupt {opened.interrupt_id}: its grant {other[2]} was taken too"
                yield Difference("consumed_twice", name, what)


def _answered(report: Reported) -> str:
    """What the worker said of it. Its answer may still be to come: then ask again."""
    return f"; the worker refused it: {report.refused}" if report.refused else ""
