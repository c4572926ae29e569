"""The form of an evidence bundle: its files, its lines, and the manifest that binds every byte.

    README.md                what this is and how to check it, by hand and with the tool
    manifest.json            what the bundle is of; size and SHA-256 of every other file
    manifest.sha256          SHA-256 of manifest.json, as sha256sum writes it
    journal/<n>.jsonl        entries of partition n: {"seq":…,"value":base64}, or {"leaf":…,"seq":…}
                             where the entry itself is withheld; {"seq":…} where no checkpoint covers
                             it either
    checkpoints/<n>.jsonl    signed checkpoints of partition n: {"number":…,"value":base64}
    directories/<topic>.jsonl  records of a directory topic, as far as the entries rest on them
    keys/trusted.jwks.json   who may sign inputs; keys/grants.jwks.json: grants and checkpoints
    schemas/<Name>.<fingerprint>.avsc  by which the values are read
    proofs/<n>.jsonl         inclusion proofs (RFC 6962) of the entries that are there whole
    readable/<n>.jsonl       the same entries decoded, for people

The entry's raw value is the one form given: a checker empties the field `hash`, which is the fourth
of the record and a string, to get the bytes that were hashed. So no second form can differ from it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final, Protocol

from consumers.audit.readable import dumped
from consumers.reading import Read
from core.jwk import TrustedKey, TrustedKeys, rfc3339_or_none

FORMAT: Final = "countersign-audit-bundle/1"
README: Final = "README.md"
MANIFEST: Final = "manifest.json"
MANIFEST_DIGEST: Final = "manifest.sha256"
TRUSTED: Final = "keys/trusted.jwks.json"
GRANTS: Final = "keys/grants.jwks.json"
MANIFEST_BYTES_MAX: Final = 16 * 1024 * 1024
LINE_BYTES_MAX: Final = 32 * 1024 * 1024
"""An entry holds an input of at most 4 MiB and its events; base64 adds a third."""
_CHUNK: Final = 1 << 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BundleFault(Exception):
    """A bundle that is not what was exported; the message names the file."""

    def __init__(self, file: str, what: str) -> None:
        super().__init__(f"{file}: {what}")
        self.file = file
        self.what = what


class Files(Protocol):
    """The files of a bundle, by their paths with `/`."""

    def names(self) -> set[str]: ...

    def open(self, name: str) -> IO[bytes]: ...


class Folder:
    """A bundle on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> set[str]:
        """Every file; links and other things that are no files count as files of their name."""
        return {
            path.relative_to(self._path).as_posix()
            for path in self._path.rglob("*")
            if path.is_symlink() or not path.is_dir()
        }

    def open(self, name: str) -> IO[bytes]:
        """Raises BundleFault."""
        path = self._path / name
        try:
            if path.is_symlink():
                raise BundleFault(name, "is a link")
            return path.open("rb")
        except OSError as error:
            raise BundleFault(name, f"cannot be read: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class InMemory:
    """A bundle that was read already."""

    contents: Mapping[str, bytes]

    def names(self) -> set[str]:
        """See Files."""
        return set(self.contents)

    def open(self, name: str) -> IO[bytes]:
        """See Files."""
        if name not in self.contents:
            raise BundleFault(name, "is missing")
        return io.BytesIO(self.contents[name])


@dataclass(frozen=True, slots=True)
class Part:
    """One partition of the journal in the bundle."""

    partition: int
    genesis: str
    entries: int
    withheld: int
    checkpoints: int


@dataclass(frozen=True, slots=True)
class Scope:
    """What a bundle is of: everything, or a tenant's, or some packages' of a tenant."""

    tenant_id: str | None = None
    package_ids: tuple[str, ...] = ()

    def has(self, key: bytes | None) -> bool:
        """Whether the entry of an input with this key is given whole."""
        if self.tenant_id is None:
            return True
        tenant, _, package_id = (key or b"").partition(b"/")
        if tenant != self.tenant_id.encode():
            return False
        return not self.package_ids or package_id in {one.encode() for one in self.package_ids}

    def has_directory(self, key: bytes | None) -> bool:
        """Whether a directory record with this key is given."""
        if self.tenant_id is None:
            return True
        return (key or b"").partition(b"/")[0] == self.tenant_id.encode()


@dataclass(frozen=True, slots=True)
class About:
    """What the manifest says before it names the files."""

    cluster_id: str
    journal_id: str
    audience: str
    balancer_id: str
    scope: Scope
    parts: tuple[Part, ...]

    def form(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        return {
            "format": FORMAT,
            "cluster_id": self.cluster_id,
            "journal_id": self.journal_id,
            "audience": self.audience,
            "balancer_id": self.balancer_id,
            "tenant_id": self.scope.tenant_id,
            "decision_package_ids": list(self.scope.package_ids),
            "partitions": [
                {
                    "partition": part.partition,
                    "genesis": part.genesis,
                    "entries": part.entries,
                    "withheld": part.withheld,
                    "checkpoints": part.checkpoints,
                }
                for part in self.parts
            ],
        }


def manifest_text(about: About, files: Mapping[str, tuple[int, str]]) -> bytes:
    """The manifest. files: by name, size and SHA-256."""
    listed = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in files.items()}
    form = {**about.form(), "files": dict(sorted(listed.items()))}
    return (json.dumps(form, indent=1) + "\n").encode()


def manifest_digest_text(manifest: bytes) -> bytes:
    """The one line that binds the manifest."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def digest_of(file: IO[bytes]) -> tuple[int, str]:
    """Size and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def lines(files: Files, name: str) -> Iterator[dict[str, Any]]:
    """The lines of a file, each exactly as it would be written. Raises BundleFault."""
    with files.open(name) as file:
        number = 0
        while raw := file.readline(LINE_BYTES_MAX):
            number += 1
            try:
                form = json.loads(raw)
            except (ValueError, RecursionError):
                form = None
            if not isinstance(form, dict) or dumped(form) != raw:
                raise BundleFault(name, f"line {number} is not one that is written so")
            yield form


def text64(value: bytes | None) -> str | None:
    """Bytes as text."""
    return None if value is None else base64.b64encode(value).decode()


def bytes64(text: object) -> bytes | None:
    """The bytes again. Raises ValueError."""
    if text is None:
        return None
    try:
        data = base64.b64decode(str(text), validate=True)
    except binascii.Error:
        raise ValueError("is no base64") from None
    if text64(data) != text:
        raise ValueError("is no base64")
    return data


def read_line(read: Read) -> bytes:
    """A record of a directory topic."""
    return dumped(
        {
            "offset": read.offset,
            "appended_us": (read.appended - _EPOCH) // timedelta(microseconds=1),
            "key": text64(read.key),
            "value": text64(read.value),
            "headers": [[name, text64(value)] for name, value in read.headers],
        }
    )


def line_read(topic: str, form: Mapping[str, Any]) -> Read:
    """The record again. Raises ValueError, KeyError, TypeError, OverflowError."""
    return Read(
        topic,
        0,
        int(form["offset"]),
        _EPOCH + timedelta(microseconds=form["appended_us"]),
        bytes64(form["key"]),
        bytes64(form["value"]),
        [(str(name), bytes64(value)) for name, value in form["headers"]],
    )


def jwks_text(keys: TrustedKeys) -> bytes:
    """A set of public keys as a JWKS document, with all that each is entitled to."""
    found = [_jwk(key) for _, key in sorted(keys.by_kid.items())]
    return (json.dumps({"keys": found}, indent=1) + "\n").encode()


def _jwk(key: TrustedKey) -> dict[str, Any]:
    public: dict[str, Any] = dict(key.public.as_dict(private=False))
    said: dict[str, Any] = {
        "agent_id": key.agent_id,
        "reviewer_id": key.reviewer_id,
        "executor_id": key.executor_id,
        "policy_admin": key.policy_admin or None,
        "admin_id": key.admin_id,
        "tenant_ids": sorted(key.tenant_ids) or None,
        "tools": list(key.tools) or None,
        "valid_from": rfc3339_or_none(key.valid_from),
        "valid_until": rfc3339_or_none(key.valid_until),
        "compromised_at": rfc3339_or_none(key.compromised_at),
    }
    point: dict[str, Any] = {
        name: public[name] for name in ("kty", "crv", "x", "y") if name in public
    }
    members = {name: value for name, value in said.items() if value is not None}
    return {**point, "kid": key.kid, "alg": key.algorithm, "use": "sig", **members}
