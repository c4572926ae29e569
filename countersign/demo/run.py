"""Puts the demo together, and takes it apart again whatever happens."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import FrameType
from typing import Any, Final

from countersign.demo.failures import explained
from countersign.demo.ground import TENANT, Ground, drafts, furnish, lay
from countersign.demo.servers import Lent, lent_servers
from countersign.demo.services import Services
from countersign.demo.stage import Stage, stage
from countersign.demo.story import Story, Told
from countersign.demo.watching import Watch
from countersign.failure import NO, OK, OutOfReach
from countersign.output import print_json
from deploy.dev_stack import CannotStart, home
from deploy.mail_sink import MailSink

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BY_SIGNAL: Final = 128
"""Added to a signal's number it is the exit status, as shells have it."""


def run(*, auto: bool, as_json: bool) -> int:
    """The demo from start to end; 0 when the audit of every notice is complete, else 1.

    Raises CommandFailed. What it started is ended before it returns or raises.
    """
    on = stage(as_json=as_json)
    asked = not (auto or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
    began = monotonic()
    on.say("Countersign: an authorised human between an AI agent's wish and its effect", "bold")
    try:
        with (
            _signals_end_it(),
            TemporaryDirectory(prefix="countersign-demo-") as directory,
            lent_servers(on.say) as lent,
        ):
            ground, told = _perform(on, lent, Path(directory), asked_person=asked)
    except CannotStart as error:
        raise OutOfReach(*error.lines) from None
    seconds = monotonic() - began
    complete = all(one.complete for one in told)
    _farewell(on, lent, ground, told, seconds)
    if as_json:
        print_json(_form(ground, told, complete, seconds))
    return OK if complete else NO


def _perform(
    on: Stage, lent: Lent, directory: Path, *, asked_person: bool
) -> tuple[Ground, list[Told]]:
    """Lays the ground, starts the services and tells the story; ends the services."""
    with MailSink() as mails, Services() as services, explained(services), _undisturbed_end():
        servers = lent.servers
        on.say(f"Kafka {servers.bootstrap_servers} and Redis {servers.shown_redis_url} answer")
        ground = lay(servers, mails.url, directory)
        furnish(ground)
        on.say(f"topics {ground.settings.topic_prefix}* are made; policy and people are published")
        for name in ("worker", "notifier"):
            services.start(name, env=ground.env, directory=directory)
        services.wait_ready()
        on.say("the control worker and the notifier run")
        story = Story(on, ground, Watch(ground, services), mails, asked_person)
        return ground, story.tell(drafts())


def _farewell(on: Stage, lent: Lent, ground: Ground, told: list[Told], seconds: float) -> None:
    complete = sum(one.complete for one in told)
    sent = sum(one.sent is not None for one in told)
    on.scene(
        f"Notices sent: {sent}. Audits complete: {complete} of {len(told)}. {seconds:.0f} seconds."
    )
    for one in told:
        if not one.complete:
            on.say(f"{one.package_id} is not complete: {'; '.join(one.audit['missing'])}")
    ended = ", Kafka and Redis with them" if lent.ours else ""
    on.say(f"The worker and the notifier are ended{ended}, and the keys of this run are gone.")
    on.say("Its topics stay, so that you can look again:")
    if lent.servers.how != "settings":
        on.say(f"(data: {home()})", "dim")
        on.page('eval "$(countersign dev up)"')
    on.page(
        f"{ground.exports()}\n"
        f"countersign audit show {told[0].package_id} --tenant {TENANT}\n"
        f"countersign explain {told[-1].package_id}\n"
        "countersign tail notice.sent --from-start --count 2"
    )
    if lent.servers.how != "settings":
        on.page("countersign dev down")


def _form(ground: Ground, told: list[Told], complete: bool, seconds: float) -> dict[str, Any]:
    return {
        "complete": complete,
        "topic_prefix": ground.settings.topic_prefix,
        "partitions": ground.settings.partitions,
        "seconds": round(seconds, 1),
        "notices": [one.form() for one in told],
    }


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end the program in order, once; further ones are ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: FrameType | None) -> None:
        _ignore_signals()
        os.write(sys.stderr.fileno(), b"\nended early: stopping what the demo started\n")
        raise SystemExit(_BY_SIGNAL + number)

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed_end() -> Iterator[None]:
    """From the end of the block on no signal disturbs; all that follows is bounded."""
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            _ignore_signals()


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
