"""The Merkle tree is that of RFC 6962."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    includes,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
)

VECTOR = [
    leaf_hash(bytes.fromhex(text))
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
"""The leaves of the certificate-transparency test vectors."""

ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}

sizes = st.integers(min_value=1, max_value=70)


def leaves(size: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(size)]


def naive_root(hashes: list[bytes]) -> bytes:
    """Return the root as RFC 6962 defines it, word by word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(naive_root(hashes[:k]), naive_root(hashes[k:]))


def naive_inclusion(index: int, hashes: list[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]) of RFC 6962, section 2.1.1."""
    if len(hashes) == 1:
        return []
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if index < k:
        return [*naive_inclusion(index, hashes[:k]), naive_root(hashes[k:])]
    return [*naive_inclusion(index - k, hashes[k:]), naive_root(hashes[:k])]


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_has_the_published_roots(size: int, root: str) -> None:
    """The roots over the published leaves are the published ones."""
    assert root_of(VECTOR[:size]).hex() == root


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    """A tree without leaves has a root too."""
    assert Frontier().root() == EMPTY_ROOT == naive_root([])


@given(sizes)
def test_grows_to_the_root_of_the_definition(size: int) -> None:
    """Appending leaf by leaf leads to the root that the recursive definition gives."""
    assert root_of(leaves(size)) == naive_root(leaves(size))


@given(sizes)
def test_a_frontier_that_was_written_down_goes_on_where_it_was(size: int) -> None:
    """Written to bytes and read again, a tree grows as if nothing had happened."""
    before = Frontier()
    for leaf in leaves(size):
        before.append(leaf)

    after = Frontier.parse(size, before.encode())

    assert after.root() == before.root()
    before.append(VECTOR[0])
    after.append(VECTOR[0])
    assert after.encode() == before.encode()


def test_a_frontier_of_another_size_is_refused() -> None:
    """A tree of three leaves cannot have the frontier of a tree of four."""
    with pytest.raises(ValueError, match="3 leaves has a frontier of 2"):
        Frontier.parse(3, bytes(32))


@given(st.data())
def test_each_leaf_is_shown_to_be_included(data: st.DataObject) -> None:
    """The proof is that of the definition, and is believed."""
    size = data.draw(sizes)
    index = data.draw(st.integers(0, size - 1))

    proof = inclusion_proof(leaves(size), index)

    assert proof == naive_inclusion(index, leaves(size))
    assert includes(root_of(leaves(size)), size, index=index, leaf=leaves(size)[index], proof=proof)


@given(st.data())
def test_nothing_else_is_shown_to_be_included(data: st.DataObject) -> None:
    """Another leaf, place, size or root, or a changed proof, is not believed."""
    size = data.draw(st.integers(2, 70))
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    root, proof, leaf = root_of(hashes), inclusion_proof(hashes, index), hashes[index]
    other = (index + data.draw(st.integers(1, size - 1))) % size
    place = data.draw(st.integers(0, len(proof) - 1))
    changed = [*proof[:place], VECTOR[0], *proof[place + 1 :]]

    assert not includes(root, size, index=other, leaf=leaf, proof=proof)
    assert not includes(root, size, index=index, leaf=VECTOR[0], proof=proof)
    assert not includes(VECTOR[0], size, index=index, leaf=leaf, proof=proof)
    assert not includes(root, size, index=index, leaf=leaf, proof=changed)
    assert not includes(root, size, index=index, leaf=leaf, proof=proof[:-1])
    assert not includes(root, size, index=index, leaf=leaf, proof=[*proof, VECTOR[0]])
    assert not includes(root, size, index=size, leaf=leaf, proof=proof)


def test_there_is_no_proof_about_what_is_not_there() -> None:
    """Asking about a leaf that never was is an error."""
    with pytest.raises(IndexError, match="no leaf 8 among 8"):
        inclusion_proof(VECTOR, 8)
