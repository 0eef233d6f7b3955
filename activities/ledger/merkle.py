"""The Merkle tree of RFC 6962: one hash that stands for the whole ledger, and short proofs about it.

A tree over n leaves is a row of perfect subtrees, one for each bit of n, the largest first.  Their
roots are the *frontier*: all that is needed to append (about log2 n hashes) and to know the root.

Two kinds of proof let somebody who holds only a root check a claim: *inclusion* (this record is
in the ledger) and *consistency* (the ledger of today begins with the ledger of then).

Source: RFC 6962 section 2.1, and the verification algorithms of RFC 9162 section 2.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of one entry."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node.  Its prefix differs, so that no node passes for a leaf."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The state of a growing tree: its size and the roots of its perfect subtrees, largest first."""

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)

    @classmethod
    def parse(cls, size: int, encoded: bytes) -> Frontier:
        """Read what `encode` wrote.

        Raises:
            ValueError: a tree of that size has another number of subtrees.
        """
        if len(encoded) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"a tree of {size} leaves has a frontier of {size.bit_count()} hashes")
        return cls(size, (encoded[i : i + HASH_BYTES] for i in range(0, len(encoded), HASH_BYTES)))

    def encode(self) -> bytes:
        """Return the subtrees' roots in one piece."""
        return b"".join(self._roots)

    def append(self, leaf: bytes) -> None:
        """Grow by one leaf, given as its hash."""
        node, size = leaf, self.size
        while size & 1:  # a subtree of the same height stands to the left: the two become one
            node = node_hash(self._roots.pop(), node)
            size >>= 1
        self._roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the hash of the whole tree."""
        if not self._roots:
            return EMPTY_ROOT
        root = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            root = node_hash(left, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root of the tree over `leaves`, given as hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def _split(size: int) -> int:
    """Return the largest power of two below `size`: where a tree of more than one leaf parts."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the hashes that lead from leaf `index` to the root, lowest first.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"there is no leaf {index} among {len(leaves)}")
    proof: list[bytes] = []
    while len(leaves) > 1:
        middle = _split(len(leaves))
        left, right = leaves[:middle], leaves[middle:]
        if index < middle:
            proof.append(root_of(right))
            leaves = left
        else:
            proof.append(root_of(left))
            leaves, index = right, index - middle
    return proof[::-1]


def includes(root: bytes, size: int, *, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether `proof` shows that the tree with this root and size has `leaf` at `index`."""
    if not 0 <= index < size:
        return False
    node, last = leaf, size - 1
    for sibling in proof:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and node == root


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the hashes that show that the tree over the first `old_size` leaves grew into this one.

    Raises:
        IndexError: the old tree would be larger than the new one.
    """
    if not 0 <= old_size <= len(leaves):
        raise IndexError(f"a tree of {len(leaves)} leaves did not grow from one of {old_size}")
    if old_size in {0, len(leaves)}:
        return []
    proof: list[bytes] = []
    whole = True  # whether the old tree's root is the root of what is left of it
    while old_size != len(leaves):
        middle = _split(len(leaves))
        if old_size <= middle:
            proof.append(root_of(leaves[middle:]))
            leaves = leaves[:middle]
        else:
            proof.append(root_of(leaves[:middle]))
            leaves, old_size, whole = leaves[middle:], old_size - middle, False
    if not whole:
        proof.append(root_of(leaves))
    return proof[::-1]


def is_consistent(
    old_root: bytes, new_root: bytes, *, old_size: int, new_size: int, proof: Sequence[bytes]
) -> bool:
    """Return whether `proof` shows that the new tree begins with the leaves of the old one."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size in {0, new_size}:
        expected = EMPTY_ROOT if old_size == 0 else new_root
        return not proof and old_root == expected
    path = list(proof)
    if old_size.bit_count() == 1:  # the old tree is one perfect subtree: its root begins the path
        path.insert(0, old_root)
    return bool(path) and _climb(path, old_size - 1, new_size - 1) == (old_root, new_root)


def _climb(path: list[bytes], index: int, last: int) -> tuple[bytes, bytes] | None:
    """Return the roots of the old and the new tree that `path` leads to; None if it leads nowhere."""
    while index & 1:
        index, last = index >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if index & 1 or index == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        index, last = index >> 1, last >> 1
    return (old, new) if last == 0 else None
