"""Policies and people as they were."""

from __future__ import annotations

from consumers.audit.directories import DirectoryLog
from core.directory import DirectoryRecord
from core.governing import Said
from schemas.directory import PolicyExceptionChanged, ReviewerCapChanged
from tests import examples as e
from tests.unit.audit.stories import directories_of
from tests.unit.control.world import World


def said(offset: int, record: DirectoryRecord) -> Said:
    """A record at an offset, unsigned."""
    return Said(record, offset, e.NOW)


def a_log() -> DirectoryLog:
    """Two reviewers, then one of them with another role; two versions of a policy."""
    return DirectoryLog(
        policies=[said(0, e.a_policy_document())],
        people=[
            said(0, e.a_reviewer()),
            said(3, e.a_reviewer(roles=["head_of_enforcement"])),
        ],
    )


def an_exception() -> PolicyExceptionChanged:
    """An exception was granted."""
    return PolicyExceptionChanged(
        event_id="ev-exception-1",
        tenant_id=e.TENANT,
        decision_package_id=e.PACKAGE_ID,
        exception_id="exc-1",
        change="granted",
        policy_id="sampling",
        requested_exception="No second sample.",
        justification="The laboratory is closed.",
        applies_to=e.PACKAGE_ID,
        approver_id=e.REVIEWER,
        expires_at=e.at(3600),
        decision_event_id="ev-decision-1",
        occurred_at=e.NOW,
    )


def a_cap() -> ReviewerCapChanged:
    """The reviewer has decided enough."""
    return ReviewerCapChanged(
        event_id="ev-cap-1",
        tenant_id=e.TENANT,
        reviewer_id=e.REVIEWER,
        capped_until=e.at(3600),
        decided=60,
        occurred_at=e.NOW,
    )


def test_a_directory_is_what_was_before_the_offsets() -> None:
    """The record at an offset is not yet in a directory read up to it."""
    log = a_log()

    before, after = log.at(0, 3, 0), log.at(1, 4, 0)

    assert before.tenant(e.TENANT).policy is None
    assert before.tenant(e.TENANT).reviewers[e.REVIEWER].roles == ["senior_reviewer"]
    assert after.tenant(e.TENANT).policy is not None
    assert after.tenant(e.TENANT).reviewers[e.REVIEWER].roles == ["head_of_enforcement"]


def test_offsets_may_go_back() -> None:
    """Another partition's journal begins anew."""
    log = a_log()
    late = log.latest()

    assert log.at(0, 1, 0).tenant(e.TENANT).reviewers[e.REVIEWER].roles == ["senior_reviewer"]
    assert log.latest() == late


def test_a_version_published_with_other_content_takes_no_effect() -> None:
    """As in the worker: the first counts."""
    log = a_log()
    first = log.latest().tenant(e.TENANT).policy
    log.policies.append(said(1, e.a_policy_document(document_json='{"tenant_id":"acme"}')))

    assert log.latest().tenant(e.TENANT).policy == first


def test_the_context_of_reviews_is_part_of_it() -> None:
    """Exceptions and caps, as far as `review-context` was read, and no further."""
    log = a_log()
    log.context += [said(0, an_exception()), said(2, a_cap())]

    before, between, after = log.at(1, 4, 0), log.at(1, 4, 2), log.at(1, 4, 3)

    assert not before.tenant(e.TENANT).exceptions
    assert list(between.tenant(e.TENANT).exceptions) == ["exc-1"]
    assert not between.tenant(e.TENANT).caps
    assert list(after.tenant(e.TENANT).caps) == [e.REVIEWER]
    assert log.at(1, 4, 0) == before
    assert log.latest() == after


def test_what_is_no_directory_record_is_left_out() -> None:
    """Garbage on the topic stops nobody."""
    world = World()
    world.cluster.append("control-policy", 0, b"acme", b"garbage")
    world.cluster.append("control-policy", 0, b"acme", None)

    assert [one.offset for one in directories_of(world).policies] == [0]
