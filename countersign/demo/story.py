"""The story: one notice approved and sent, one refused to its requester, one nobody decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from consumers.queue import Queue
from countersign.demo.ground import AGENT, FIRST, HEAD, SECOND, TENANT, Ground
from countersign.demo.stage import Stage
from countersign.demo.watching import Watch
from countersign.failure import AnswerIsNo
from deploy.mail_sink import MailSink
from producers.agent import Asked
from schemas.canonical import action_digest, parse_json_strict, record_json
from schemas.events import CommandRefused, HumanDecisionEvent
from schemas.execution import NoticeFailed, NoticeSent
from schemas.requests import InterruptRequested
from schemas.vocabulary import Decision

ANSWER_WITHIN_S: Final = 20.0
ASK_WITHIN_S: Final = 20.0
"""A person who went for coffee finds the demo finished, not waiting."""
_APPROVE, _REJECT = "approve", "reject"


class Unexpected(AnswerIsNo):
    """A step of the story went another way than it must; the line says which."""


@dataclass
class Told:
    """What one notice came to."""

    package_id: str
    decision: str | None = None
    refusals: list[str] = field(default_factory=list)
    sent: NoticeSent | None = None
    outcome: str | None = None
    complete: bool = False
    audit: dict[str, Any] = field(default_factory=dict)

    def form(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "decision_package_id": self.package_id,
            "decision": self.decision,
            "refusals": self.refusals,
            "outcome": self.outcome,
            "notice_sent": record_json(self.sent) if self.sent else None,
            "audit_complete": self.complete,
            "audit": self.audit,
        }


@dataclass
class Story:
    """Tells it scene by scene. `asked_person`: somebody at the terminal decides on the first."""

    stage: Stage
    ground: Ground
    watch: Watch
    mails: MailSink
    asked_person: bool
    told: list[Told] = field(default_factory=list)

    def tell(self, requests: list[InterruptRequested]) -> list[Told]:
        """The whole story. Raises Unexpected, and what the clients raise."""
        self.told = [Told(request.package.decision_package_id) for request in requests]
        first, second, third = zip(requests, self.told, self._asks(requests), strict=True)
        self._approved(*first)
        self._refused_to_its_requester(*second)
        self._undecided(*third)
        self._audits()
        self._proof()
        return self.told

    # --- the scenes ---------------------------------------------------------------------------

    def _asks(self, requests: list[InterruptRequested]) -> list[Asked]:
        stage, agent = self.stage, self.ground.agent()
        stage.scene("1. An agent drafts three enforcement notices, and asks before it sends any")
        asked = []
        for request in requests:
            package = request.package
            one = agent.submit(request, timeout_s=ANSWER_WITHIN_S)
            assert one.opened is not None, "the prefix is new, and so is every package"
            asked.append(one)
            stage.say(f"{package.decision_package_id}: {package.title}")
            stage.facts(
                [
                    ("asked for by", request.requested_by),
                    ("waits for", one.opened.required_role),
                    ("until", _clock(one.opened.decide_by)),
                ]
            )
        stage.say(f"{AGENT} waits. No gate is open; mails sent: {len(self.mails.received)}.")
        return asked

    def _approved(self, request: InterruptRequested, told: Told, asked: Asked) -> None:
        stage = self.stage
        stage.scene(f"2. {told.package_id}: {FIRST} reads the package and decides")
        self._package(request)
        decision: Decision = "approve"
        if self.asked_person:
            stage.pause()
            letter = stage.ask(
                f"You are {FIRST}. Approve or reject? [a/r, Enter approves, "
                f"so do {ASK_WITHIN_S:.0f} s of silence]",
                {"a": _APPROVE, "r": _REJECT},
                _APPROVE,
                ASK_WITHIN_S,
            )
            decision = "reject" if letter == _REJECT else "approve"
        comment = "evidence checked" if decision == "approve" else "a warning first"
        self._decides(told, request, FIRST, decision, comment)
        self._resumes(told, asked)
        if decision == "approve":
            self._mailed(told)
        else:
            stage.say("The gate is denied: no executor can send it, now or later.")

    def _refused_to_its_requester(
        self, request: InterruptRequested, told: Told, asked: Asked
    ) -> None:
        stage = self.stage
        stage.scene(f"3. {told.package_id}: {request.requested_by} asked for it, and approves it")
        answer = self._send(request, FIRST, "approve", "looks right to me")
        self._must_refuse(told, FIRST, answer, "SEPARATION_OF_DUTIES")
        stage.say(f"{SECOND} of another team reads it and approves.")
        self._decides(told, request, SECOND, "approve", "monitor data checked")
        self._resumes(told, asked)
        self._mailed(told)

    def _undecided(self, request: InterruptRequested, told: Told, asked: Asked) -> None:
        stage = self.stage
        stage.scene(f"4. {told.package_id}: nobody decides; its policy gives five seconds a step")
        for status in self.watch.statuses(told.package_id):
            shown = f"{_clock(status.occurred_at)}  {status.status}"
            if status.final:
                stage.say(f"{shown}: {status.reason}")
            else:
                until = f"{status.required_role} until {_clock(status.decide_by)}"
                stage.say(f"{shown}, waits for {until}")
        self._resumes(told, asked)
        if told.outcome != "expired":
            raise Unexpected(f"{told.package_id} ended with {told.outcome}, and must expire")
        stage.say(f"{HEAD} is too late, and approves.")
        answer = self._send(request, HEAD, "approve", "sorry, I was away")
        self._must_refuse(told, HEAD, answer, "TOO_LATE")
        stage.say(f"No mail went out for it; mails sent in all: {len(self.mails.received)}.")
        if len(self.mails.received) != sum(one.sent is not None for one in self.told):
            raise Unexpected("there are more mails than notices that were approved")

    def _audits(self) -> None:
        stage = self.stage
        stage.scene("5. The audit of each: nine questions, answered from the journal alone")
        for told in self.told:
            audit = self.watch.audit(told.package_id)
            told.audit, told.complete = audit.form(), audit.complete
            self._runs("audit", "show", told.package_id, "--tenant", TENANT)
            stage.pause()

    def _proof(self) -> None:
        self.stage.scene("6. The proof: the journal is gapless, chained, signed, and judged again")
        code = self._runs("audit", "verify")
        if code != 0:
            raise Unexpected("the journal does not prove itself")

    # --- what scenes share --------------------------------------------------------------------

    def _package(self, request: InterruptRequested) -> None:
        """What the agent says apart from what the system knows."""
        package, stage = request.package, self.stage
        kafka = self.ground.kafka
        state = Queue(kafka.common(), kafka.topic).find(TENANT, package.decision_package_id)
        assert state.accepted is not None, "it was opened"
        assert package.tool_call is not None, "every notice of the story is to be sent"
        plan = state.accepted.plan
        stage.say("the agent says", style="dim")
        stage.facts(
            [
                ("action", package.proposed_action),
                ("because", package.rationale),
                ("evidence", package.evidence_refs),
                ("confidence", package.confidence),
                ("doubts", package.known_uncertainties),
                ("instead", package.alternatives),
                ("consequence", package.consequence),
            ]
        )
        stage.say("the system knows", style="dim")
        stage.facts(
            [
                ("risk", plan.effective_risk),
                ("rule", f"{plan.rule!r} of policy {plan.policy_version}: {plan.mode}"),
                ("digest", state.accepted.action_digest),
            ]
        )
        args: Any = parse_json_strict(package.tool_call.args_json)
        stage.say("exactly this would be sent", style="dim")
        stage.quote(f"To: {args['recipient']}\nSubject: {args['subject']}\n\n{args['body']}")

    def _send(
        self, request: InterruptRequested, who: str, decision: Decision, comment: str
    ) -> HumanDecisionEvent | CommandRefused:
        package = request.package
        call = package.tool_call
        assert call is not None, "every notice of the story is to be sent"
        return self.ground.reviewer(who).decide(
            package.decision_package_id,
            decision,
            version=package.version,
            comment=comment,
            action_digest=action_digest(call.tool_name, call.effect_type, call.args_json),
            timeout_s=ANSWER_WITHIN_S,
        )

    def _decides(
        self, told: Told, request: InterruptRequested, who: str, decision: Decision, comment: str
    ) -> None:
        answer = self._send(request, who, decision, comment)
        if isinstance(answer, CommandRefused):
            raise Unexpected(
                f"{told.package_id}: {who} may {decision} it, but: {answer.code}: {answer.message}"
            )
        told.decision = answer.decision
        self.stage.say(
            f"recorded: {decision} by {who} under policy {answer.policy_version} "
            f"({answer.quorum.have} of {answer.quorum.need} approvals), event {answer.event_id}"
        )

    def _must_refuse(
        self, told: Told, who: str, answer: HumanDecisionEvent | CommandRefused, code: str
    ) -> None:
        if not isinstance(answer, CommandRefused) or answer.code != code:
            said = answer.code if isinstance(answer, CommandRefused) else "recorded"
            raise Unexpected(f"{told.package_id}: {who} must get {code}, and got: {said}")
        told.refusals.append(answer.code)
        self.stage.say(f"refused: {answer.code}: {answer.message}", style="bold")

    def _resumes(self, told: Told, asked: Asked) -> None:
        outcome = self.ground.agent().wait(asked, timeout_s=ANSWER_WITHIN_S)
        told.outcome = outcome.outcome
        self.stage.say(f"{AGENT} resumes with: {outcome.outcome}")

    def _mailed(self, told: Told) -> None:
        """The notifier takes the grant by itself; the mail and the event must fit each other."""
        sent = self.watch.notice(told.package_id)
        if isinstance(sent, NoticeFailed):
            raise Unexpected(f"{told.package_id}: the notifier could not send it: {sent.reason}")
        mails = [m for m in self.mails.received if m.message_id == sent.provider_message_id]
        if len(mails) != 1:
            raise Unexpected(f"{told.package_id}: notice.sent, but {len(mails)} mails came")
        told.sent = sent
        message = mails[0].message
        body = message.get_body(("plain",))
        text = str(body.get_content()) if body is not None else "(no plain text)"
        text = text.replace("\r\n", "\n")  # as mails have their lines
        heads = "\n".join(f"{name}: {message[name]}" for name in ("From", "To", "Subject"))
        self.stage.say("the notifier takes the grant, once; the mail server has this mail:")
        self.stage.quote(f"{heads}\n\n{text}")
        self.stage.say(
            f"notice.sent {told.package_id}: {sent.notice_id} to {sent.recipient}, "
            f"message {sent.provider_message_id}",
            style="bold",
        )

    def _runs(self, *words: str) -> int:
        """Runs a command of ours and shows what it prints; its exit code."""
        self.stage.say(f"$ countersign {' '.join(words)}", style="bold")
        done = self.watch.command(*words)
        self.stage.page(done.out + done.err)
        return done.code


def _clock(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%H:%M:%S} UTC"
