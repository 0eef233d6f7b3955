#!/usr/bin/env python3
"""Verify a bundle or an export of Paramedic's ledger without Paramedic.

    python3 verify_bundle.py FILE SEALER_PUBLIC_KEY

FILE is what `paramedic ledger bundle` or `paramedic ledger export` has written; SEALER_PUBLIC_KEY the file that
`paramedic ledger keys` has, which you should have got by another way than FILE.  Exit code 0: the records are those
that the sealer signed, none of them changed, and none left out; 1: they are not; 2: that cannot be told.

It needs Python 3.11 and the package `cryptography`.  What it checks, and how the files are made, stands in
docs/ledger.md; it shares no code with the product.  Rules about what the records mean are not checked here.
"""

# ruff: noqa: D102, D103, PTH123 - names say it, and the page shall stay one

from __future__ import annotations

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

DASH = "\u2014"


class ChangedError(Exception):
    """Something is not as it was written."""


class UnclearError(Exception):
    """It cannot be told."""


def need(holds: bool, problem: str) -> None:
    if not holds:
        raise ChangedError(problem)


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


# --- the tree of RFC 6962 -------------------------------------------------------------------------


def leaf_hash(body: bytes) -> bytes:
    return sha256(b"\x00" + body)


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


class Tree:
    """The roots of the perfect subtrees, the largest first: all that is needed to grow."""

    def __init__(self) -> None:
        self.size = 0
        self.roots: list[bytes] = []

    def append(self, node: bytes) -> None:
        size = self.size
        while size % 2:
            node = node_hash(self.roots.pop(), node)
            size //= 2
        self.roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        if not self.roots:
            return sha256(b"")
        node = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            node = node_hash(left, node)
        return node


