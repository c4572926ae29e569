"""`docs/rules.md`, printed from the tables that the rules run on; and the diagrams of the README.

`python -m countersign.rules_page --write` brings the page up to date; a test holds it to that.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, get_args

from core.needs import Act, Need, need_of
from core.refusals import BINDING
from core.timers import TIMERS
from core.transitions import TRANSITIONS, Cell, Rule, Status
from countersign.codes import COMMANDS, GRANTS, IDENTITY, REQUESTS, CodeText
from countersign.rule_texts import (
    ACTS,
    AROUND_THE_LOOP,
    CLOCKS,
    EXCEPTIONS,
    EXECUTORS_OWN,
    GATE_MOVES,
    MODES,
    RULES,
    TRANSITIONS_OF_AUTHORITY,
    WITHOUT_A_MESSAGE,
    ModeText,
)
from schemas.state import ControlPointState, LadderStep, PackageAccepted, Plan, Slot
from schemas.vocabulary import FINAL_STATUSES, Code, GateState, RiskLevel

PAGE: Final = Path("docs/rules.md")
COMMAND: Final = "python -m countersign.rules_page --write"
_STATUSES: Final[tuple[Status, ...]] = get_args(Status)
_RULE_NAMES: Final[frozenset[str]] = frozenset(get_args(Rule))

_HEAD: Final = f"""\
# The rules

Printed from the tables that the rules run on, by `{COMMAND}`; do not edit.

A control point is one `(tenant_id, decision_package_id)`. Time is the append time of the record, so
a command is in time if it was appended in time, however late it is read. A message that is not
admitted is refused with a code, and the refusal is a record on `command-refused`.
"""
_ORDER: Final = """\
The first code is the one that counts. The order is the one of the tables: identity and idempotency
first, then, for a command, its table from the top. Up to `ACTION_DIGEST_MISMATCH` the first failure
stops; after it every rule that fails is named in `codes`. Codes marked * bind the idempotency key:
the same key gets the same answer for ever. The others can be mended and sent again with their key.
"""
_ACTS_HEAD: Final = """\
`<subject>` is the rule's `subject`. A role is met by itself or one above it in `role_order`. Risk:
whether the reviewer's `max_risk_level` counts. Independent: whether lineage (requester, drafters,
owner, first signer), declared conflicts and recusal bar the person; delegate and principal, and
linked identities, are one person.
"""
_NEVER_ALONE: Final = """\
An unlisted tool, one whose row says `approval_required`, an unsigned request, one that rests on an
exception or reopens a package is never out of or on the loop: it is judged in the loop.

