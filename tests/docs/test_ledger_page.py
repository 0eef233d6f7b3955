"""docs/ledger.md is exact: its example verifies, and has the hashes that the page says."""

from __future__ import annotations

import hashlib
import json
import re

from activities.ledger.exports import verify_export
from activities.ledger.findings import VerifiedState
from activities.ledger.merkle import leaf_hash
from activities.ledger.notes import PublicKey
from runbooks.model.base import canonical
from tests.docs.pages import read

PAGE = read("docs/ledger.md")
BLOCKS = re.findall(r"^```(jsonl|text)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
EXPORT = next(text for kind, text in BLOCKS if kind == "jsonl")
KEY, LEAVES = (text.split() for kind, text in BLOCKS if kind == "text")
BODIES = [line["record"] for line in map(json.loads, EXPORT.splitlines()) if "record" in line]


def test_the_example_verifies_with_the_key_beside_it():
    """Whoever writes a verifier can begin with it."""
    report = verify_export(EXPORT.encode().splitlines(keepends=True), [PublicKey.parse(*KEY)])

    assert (report.state, report.problem) == (VerifiedState.OK, "")
    assert (report.size, report.checkpoints, report.sealed) == (3, 2, 3)


def test_the_leaves_are_those_of_the_example():
    """To find out which half of a verifier is wrong."""
    assert [leaf_hash(body.encode()).hex() for body in BODIES] == LEAVES


def test_the_commitment_is_opened_by_what_the_page_says():
    """Salt and value, as it describes them."""
    digest = hashlib.sha256(bytes(range(32)) + canonical("web-1 is down")).hexdigest()

    assert json.loads(BODIES[1])["data"]["alert"] == {"$c": digest}
