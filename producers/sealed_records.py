"""Which texts of a record are sealed, and records with them sealed or readable again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from producers.sealing import (
    NotOpened,
    NotSealed,
    Subject,
    Unsealable,
    has_sealed,
    leaves,
    mapped,
    pseudonym_in,
    room,
    seal,
    told,
    unseal,
)
from producers.subject_keys import Erased, SubjectKeys
from schemas.canonical import canonical_json, parse_json_strict, record_json
from schemas.commands import (
    AuditVerdictCommand,
    Command,
    GrantRevocationCommand,
    HumanDecisionCommand,
    HumanOverrideCommand,
    PolicyExceptionCommand,
    ReviewTaskCommand,
)
from schemas.model import Record
from schemas.requests import DecisionPackage, InterruptCancelled, InterruptRequested

SEALED: Final[Mapping[type[Record], Mapping[str, str]]] = {
    InterruptRequested: {
        "reason": "why a human is asked is told of the subject",
        "package.title": "names people in most cases",
        "package.proposed_action": "what is to be done, and to whom",
        "package.rationale": "the case in words",
        "package.consequence": "what it means for the subject",
        "package.known_uncertainties[]": "words about the case",
        "package.alternatives[]": "words about the case",
        "package.does_not_authorize[]": "words about the case",
        "package.downstream_impact[]": "words about the case",
        "package.dissents[].position": "words about the case",
        "package.dissents[].rationale": "words about the case",
        "package.contributors[].position": "words about the case",
        "package.draft.text": "the letter itself",
        "package.memory.proposed_memory": "what is to be remembered of the subject",
        "package.side_effect_preview{}": "shows what would be sent, and to whom",
        "package.tool_call.args_json{}": "the address, the letter, the account",
    },
    InterruptCancelled: {"reason": "words about the case"},
    HumanDecisionCommand: {
        "comment": "a reviewer's words about the case",
        "reviewer_rationale": "a reviewer's words about the case",
        "defer_condition": "words about the case",
        "evidence_requested[]": "words about the case",
    },
    HumanOverrideCommand: {
        "original_recommendation": "what was to be done, and to whom",
        "override_decision": "what is to be done instead",
        "override_reason": "a reviewer's words about the case",
        "override_tool_call.args_json{}": "the address, the letter, the account",
    },
    ReviewTaskCommand: {"comment": "a reviewer's words about the case"},
    GrantRevocationCommand: {"reason": "a reviewer's words about the case"},
    AuditVerdictCommand: {"comment": "an auditor's words about the case"},
    PolicyExceptionCommand: {
        "requested_exception": "words about the case",
        "justification": "a reviewer's words about the case",
    },
}
"""Field and reason; `[]`: each of a list, `{}`: each text in a JSON text, whose names and numbers
stay. No rule of the core reads what any of these say, only whether they are there.

Not sealed: ids, references and digests, which the rules and the proof need. So an id must not be a
person's name, and a digest of a text that can be guessed tells whoever guesses it."""

_JSON_TEXTS: Final = ("args_json", "side_effect_preview")
R = TypeVar("R", bound=Record)
C = TypeVar("C", bound=Command)


def subject_named(package: DecisionPackage) -> str:
    """The `type:id` that a package's texts are sealed for: its own subject, or its memory's."""
    about = package
    if not about.subject_id.strip() and package.memory is not None:
        return f"{package.memory.subject_type}:{package.memory.subject_id}"
    return f"{about.subject_type}:{about.subject_id}"


@dataclass(frozen=True)
class Sealing:
    """Seals what is sent and opens what is read, with the keys of a store.

    Keys are asked for each time and never kept, so that one that is destroyed is gone. Every method
    that needs one raises KeysUnavailable when the store cannot be asked.
    """

    keys: SubjectKeys

    def request(self, request: InterruptRequested) -> InterruptRequested:
        """The request as it is published. Raises NotSealed."""
        subject = Subject.of(request.tenant_id, subject_named(request.package))
        return self.record(request, subject, request.interrupt_id)

    def cancellation(self, record: InterruptCancelled, name: str | None) -> InterruptCancelled:
        """A cancellation of a request about `type:id`. Raises NotSealed."""
        subject = Subject.of(record.tenant_id, name or "")
        return self.record(record, subject, f"{record.interrupt_id}/cancel")

    def command(self, command: C, name: str | None) -> C:
        """A reviewer's command on a package about `type:id`. Raises NotSealed.

        Without a text there is nothing to seal, and no subject is needed.
        """
        form = record_json(command)
        if not any(_wanted(text) for path in SEALED[type(command)] for text in _texts(form, path)):
            return command
        if name is None:
            raise NotSealed(
                "the subject of this package is not known yet, for which your words would be "
                "sealed; send it once the package is open, or without the words"
            )
        subject = Subject.of(command.tenant_id, name)
        return self.record(command, subject, command.idempotency_key)

    def record(self, record: R, subject: Subject, place: str) -> R:
        """A record with its texts sealed; what is sealed already stays. Raises NotSealed."""
        key = _KeyOf(self.keys, subject)
        form = record_json(record)
        for path in SEALED[type(record)]:
            form = _at(form, path.split("."), lambda text, at: key.sealed(text, f"{place}/{at}"))
        try:
            return type(record).model_validate_json(json.dumps(form))
        except ValidationError as error:
            raise NotSealed(_too_long(error)) from None

    def words(self, text: str, subject: Subject, place: str, chars_max: int) -> str:
        """Words for a field of so many characters, sealed, cut to fit. Raises NotSealed."""
        data = text.encode("utf-8", "replace")
        fits = room(chars_max)
        cut = (
            data[: fits - 3].decode("utf-8", "ignore") + "…" if len(data) > fits else data.decode()
        )
        return _KeyOf(self.keys, subject).sealed(cut, place)

    def opened(self, text: str, tenant_id: str) -> str:
        """What a text says; one that is not sealed says itself. Raises Unsealable."""
        pseudonym = pseudonym_in(text)
        if pseudonym is None:
            return text
        subject = Subject(tenant_id, pseudonym)
        return unseal(text, subject, self.key_of(subject))

    def key_of(self, subject: Subject) -> bytes:
        """The key of a subject. Raises Unsealable."""
        key = self.keys.find(subject)
        if key is None:
            raise Unsealable("sealed; no key here")
        if isinstance(key, Erased):
            raise Unsealable(f"erased on {key.on}")
        return key


