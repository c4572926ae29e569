"""The control worker as a real process on real Kafka and real Redis."""

from __future__ import annotations

from schemas.events import HumanDecisionEvent, InterruptStatusChanged, ToolGateEvent
from tests import examples as e
from tests.support.deployment import Deployment
from tests.support.eventually import eventually


def test_an_approval_opens_the_gate(deployment: Deployment) -> None:
    """A request, an approval by a signed command: the decision and the gate are there."""
    deployment.worker()
    agent, reviewer = deployment.agent(), deployment.reviewer()
    request = e.a_request()

    asked = agent.submit(request)
    answer = reviewer.decide(
        request.package.decision_package_id, "approve", version=1, comment="read"
    )

    assert isinstance(answer, HumanDecisionEvent)
    assert answer.final
    outcome = agent.wait(asked, timeout_s=10)
    assert outcome.approved
    assert [g.gate for g in deployment.records("tool-gate", ToolGateEvent)] == ["opened"]
