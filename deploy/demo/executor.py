"""What the demo's executors share: settings of the environment, one line an action, an orderly end."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from consumers.executor_settings import ExecutorKeys, executor_keys
from consumers.settings import Settings, SettingsError, load
from producers.connection import BrokerUnreachable, NotAllowed
from producers.executing import Handle, Handled, Recall, serve
from producers.guard import ExecutorGuard

MakeGuard = Callable[[ExecutorKeys, Settings], ExecutorGuard]


@dataclass(frozen=True, slots=True)
class Tool:
    """What an executor does. recall: see `producers.executing`."""

    name: str
    handle: Handle
    recall: Recall


def make_guard(keys: ExecutorKeys, settings: Settings) -> ExecutorGuard:
    """The guard of these settings."""
    return keys.guard(settings)


def run(tool: Tool, make: MakeGuard = make_guard) -> int:
    """Executes what is approved for the tool until SIGTERM or SIGINT. Raises as `exit_status` names.

    make: for tests that end the process between two steps.
    """
    settings = load()
    keys = executor_keys(settings)
    if not any(fnmatchcase(tool.name, pattern) for pattern in keys.executor.tools):
        raise SettingsError(
            f"COUNTERSIGN_EXECUTOR_KEY: its key is for {', '.join(keys.executor.tools)}, not for "
            f"{tool.name}; make one with: countersign keys new --executor"
        )
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    # librdkafka repeats itself several times a second; the library says it once.
    logging.getLogger("countersign.kafka").setLevel(logging.CRITICAL)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    executor = replace(keys.executor, tools=(tool.name,))
    print(f"{executor.executor_id} executes {tool.name}", flush=True)
    group = f"executor.{tool.name}"
    serve(
        make(keys, settings),
        executor,
        tool.handle,
        stop=stop,
        recall=tool.recall,
        observe=_print,
        group=group,
    )
    return 0


def exit_status(command: Callable[[], int]) -> int:
    """The status of a command, its failure as one line: 2 settings, 3 no broker, 1 refused."""
    try:
        return command()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except sqlite3.OperationalError as error:
        print(f"--file: {error}; name a file that can be written", file=sys.stderr)
        return 2
    except BrokerUnreachable as error:
        print(f"the broker is out of reach: {error}", file=sys.stderr)
        return 3
    except (NotAllowed, LookupError) as error:
        print(error.args[0] if error.args else error, file=sys.stderr)
        return 1


def parser_of(program: str, about: str, file: str) -> tuple[argparse.ArgumentParser, Any]:
    """A parser with `--file` and the verbs `run` (when none is given) and `list`; and its verbs."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=about)
    parser.add_argument("--file", type=Path, default=Path(file), help=f"where it is kept ({file})")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    verbs.add_parser("run", help="execute what is approved, until Ctrl-C (the default)")
    verbs.add_parser("list", help="one JSON object a line")
    return parser, verbs


def named(error: ValidationError) -> str:
    """The first thing wrong with arguments: the field and what it must be, never its value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "the arguments"
    return f"{field}: {first['msg']}"


def print_rows(rows: Iterable[Mapping[str, Any]]) -> int:
    """One JSON object a line."""
    for row in rows:
        print(json.dumps(row))
    return 0


def _print(handled: Handled) -> None:
    gate = handled.gate
    place = f"{gate.tenant_id}/{gate.decision_package_id}"
    print(
        f"{handled.ending} {gate.tool_name} {place} grant {gate.grant_id}: {handled.why}",
        flush=True,
    )
