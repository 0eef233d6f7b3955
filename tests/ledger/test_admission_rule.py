"""Admission, the rule: what speaks against acting, in words for somebody who was just woken up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbooks.model.freeze import Freeze
from runbooks.model.remediation import Ending
from runbooks.model.runbook import Limits
from runbooks.policy.admission import AdmissionFacts, LeaseHolder, PastEnding, objection
from tests.ledger.material import NIGHT

HALF_AN_HOUR = Limits(cooldown=timedelta(minutes=30))
FREEZE = Freeze(scope="target=web-1", actor="slack:T1/U1", reason="we migrate", at=NIGHT)
HOLDER = LeaseHolder(remediation="R-7F3K2Q", runbook="reboot", until=NIGHT + timedelta(hours=1))
PAST = PastEnding(remediation="R-7F3K2Q", ending=Ending.NOT_NEEDED, at=NIGHT)


def facts(**more: object) -> AdmissionFacts:
    return AdmissionFacts(runbook="disk-full", target="web-1", **more)


def why(
    known: AdmissionFacts, limits: Limits = HALF_AN_HOUR, after: timedelta = timedelta()
) -> tuple[str, str]:
    withheld = objection(known, limits, NIGHT + after)
    return (withheld.reason, withheld.sentence) if withheld else ("", "")


def test_nothing_speaks_against_it_where_nothing_is_known() -> None:
    """No freeze, nobody there, never run before."""
    assert objection(facts(), Limits(), NIGHT) is None


def test_a_freeze_withholds_and_names_who_and_since_when() -> None:
    """And what to do about it."""
    assert why(facts(freezes=(FREEZE,)), after=timedelta(hours=22)) == (
        "frozen",
        (
            "slack:T1/U1 froze the target web-1 at 2026-03-14 03:07 UTC: we migrate. "
            "Nothing is done until the freeze is lifted: lift it, or act by hand."
        ),
    )


def test_a_freeze_without_a_reason_is_one_all_the_same() -> None:
    """A brake asks for no explanation."""
    silent = FREEZE.model_copy(update={"reason": "", "scope": "*"})

    assert why(facts(freezes=(silent,)))[1].startswith(
        "slack:T1/U1 froze everything at 03:07 UTC: no reason given. Nothing is done"
    )


def test_a_freeze_of_something_else_does_not_matter() -> None:
    """A scope is a scope."""
    elsewhere = FREEZE.model_copy(update={"scope": "target=web-2"})

    assert objection(facts(freezes=(elsewhere,)), Limits(), NIGHT) is None


def test_the_freeze_file_withholds_too() -> None:
    """The brake that works without the ledger says its own sentence."""
    assert why(facts(frozen_by_file="alice froze everything: the network is down.")) == (
        "frozen",
        (
            "alice froze everything: the network is down. "
            "Nothing is done until the freeze is lifted: lift it, or act by hand."
        ),
    )


def test_another_remediation_at_the_target_withholds() -> None:
    """One target, one remediation at a time."""
    assert why(facts(holder=HOLDER)) == (
        "leased",
        (
            "R-7F3K2Q (reboot) is at work on web-1 and has it until 04:07 UTC at the latest. "
            "Only one may act at a time: see how that one ends."
        ),
    )


def test_a_lease_that_has_expired_does_not_matter() -> None:
    """After a crash of everything the target is free again."""
    assert objection(facts(holder=HOLDER), Limits(), NIGHT + timedelta(hours=1)) is None


def test_a_lease_that_is_kept_withholds_until_a_person_gives_it_back() -> None:
    """Nobody knows what was done there, and time does not tell."""
    kept = HOLDER.model_copy(update={"until": None})

    assert why(facts(holder=kept), after=timedelta(days=9)) == (
        "leased",
        (
            "R-7F3K2Q (reboot) left an action on web-1 whose outcome is not known. "
            "Nothing more is done there until a person has looked and given it back "
            '(paramedic release web-1 --reason "...").'
        ),
    )


def test_a_runbook_rests_after_an_ending() -> None:
    """It says since when, until when, and what to do meanwhile."""
    assert why(facts(last=PAST), after=timedelta(minutes=29, seconds=59)) == (
        "cooldown",
        (
            "R-7F3K2Q ended not needed at 03:07 UTC, and disk-full leaves web-1 alone for 30 min after that. "
            "It may run again from 03:37 UTC; until then, look at web-1 yourself."
        ),
    )


def test_the_rest_is_over_when_its_time_is() -> None:
    """To the second."""
    assert objection(facts(last=PAST), HALF_AN_HOUR, NIGHT + timedelta(minutes=30)) is None


@pytest.mark.parametrize(
    ("span", "text"),
    [({"seconds": 45}, "45 s"), ({"minutes": 90}, "1 h 30 min"), ({"hours": 2, "seconds": 1}, "2 h 1 s")],
)
def test_spans_are_written_as_people_write_them(span: dict[str, int], text: str) -> None:
    """No fractions, no zeroes."""
    limits = Limits(cooldown=timedelta(**span))

    assert f"alone for {text} after that" in why(facts(last=PAST), limits)[1]


def test_the_objection_that_a_person_can_lift_comes_first() -> None:
    """Freeze, then lease, then rest."""
    all_of_them = facts(freezes=(FREEZE,), holder=HOLDER, last=PAST)

    reasons = [
        why(all_of_them)[0],
        why(all_of_them.model_copy(update={"freezes": ()}))[0],
        why(all_of_them.model_copy(update={"freezes": (), "holder": None}))[0],
    ]

    assert reasons == ["frozen", "leased", "cooldown"]
