"""Merkle trees as RFC 6962 has them, held to the reference values of certificate transparency."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.merkle import EMPTY_ROOT, Frontier, Tree, consistent, included, leaf_hash

# The test vectors of the certificate-transparency reference implementations.
INPUTS: Final = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS: Final = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES: Final = [leaf_hash(data) for data in INPUTS]
INCLUSION: Final[dict[tuple[int, int], list[str]]] = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
"""By leaf (from 0) and size."""
CONSISTENCY: Final[dict[tuple[int, int], list[str]]] = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def hexes(path: Sequence[bytes]) -> list[str]:
    """As the vectors are written."""
    return [step.hex() for step in path]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_reference_ones(size: int) -> None:
    """Grown leaf by leaf, or asked of the whole tree at any size."""
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier = frontier.grown(leaf)

    assert frontier.root.hex() == ROOTS[size - 1]
    assert Tree(LEAVES).root(size).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    """RFC 6962: the hash of an empty list is the hash of an empty string."""
    assert Frontier().root == Tree().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_the_reference_ones(index: int, size: int) -> None:
    """From the leaf's neighbour upwards."""
    assert hexes(Tree(LEAVES).inclusion(index, size)) == INCLUSION[index, size]


@pytest.mark.parametrize(("first", "second"), CONSISTENCY)
def test_consistency_proofs_are_the_reference_ones(first: int, second: int) -> None:
    """Without the root of the smaller tree where it is a perfect one."""
    assert hexes(Tree(LEAVES).consistency(first, second)) == CONSISTENCY[first, second]


SIZES: Final = st.integers(1, 70)


def tree_of(size: int) -> Tree:
    """A tree of numbered leaves."""
    return Tree(leaf_hash(str(number).encode()) for number in range(size))


@given(SIZES, st.data())
def test_every_proof_holds_for_its_leaf_place_and_size_alone(
    size: int, data: st.DataObject
) -> None:
    """Another leaf, place, size, root, a shorter, longer or altered path proves nothing."""
    tree = tree_of(size)
    index = data.draw(st.integers(0, size - 1))
    leaf, path, root = tree.leaf(index), tree.inclusion(index, size), tree.root()

    assert included(leaf, index, size, path, root)
    assert not included(leaf_hash(b"other"), index, size, path, root)
    assert not included(leaf, index, size, [*path, leaf], root)
    assert not included(leaf, index, size, path, leaf_hash(root))
    assert not included(leaf, -1, size, path, root)
    assert not included(leaf, size, size, path, root)
    if size > 1:
        assert not included(leaf, (index + 1) % size, size, path, root)
        assert not included(leaf, index, size, path[:-1], root)
        broken = data.draw(st.integers(0, len(path) - 1))
        path[broken] = leaf_hash(path[broken])
        assert not included(leaf, index, size, path, root)


@given(SIZES, st.data())
def test_a_tree_that_grew_is_proven_to_begin_with_what_it_was(
    size: int, data: st.DataObject
) -> None:
    """And one that was rewritten is not."""
    tree = tree_of(size)
    first = data.draw(st.integers(1, size))
    path, before, now = tree.consistency(first, size), tree.root(first), tree.root()

    assert consistent(first, size, before, now, path)
    assert not consistent(first, size, leaf_hash(before), now, path)
    assert not consistent(first, size, before, leaf_hash(now), path)
    assert not consistent(first, size, before, now, [*path, now])
    assert not consistent(0, size, before, now, path)
    assert not consistent(size + 1, size, before, now, path)
    if path:
        assert not consistent(first, size, before, now, path[:-1])
        broken = data.draw(st.integers(0, len(path) - 1))
        path[broken] = leaf_hash(path[broken])
        assert not consistent(first, size, before, now, path)


@given(st.integers(0, 300))
def test_a_frontier_says_what_the_whole_tree_says(size: int) -> None:
    """Though it keeps a hash for each bit of the size only."""
    frontier = Frontier()
    for number in range(size):
        frontier = frontier.grown(leaf_hash(str(number).encode()))

    assert (frontier.size, frontier.root) == (size, tree_of(size).root())
    assert len(frontier.peaks) == size.bit_count()


@pytest.mark.parametrize(
    ("size", "peaks"), [(1, ()), (2, (b"x" * 32, b"y" * 32)), (-1, ()), (1, (b"short",))]
)
def test_a_frontier_that_cannot_be_is_refused(size: int, peaks: tuple[bytes, ...]) -> None:
    """As many hashes as the size has bits, each a whole one."""
    with pytest.raises(ValueError):
        Frontier(size, peaks)
