"""What to type after `init`: the steps that it prints, and the page with everything else to try."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from countersign.starter import MAIL_PORT

_START: Final = """\
eval "$(countersign dev up)"                    # Kafka and Redis, unless settings name yours
. <dir>/env                                     # who is trusted, which keys sign, where mail goes
countersign topics apply
countersign policy apply <dir>/policy.yaml
countersign reviewers apply <dir>/directory.yaml

python -m deploy.mail_sink --port <port> > <dir>/mails.txt 2>&1 &    # takes mails, passes none on
countersign worker > <dir>/worker.log 2>&1 &                       # judges
countersign notifier > <dir>/notifier.log 2>&1 &                   # acts, on an open gate only

countersign request <dir>/request.json --key <dir>/keys/agent.pem
countersign interrupts show notice-1            # what a reviewer reads, and who may decide what
countersign decide notice-1 --tenant acme --as r.okafor --key <dir>/keys/r.okafor.pem \\
  --version 1 --decision approve
countersign tail notice.sent --from-start --count 1   # until it is sent
countersign audit show notice-1 --tenant acme   # who did what
"""

_END: Final = """\
kill $(jobs -p); wait                           # the services finish what they do, and leave
countersign dev down
"""

_PAGE: Final = """\
# A first trial of Countersign

`policy.yaml` says what needs a human, `directory.yaml` who may decide, `request.json` and
`requests/` are what an agent asks. The private keys in `keys/` are for trying out: in a
deployment each person and program makes its own with `countersign keys new`.

Type this into one shell, with `countersign` on the `PATH`:

```sh
<start>```

## More to try

On the loop: this note is added in two minutes, unless somebody objects. r.lind does.

```sh
countersign request <dir>/requests/note-1.json --key <dir>/keys/agent.pem
countersign object note-1 --tenant acme --as r.lind --key <dir>/keys/r.lind.pem \\
  --version 1 --comment 'the call was about another case'
```

Human-led: a stop-work order needs two people of two teams, each with reasons of their own.

```sh
countersign request <dir>/requests/notice-2.json --key <dir>/keys/agent.pem
countersign decide notice-2 --tenant acme --as r.okafor --key <dir>/keys/r.okafor.pem \\
  --version 1 --decision approve --comment 'read both' --rationale 'the survey still holds'
countersign explain notice-2                    # what it waits for, and why some may not
countersign decide notice-2 --tenant acme --as r.haas --key <dir>/keys/r.haas.pem \\
  --version 1 --decision approve --comment 'agreed' --rationale 'the permit has no amendment'
```

Override: r.boss wants a warning instead of the notice. At high risk a second head confirms
exactly that action, by its digest.

```sh
countersign request <dir>/requests/notice-3.json --key <dir>/keys/agent.pem
digest=$(countersign override notice-3 --tenant acme --as r.boss --key <dir>/keys/r.boss.pem \\
  --version 1 --recommended 'send the notice' --instead 'send a warning' \\
  --reason 'first offence' --evidence file:2025-11 --tool notice.send \\
  --effect-type external_notice --args @<dir>/requests/warning.json --json \\
  | python -c 'import json, sys; print(json.load(sys.stdin)["action_digest"])')
countersign interrupts show notice-3
countersign decide notice-3 --tenant acme --as r.haas --key <dir>/keys/r.haas.pem \\
  --version 1 --decision approve --action-digest "$digest"
```

Memory: nothing is kept while nobody has agreed.

```sh
countersign request <dir>/requests/memory-1.json --key <dir>/keys/agent.pem
countersign decide memory-1 --tenant acme --as r.okafor --key <dir>/keys/r.okafor.pem \\
  --version 1 --decision approve
```

Out of the loop: this lookup goes ahead at once. It is judged afterwards, by an auditor who is
not told what was decided.

```sh
countersign request <dir>/requests/lookup-1.json --key <dir>/keys/agent.pem
countersign wait lookup-1
countersign interrupts list --kind audit
countersign verdict lookup-1 --tenant acme --as r.adler --key <dir>/keys/r.adler.pem \\
  --version 1 --verdict agree --comment 'the register is public'
```

The proof: the journal is gapless, signed, and judged again.

```sh
countersign audit verify
```

## The end

```sh
<end>```

`countersign balancer` runs beside the worker and hands out what is open. Notes, memories and
lookups have no executor here: their gates open, and nothing is run. To ask again, change both
ids in a request.

Exit codes: 0 ok, 1 the answer is no, 2 usage or settings, 3 a server is out of reach, 4 no
outcome in time.
"""


def next_steps(directory: Path) -> list[str]:
    """From nothing to a notice that was sent."""
    return _filled(_START, directory).splitlines()


def last_steps(directory: Path) -> list[str]:
    """What ends it all."""
    return _filled(_END, directory).splitlines()


def page(directory: Path) -> str:
    """COUNTERSIGN.md: every step, in one order that can be typed from top to bottom."""
    return _filled(_PAGE.replace("<start>", _START).replace("<end>", _END), directory)


def _filled(text: str, directory: Path) -> str:
    shown = shlex.quote(str(directory))
    return text.replace("<port>", str(MAIL_PORT)).replace("<dir>", shown)