def root_from(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    """Climb from a leaf to the root (RFC 9162, section 2.1.3.2); None where the proof does not fit."""
    node, last = leaf, size - 1
    for sibling in proof:
        if last == 0:
            return None
        if index % 2 or index == last:
            node = node_hash(sibling, node)
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            node = node_hash(node, sibling)
        index, last = index // 2, last // 2
    return node if last == 0 else None


# --- checkpoints ----------------------------------------------------------------------------------


class Key:
    """A sealer's public key: `<name>+<hash>+<base64 of 0x01 and the key>`."""

    def __init__(self, text: str) -> None:
        self.name, told, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        self.hash = sha256(self.name.encode() + b"\n" + raw)[:4]
        need(self.hash.hex() == told and raw[:1] == b"\x01", "that is no sealer's public key")
        self.key = Ed25519PublicKey.from_public_bytes(raw[1:])

    def open(self, note: str) -> tuple[int, bytes, str]:
        """Return the size, the root and the hash of the note before, if this key signed the note."""
        text, _, signature = note.partition("\n\n")
        dash, name, encoded = signature.removesuffix("\n").split(" ")
        signed = base64.b64decode(encoded, validate=True)
        need(base64.b64encode(signed).decode() + "\n" == signature[len(f"{dash} {name} ") :], "odd base64")
        need((dash, name, signed[:4]) == (DASH, self.name, self.hash), "a checkpoint of another key")
        self.key.verify(signed[4:], f"{text}\n".encode())
        origin, size, root, _, previous = text.split("\n")
        need(origin == self.name, "a checkpoint of another ledger")
        return int(size), base64.b64decode(root, validate=True), previous.removeprefix("previous ")


# --- records --------------------------------------------------------------------------------------


class Streams:
    """The chain of each stream: how many records it has, the last one's hash, and whether that is its ending."""

    def __init__(self) -> None:
        self.tails: dict[str, tuple[int, str, bool]] = {}

    def take(self, body: str, seq: int) -> dict:
        record = json.loads(body)
        stream = record["stream"]
        length, leaf, ended = self.tails.get(stream, (0, "", False))
        is_ending = record["kind"] == "ending"
        need(record["seq"] == seq, f"record {seq} says that it is another one")
        need(record["stream_seq"] == length, f"a record of {stream} is missing before record {seq}")
        need(record["stream_prev"] == leaf, f"record {seq} names another record before it")
        need(not ended or stream == "system", f"record {seq} comes after the ending of {stream}")
        need(not is_ending or record["data"]["count"] == length + 1, f"the ending of {stream} counted others")
        self.tails[stream] = length + 1, leaf_hash(body.encode()).hex(), is_ending
        return record


def canonical(value: object) -> bytes:
    """RFC 8785, for files whose own keys are ASCII; what stands in the records is text here."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode() + b"\n"


def parse(line: bytes) -> dict:
    parsed = json.loads(line)
    need(isinstance(parsed, dict) and canonical(parsed) == line, "a line is not as it was written")
    return parsed


def commitments(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$c"]} if value.keys() == {"$c"} and isinstance(value["$c"], str) else set()
        return own.union(*map(commitments, value.values()))
    return set().union(*map(commitments, value)) if isinstance(value, list) else set()


def verify_bundle(bundle: dict, key: Key) -> str:
    need(bundle.keys() == {"checkpoint", "format", "openings", "records", "remediation"}, "no bundle")
    size, root, _ = key.open(bundle["checkpoint"])
    streams, committed, name = Streams(), set(), bundle["remediation"]
    for item in bundle["records"]:
        need(item.keys() == {"body", "proof", "seq"}, "a record is none")
        need(0 <= item["seq"] < size, "a record stands outside the ledger")
        need(item["proof"] == [bytes.fromhex(node).hex() for node in item["proof"]], "a proof is none")
        proof = [bytes.fromhex(node) for node in item["proof"]]
        found = root_from(leaf_hash(item["body"].encode()), item["seq"], size, proof)
        need(found == root, f"record {item['seq']} is not what was sealed")
        record = streams.take(item["body"], item["seq"])
        need(record["stream"] == name, f"record {item['seq']} belongs to another remediation")
        committed |= commitments(record)
    for opening in bundle["openings"]:
        need(opening.keys() == {"salt", "value"}, "an opening is none")
        salt = bytes.fromhex(opening["salt"])
        need(salt.hex() == opening["salt"], "an opening is none")
        need(sha256(salt + opening["value"].encode()).hex() in committed, "an opening shows something else")
    count, _, ended = streams.tails.get(name, (0, "", False))
    if not ended:
        raise UnclearError(f"{name} has no ending here, so records may be missing after these {count}")
    return f"{name}: {count} records, complete, sealed when the ledger had {size}"


def verify_export(lines: list[bytes], key: Key) -> str:
    need(parse(lines[0]) == {"format": "paramedic-export-1", "origin": key.name}, "another ledger's export")
    tree, streams, previous, sealed = Tree(), Streams(), "none", 0
    for line in map(parse, lines[1:-1]):
        if line.keys() == {"record"}:
            leaf = leaf_hash(line["record"].encode())
            streams.take(line["record"], tree.size)
            tree.append(leaf)
        else:
            need(line.keys() == {"checkpoint"}, "a line is none that an export has")
            need(
                key.open(line["checkpoint"]) == (tree.size, tree.root(), previous),
                "other records were sealed",
            )
            previous, sealed = sha256(line["checkpoint"].encode()).hex(), tree.size
    end = {"last_checkpoint": previous, "records": tree.size, "root": tree.root().hex()}
    need(parse(lines[-1]) == {"end": end}, "the last line is missing or says something else")
    if not sealed:
        raise UnclearError("no checkpoint is in it")
    return f"{key.name}: {tree.size} records, the first {sealed} of them sealed"


def main(file: str, key_file: str) -> int:
    try:
        with open(key_file, encoding="utf-8") as text, open(file, "rb") as content:
            key, lines = Key(text.read()), content.readlines()
    except (OSError, ValueError, ChangedError) as error:
        print(f"cannot tell: {error}")
        return 2
    try:
        first = parse(lines[0]) if lines else {}
        is_bundle = first.get("format") == "paramedic-bundle-1" and len(lines) == 1
        print("good:", verify_bundle(first, key) if is_bundle else verify_export(lines, key))
    except UnclearError as doubt:
        print(f"cannot tell: {doubt}")
        return 2
    except (
        ChangedError,
        InvalidSignature,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        RecursionError,
    ) as error:
        print(f"TAMPERED WITH: {error or type(error).__name__}")
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
