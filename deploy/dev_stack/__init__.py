"""Kafka and Redis for development and tests: `countersign dev up`.

`up` takes the first that is there: servers that settings name, a Docker engine, own processes
(Apache Kafka in a JVM, Redis or Valkey). `isolated` gives tests servers of their own.
"""

from deploy.dev_stack.failures import CannotStart
from deploy.dev_stack.local import Isolated, isolated
from deploy.dev_stack.stack import Servers, Status, down, home, status, up

__all__ = [
    "CannotStart",
    "Isolated",
    "Servers",
    "Status",
    "down",
    "home",
    "isolated",
    "status",
    "up",
]
