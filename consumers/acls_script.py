"""`deploy/acls.sh`: the table of `consumers/access.py` for those who use Kafka's own tools.

`python -m consumers.acls_script --write` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from consumers.access import (
    ACCESS,
    CLUSTER,
    DEFAULT_PRINCIPALS,
    ROLES,
    Operation,
    Pattern,
    Resource,
    rights_of,
)

SCRIPT: Final = Path(__file__).resolve().parents[1] / "deploy" / "acls.sh"
_HEAD: Final = """#!/bin/sh
# Who may do what at the broker, for those who use Kafka's own tools. The same, and idempotent too:
#   countersign topics apply --acls
# Written by `python -m consumers.acls_script --write` from the table in consumers/access.py.
#
#   BOOTSTRAP=kafka-1.example:9093 COMMAND_CONFIG=admin.properties sh acls.sh
#
# KAFKA_ACLS names another kafka-acls.sh, COUNTERSIGN_TOPIC_PREFIX the deployment, and
# e.g. AGENT=User:billing-agent another principal.
set -eu
: "${BOOTSTRAP:?set it to a broker, host:port}"
P="${COUNTERSIGN_TOPIC_PREFIX:-}"
add() {
  "${KAFKA_ACLS:-kafka-acls.sh}" --bootstrap-server "$BOOTSTRAP" \\
    ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} --add --force --allow-principal "$@"
}"""
_FLAGS: Final[Mapping[Resource, str]] = MappingProxyType(
    {
        "TOPIC": "--topic",
        "GROUP": "--group",
        "TRANSACTIONAL_ID": "--transactional-id",
        "CLUSTER": "--cluster",
    }
)
_TOOL_WORDS: Final[Mapping[Operation, str]] = MappingProxyType(
    {
        "READ": "Read",
        "WRITE": "Write",
        "DESCRIBE": "Describe",
        "DESCRIBE_CONFIGS": "DescribeConfigs",
    }
)


def script() -> str:
    """The text of `deploy/acls.sh`: a call for each role, operation and kind of resource."""
    lines = [_HEAD]
    for role in ROLES:
        lines.append(f"\n# {role}: {ACCESS[role].who}")
        lines.append(f'{role.upper()}="${{{role.upper()}:-{DEFAULT_PRINCIPALS[role][0]}}}"')
        together: dict[tuple[Operation, Resource, Pattern], list[str]] = {}
        for resource, name, pattern, operation in rights_of(ACCESS[role], "$P"):
            together.setdefault((operation, resource, pattern), []).append(name)
        for (operation, resource, pattern), names in together.items():
            kind = " --resource-pattern-type prefixed" if pattern == "PREFIXED" else ""
            lines.append(f'add "${role.upper()}" --operation {_TOOL_WORDS[operation]}{kind} \\')
            named = [f"{_FLAGS[resource]} {_quoted(name)}".strip() for name in names]
            lines += [f"  {one} \\" for one in named[:-1]]
            lines.append(f"  {named[-1]}")
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    return "" if name == CLUSTER else '"' + name.replace("$P", "${P}") + '"'


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        SCRIPT.write_text(script(), encoding="utf-8")
    else:
        sys.stdout.write(script())
