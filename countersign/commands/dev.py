"""`dev`: the development broker and Redis, and nothing else."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.failure import NO, OutOfReach
from countersign.options import examples, group
from countersign.output import JsonFlag, emit, note, say
from deploy import dev_stack
from deploy.dev_stack import CannotStart, Servers

app = group("Kafka and Redis for development.")

KafkaPort = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, help="Port for Kafka.", show_default="as the last time, else a free one"
    ),
]
RedisPort = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, help="Port for Redis.", show_default="as the last time, else a free one"
    ),
]


@app.command(
    epilog=examples(
        "dev up",
        "dev up --kafka-port 9092 --redis-port 6379",
        '  eval "$(countersign dev up)"     # and the settings are set',
    )
)
def up(
    kafka_port: KafkaPort = None, redis_port: RedisPort = None, as_json: JsonFlag = False
) -> None:
    """Start Kafka and Redis on this machine, and print the settings to export.

    The first that is there is taken: servers that the settings name already; a Docker engine; else
    Apache Kafka on Java and a Redis server, from the PATH or fetched into the user's cache. Data
    is kept between runs. Progress goes to standard error.
    """
    try:
        servers = dev_stack.up(kafka_port=kafka_port, redis_port=redis_port, say=note)
    except CannotStart as error:
        raise OutOfReach(*error.lines) from None
    emit(_form(servers), as_json=as_json, text=lambda: _exports(servers))


@app.command(epilog=examples("dev down"))
def down(as_json: JsonFlag = False) -> None:
    """End what `dev up` started, and nothing else. Data stays for the next time."""
    try:
        ended = dev_stack.down(say=note)
    except CannotStart as error:
        raise OutOfReach(*error.lines) from None
    emit(
        {"ended": ended},
        as_json=as_json,
        text=lambda: say("ended" if ended else "nothing of ours was running"),
    )


@app.command(epilog=examples("dev status", "dev status --json"))
def status(as_json: JsonFlag = False) -> None:
    """Show which servers there are and whether they answer. Exit 1 unless both do."""
    found = dev_stack.status()
    form = {
        "up": found.up,
        "kafka": {"answers": found.kafka is None, "reason": found.kafka},
        "redis": {"answers": found.redis is None, "reason": found.redis},
        **(_form(found.servers) if found.servers is not None else {}),
        "home": str(dev_stack.home()),
    }

    def text() -> None:
        if found.servers is None:
            say("nothing was started; start it: countersign dev up")
            return
        say(f"run by: {found.servers.how}")
        say(f"Kafka  {found.servers.bootstrap_servers}: {found.kafka or 'answers'}")
        say(f"Redis  {found.servers.shown_redis_url}: {found.redis or 'answers'}")
        say(f"data and logs: {dev_stack.home()}")

    emit(form, as_json=as_json, text=text)
    if not found.up:
        raise typer.Exit(NO)


def _form(servers: Servers) -> dict[str, str]:
    return {
        "how": servers.how,
        "bootstrap_servers": servers.bootstrap_servers,
        "redis_url": servers.shown_redis_url,
    }


def _exports(servers: Servers) -> None:
    if servers.how == "settings":
        say("# both answer; the settings name them already")
        return
    for name, value in servers.exports.items():
        say(f"export {name}={value}")
