"""The Merkle tree of RFC 6962: one hash that stands for the whole ledger, and short proofs about it.

A tree over n leaves is a row of perfect subtrees, one for each bit of n, the largest first.  Their
roots are the *frontier*: all that is needed to append (about log2 n hashes) and to know the root.

A proof lets somebody who holds only a root check that a record is in the ledger (*inclusion*).  That the
ledger of today begins with that of then needs none here: whoever asks has either the old frontier, as
the sealer does, or all leaves, as an export has.

Source: RFC 6962 section 2.1, and the verification algorithm of RFC 9162 section 2.1.3.2.
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