def opened_args(
    args: Mapping[str, Any], tenant_id: str, sealing: Sealing | None
) -> tuple[dict[str, Any], Subject | None]:
    """Verified arguments as they are to be acted on, and whom they are about if they were sealed.

    Raises Unsealable, naming no text: then nothing must be done. Raises KeysUnavailable.
    """
    about = {found for text in leaves(args) if (found := pseudonym_in(text)) is not None}
    if not about:
        return dict(args), None
    if sealing is None:
        raise Unsealable("sealed; set COUNTERSIGN_SUBJECT_KEYS, where their keys are")
    if len(about) > 1:
        raise NotOpened("sealed for several subjects; an action is about one")
    subject = Subject(tenant_id, about.pop())
    key = sealing.key_of(subject)

    def opened(text: str, _place: str) -> str:
        return text if pseudonym_in(text) is None else unseal(text, subject, key)

    return dict(mapped(args, opened)), subject


def readable(value: Any, tenant_id: str, sealing: Sealing | None) -> Any:
    """JSON for people: each sealed text as what it says, or why that cannot be read.

    In the JSON text of arguments only a text that is sealed as a whole, as executors open it: what
    people see there is what will be done.
    """

    def in_json(text: str, _place: str) -> str:
        return said(text) if pseudonym_in(text) is not None else text

    def in_words(text: str, place: str) -> str:
        if not has_sealed(text):
            return text
        if place.endswith(_JSON_TEXTS):
            with suppress(ValueError):
                return canonical_json(mapped(parse_json_strict(text), in_json))
        return told(text, said)

    def said(text: str) -> str:
        if sealing is None:
            return "sealed; no key here"
        try:
            return sealing.opened(text, tenant_id)
        except Unsealable as why:
            return str(why)

    return mapped(value, in_words)


def readable_record(record: R, tenant_id: str, sealing: Sealing | None) -> R:
    """A record for people, with the same texts; its digests stay those of what was published."""
    form = readable(record_json(record), tenant_id, sealing)
    return type(record).model_validate_json(json.dumps(form))


class _KeyOf:
    """The key of a subject, asked for when the first text needs it."""

    def __init__(self, keys: SubjectKeys, subject: Subject) -> None:
        self._keys = keys
        self._subject = subject

    def sealed(self, text: str, place: str) -> str:
        return seal(text, self._subject, self._key, place=place) if _wanted(text) else text

    @cached_property
    def _key(self) -> bytes:
        key = self._keys.make(self._subject)
        if isinstance(key, Erased):
            raise NotSealed(
                f"the subject was erased on {key.on}; nothing is sealed for it any more: name "
                "another subject_id, or send no words"
            )
        return key


def _wanted(text: str) -> bool:
    """Blank text stays blank: that it is missing is for the rules to see."""
    return bool(text.strip()) and pseudonym_in(text) is None


def _at(form: Any, path: list[str], change: Any, place: str = "") -> Any:
    """The form with the texts at a path changed."""
    if form is None:
        return None
    if not path:
        return change(form, place)
    step, rest = path[0], path[1:]
    name = step.rstrip("[]{}")
    inner, at = form[name], f"{place}.{name}".lstrip(".")
    if inner is None:
        return form
    if step.endswith("[]"):
        changed: Any = [_at(one, rest, change, f"{at}[{n}]") for n, one in enumerate(inner)]
    elif step.endswith("{}"):
        changed = _json_text(inner, change, at)
    else:
        changed = _at(inner, rest, change, at)
    return {**form, name: changed}


def _json_text(text: str, change: Any, place: str) -> str:
    try:
        return canonical_json(mapped(parse_json_strict(text), change, place))
    except ValueError:
        raise NotSealed(f"{place} is not RFC 8785 canonical JSON; canonicalise it") from None


def _texts(form: Any, path: str) -> list[str]:
    found: list[str] = []

    def seen(text: str, _place: str) -> str:
        found.append(text)
        return text

    _at(form, path.split("."), seen)
    return found


def _too_long(error: ValidationError) -> str:
    """Which field does not hold its text sealed, and how much it would."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    limit = first.get("ctx", {}).get("max_length")
    if not isinstance(limit, int):
        return f"{field}: {first['msg']}"
    return (
        f"{field}: sealed, the text is longer than the {limit} characters that the field holds; "
        f"shorten it to {room(limit)} bytes in all"
    )
