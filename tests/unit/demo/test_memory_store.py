"""The demo's memory store: once a grant, with its provenance, and nothing is ever deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.demo.memory_store import MemoryStore, main
from producers.guard import NotDone, Permit
from tests import examples as e
from tests.unit.demo.permits import a_permit, memory_args


def a_write(number: int = 1, *, tenant: str = e.TENANT, **over: Any) -> Permit:
    """An approved memory write."""
    args = memory_args(number, **over)
    return a_permit(number, "memory.write", "memory_write", args, tenant=tenant)


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path / "memories.sqlite3", clock=lambda: e.at(90))


def test_a_memory_is_kept_with_its_provenance(store: MemoryStore) -> None:
    """Who approved it, where that stands, what it rests on, and which content was approved."""
    permit = a_write()

    result = store.write(permit)

    [row] = store.rows()
    assert row["proposed_memory"] == "Prefers letters to mail."
    assert (row["grant_id"], row["status"]) == ("grant-1", "active")
    assert (row["approvers"], row["decision_event_ids"]) == ([e.REVIEWER], ["decision-1"])
    assert (row["source_refs"], row["content_digest"]) == (["call:9"], permit.grant.action_digest)
    assert result.detail == "memory mem-1 stored"


def test_a_grant_is_written_once(store: MemoryStore) -> None:
    """Again, it is the first result; and the store can say later that it was done."""
    first, again = store.write(a_write()), store.write(a_write())

    assert first == again == store.recall("grant-1")
    assert store.recall("grant-2") is None
    assert len(store.rows()) == 1


def test_a_memory_supersedes_another(store: MemoryStore) -> None:
    """The old one stays, marked, and names its successor."""
    store.write(a_write(1))
    store.write(a_write(2, supersedes="mem-1"))

    old, new = store.rows()
    assert (old["status"], old["superseded_by"]) == ("superseded", "mem-2")
    assert (new["status"], new["supersedes"]) == ("active", "mem-1")


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"supersedes": "mem-9"}, "supersedes: no active memory mem-9"),
        ({"package_id": "mem-1"}, "package_id: mem-1 is stored already"),
        ({"package_id": "mem-1", "supersedes": "mem-1"}, "package_id: mem-1 is stored already"),
        ({"retention": 2}, "retention: "),
        ({"unknown": "x"}, "unknown: "),
    ],
)
def test_what_cannot_be_kept_names_its_field_and_changes_nothing(
    store: MemoryStore, over: dict[str, Any], why: str
) -> None:
    """It certainly did not happen."""
    store.write(a_write(1))
    before = store.rows()

    with pytest.raises(NotDone, match=why):
        store.write(a_write(2, **over))

    assert store.rows() == before


def test_a_superseded_memory_is_not_superseded_again(store: MemoryStore) -> None:
    """Its successor is."""
    store.write(a_write(1))
    store.write(a_write(2, supersedes="mem-1"))

    with pytest.raises(NotDone, match="mem-1"):
        store.write(a_write(3, supersedes="mem-1"))


def test_another_effect_is_no_memory(store: MemoryStore) -> None:
    """The grant must say memory_write."""
    with pytest.raises(NotDone, match="effect_type"):
        store.write(a_permit(1, "memory.write", "payment", memory_args()))


def test_a_memory_is_revoked_once_and_kept(store: MemoryStore) -> None:
    """Why and when; the first reason stands."""
    store.write(a_write())

    first = store.revoke("mem-1", reason="wrong customer", tenant_id=None)
    again = store.revoke("mem-1", reason="another", tenant_id=None)

    assert (first["status"], first["revoked_for"]) == ("revoked", "wrong customer")
    assert again["revoked_for"] == "wrong customer"
    assert [row["status"] for row in store.rows()] == ["revoked"]


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_revoking_needs_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blank: str
) -> None:
    """Spaces say nothing: status 2, and the memory stays as it is."""
    file = tmp_path / "memories.sqlite3"
    MemoryStore(file).write(a_write())

    with pytest.raises(SystemExit) as ended:
        main(["--file", str(file), "revoke", "mem-1", "--reason", blank])

    assert ended.value.code == 2
    assert "argument --reason: is blank; say why" in capsys.readouterr().err
    assert [row["status"] for row in MemoryStore(file).rows()] == ["active"]


def test_revoking_needs_to_know_which(store: MemoryStore) -> None:
    """Tenants may use the same package id."""
    store.write(a_write(1))
    store.write(a_write(2, package_id="mem-1", tenant="globex"))

    with pytest.raises(LookupError, match="--tenant"):
        store.revoke("mem-1", reason="x", tenant_id=None)
    with pytest.raises(LookupError, match="mem-7"):
        store.revoke("mem-7", reason="x", tenant_id=None)
    assert store.revoke("mem-1", reason="x", tenant_id="globex")["tenant_id"] == "globex"
    assert [row["status"] for row in store.rows()] == ["active", "revoked"]


def test_it_lists_and_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One JSON object a line; a setting that is missing is named, with status 2."""
    monkeypatch.delenv("COUNTERSIGN_EXECUTOR_KEY", raising=False)
    file = tmp_path / "memories.sqlite3"
    MemoryStore(file).write(a_write())

    assert main(["--file", str(file), "list"]) == 0
    assert '"package_id": "mem-1"' in capsys.readouterr().out
    assert main(["--file", str(file)]) == 2
    assert "COUNTERSIGN_EXECUTOR_KEY: not set" in capsys.readouterr().err
    assert main(["--file", str(tmp_path / "no" / "folder"), "list"]) == 2
    assert "--file" in capsys.readouterr().err
