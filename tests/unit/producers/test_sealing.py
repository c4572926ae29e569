"""Sealed texts: who can read them, who cannot, and what a record looks like with them."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from producers.sealed_records import SEALED, Sealing, opened_args, readable, readable_record
from producers.sealing import (
    KEY_BYTES,
    NotOpened,
    NotSealed,
    Subject,
    Unsealable,
    pseudonym_in,
    room,
    seal,
    unseal,
)
from producers.subject_keys import Erased, SubjectKeyFiles
from schemas.canonical import is_canonical, parse_json_strict, record_json
from schemas.commands import Command
from schemas.requests import Draft, MemoryApprovalPackage
from tests import examples as e

KEY = secrets.token_bytes(KEY_BYTES)
SUBJECT = Subject.of(e.TENANT, "case:case-5512")
PLANTED = "Anna Müller, Harbour Lane 3"


@pytest.fixture
def sealing(tmp_path: Path) -> Sealing:
    """With keys in a directory of its own."""
    return Sealing(SubjectKeyFiles(tmp_path / "subjects", clock=lambda: e.NOW))


def a_personal_request() -> Any:
    """The story's request with the planted text in every field that is sealed."""
    args = e.notice_args(body=PLANTED, copies=[{"to": PLANTED, "pages": 2, "express": True}])
    return e.a_request(
        reason=PLANTED,
        package=e.a_package(
            **dict.fromkeys(("title", "proposed_action", "rationale", "consequence"), PLANTED),
            known_uncertainties=[PLANTED],
            alternatives=[PLANTED],
            downstream_impact=[PLANTED],
            does_not_authorize=[PLANTED, ""],
            draft=Draft(media_type="text/plain", text=PLANTED),
            tool_call=e.a_tool_call(args),
        ),
    )


@pytest.mark.parametrize("text", ["x", PLANTED, "\n" * 40_000, "\0", "🔏" * 1000])
def test_a_sealed_text_says_the_same_again(text: str) -> None:
    """And nothing of it is in the seal, which has one alphabet."""
    sealed = seal(text, SUBJECT, KEY, place="p")

    assert unseal(sealed, SUBJECT, KEY) == text
    assert pseudonym_in(sealed) == SUBJECT.pseudonym
    assert sealed.isascii() and '"' not in sealed and "\\" not in sealed


def test_nobody_else_can_read_it_or_pass_it_off() -> None:
    """Another key, another tenant, another subject, and every character altered in turn."""
    sealed = seal("a text", SUBJECT, KEY, place="p")
    other = Subject(e.TENANT, "0" * 32)

    for subject, key, text in (
        (SUBJECT, secrets.token_bytes(KEY_BYTES), sealed),
        (Subject("umbra", SUBJECT.pseudonym), KEY, sealed),
        (other, KEY, sealed.replace(SUBJECT.pseudonym, other.pseudonym)),
        (SUBJECT, KEY, "sealed:1:short"),
    ):
        with pytest.raises(NotOpened):
            unseal(text, subject, key)
    start = sealed.rindex(":") + 1
    for at in range(start, len(sealed) - 1):  # the last one has bits that stand for nothing
        altered = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        with pytest.raises(NotOpened):
            unseal(altered, SUBJECT, KEY)


def test_the_same_record_again_is_the_same_and_equal_texts_elsewhere_are_not() -> None:
    """So a retry is recognised, and nobody sees that two packages say the same."""
    first = seal("a text", SUBJECT, KEY, place="int-1/title")

    assert seal("a text", SUBJECT, KEY, place="int-1/title") == first
    assert seal("a text", SUBJECT, KEY, place="int-2/title") != first
    for one, two in (  # (place, text): no nonce twice for what only reads alike
        (("a", "bc"), ("ab", "c")),
        (("a", "b\0c"), ("a\0b", "c")),
    ):
        nonces = {seal(text, SUBJECT, KEY, place=place)[42:58] for place, text in (one, two)}
        assert len(nonces) == 2


def test_every_personal_field_of_a_request_is_sealed(sealing: Sealing) -> None:
    """Ids, references, numbers and names stay, JSON text stays canonical, and it opens again."""
    request = a_personal_request()
    sealed = sealing.request(request)

    text = sealed.model_dump_json()
    assert PLANTED not in text and e.RECIPIENT not in text and "EN-2041" not in text
    package, before = sealed.package, request.package
    assert package.tool_call is not None
    assert is_canonical(package.tool_call.args_json) and is_canonical(package.side_effect_preview)
    assert '"pages":2' in package.tool_call.args_json
    assert package.does_not_authorize[1] == ""
    for kept in ("decision_package_id", "subject_id", "evidence_refs", "risk_level", "proposed_by"):
        assert getattr(package, kept) == getattr(before, kept)
    assert readable_record(sealed, e.TENANT, sealing) == request
    assert sealing.request(request) == sealed
    assert sealing.request(sealed) == sealed, "what is sealed is not sealed twice"


