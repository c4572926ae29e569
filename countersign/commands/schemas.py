"""`schemas export`: the Avro schemas, for programs in other languages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from countersign.failure import UsageWrong
from countersign.options import examples, group
from countersign.output import JsonFlag, emit, say
from schemas.avro_files import schema_files

app = group("The Avro schemas of the records.")


@app.callback()
def _group() -> None:
    pass


@app.command(epilog=examples("schemas export avro"))
def export(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to write; made if it is not there.")
    ] = Path("avro"),
    as_json: JsonFlag = False,
) -> None:
    """Write every current schema as a self-contained .avsc file."""
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for source in schema_files():
            target = directory / source.name
            target.write_bytes(source.read_bytes())
            written.append(str(target))
    except OSError as error:
        raise UsageWrong(f"{error.filename}: {error.strerror}; name a writable directory") from None
    emit(
        {"directory": str(directory), "files": written},
        as_json=as_json,
        text=lambda: say(f"wrote {len(written)} schemas to {directory}"),
    )
