#!/usr/bin/env python3
"""Verify a bundle or an export of Paramedic's ledger without Paramedic.

    python3 verify_bundle.py FILE SEALER_PUBLIC_KEYS [LISTENER_PUBLIC_KEY ...]

FILE is what `paramedic ledger bundle` or `paramedic ledger export` has written; SEALER_PUBLIC_KEYS the file that
`paramedic ledger keys` has, which you should have got by another way than FILE, as the listeners' keys (`paramedic
ledger keys --listeners`); without any, those in FILE are believed.  Exit code 0: the records are those that the
sealer signed, none of them changed, none left out, and each decision that counted is signed by a listener; 1: they
are not; 2: that cannot be told.

It needs Python 3.11 and the package `cryptography`.  What it checks, and how the files are made, stands in
docs/ledger.md; it shares no code with the product.  Of the rules about what the records mean it knows one: that a
listener signed what people decided.
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
RETIRED = "the last checkpoint is signed by a key that has handed over, and who has stolen it since can have made it"
UNSIGNED = ("reason", "reason_salt")  # of a decision: its signature covers their digest
HEIR = "the last checkpoint is signed by a key that was not given, which the one before it names"


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


class Note:
    """A checkpoint: what it says, and a signature that nobody has verified yet."""

    def __init__(self, text: str) -> None:
        said, _, signature = text.partition("\n\n")
        _, self.signer, encoded = signature.removesuffix("\n").split(" ")
        self.said, self.signature = f"{said}\n", base64.b64decode(encoded, validate=True)
        written = f"{DASH} {self.signer} {base64.b64encode(self.signature).decode()}\n"
        need(signature == written, "a signature is not as it is written")
        self.origin, size, root, _, previous, *more = said.split("\n")
        self.size, self.root = int(size), base64.b64decode(root, validate=True)
        self.previous, self.hash = previous.removeprefix("previous "), sha256(text.encode()).hex()
        lines = dict(line.split(" ", 1) for line in more)
        need(lines.keys() <= {"successor", "anew"}, "a checkpoint says something unknown")
        self.successor, self.anew = lines.get("successor", ""), lines.get("anew", "")


class Key:
    """A sealer's public key: `<name>+<hash>+<base64 of 0x01 and the key>`, and ` until <records>` if it has handed over."""

    def __init__(self, text: str) -> None:
        self.text, _, until = text.strip().partition(" until ")
        self.name, told, encoded = self.text.split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        self.hash = sha256(self.name.encode() + b"\n" + raw)[:4]
        need(self.hash.hex() == told and raw[:1] == b"\x01", "that is no sealer's public key")
        self.key = Ed25519PublicKey.from_public_bytes(raw[1:])
        self.until = int(until) if until else sys.maxsize

    @property
    def has_retired(self) -> bool:
        return self.until < sys.maxsize

    def signed(self, note: Note) -> bool:
        if (note.signer, note.origin, note.signature[:4]) != (self.name, self.name, self.hash):
            return False
        return note.size <= self.until and is_signed(self.key, note.signature[4:], note.said.encode())


