"""Key files and JWKS files as commands write them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.jwk import KeySetError, TrustedKeys
from countersign.failure import UsageWrong
from countersign.structured_file import read_bytes
from schemas.canonical import parse_json_strict


def jwks_text(keys: list[Mapping[str, Any]]) -> str:
    """A JWKS document."""
    return json.dumps({"keys": keys}, indent=2) + "\n"


def add_to_jwks(path: Path, jwk: Mapping[str, Any]) -> None:
    """Adds a public key to a JWKS file, made if it is not there; replaced whole or not at all.

    Raises UsageWrong when the file is not a set of keys, or would not be one with the new key.
    """
    document: Any = {"keys": []}
    if path.exists():
        try:
            document = parse_json_strict(read_bytes(path))
        except ValueError as error:
            raise UsageWrong(f"{path}: not JSON: {error}; mend it") from None
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise UsageWrong(f'{path}: not a JWKS document: want {{"keys": [...]}}')
    after = {**document, "keys": [*document["keys"], dict(jwk)]}
    try:
        TrustedKeys.from_jwks(after)
    except KeySetError as error:
        raise UsageWrong(f"{path}: {error}") from None
    _replace(path, json.dumps(after, indent=2) + "\n")


def write_new(path: Path, text: str) -> None:
    """Writes a file that is not there yet. Raises UsageWrong when it is."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageWrong(f"{path} exists; choose another directory or remove it") from None
    except OSError as error:
        raise UsageWrong(f"{path} cannot be written: {error.strerror}") from None


def _replace(path: Path, text: str) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(name, mode)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageWrong(f"{path} cannot be written: {error.strerror}") from None
