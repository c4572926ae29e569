"""What a bundle says to the auditor who opens it."""

from __future__ import annotations

from consumers.audit.bundle import About

_TEXT = """\
# Evidence of a Countersign deployment

{what}

Nothing in here has to be believed: every statement follows from bytes that you can check, and from
two sets of public keys that you should compare with what you were given by another way.

## Check it with the tool

    countersign audit verify DIR --manifest-sha256 DIGEST

It needs no network and no server. DIGEST is what `audit export` printed; ask for it by another way
than this bundle. If you hold the public keys yourself, set COUNTERSIGN_TRUSTED_KEYS and
COUNTERSIGN_GRANT_TRUSTED_KEYS to them: then yours count, not those in `keys/`. A second program that
shares no code with the first (in Go) is in the source tree under `tests/independent/`.

## Check it by hand

1. Every file: `sha256sum -c manifest.sha256`, then
   `jq -r '.files|to_entries[]|"\\(.value.sha256)  \\(.key)"' manifest.json | sha256sum -c`; there may
   be no other files.
2. The values: `sed -n 1p journal/0.jsonl | jq -r .value | base64 -d` is one entry: the bytes C3 01,
   the fingerprint of its schema (8 bytes, as in the file names under `schemas/`), and the record in
   Avro's binary encoding. `readable/` shows the same entries decoded.
3. The chain: an entry's `hash` is SHA-256 of `prev_hash` (64 characters) and of the entry's value
   with the field `hash` empty, that is with its 66 bytes (the length 80 01 and 64 characters)
   replaced by a single 00. `prev_hash` is the hash of the entry before; for entry 0 it is SHA-256 of
   `cluster_id/journal_id/partition`, which the manifest names.
4. The tree: the leaf of an entry is SHA-256 of 00 and its value; a node is SHA-256 of 01 and its two
   children (RFC 6962). Where an entry is withheld, its line has the leaf, if a checkpoint covers it.
   The root over the first `size` leaves is the `root` of the checkpoint with that size.
5. The checkpoints: `checkpoint_jws` is a JWS (EdDSA, type countersign-checkpoint+jwt) by a key in
   `keys/grants.jwks.json` over partition, size, root, head_hash, occurred_at and, as `journal`, the
   hash from which the chain begins. Whoever could write the topics could compute every hash anew,
   but not this signature.
6. One entry alone: `proofs/` has its audit path (RFC 6962, section 2.1.1) to a checkpoint's root.
7. The grants: each opened gate among the events has a `grant_jws` by a key in
   `keys/grants.jwks.json`; its claims say what the gate event says.
8. The inputs: a header countersign-signature is a JWS by a key in `keys/trusted.jwks.json`; its claim
   `body` is the SHA-256 of the input's value.
9. The judgements: only the tool judges again; the rules are in the source tree under `core/`.

## What it does not show

- Entries behind the last checkpoint are chained, but no signature covers them yet.
- That an entry was withheld hides what it says, not that it is there.
- An approval shows that somebody with the right to do so approved; not that it was wise.
"""
_ALL = "The audit journal of all tenants, from its first entry."
_TENANT = """\
The entries of tenant {tenant}{packages} in the audit journal. Of every other entry there is
only the hash, so that the trees can be computed; policies and people are those of this tenant."""


def readme_text(about: About) -> bytes:
    """The README of a bundle: it follows from what the bundle is of."""
    scope = about.scope
    if scope.tenant_id is None:
        what = _ALL
    else:
        packages = ", packages " + ", ".join(scope.package_ids) if scope.package_ids else ""
        what = _TENANT.format(tenant=scope.tenant_id, packages=packages)
    counts = [
        f"- partition {part.partition}: {part.entries} entries, {part.withheld} of them withheld, "
        f"{part.checkpoints} checkpoints"
        for part in about.parts
    ]
    return _TEXT.format(what="\n".join([what, "", *counts])).encode()