def is_signed(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


class Office:
    """Who has to sign the next checkpoint of an export."""

    def __init__(self, keys: list[Key]) -> None:
        self.keys, self.holder, self.unknown = keys, None, False
        self.last: Key | None = None
        self.announced: dict[int, str] = {}
        self.warnings: list[str] = []

    def take(self, note: Note) -> bool:
        """Return whether a key that was given, or its successor, signed this."""
        bound = self.holder is not None and not note.anew
        signer = next((key for key in ([self.holder] if bound else self.keys) if key.signed(note)), None)
        if signer is None:
            need(self.holder is None, "a checkpoint is signed by another key than that in office")
            self.unknown = True  # unless a key that was given says that this one was lost
            return False
        if note.anew:
            need(self.announced.get(int(note.anew)) == signer.text, "a key begins anew without a word")
            self.warnings.append(f"another key began anew: see record {note.anew}")
        else:
            need(not self.unknown, "a checkpoint is signed by no key that was given")
        self.unknown, self.holder, self.last = False, signer, signer
        if note.successor:
            self.holder = successor_of(note, signer, self.keys)
            self.unknown = self.holder is None  # unless a key that was given says that the successor was lost
            signer.until = note.size
        return True

    def judge_last(self, size: int) -> None:
        """Warn where all rests on a key that has handed over, or that nobody has given."""
        if self.last is None:
            return
        if size > self.last.until:
            raise UnclearError(f"{RETIRED}; its successor has sealed none of the records after it")
        if self.last.has_retired:
            self.warnings.append(RETIRED)
        elif self.last not in self.keys:
            self.warnings.append(HEIR)


def successor_of(note: Note, signer: Key, keys: list[Key]) -> Key | None:
    """Return who comes after; None where the signer's time is known, and it cannot have handed over with this."""
    given = next((key for key in keys if key.text == note.successor), None)
    if signer.has_retired and (given is None or note.size != signer.until):
        return None
    return given or Key(note.successor)


def each_once(keys: list[Key]) -> list[Key]:
    """Return these keys, each for the shortest time that it was given with."""
    found: dict[str, Key] = {}
    for key in keys:
        first = found.setdefault(key.text, key)
        first.until = min(first.until, key.until)
    return list(found.values())


# --- records --------------------------------------------------------------------------------------


class Streams:
    """The chain of each stream: how many records it has, the last one's hash, and whether that is its ending.

    And the listeners that are believed: those that were given, or those on record before what they signed.
    """

    def __init__(self, listeners: list[bytes]) -> None:
        self.tails: dict[str, tuple[int, str, bool]] = {}
        self.listeners = {sha256(raw).hex()[:16]: raw for raw in listeners}
        self.only_given = bool(listeners)
        self.decisions = 0

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
        self.listen(record)
        return record

    def listen(self, record: dict) -> None:
        data = record["data"]
        if record["kind"] == "listener.key":
            raw = base64.b64decode(data["key"], validate=True)
            need(sha256(raw).hex()[:16] == data["key_id"], "a listener's key has another id")
            if not self.only_given:
                self.listeners[data["key_id"]] = raw
        elif record["kind"] == "decision" and record["outcome"] == "accepted":
            key = Ed25519PublicKey.from_public_bytes(self.listeners.get(data["key_id"], b""))
            said = {name: value for name, value in data["decision"].items() if name not in UNSIGNED}
            content = b"paramedic-decision-v1\n" + canonical(said)
            signature = base64.b64decode(data["signature"], validate=True)
            need(is_signed(key, signature, content), f"no listener signed record {record['seq']}")
            self.decisions += 1


def canonical(value: object) -> bytes:
    """RFC 8785, for files whose own keys are ASCII; what stands in the records is text here."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def parse(line: bytes) -> dict:
    parsed = json.loads(line)
    need(isinstance(parsed, dict) and canonical(parsed) + b"\n" == line, "a line is not as it was written")
    return parsed


def commitments(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$c"]} if value.keys() == {"$c"} and isinstance(value["$c"], str) else set()
        return own.union(*map(commitments, value.values()))
    return set().union(*map(commitments, value)) if isinstance(value, list) else set()


def opened(opening: dict) -> str:
    """Return the commitment that this opens."""
    need(opening.keys() == {"salt", "value"}, "an opening is none")
    salt = bytes.fromhex(opening["salt"])
    need(salt.hex() == opening["salt"], "an opening is none")
    return sha256(salt + opening["value"].encode()).hex()


def proven(item: dict, note: Note) -> str:
    """Return the body of a record of a bundle, which is among those that were sealed."""
    need(item.keys() == {"body", "proof", "seq"}, "a record is none")
    need(0 <= item["seq"] < note.size, "a record stands outside the ledger")
    need(item["proof"] == [bytes.fromhex(node).hex() for node in item["proof"]], "a proof is none")
    proof = [bytes.fromhex(node) for node in item["proof"]]
    found = root_from(leaf_hash(item["body"].encode()), item["seq"], note.size, proof)
    need(found == note.root, f"record {item['seq']} is not what was sealed")
    return item["body"]


def verify_bundle(bundle: dict, keys: list[Key], listeners: list[bytes]) -> str:
    names = {"checkpoint", "format", "handovers", "listeners", "openings", "records", "remediation"}
    need(bundle.keys() == names, "no bundle")
    given = keys
    for handover in map(Note, bundle["handovers"]):
        signer = next((key for key in keys if key.signed(handover)), None)
        need(signer is not None and handover.successor, "a key hands over that is not in office")
        successor = successor_of(handover, signer, keys)
        need(successor is not None, "a key hands over at another time, or to a key that was not given")
        signer.until = handover.size
        keys = each_once([*keys, successor])
    note = Note(bundle["checkpoint"])
    signer = next((key for key in keys if key.signed(note)), None)
    need(signer is not None, "the checkpoint is signed by no key that was given")
    streams, committed, name = Streams(listeners), set(), bundle["remediation"]
    waiting = [json.loads(proven(item, note)) for item in bundle["listeners"]]
    for item, record in zip(bundle["listeners"], waiting, strict=True):
        need((record["kind"], record["seq"]) == ("listener.key", item["seq"]), "that is no listener's key")
    waiting.sort(key=lambda record: record["seq"])
    for item in bundle["records"]:
        while waiting and waiting[0]["seq"] < item["seq"]:  # a key counts from its record on
            streams.listen(waiting.pop(0))
        record = streams.take(proven(item, note), item["seq"])
        need(record["stream"] == name, f"record {item['seq']} belongs to another remediation")
        committed |= commitments(record)
    for opening in bundle["openings"]:
        need(opened(opening) in committed, "an opening shows something else")
    count, _, ended = streams.tails.get(name, (0, "", False))
    if not ended:
        raise UnclearError(f"{name} has no ending here, so records may be missing after these {count}")
    decided = f", {streams.decisions} decisions under a listener's seal" if streams.decisions else ""
    told = f"{name}: {count} records, complete{decided}, sealed when the ledger had {note.size}"
    if signer.has_retired:
        return f"{told}; {RETIRED}"
    return told if signer in given else f"{told}; {HEIR}"


class Export:
    """The lines of an export, on their way."""

    def __init__(self, keys: list[Key], listeners: list[bytes]) -> None:
        self.tree, self.streams, self.office = Tree(), Streams(listeners), Office(keys)
        self.previous, self.sealed, self.pruned = "none", 0, 0
        self.absent: dict[str, int] = {}
        self.gone: set[str] = set()
        self.named: set[str] = set()  # what the last record names by its hash

    def take(self, line: dict) -> None:
        (name, said), *more = line.items()
        need(not more and name in READERS, "a line is none that an export has")
        READERS[name](self, said)

    def record(self, body: str) -> None:
        record = self.streams.take(body, self.tree.size)
        data = record["data"]
        need(record["stream"] not in self.gone, f"records of {record['stream']} were taken away")
        if record["kind"] == "ledger.pruned":
            told = sum(self.absent.pop(stream, 0) for stream in data["streams"])
            need(told == data["records"], f"{told} records were pruned, and not {data['records']}")
        if record["kind"] == "sealer.anew":
            self.office.announced[self.tree.size] = data["key"]
        self.named = commitments(record) | {data.get("raw") if isinstance(data, dict) else ""}
        self.tree.append(leaf_hash(body.encode()))

    def without_body(self, said: dict) -> None:
        leaf, stream = bytes.fromhex(said["leaf"]), said["stream"]
        need(said == {"leaf": leaf.hex(), "stream": stream} and len(leaf) == 32, "a hash is none")
        need(stream != "system" and stream not in self.streams.tails, f"records of {stream} are missing")
        self.absent[stream] = self.absent.get(stream, 0) + 1
        self.gone.add(stream)
        self.named = set()
        self.pruned += 1
        self.tree.append(leaf)

    def opening(self, said: dict) -> None:
        need(opened(said) in self.named, "an opening shows something else")

    def raw(self, said: str) -> None:
        content = base64.b64decode(said, validate=True)
        need(base64.b64encode(content).decode() == said, "a message is not as it is written")
        need(sha256(content).hex() in self.named, "a message is another one")

    def checkpoint(self, text: str) -> None:
        note = Note(text)
        believed = self.office.take(note)
        need(note.previous == self.previous, "a checkpoint does not follow the one before")
        need((note.size, note.root) == (self.tree.size, self.tree.root()), "other records were sealed")
        self.previous, self.sealed = note.hash, self.tree.size if believed else self.sealed


READERS = {
    "record": Export.record,
    "pruned": Export.without_body,
    "opening": Export.opening,
    "raw": Export.raw,
    "checkpoint": Export.checkpoint,
}


def verify_export(lines: list[bytes], keys: list[Key], listeners: list[bytes]) -> str:
    name = keys[0].name
    need(parse(lines[0]) == {"format": "paramedic-export-1", "origin": name}, "another ledger's export")
    export = Export(keys, listeners)
    for line in map(parse, lines[1:-1]):
        export.take(line)
    end = {"last_checkpoint": export.previous, "records": export.tree.size, "root": export.tree.root().hex()}
    need(parse(lines[-1]) == {"end": end}, "the last line is missing or says something else")
    need(not export.office.unknown, "the last checkpoints are signed by no key that was given")
    need(not export.absent, "records are gone, and none says that they were pruned")
    if not export.sealed:
        raise UnclearError("no checkpoint is in it")
    export.office.judge_last(export.tree.size)
    decided = (
        f", {export.streams.decisions} decisions under a listener's seal" if export.streams.decisions else ""
    )
    more = [f", {export.pruned} of them pruned" if export.pruned else "", decided]
    told = f"{name}: {export.tree.size} records, the first {export.sealed} of them sealed{''.join(more)}"
    return "; ".join([told, *export.office.warnings])


def judge(lines: list[bytes], keys: list[Key], listeners: list[bytes]) -> tuple[int, str]:
    """Return the exit code, and what is to be said."""
    try:
        first = parse(lines[0]) if lines else {}
        is_bundle = first.get("format") == "paramedic-bundle-1" and len(lines) == 1
        known = each_once(keys)
        said = verify_bundle(first, known, listeners) if is_bundle else verify_export(lines, known, listeners)
    except UnclearError as doubt:
        return 2, f"cannot tell: {doubt}"
    except (
        ChangedError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        RecursionError,
    ) as error:  # of what somebody else may have written
        return 1, f"TAMPERED WITH: {error or type(error).__name__}"
    return 0, f"good: {said}"


def read(file: str, key_file: str, listener_keys: list[str]) -> tuple[list[bytes], list[Key], list[bytes]]:
    with open(key_file, encoding="utf-8") as text, open(file, "rb") as content:
        keys, lines = [Key(line) for line in text if line.strip()], content.readlines()
    need(bool(keys), f"there is no key in {key_file}")
    return lines, keys, [base64.b64decode(key, validate=True) for key in listener_keys]


def main(file: str, key_file: str, *listener_keys: str) -> int:
    try:
        given = read(file, key_file, list(listener_keys))
    except (OSError, ValueError, ChangedError) as error:
        print(f"cannot tell: {error}")
        return 2
    code, said = judge(*given)
    print(said)
    return code


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
