"""The balancer and the worker as real processes on the real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.directory import ReviewerAuthorization, ReviewerCapChanged
from schemas.events import CommandRefused, HumanDecisionEvent, ReviewTaskEvent
from tests.examples import AGENT, a_package, a_policy_form, a_request, a_reviewer, an_agent
from tests.support.deployment import Deployment, deployed
from tests.support.eventually import eventually
from tests.support.servers import TestServers
from tests.support.service import Service

BALANCER = "svc:balancer"
FREE, OTHER, TIED = "r.free", "r.other", "r.tied"
LIMIT = 2


def a_person(name: str, **over: Any) -> ReviewerAuthorization:
    """A senior reviewer who may decide at any time."""
    return a_reviewer(**({"reviewer_id": name, "team": name, "active_until": None} | over))


def people(deployment: Deployment) -> None:
    """One who is tied to the case, two who are free, and the balancer; a limit of two an hour."""
    form = a_policy_form()
    form["defaults"]["decisions_per_hour_max"] = LIMIT
    deployment.publish_people(
        a_person(TIED, conflicts=["case:case-5512"]),
        a_person(FREE),
        a_person(OTHER),
        a_person(BALANCER, roles=["balancer"], scopes=["notice:balance"]),
        an_agent(),
    )
    deployment.publish_policy(form)
    deployment.add_key(BALANCER, reviewer_id=BALANCER, tenant_id=deployment.tenant)


def ask(deployment: Deployment, *package_ids: str) -> None:
    """Packages come up for decision."""
    for package_id in package_ids:
        interrupt_id = f"int-{package_id}"
        package = a_package(decision_package_id=package_id)
        request = a_request(interrupt_id=interrupt_id, package=package)
        deployment.publish(request, by=AGENT, record_id=interrupt_id)


def holders(deployment: Deployment) -> dict[str, str | None]:
    """By package, to whom it was assigned."""
    return {
        event.decision_package_id: event.assigned_to
        for event in deployment.records("review-task", ReviewTaskEvent)
        if event.change == "assigned"
    }


def balancer(deployment: Deployment) -> Service:
    """Starts one."""
    return deployment.service("balancer", BALANCER_KEY=str(deployment.key_file(BALANCER)))


def approve(
    deployment: Deployment, by: str, package_id: str
) -> HumanDecisionEvent | CommandRefused:
    """One approval and its outcome."""
    return deployment.reviewer(by).decide(
        package_id, "approve", version=1, comment="Evidence checked."
    )


@pytest.fixture
def deployment(servers: TestServers, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment in which the policy and the people are this test's own."""
    made = deployed(servers.bootstrap_servers, servers.redis_url, tmp_path, people=False)
    with made as deployment:
        people(deployment)
        yield deployment


def test_tasks_are_spread_and_the_busy_are_capped(deployment: Deployment) -> None:
    """Nobody with a conflict gets any; who has decided as many as the policy allows is refused;
    another balancer, and a restart, change nothing."""
    deployment.worker()
    first = balancer(deployment)
    packages = [f"p{number}" for number in range(6)]
    ask(deployment, *packages)

    eventually(lambda: sorted(holders(deployment)) == packages, within_s=60)
    held = holders(deployment)
    assert sorted(filter(None, held.values())) == [FREE] * 3 + [OTHER] * 3
    assert deployment.records("command-refused", CommandRefused) == []

    mine = [package_id for package_id, holder in held.items() if holder == FREE]
    for package_id in mine[:LIMIT]:
        assert isinstance(approve(deployment, FREE, package_id), HumanDecisionEvent)
    (cap,) = eventually(lambda: deployment.records("review-context", ReviewerCapChanged))
    assert (cap.reviewer_id, cap.decided) == (FREE, LIMIT)
    refused = approve(deployment, FREE, mine[LIMIT])
    assert isinstance(refused, CommandRefused)
    assert refused.code == "DECISION_NOT_ALLOWED"

    first.stop()
    first.start()
    second = balancer(deployment)
    ask(deployment, "p6")
    eventually(lambda: holders(deployment).get("p6"), within_s=60)
    assert holders(deployment) == held | {"p6": OTHER}
    assert len(deployment.records("review-context", ReviewerCapChanged)) == 1
    second.stop()
    first.stop()
