"""`topics plan` and `apply` against a real broker."""

from __future__ import annotations

from consumers.topics_admin import apply, assert_topics
from tests.support.deployment import Deployment


def test_after_apply_nothing_differs(deployment: Deployment) -> None:
    """The deployment's topics are as they must be, and to apply again changes nothing."""
    assert_topics(deployment.settings)

    assert apply(deployment.settings) == []
