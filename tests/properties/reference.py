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
WINDOW: Final = 3600.0
LEASE: Final = 1800.0
DEFER_MAX: Final = 7 * DAY
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
    action: str = "proposed"  # or: overriding, another
    until: float | None = None  # of a deferral


def meets(held: str, wanted: str) -> bool:
    if held in RANKS and wanted in RANKS:
        return RANKS.index(held) >= RANKS.index(wanted)
    return held == wanted


@dataclass
class Reference:
    plan: tuple[Slot, ...]
    mode: str  # in, on or out of the loop
    people: dict[str, tuple[str, str]]  # role and team of those in the directory
    barred: frozenset[str]
    version: int = 0
    status: str = "absent"
    outcome: str | None = None
    gate: str = "closed"
    in_doubt: bool = False
    differences: set[str] = field(default_factory=set)
    windowed: bool = False
    deferred: bool = False
    holder: str | None = None
    lease: float = 0.0
    overriding: str | None = None  # who waits for the second person
    recused: set[str] = field(default_factory=set)
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
    def can_object(self) -> bool:
        return (self.mode, self.gate) == ("on", "open")

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
        self.deferred, self.holder, self.overriding = False, None, None
        self.windowed = self.mode == "on"
        if self.mode == "out":
            self._open_gate(now)
        elif self.windowed:
            self.ends = now + WINDOW
        self._until_eligible(now)
        waiting, self.waiting = self.waiting, []
        return ["opened", *(self.decide(decision, at, now)[0] for at, decision in waiting)]

    def decide(self, d: Decision, at: float, now: float) -> list[str]:
        if (d.who, d.key) in self.answered:
            same = self.answered[d.who, d.key] == d
            return ["DUPLICATE_COMMAND" if same else "IDEMPOTENCY_CONFLICT"]
        if self.status == "absent":
            self.waiting.append((at, d))
            return ["parked"]
        if self.status == "decided":
            return self._object_after(d)
        code = self._stop(at, d.version, brake=d.what == "object")
        if code is not None:
            self.answered[d.who, d.key] = d
            return [code]
        confirms = self.overriding and d.what == "approve" and d.action == "overriding"
        code = self._may_not_confirm(d.who, at) if confirms else self._may_not(d, at)
        if code is not None:
            return [code]
        self.answered[d.who, d.key] = d
        self._carry_out(d, at, now, confirms=bool(confirms))
        return ["recorded"]

    def _carry_out(self, d: Decision, at: float, now: float, *, confirms: bool) -> None:
        if d.what == "approve":
            kept = self.approvals if confirms else self.standing()
            self.approvals = [*(n for n in kept if n != d.who), d.who]
            self.holder = None
            if confirms or self.most(self.standing()) == len(self.slots):
                self._open_gate(now, "override" if confirms else "approve")
        elif d.what == "escalate":
            self._escalate(now)
        elif d.what == "defer":
            assert d.until is not None
            self.deferred, self.holder = True, None
            self.ends += d.until - at
        else:
            self.status, self.outcome, self.holder = "decided", d.what, None
            self.gate = "denied" if d.what in ("reject", "object") else "closed"

    def _object_after(self, d: Decision) -> list[str]:
        if d.what != "object" or self.mode != "on" or self.gate not in ("open", "consumed"):
            self.answered[d.who, d.key] = d
            return ["NOT_OPEN"]
        if self.gate == "consumed":
            return ["GRANT_TAKEN"]
        if d.version != self.version:
            self.answered[d.who, d.key] = d
            return ["STALE_PACKAGE_VERSION"]
        if d.action != "proposed":
            return ["ACTION_DIGEST_MISMATCH"]
        if d.who not in self.people:
            return ["UNKNOWN_REVIEWER"]
        self.answered[d.who, d.key], self.gate = d, "revoked"
        return ["recorded", "revoked"]

    def _stop(self, at: float, version: int, *, brake: bool = False) -> str | None:
        late = self.is_open and at > self.ends and not (brake and self.windowed)
        if self.status == "expired" or late:
            return "TOO_LATE"
        if not self.is_open:
            return "NOT_OPEN"
        return "STALE_PACKAGE_VERSION" if version != self.version else None

    def _may_not(self, d: Decision, at: float) -> str | None:
        if d.action != "proposed":
            return "ACTION_DIGEST_MISMATCH"
        brake = d.what == "object"
        code = self._person(d.who, () if brake else tuple(s.role for s in self.slots))
        if code is None and d.what == "approve":
            code = self._no_seat(d.who)
        if code is None and not brake:
            code = self._held_by_other(d.who, at)
        return code or self._not_offered(d, at)

    def _not_offered(self, d: Decision, at: float) -> str | None:
        refused = {
            "object": self.mode != "on",
            "approve": self.windowed or self._override_waits(),
            "escalate": self.status == "escalated",
            "defer": self.windowed or self.deferred,
        }
        if refused.get(d.what, False):
            return "DECISION_NOT_ALLOWED"
        if d.what == "defer" and d.until is None:
            return "REASON_REQUIRED"
        if d.what == "defer" and not at < (d.until or 0.0) <= at + DEFER_MAX:
            return "DECISION_NOT_ALLOWED"
        return None

    def _person(self, who: str, roles: tuple[str, ...]) -> str | None:
        """roles: one of these is asked; none: it only stops something, so nothing else is."""
        if who not in self.people:
            return "UNKNOWN_REVIEWER"
        if not roles:
            return None
        if not any(meets(self.people[who][0], role) for role in roles):
            return "MISSING_ROLE"
        if who in self.barred:
            return "SEPARATION_OF_DUTIES"
        return "CONFLICT_OF_INTEREST" if who in self.recused else None

    def _no_seat(self, who: str) -> str | None:
        standing = self.standing()
        if who in standing:
            return "DUPLICATE_APPROVER"
        filled = self.most(standing)
        more = filled == len(self.slots) or self.most([*standing, who]) > filled
        return None if more else "NO_OPEN_SLOT"

    def _override_waits(self) -> bool:
        return self.overriding is not None and self._person(self.overriding, (TOP,)) is None

    def _held_by_other(self, who: str, at: float) -> str | None:
        return "NOT_ASSIGNEE" if self._holder(at) not in (None, who) else None

    def _holder(self, at: float) -> str | None:
        return self.holder if at <= self.lease else None

    def override(self, who: str, version: int, at: float) -> list[str]:
        code = self._stop(at, version) or self._person(who, (TOP,))
        if code is None and self._override_waits():
            code = "DECISION_NOT_ALLOWED"
        if code is not None:
            return [code]
        self.overriding = who
        return ["recorded"]

    def _may_not_confirm(self, who: str, at: float) -> str | None:
        assert self.overriding is not None
        code = self._person(who, (TOP,))
        if code is None and who == self.overriding:
            code = "SEPARATION_OF_DUTIES"
        gone = self._person(self.overriding, (TOP,)) is not None
        return code or ("DECISION_NOT_ALLOWED" if gone else None)

    def work(self, action: str, who: str, version: int, now: float) -> list[str]:
        roles = tuple(s.role for s in self.slots) if action == "claim" else ()
        code = self._stop(now, version) or self._person(who, roles)
        if code is None and action == "claim":
            code = self._held_by_other(who, now)
        if code is None and action == "release" and self._holder(now) is None:
            code = "NOT_ASSIGNEE"
        if code is not None:
            return [code]
        if action == "claim":
            self.holder, self.lease = who, now + LEASE
        elif action == "release" or self._holder(now) in (None, who):
            self.holder = None
        if action == "recuse":
            self.recused.add(who)
            self._until_eligible(now)
        return [{"claim": "claimed", "release": "released", "recuse": "recused"}[action]]

    def revoke(self, who: str, version: int, behind: list[str], now: float) -> list[str]:
        if self.status != "decided":
            return ["UNKNOWN_GRANT"]
        if version != self.version:
            return ["STALE_PACKAGE_VERSION"]
        if not self.has_grant:
            return ["UNKNOWN_GRANT"]
        if self.gate == "consumed":
            return ["GRANT_TAKEN"]
        if self.gate == "revoked":
            return ["GRANT_REVOKED"]
        if self.gate != "open" or now > self.ends:
            return ["GRANT_EXPIRED"]
        if who not in self.people:
            return ["UNKNOWN_REVIEWER"]
        held = self.people[who][0]
        above = [s for s in self.slots if meets(held, s.role) and (held == TOP or held != s.role)]
        asked = [s for s in self.slots if meets(held, s.role) and not behind]
        if who not in behind and not above and not asked:
            return ["MISSING_ROLE"]
        self.gate = "revoked"
        return ["recorded", "revoked"]

    def standing(self) -> list[str]:
        able = [n for n in self.approvals if n in self.people and n not in self.recused]
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
            if name not in self.barred | self.recused
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
            self.holder = None
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
            return self._differs("NOT_TAKEN", "without_take")
        for certain, other in ((DONE, NOT_DONE), (NOT_DONE, DONE)):
            if self.report in certain and kind in (*other, "tool.in_doubt"):
                return self._differs("RECEIPT_MISMATCH", "contradiction")
        self.report = kind
        settled = not self.differences - {"without_receipt"}
        self.in_doubt = kind == "tool.in_doubt" or (self.in_doubt and not settled)
        self.receipts += 1
        return ["receipt"]

    def _differs(self, code: str, kind: str) -> list[str]:
        """What does not fit is refused, and a human looks; once for each kind."""
        self.in_doubt = self.in_doubt or kind not in self.differences
        self.differences.add(kind)
        return [code]

    @property
    def has_grant(self) -> bool:
        return self.outcome in ("approve", "override")

    def pass_time(self, now: float) -> None:
        self.waiting = [(at, d) for at, d in self.waiting if now <= at + PARK_TTL]
        if now > self.lease:
            self.holder = None
        if now <= self.ends:
            return
        if self.is_open and self.windowed and not self.overriding:
            self._open_gate(now)
        elif self.is_open and self.status == "pending":
            self._escalate(now)
        elif self.is_open:
            self.status, self.outcome, self.gate = "expired", "expired", "denied"
            self.holder = None
        elif self.gate == "open":
            self.gate = "expired"
        elif self.gate == "consumed" and self.report is None:
            self.in_doubt = self.in_doubt or "without_receipt" not in self.differences
            self.differences.add("without_receipt")

    def _until_eligible(self, now: float) -> None:
        nobody = self.most(list(self.people)) < len(self.slots)
        if nobody and self.status == "pending" and not self.windowed:
            self._escalate(now)

    def _escalate(self, now: float) -> None:
        self.status, self.ends = "escalated", now + DAY
        self.windowed, self.holder = False, None
        slots = tuple(Slot(TOP, s.distinct_team) if s.role in RANKS else s for s in self.slots)
        if TOP not in {slot.role for slot in slots}:  # whoever is asked can answer
            slots = tuple(Slot(TOP, s.distinct_team) for s in slots)
        self.slots = slots

    def _open_gate(self, now: float, outcome: str = "approve") -> None:
        self.status, self.outcome, self.gate = "decided", outcome, "open"
        self.windowed, self.holder, self.ends = False, None, now + GRANT_VALID