A package names the authority transition that it crosses:
"""
_EXCEPTIONS_HEAD: Final = """\
For one package by its id and until one time; revocable, listed on every decision that rests on it,
never a precedent. One of no kind lifts nothing: it is put on record.
"""
_EXECUTORS_OWN_HEAD: Final = """\
`Denied` of `producers.guard` carries the code of the refusal, or one of these, which no refusal on
`command-refused` carries for it: the executor found it out itself. Whichever it is: do not act.
"""
_HELD: Final = """\
While somebody holds the review task, approve, reject, revise, request_more_evidence, escalate,
defer and claim by others are refused (`NOT_ASSIGNEE`); what stops an action is never held up.
A holder who is absent, or has left, holds up nobody. An approval that does not complete the quorum,
an escalation and a deferral drop the hold.
"""


def page() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        "## The life of a request\n",
        _mermaid(diagram()),
        "## The gate of a tool call\n",
        _mermaid(gate_diagram()),
        "## What is done with each message\n",
        "A cell is a rule, or the code of a refusal.\n",
        _matrix(),
        _table(["rule", "what it does"], ([f"`{n}`", t.does] for n, t in RULES.items())),
        "## Control modes\n",
        _modes(),
        _NEVER_ALONE,
        _table(
            ["transition", "what it crosses"],
            ([f"`{name}`", text] for name, text in TRANSITIONS_OF_AUTHORITY.items()),
        ),
        "## Clocks\n",
        _table(
            ["clock", "runs while", "length", "when it runs out"],
            ([f"`{n}`", CLOCKS[n].runs, CLOCKS[n].length, CLOCKS[n].then] for n in TIMERS),
        ),
        "## What each act asks of a person\n",
        _ACTS_HEAD,
        _acts(),
        _HELD,
        "## Policy exceptions\n",
        _EXCEPTIONS_HEAD,
        _table(["kind", "what it lifts"], ([f"`{k}`", text] for k, text in EXCEPTIONS.items())),
        "## Codes\n",
        _ORDER,
        *_codes(),
        "## What the executor library says by itself\n",
        _EXECUTORS_OWN_HEAD,
        _table(
            ["code", "meaning", "how to mend it"],
            ([f"`{code}`", *texts] for code, texts in EXECUTORS_OWN.items()),
        ),
    ]
    return "\n".join(parts)


def diagram() -> str:
    """The life of an interrupt: the rules of the transition table, and the clocks."""
    moves: dict[tuple[str, str], list[str]] = {}
    for at, to, why in interrupt_moves():
        moves.setdefault((at, to), []).append(why)
    lines = [
        f"    {_place(at)} --> {_place(to)}: {', '.join(dict.fromkeys(why))}"
        for (at, to), why in moves.items()
    ]
    ends = [status for status in _STATUSES if status in FINAL_STATUSES - {"decided"}]
    return "\n".join(["stateDiagram-v2", *lines, *(f"    {status} --> [*]" for status in ends)])


def interrupt_moves() -> Iterator[tuple[Status, Status, str]]:
    """From where to where, and by what: a rule, the policy or a clock."""
    for at in _STATUSES:
        for row in TRANSITIONS.values():
            cell = row[at]
            for to in _leads_to(cell):
                if not (cell == "park" and to == at):
                    yield at, to, cell
    yield from WITHOUT_A_MESSAGE


def gate_diagram() -> str:
    """The life of a gate."""
    lines = [f"    {at} --> {to}: {why}" for at, to, why in GATE_MOVES]
    left = {at for at, _, _ in GATE_MOVES}
    ends = [f"    {gate} --> [*]" for gate in get_args(GateState) if gate not in left]
    return "\n".join(["stateDiagram-v2", "    [*] --> closed", *lines, *ends])


def needs() -> Iterator[tuple[Act, Need, Need]]:
    """Each act with what it asks at medium and at high risk, by the rules themselves."""
    for act in get_args(Act):
        yield act, need_of(_example("medium"), act), need_of(_example("high"), act)


def _leads_to(cell: Cell) -> tuple[Status, ...]:
    return next((text.to for name, text in RULES.items() if name == cell), ())


def _place(status: str) -> str:
    return "[*]" if status == "absent" else status


def _mermaid(text: str) -> str:
    return f"```mermaid\n{text}\n```\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _matrix() -> str:
    rows = (
        [f"`{message}`", *(_cell(row[status]) for status in _STATUSES)]
        for message, row in TRANSITIONS.items()
    )
    return _table(["message", *_STATUSES], rows)


def _cell(cell: Cell) -> str:
    return cell if cell in _RULE_NAMES else f"`{cell}`"


def _modes() -> str:
    texts = chain[tuple[str, ModeText]](MODES.items(), AROUND_THE_LOOP.items())
    return _table(
        ["mode", "meant for", "the gate", "people"],
        ([f"`{name}`", t.meant_for, t.happens, t.people] for name, t in texts),
    )


def _example(risk: RiskLevel) -> ControlPointState:
    """A control point whose names stand for what they are."""
    plan: dict[str, Any] = {
        "subject": "<subject>",
        "effective_risk": risk,
        "role_order": [],
        "slots": [Slot(role="the slot's role", scope="the slot's scope")],
        "ladder": [LadderStep(role="the first role of the ladder", within_s=1)],
    }
    accepted: dict[str, Any] = {"plan": Plan.model_construct(**plan)}
    state: dict[str, Any] = {"accepted": PackageAccepted.model_construct(**accepted)}
    return ControlPointState.model_construct(**state)


def _acts() -> str:
    return _table(
        ["act", "done by", "scope", "role", "risk", "independent"],
        (
            [
                f"`{act}`",
                ACTS[act],
                _scope(need),
                _role(need, grave),
                "yes" if need.risk else "-",
                "yes" if need.independent else "-",
            ]
            for act, need, grave in needs()
        ),
    )


def _scope(need: Need) -> str:
    named = [f"`{s}`" if ":" in s else s for s in sorted(need.scopes)]
    if need.subject is not None:
        named.append(f"any `{need.subject}:...`")
    return " or ".join(named)


def _role(need: Need, grave: Need) -> str:
    said = [", ".join(sorted(one.roles)) if one.roles else "-" for one in (need, grave)]
    return said[0] if said[0] == said[1] else f"{said[0]}; at high and critical risk {said[1]}"


def _codes() -> Iterator[str]:
    groups: Mapping[str, Mapping[Code, CodeText]] = {
        "Identity and idempotency": IDENTITY,
        "Requests": REQUESTS,
        "Commands of reviewers, in their order": COMMANDS,
        "Grants, takes and receipts": GRANTS,
    }
    for title, texts in groups.items():
        yield f"### {title}\n"
        yield _table(
            ["code", "meaning", "who mends it", "how"],
            (
                [
                    f"`{code}`{'*' if code in BINDING else ''}",
                    text.meaning,
                    ", ".join(text.mended_by),
                    text.mend,
                ]
                for code, text in texts.items()
            ),
        )


def main() -> None:
    """Checks the page against the rules, or writes it."""
    parser = argparse.ArgumentParser(description="Print docs/rules.md from the rules.")
    parser.add_argument("--write", action="store_true", help="write the page")
    parser.add_argument("--page", type=Path, default=PAGE, help="where it stands")
    arguments = parser.parse_args()
    if arguments.write:
        arguments.page.write_text(page(), encoding="utf-8")
    if not arguments.page.exists() or arguments.page.read_text(encoding="utf-8") != page():
        print(f"{arguments.page} differs from the rules; run: {COMMAND}")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
