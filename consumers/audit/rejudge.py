"""Judges a journalled input again, by the rules of today, as far as its entry tells how.

What an entry does not tell is who was trusted at that time, only what came of it: the signer or the
reason why there was none, and for executors whether the key was entitled to the tool. Those are
taken from the entry; everything else must follow.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from consumers.audit.history import headers_of, input_of
from core.authentication import (
    Signer,
    SignerKind,
    TenantMismatch,
    Unauthenticated,
    is_signed,
    session_of,
)
from core.context import Context, Event, Input
from core.directory import Directory
from core.grants import grant_claims
from core.identifiers import input_origin
from core.jws import b64url
from core.step import Step, fire, judge
from schemas.codec import SchemaIds
from schemas.commands import Command
from schemas.events import CommandParked, CommandRefused, ReviewTaskEvent, ToolGateEvent
from schemas.headers import SIGNATURE, DuplicateHeader, header
from schemas.journal import JournalEntry
from schemas.requests import InterruptCancelled, InterruptRequested
from schemas.state import ControlPointState

_ANY_TTL: Final = timedelta(seconds=60)
"""Where nothing was parked, no time to live had a say."""


class CannotRejudge(Exception):
    """The entry does not hold what a judgement needs; the message says what is missing."""


def rejudged(
    before: ControlPointState | None,
    entry: JournalEntry,
    events: Sequence[Event],
    directory: Directory,
    registry: SchemaIds | None = None,
) -> bool:
    """Whether judging the input again gives the recorded events and verdict. Raises
    CannotRejudge. Signatures of grants are left out: they are not the rules' doing."""
    wanted = tuple(unsigned_grant(event) for event in events)
    return any(
        step.events == wanted and step.verdict == entry.verdict
        for step in _steps(before, entry, events, directory, registry)
    )


def unsigned_grant(event: Event) -> Event:
    """An opened gate without the token that the worker added."""
    if isinstance(event, ToolGateEvent) and event.grant_jws is not None:
        return event.model_copy(update={"grant_jws": None})
    return event


def opens_audit(event: Event) -> bool:
    """Whether the decision was drawn for an audit."""
    return isinstance(event, ReviewTaskEvent) and event.change == "audit_opened"


def grants_fit(events: Sequence[Event], after: ControlPointState | None) -> bool:
    """Whether every grant token claims exactly what its gate event and state say."""
    for event in events:
        if not isinstance(event, ToolGateEvent) or event.gate != "opened":
            continue
        claims = claims_of(event.grant_jws)
        if after is None or claims != grant_claims(event, after, issuer=str(claims.get("iss"))):
            return False
    return True


def signature_fits(entry: JournalEntry) -> bool:
    """Whether the signature that the entry names is over these very bytes, by this very signer."""
    token = _token(entry)
    claims, value = claims_of(token), entry.input.value or b""
    return (
        _part(token, 0).get("kid") == entry.context.kid
        and claims.get("sub") == entry.context.signer_id
        and claims.get("body") == b64url(hashlib.sha256(value).digest())
    )


def _steps(
    before: ControlPointState | None,
    entry: JournalEntry,
    events: Sequence[Event],
    directory: Directory,
    registry: SchemaIds | None,
) -> Iterator[Step]:
    if entry.verdict == "fired":
        if before is None:
            raise CannotRejudge("a clock fired at a control point that does not exist")
        yield fire(before, _base(entry, events, directory, before.tenant_id))
        return
    command = input_of(entry, registry)
    if not isinstance(command, Input):
        raise CannotRejudge("its input cannot be read here")
    base = _base(entry, events, directory, command.tenant_id)
    for context in _contexts(base, entry, command, events):
        yield judge(before, command, context)


def _base(
    entry: JournalEntry, events: Sequence[Event], directory: Directory, tenant_id: str
) -> Context:
    place = entry.input
    parked = next((event for event in events if isinstance(event, CommandParked)), None)
    return Context(
        now=place.append_time,
        handled_at=entry.context.handled_at,
        origin=input_origin(place.topic, place.partition, place.offset, place.append_time),
        signer=None,
        failure=None,
        tenant=directory.tenant(tenant_id),
        park_ttl=parked.park_until - parked.appended_at if parked else _ANY_TTL,
        signature_present=is_signed(headers_of(entry)),
        draw=entry.context.draw,
        task_full=entry.context.task_full,
        open_of_tenant=entry.context.open_of_tenant,
        open_of_agent=entry.context.open_of_agent,
        partitions=entry.context.partitions,
    )


def _contexts(
    base: Context, entry: JournalEntry, command: Input, events: Sequence[Event]
) -> Iterator[Context]:
    """Every context that the entry leaves open."""
    kid, subject = entry.context.kid, entry.context.signer_id
    claims = claims_of(_token(entry))
    tenant_id = str(claims.get("tenant_id", command.tenant_id))
    if kid is not None and subject is not None:
        for kind in _kinds(command):
            for tools in (("*",), ()) if kind == "executor" else ((),):
                signer = Signer(kid, kind, subject, tenant_id, tools=tools)
                if kind == "gateway":
                    signer = replace(signer, **session_of(kid, claims))
                yield replace(base, signer=signer)
        return
    first = events[0] if events else None
    if isinstance(first, CommandRefused) and first.code == "TENANT_MISMATCH":
        signer = Signer("", "reviewer", str(claims.get("sub")), tenant_id)
        yield replace(base, failure=TenantMismatch(signer))
    elif isinstance(first, CommandRefused) and first.code == "UNAUTHENTICATED":
        yield replace(base, failure=Unauthenticated(first.message))
    for unsigned in (True, False):
        yield replace(base, unsigned=unsigned)


def _kinds(command: Input) -> tuple[SignerKind, ...]:
    if isinstance(command, InterruptRequested | InterruptCancelled):
        return ("agent",)
    if isinstance(command, Command):
        return ("reviewer", "gateway")
    return ("executor",)


def _token(entry: JournalEntry) -> str | None:
    try:
        return (header(headers_of(entry), SIGNATURE) or b"").decode("ascii") or None
    except (DuplicateHeader, UnicodeDecodeError):
        return None


def claims_of(token: str | None) -> Mapping[str, Any]:
    """What a token claims, nothing proven; empty when it is no token."""
    return _part(token, 1)


def _part(token: str | None, index: int) -> Mapping[str, Any]:
    """A part of a token as it stands, nothing proven; empty when it is no token."""
    try:
        part = (token or "").split(".")[index]
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
