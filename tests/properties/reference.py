"""What a control point does, said a second time, from the rules alone and as plainly as can be.

No events, no digests, no signatures: only who may do what when, and what stands afterwards. Every
method gives the answers of one record, in order: what was done, or the code of the refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

DAY: Final = 86_400.0
GRANT_VALID: Final = 48 * 3600.0
EXECUTE_WITHIN: Final = 3600.0
PARK_TTL: Final = 60.0
RANKS: Final = ("reviewer", "senior_reviewer", "head_of_enforcement")
TOP: Final = RANKS[-1]
DONE, NOT_DONE = ("notice.sent", "tool.executed"), ("notice.failed", "tool.failed")


@dataclass(frozen=True)
class Slot:
    role: str
    distinct_team: bool = False


@dataclass(frozen=True)
class Decision:
    who: str
    what: str
    version: int
    key: str
    digest_is_right: bool = True


def meets(held: str, wanted: str) -> bool:
    if held in RANKS and wanted in RANKS:
        return RANKS.index(held) >= RANKS.index(wanted)
    return held == wanted


@dataclass
class Reference:
    plan: tuple[Slot, ...]
    without_people: bool
    people: dict[str, tuple[str, str]]  # role and team of those in the directory
    barred: frozenset[str]
    version: int = 0
    status: str = "absent"
    outcome: str | None = None
    gate: str = "closed"
    in_doubt: bool = False
    slots: tuple[Slot, ...] = ()
    ends: float = 0.0  # of whichever clock runs: decide_by, the grant's, the execution's
    approvals: list[str] = field(default_factory=list)
    asked: dict[int, bool] = field(default_factory=dict)
    answered: dict[tuple[str, str], Decision] = field(default_factory=dict)
    waiting: list[tuple[float, Decision]] = field(default_factory=list)
    attempt: str | None = None
    report: str | None = None
    receipts: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in ("pending", "escalated")

    @property
    def is_final(self) -> bool:
        return not self.is_open and self.outcome not in (None, "revise", "request_more_evidence")

    def request(self, version: int, complete: bool, now: float) -> list[str]:
        if version in self.asked:
            return [
                "DUPLICATE_COMMAND" if self.asked[version] == complete else "INTERRUPT_CONFLICT"
            ]
        if version != self.version + 1:
            return ["PACKAGE_VERSION_OUT_OF_ORDER"]
        back = self.outcome in ("revise", "request_more_evidence")
        if self.version and not (self.is_open or back):
            return ["NOT_REOPENABLE"]
        if not complete:
            return ["PACKAGE_INCOMPLETE"]
        self.asked[version], self.version = complete, version
        self.status, self.outcome, self.gate = "pending", None, "closed"
        self.approvals, self.slots, self.ends = [], self.plan, now + DAY
        if self.without_people:
            self._open_gate(now)
        elif self.most(list(self.people)) < len(self.slots):
            self._escalate(now)
        waiting, self.waiting = self.waiting, []
        return ["opened", *(self.decide(decision, at, now)[0] for at, decision in waiting)]

    def decide(self, d: Decision, at: float, now: float) -> list[str]:
        if (d.who, d.key) in self.answered:
            same = self.answered[d.who, d.key] == d
            return ["DUPLICATE_COMMAND" if same else "IDEMPOTENCY_CONFLICT"]
        if self.status == "absent":
            self.waiting.append((at, d))
            return ["parked"]
        code = self._stop(d, at)
        if code is None and (code := self._may_not(d)) is not None:
            return [code]
        self.answered[d.who, d.key] = d
        if code is not None:
            return [code]
        if d.what == "approve":
            self.approvals = [*(n for n in self.approvals if n != d.who), d.who]
            if self.most(self.standing()) == len(self.slots):
                self._open_gate(now)
        else:
            self.status, self.outcome = "decided", d.what
            self.gate = "denied" if d.what == "reject" else "closed"
        return ["recorded"]

    def _stop(self, d: Decision, at: float) -> str | None:
        if self.status == "expired" or (self.is_open and at > self.ends):
            return "TOO_LATE"
        if not self.is_open:
            return "NOT_OPEN"
        return "STALE_PACKAGE_VERSION" if d.version != self.version else None

    def _may_not(self, d: Decision) -> str | None:
        if not d.digest_is_right:
            return "ACTION_DIGEST_MISMATCH"
        if d.who not in self.people:
            return "UNKNOWN_REVIEWER"
        if not any(meets(self.people[d.who][0], slot.role) for slot in self.slots):
            return "MISSING_ROLE"
        if d.who in self.barred:
            return "SEPARATION_OF_DUTIES"
        if d.what != "approve":
            return None
        standing = self.standing()
        if d.who in standing:
            return "DUPLICATE_APPROVER"
        more = self.most([*standing, d.who]) > self.most(standing)
        return None if more else "NO_OPEN_SLOT"

    def standing(self) -> list[str]:
        able = [name for name in self.approvals if name in self.people]
        return [n for n in able if any(meets(self.people[n][0], s.role) for s in self.slots)]

    def most(self, names: list[str], seats: tuple[tuple[str, int], ...] = ()) -> int:
        teams = [self.people[name][1] for name, _ in seats]
        for name, number in seats:
            if self.slots[number].distinct_team and teams.count(self.people[name][1]) > 1:
                return 0
        if not names:
            return len(seats)
        name, *others = names
        free = [
            number
            for number, slot in enumerate(self.slots)
            if name not in self.barred
            and meets(self.people[name][0], slot.role)
            and number not in [taken for _, taken in seats]
        ]
        seated = [self.most(others, (*seats, (name, number))) for number in free]
        return max([self.most(others, seats), *seated])

    def cancel(self, version: int) -> list[str]:
        if self.status == "absent":
            return ["UNKNOWN_PACKAGE"]
        if self.status in ("expired", "cancelled"):
            return ["NOT_OPEN"]
        if version != self.version:
            return ["NOT_OPEN" if version in self.asked else "UNKNOWN_PACKAGE"]
        if self.is_open:
            self.status, self.outcome, self.gate = "cancelled", "cancelled", "denied"
            return ["cancelled"]
        if self.gate == "open":
            self.gate = "revoked"
            return ["revoked"]
        return ["GRANT_TAKEN" if self.gate == "consumed" else "NOT_OPEN"]

    def take(self, attempt: str, now: float) -> list[str]:
        if not self.has_grant:
            return ["UNKNOWN_GRANT"]
        if self.gate == "consumed":
            return ["DUPLICATE_COMMAND" if attempt == self.attempt else "GRANT_TAKEN"]
        if self.gate == "revoked":
            return ["GRANT_REVOKED"]
        if self.gate != "open" or now > self.ends:
            return ["GRANT_EXPIRED"]
        self.gate, self.attempt, self.ends = "consumed", attempt, now + EXECUTE_WITHIN
        return ["consumed"]

    def receive(self, kind: str, attempt: str) -> list[str]:
        if not self.has_grant:
            return ["UNKNOWN_GRANT"]
        if self.gate != "consumed" or attempt != self.attempt:
            return ["NOT_TAKEN"]
        for certain, other in ((DONE, NOT_DONE), (NOT_DONE, DONE)):
            if self.report in certain and kind in (*other, "tool.in_doubt"):
                return ["RECEIPT_MISMATCH"]
        self.report, self.in_doubt = kind, kind == "tool.in_doubt"
        self.receipts += 1
        return ["receipt"]

    @property
    def has_grant(self) -> bool:
        return self.outcome == "approve"

    def pass_time(self, now: float) -> None:
        self.waiting = [(at, d) for at, d in self.waiting if now <= at + PARK_TTL]
        if now <= self.ends:
            return
        if self.is_open and self.status == "pending":
            self._escalate(now)
        elif self.is_open:
            self.status, self.outcome, self.gate = "expired", "expired", "denied"
        elif self.gate == "open":
            self.gate = "expired"
        elif self.gate == "consumed" and self.report is None:
            self.in_doubt = True

    def _escalate(self, now: float) -> None:
        self.status, self.ends = "escalated", now + DAY
        self.slots = tuple(Slot(TOP, s.distinct_team) if s.role in RANKS else s for s in self.slots)

    def _open_gate(self, now: float) -> None:
        self.status, self.outcome, self.gate = "decided", "approve", "open"
        self.ends = now + GRANT_VALID
