"""The form of the policy file: what is refused, and that the refusal says what to mend."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from core.limits import LADDER_STEPS_MAX, SLOTS_MAX
from core.policy import duration_s, parse_policy
from tests import examples as e


def _with(path: str, value: Any) -> dict[str, Any]:
    """The example policy with one place changed; a path such as `rules.0.mode`."""
    form = e.a_policy_form()
    place: Any = form
    *parents, last = path.split(".")
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    place[last] = value
    return form


WRONG: list[tuple[str, Any, str]] = [
    # where, value, what the message must say
    ("rulez", [], "rulez"),
    ("defaults.decide_withn", "1h", "decide_withn"),
    ("rules.0.when.tool", ["x"], "tool"),
    ("defaults.decide_within", "1 hour", "15m"),
    ("defaults.decide_within", 3600, "15m"),
    ("defaults.decide_within", "0s", "15m"),
    ("defaults.decide_within", "99999d", "3660d"),
    ("defaults.on_timeout", "approve", "never approves"),
    ("defaults.on_timeout", "auto_approve", "never approves"),
    ("rules.0.on_timeout", "auto_approve", "never approves"),
    ("defaults.on_timeout", "wait", "escalate"),
    ("rules.0.mode", "off", "out_of_the_loop"),
    ("rules.0.subject", "a:b", "pattern"),
    ("rules.0.when.risk_levels", ["huge"], "critical"),
    ("rules.0.approvals", [{"role": "legal"}] * (SLOTS_MAX + 1), str(SLOTS_MAX)),
    (
        "defaults.escalation",
        [{"role": "legal", "within": "1h"}] * (LADDER_STEPS_MAX + 1),
        str(LADDER_STEPS_MAX),
    ),
    ("role_order", ["a", "b", "a"], "twice"),
    ("role_order", [], "at least 1"),
    ("tools.0.min_reviewer_role", "boss", "role_order"),
    ("tools.0.min_risk", "tiny", "low"),
    ("defaults.uncertainties_required_below", 1.5, "less than or equal to 1"),
    ("rules.0.audit_sample", float("nan"), "finite"),
    ("unsigned_requests", "sometimes", "refuse"),
    ("defaults.open_max", 0, "greater than or equal to 1"),
    ("defaults.open_max_per_agent", True, "integer"),
    ("rules.0.open_max", 5, "open_max"),
]


@pytest.mark.parametrize(("path", "value", "said"), WRONG)
def test_a_wrong_policy_is_refused_with_its_mend(path: str, value: Any, said: str) -> None:
    """An unknown key or a wrong value is an error that names the place and what may stand there."""
    with pytest.raises(ValidationError) as caught:
        parse_policy(_with(path, value))

    assert said in str(caught.value)


def test_two_rules_of_one_name_are_refused() -> None:
    """The name of a rule is how a plan says where it comes from."""
    rules = [{"name": "it"}, {"name": "it"}]

    with pytest.raises(ValidationError, match="its own name"):
        parse_policy(e.a_policy_form(rules=rules))


def test_a_policy_needs_little() -> None:
    """Tenant, version and roles are enough; everything else has a default that is safe."""
    policy = parse_policy({"tenant_id": "acme", "policy_version": "1", "role_order": ["boss"]})

    assert ("refuse", "escalate", []) == (
        policy.unsigned_requests,
        policy.defaults.on_timeout,
        policy.rules,
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("8h", 28_800), ("7d", 604_800)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    """Seconds, minutes, hours and days."""
    assert seconds == duration_s(text)


@pytest.mark.parametrize("text", ["", "1", "1w", "-1h", "1.5h", "01h", "1h30m", " 1h", None, 60])
def test_no_other_duration_is_guessed(text: object) -> None:
    """Whatever is not exactly that is refused."""
    with pytest.raises(ValueError, match="15m"):
        duration_s(text)