def test_a_memory_is_sealed_for_its_own_subject_where_the_package_names_none(
    sealing: Sealing,
) -> None:
    """The memory itself, and nothing that says whose it is."""
    memory = MemoryApprovalPackage(
        package_id="m-1", proposed_memory=PLANTED, subject_type="customer", subject_id="c-9",
        source_refs=["mail:1"], sensitivity="personal", retention="P1Y", proposed_by=e.AGENT,
    )  # fmt: skip
    package = e.a_package(subject_type="", subject_id="", memory=memory, tool_call=None)

    sealed = sealing.request(e.a_request(package=package)).package.memory

    assert sealed is not None
    pseudonym = Subject.of(e.TENANT, "customer:c-9").pseudonym
    assert pseudonym_in(sealed.proposed_memory) == pseudonym
    assert sealed.model_copy(update={"proposed_memory": PLANTED}) == memory


def test_the_table_names_fields_that_are(sealing: Sealing) -> None:
    """A renamed field of a record is found here, not as plain text in Kafka."""
    for model, paths in SEALED.items():
        for path in paths:
            assert path.split(".")[0].rstrip("[]{}") in model.model_fields, (model, path)


def test_a_text_that_is_too_long_sealed_names_its_mend(sealing: Sealing) -> None:
    """Nothing is sent; the field, its limit, and what would fit, which then does."""
    for size, fits in ((1024, False), (room(1024), True)):
        request = e.a_request(package=e.a_package(title="x" * size))
        if fits:
            assert len(sealing.request(request).package.title) <= 1024
            continue
        with pytest.raises(NotSealed) as caught:
            sealing.request(request)
        assert "package.title" in str(caught.value)
        assert str(room(1024)) in str(caught.value)
        assert "xxx" not in str(caught.value)


def test_no_subject_is_no_seal(sealing: Sealing) -> None:
    """A package about nobody cannot be erased for anybody; the message names the fields."""
    with pytest.raises(NotSealed, match="subject_type and subject_id"):
        sealing.request(e.a_request(package=e.a_package(subject_id=" ")))


def test_reviewers_words_are_sealed_for_the_subject_of_the_package(sealing: Sealing) -> None:
    """The same key, the same command; without words nothing needs a subject."""
    command = e.a_decision(comment=PLANTED)

    sealed = sealing.command(command, "case:case-5512")

    assert pseudonym_in(sealed.comment or "") == SUBJECT.pseudonym
    again = sealing.command(e.a_decision(comment=PLANTED, command_id="cmd-x"), "case:case-5512")
    assert again.comment == sealed.comment, "the idempotency key stands for the same words"
    wordless = e.a_decision(comment=None)
    assert sealing.command(wordless, None) is wordless
    with pytest.raises(NotSealed, match="not known yet"):
        sealing.command(command, None)


def test_every_command_has_its_row_in_the_table() -> None:
    """A new command with words cannot be forgotten: sealing it would fail."""
    for model in Command.__subclasses__():
        assert model in SEALED, model


def test_erased_is_erased(sealing: Sealing) -> None:
    """Its date is told instead, nothing is acted on, and nothing is sealed for it any more."""
    sealed = sealing.request(a_personal_request())
    call = sealed.package.tool_call
    assert call is not None
    args = parse_json_strict(call.args_json)
    assert isinstance(args, dict)
    assert opened_args(args, e.TENANT, sealing)[0]["body"] == PLANTED

    assert sealing.keys.erase(SUBJECT) == Erased("2026-03-02T09:00:00Z", now=True)

    told = readable(record_json(sealed), e.TENANT, sealing)
    assert told["package"]["title"] == "erased on 2026-03-02T09:00:00Z"
    assert '"body":"erased on 2026-03-02T09:00:00Z"' in told["package"]["tool_call"]["args_json"]
    with pytest.raises(Unsealable, match="erased on"):
        opened_args(args, e.TENANT, sealing)
    with pytest.raises(NotSealed, match="was erased on"):
        sealing.request(a_personal_request())


def test_without_the_key_nothing_is_acted_on_or_told(sealing: Sealing, tmp_path: Path) -> None:
    """No setting, no key, texts of two subjects: each its reason, none a text."""
    sealed = seal(PLANTED, SUBJECT, KEY, place="p")
    other = seal(PLANTED, Subject.of(e.TENANT, "case:2"), KEY, place="p")
    nowhere = Sealing(SubjectKeyFiles(tmp_path / "empty"))

    for args, keys, why in (
        ({"a": [sealed]}, None, "COUNTERSIGN_SUBJECT_KEYS"),
        ({"a": sealed}, nowhere, "no key here"),
        ({"a": sealed, "b": other}, sealing, "several subjects"),
    ):
        with pytest.raises(Unsealable, match=why):
            opened_args(args, e.TENANT, keys)
    assert readable({"a": f"because {sealed}"}, e.TENANT, None) == {
        "a": "because sealed; no key here"
    }
    assert opened_args({"a": "plain"}, e.TENANT, None) == ({"a": "plain"}, None)


def test_people_see_in_arguments_what_will_be_done(sealing: Sealing) -> None:
    """A seal inside another text is not opened for them, as it is not for executors."""
    key = sealing.keys.make(SUBJECT)
    assert isinstance(key, bytes)
    hidden = f"pay {seal('nobody', SUBJECT, key, place='p')}"

    told = readable({"args_json": f'{{"to":"{hidden}"}}'}, e.TENANT, sealing)

    assert told == {"args_json": f'{{"to":"{hidden}"}}'}
    assert opened_args({"to": hidden}, e.TENANT, sealing)[0] == {"to": hidden}
