"""Options that name who plays which role at the broker, and the plan of rights as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Final

import typer

from consumers.access import (
    ACCESS,
    DEFAULT_PRINCIPALS,
    ROLES,
    Principals,
    Quota,
    Right,
    Role,
    quotas,
)
from countersign.failure import UsageWrong
from schemas.topics import TOPICS

PrincipalOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--principal",
        metavar="ROLE=User:NAME",
        help="Who plays a role, in place of User:countersign-ROLE; several, also for one role.",
    ),
]
LimitOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="ROLE.KEY=NUMBER",
        help="Another limit than the table's: producer_byte_rate, consumer_byte_rate, "
        "request_percentage.",
    ),
]
_USER: Final = "User:"


def role_of(text: str) -> Role:
    """The role of this name. Raises UsageWrong."""
    for role in ROLES:
        if role == text:
            return role
    raise UsageWrong(f"{text}: no such role; choose of {', '.join(ROLES)}")


def principals_of(given: Sequence[str] | None) -> Principals:
    """Who plays which role. Raises UsageWrong."""
    named: dict[Role, list[str]] = {}
    for text in given or ():
        role, equals, principal = text.partition("=")
        if not equals or not principal.startswith(_USER) or principal in (_USER, f"{_USER}*"):
            raise UsageWrong(f"--principal {text}: write it as worker=User:some-name")
        if "ANONYMOUS" in principal:
            raise UsageWrong(f"--principal {text}: that is everybody who gives no name")
        named.setdefault(role_of(role), []).append(principal)
    return {**DEFAULT_PRINCIPALS, **named}


def quotas_of(principals: Principals, given: Sequence[str] | None) -> dict[str, dict[str, int]]:
    """Limits by principal. Raises UsageWrong."""
    limits: dict[Role, Quota | None] = {}
    for text in given or ():
        left, _, number = text.partition("=")
        name, _, key = left.partition(".")
        role = role_of(name)
        known = ACCESS[role].quota
        if known is None:
            raise UsageWrong(f"--limit {text}: everybody waits for the {role}; it has no limit")
        if key not in known.form() or not (number.isdecimal() and int(number) > 0):
            keys = ", ".join(known.form())
            raise UsageWrong(f"--limit {text}: write {role}.KEY=NUMBER with KEY of {keys}")
        before = limits.get(role) or known
        limits[role] = replace(before, **{key: int(number)})
    return quotas(principals, limits)


def role_lines(principals: Principals, prefix: str, missing: Iterable[Right]) -> list[str]:
    """The table as text: what each role may do, and how much of it is missing."""
    lacking = {right.principal for right in missing}
    lines = []
    for role in ROLES:
        access = ACCESS[role]
        who = ", ".join(
            f"{one} (rights are missing)" if one in lacking else one for one in principals[role]
        )
        lines.append(f"{role}: {who}; {access.who}")
        for what, names in (
            ("writes", _shortened(access.writes, prefix)),
            ("reads", _shortened(access.reads, prefix)),
            ("groups", _prefixed(access.joins, prefix)),
            ("transactional ids", _prefixed(access.transactional_ids, prefix)),
        ):
            if names:
                lines.append(f"  {what}: {names}")
    return lines


def _shortened(names: Sequence[str], prefix: str) -> str:
    left_out = [name for name in TOPICS if name not in names]
    if len(left_out) > len(TOPICS) // 2:
        return _prefixed(names, prefix)
    return f"every topic but {_prefixed(left_out, prefix)}" if left_out else "every topic"


def _prefixed(names: Sequence[str], prefix: str) -> str:
    return ", ".join(f"{prefix}{name}" for name in names)
