"""The directory is an immutable fold; a policy version never changes its content."""

from __future__ import annotations

import pytest

from core.directory import Directory, DirectoryRefused
from schemas.canonical import canonical_json
from schemas.directory import PolicyDocument
from tests import examples as e


def _policy(version: str, **over: object) -> PolicyDocument:
    form = e.a_policy_form(policy_version=version, **over)
    return e.a_policy_document(policy_version=version, document_json=canonical_json(form))


def test_an_unknown_tenant_has_nothing() -> None:
    """A tenant that nobody described has no policy and nobody in it."""
    tenant = Directory().tenant("globex")

    assert (None, 0, 0) == (tenant.policy, len(tenant.reviewers), len(tenant.agents))


def test_the_latest_policy_is_in_force() -> None:
    """A new version takes the place of the one before."""
    directory = Directory().apply(_policy("7")).apply(_policy("8"))

    policy = directory.tenant(e.TENANT).policy

    assert policy is not None
    assert "8" == policy.policy_version


def test_a_policy_version_is_immutable() -> None:
    """The same version with other content is refused; the first stays."""
    directory = Directory().apply(_policy("7"))

    with pytest.raises(DirectoryRefused, match="new version"):
        directory.apply(_policy("7", rules=[]))


def test_an_old_version_keeps_its_content_for_ever() -> None:
    """Also after newer versions, an old one cannot come back with other content."""
    directory = Directory().apply(_policy("7")).apply(_policy("8"))

    with pytest.raises(DirectoryRefused):
        directory.apply(_policy("7", rules=[]))


def test_an_old_version_can_come_back_as_it_was() -> None:
    """Publishing an old version again, unchanged, puts it in force: that is how one goes back."""
    directory = Directory().apply(_policy("7")).apply(_policy("8")).apply(_policy("7"))

    policy = directory.tenant(e.TENANT).policy

    assert policy is not None
    assert "7" == policy.policy_version


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"tenant_id":"acme"}'])
def test_a_policy_that_cannot_be_read_is_refused(text: str) -> None:
    """A document that is no policy changes nothing and is said to be none."""
    with pytest.raises(DirectoryRefused, match="not valid"):
        Directory().apply(e.a_policy_document(document_json=text))


@pytest.mark.parametrize("over", [{"tenant_id": "globex"}, {"policy_version": "9"}])
def test_record_and_document_must_name_the_same(over: dict[str, str]) -> None:
    """A document cannot be published under another tenant or version than its own."""
    with pytest.raises(DirectoryRefused, match="another"):
        Directory().apply(e.a_policy_document(**over))


def test_a_tenant_sees_only_its_own() -> None:
    """Reviewers and agents of one tenant do not stand in another's directory."""
    directory = Directory().apply(e.a_reviewer()).apply(e.an_agent(tenant_id="globex"))

    assert ([e.REVIEWER], []) == (
        list(directory.tenant(e.TENANT).reviewers),
        list(directory.tenant(e.TENANT).agents),
    )


def test_a_directory_does_not_change() -> None:
    """Applying a record makes a new directory; who holds the old one sees what was."""
    before = Directory().apply(e.a_reviewer())

    before.apply(e.a_reviewer(removed=True))

    assert before.tenant(e.TENANT).reviewer(e.REVIEWER, e.NOW) is not None


def test_a_later_record_of_a_reviewer_replaces_the_earlier() -> None:
    """The last record of a reviewer counts; removed means gone."""
    directory = Directory().apply(e.a_reviewer()).apply(e.a_reviewer(removed=True))

    assert directory.tenant(e.TENANT).reviewer(e.REVIEWER, e.NOW) is None
