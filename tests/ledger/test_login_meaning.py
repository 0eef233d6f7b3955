"""An answer through a command line counts only through a login of the person who gave it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from activities.ledger.findings import TamperedError
from activities.ledger.meaning import Meaning
from tests.ledger.test_meaning import of, on_record, sealed, story

PERSON = "slack:T1/U1"


def login(**changes: str) -> dict[str, Any]:
    facts = {"login": "L-7F3K2Q", "person": PERSON, "expires_at": "2026-03-14T15:00:00+00:00"}
    return {"kind": "login.issued", "stream": "system", "seq": 1, "data": {**facts, **changes}}


def ended() -> dict[str, Any]:
    return {
        "kind": "login.ended",
        "stream": "system",
        "seq": 2,
        "data": {"login": "L-7F3K2Q", "person": PERSON},
    }


def verify(
    *before: dict[str, Any],
    via: str = "cli:L-7F3K2Q",
    principal: dict[str, Any] | None = None,
    ahead: Sequence[str] = (),
) -> None:
    """Read a whole ledger, in which the approval came through the command line.

    Args:
        principal: what is different about who is said to have given it.
        ahead: what comes right before it is judged: `received`, `ended`.
    """
    told = story()
    judged = of(told, "decision")
    decision = judged["data"]["decision"]
    decision["via"] = via
    decision["principal"].update(principal or {})
    received = {
        "kind": "decision.received",
        "stream": judged["stream"],
        "data": {"id": decision["id"], "via": via},
    }
    place = told.index(judged)
    told[place:place] = [{"received": received, "ended": ended()}[each] for each in ahead]
    meaning = Meaning()
    for seq, each in enumerate([on_record(), *before, *sealed(told)]):
        meaning.read({**each, "seq": seq}, seq)


@pytest.mark.parametrize("via", ["cli", "cli:L-7F3K2Q", "slack"])
def test_an_answer_through_the_own_login_is_good(via):
    """As is one without any."""
    verify(login(), via=via)


def test_a_login_speaks_for_a_person_under_each_of_their_keys():
    """The ledger counts them under the first that is listed, and keeps the others with it."""
    verify(login(), principal={"key": "local:alice", "also": [PERSON]})
    with pytest.raises(TamperedError, match="who is somebody else"):
        verify(login(), principal={"key": "local:alice", "also": ["slack:T1/U2"]})


def test_an_answer_that_came_before_its_login_was_ended_is_good():
    """To judge it takes a while, in which the person may log out."""
    verify(login(), ahead=["received", "ended"])


@pytest.mark.parametrize("ahead", [["ended", "received"], ["ended"]])
def test_an_answer_through_a_login_that_had_been_ended_is_found(ahead):
    """Whatever time the answer says it was given at: the place in the ledger counts."""
    with pytest.raises(TamperedError, match="had been ended before the answer came"):
        verify(login(), ahead=ahead)


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
