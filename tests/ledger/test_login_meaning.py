"""An answer through a command line counts only through a login of the person who gave it."""

from __future__ import annotations

from typing import Any

import pytest

from activities.ledger.findings import TamperedError
from activities.ledger.meaning import Meaning
from tests.ledger.test_meaning import of, on_record, sealed, story

PERSON = "slack:T1/U1"


def login(**changes: str) -> dict[str, Any]:
    facts = {"login": "L-7F3K2Q", "person": PERSON, "expires_at": "2026-03-14T15:00:00+00:00"}
    return {"kind": "login.issued", "stream": "system", "seq": 1, "data": {**facts, **changes}}


def verify(*before: dict[str, Any], via: str = "cli:L-7F3K2Q") -> None:
    """Read a whole ledger, in which the approval came through the command line."""
    told = story()
    of(told, "decision")["data"]["decision"]["via"] = via
    meaning = Meaning()
    for seq, each in enumerate([on_record(), *before, *sealed(told)]):
        meaning.read({**each, "seq": seq}, seq)


@pytest.mark.parametrize("via", ["cli", "cli:L-7F3K2Q", "slack"])
def test_an_answer_through_the_own_login_is_good(via):
    """As is one without any."""
    verify(login(), via=via)


@pytest.mark.parametrize(
    ("before", "complaint"),
    [
        ((), "through which the answer came, is not on record"),
        ((login(person="slack:T1/UEVE"),), "speaks for slack:T1/UEVE, who is somebody else"),
        ((login(expires_at="2026-03-14T03:08:00+00:00"),), "had expired before the answer came"),
    ],
    ids=["none", "another's", "expired"],
)
def test_an_answer_through_no_such_login_is_found(before, complaint):
    """A listener that was broken into cannot lend somebody's name to a command line without it."""
    with pytest.raises(TamperedError, match=complaint):
        verify(*before)


def test_some_records_alone_are_not_blamed_for_a_login_that_stands_elsewhere():
    """A bundle holds one remediation; the logins stand in the system's stream."""
    told = story()
    of(told, "decision")["data"]["decision"]["via"] = "cli:L-7F3K2Q"
    meaning = Meaning()
    meaning.read(on_record(), 0)
    for seq, each in enumerate(sealed(told), start=40):
        meaning.read({**each, "seq": seq}, seq)
