"""Admission, the rule: what speaks against acting, in words for somebody who was just woken up."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from runbooks.model.freeze import Freeze
from runbooks.model.inventory import Inventory
from runbooks.model.remediation import Ending
from runbooks.model.runbook import AttemptLimit, GateRule, Limits, Place, RadiusLimit, Step
from runbooks.model.window import Once, Weekly, Window
from runbooks.policy.admission import (
    AdmissionFacts,
    LeaseHolder,
    Outside,
    PastAttempt,
    PastEnding,
    objection,
    whom_to_tell,
)
from tests.ledger.material import NIGHT, runbook

HOUR = timedelta(hours=1)
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
    pulled = Freeze(scope="*", actor="alice", reason="the network is down.", at=NIGHT)

    assert why(facts(outside=Outside(freezes=(pulled,)))) == (
        "frozen",
        (
            "alice froze everything at 03:07 UTC: the network is down. "
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


# --- windows, inventory, limits ---------------------------------------------------------------

NIGHTLY = Window(
    name="backup",
    scope="label:team=payments",
    times=Weekly(days=tuple(range(7)), at=time(3), lasts=timedelta(hours=4), zone="UTC"),
    reason="The backup runs.",
)
PAYMENTS = {"team": "payments", "cluster": "eu-1"}
KNOWN = Inventory(targets={f"web-{number}": {} for number in range(1, 21)})
TRIED = tuple(
    PastAttempt(remediation=name, at=NIGHT - timedelta(hours=hours), ending=ending)
    for name, hours, ending in (("R-A", 30, Ending.MITIGATED), ("R-B", 2, Ending.ROLLED_BACK), ("R-C", 1, None))
)  # fmt: skip


def test_a_freeze_of_a_label_stops_what_carries_it() -> None:
    """By the labels of the alert; one without the label is not meant."""
    pulled = FREEZE.model_copy(update={"scope": "label:team=payments"})

    assert why(facts(freezes=(pulled,), labels=PAYMENTS))[1].startswith(
        "slack:T1/U1 froze all with team=payments at 03:07 UTC: we migrate."
    )
    assert objection(facts(freezes=(pulled,)), Limits(), NIGHT) is None


def test_a_maintenance_window_withholds_and_says_until_when() -> None:
    """Of several that are open the one that closes last counts."""
    shorter = NIGHTLY.model_copy(update={"name": "other", "times": Once(begins=NIGHT, ends=NIGHT + HOUR)})
    in_it = facts(outside=Outside(windows=(NIGHTLY, shorter)), labels=PAYMENTS)

    assert why(in_it) == (
        "maintenance",
        (
            "The maintenance window backup (The backup runs) holds for all with team=payments until 07:00 UTC. "
            "Nothing is done until then: wait, or act by hand."
        ),
    )
    assert objection(in_it, Limits(), NIGHT + 4 * HOUR) is None
    assert objection(facts(outside=Outside(windows=(NIGHTLY,))), Limits(), NIGHT) is None


def test_brakes_that_cannot_be_read_stop_everything() -> None:
    """Somebody meant to stop something, and only misspelt what."""
    unreadable = Outside(problem="windows.yaml:3:1: there is no zone.")

    assert why(facts(outside=unreadable)) == (
        "windows_unreadable",
        "windows.yaml:3:1: there is no zone. Nothing is done until it can be read: it may say so.",
    )
    assert unreadable.may_brake
    assert not Outside().may_brake


def test_a_target_that_the_inventory_does_not_know_is_withheld() -> None:
    """Without an inventory every target will do."""
    elsewhere = facts().model_copy(update={"target": "db-1"})

    assert why(elsewhere.model_copy(update={"outside": Outside(inventory=KNOWN)})) == (
        "unknown_target",
        (
            "The inventory knows no target db-1: add it there if it is one of ours, "
            "or look at the `target:` of disk-full."
        ),
    )
    assert objection(facts(outside=Outside(inventory=KNOWN)), Limits(), NIGHT) is None
    assert objection(elsewhere, Limits(), NIGHT) is None


def test_an_inventory_that_does_not_answer_knows_nothing() -> None:
    """It fails closed."""
    away = Outside(inventory_problem="Prometheus does not answer")

    assert why(facts(outside=away)) == (
        "inventory_unavailable",
        "Prometheus does not answer. So nobody knows whether web-1 is one of ours.",
    )


def test_attempts_that_are_used_up_call_people_with_the_pattern() -> None:
    """What was tried, when, and how it ended; and from when it may be tried again."""
    limits = Limits(attempts=AttemptLimit(most=3, per=timedelta(hours=36)), cooldown=9 * HOUR)

    assert why(facts(attempts=TRIED, last=PAST), limits) == (
        "attempts_used_up",
        (
            "disk-full was tried 3 times on web-1 within 36 h, and the alert is back: it is not helping, somebody has "
            "to look (R-A at 2026-03-12 21:07 UTC: mitigated; R-B at 01:07 UTC: rolled back; "
            "R-C at 02:07 UTC: still in progress). It may try again from 09:07 UTC."
        ),
    )
    assert (
        objection(facts(attempts=TRIED[1:]), limits.model_copy(update={"cooldown": timedelta()}), NIGHT)
        is None
    )


def test_one_attempt_is_told_as_one() -> None:
    """`tried once`, not `1 times`."""
    once = Limits(attempts=AttemptLimit(most=1, per=6 * HOUR))

    assert "was tried once on web-1 within 6 h" in why(facts(attempts=TRIED[2:]), once)[1]


def test_no_more_are_under_repair_at_once_than_the_label_allows() -> None:
    """Others with the same label's value count, whatever they run."""
    two = Limits(at_once=RadiusLimit(most=2, label="cluster"))

    assert why(facts(under_repair=2, labels=PAYMENTS), two) == (
        "at_once",
        (
            "2 remediations are in progress with cluster=eu-1, and disk-full begins only where there are fewer than 2. "
            "It is tried again when the alert is sent again; until then, look at web-1 yourself."
        ),
    )
    assert objection(facts(under_repair=1, labels=PAYMENTS), two, NIGHT) is None


def test_a_limit_by_a_label_needs_the_label() -> None:
    """A blast radius that cannot be told is none."""
    two = Limits(at_once=RadiusLimit(most=2, label="cluster"))

    assert why(facts(), two)[0] == "label_missing"
    assert "has no label cluster: give it one" in why(facts(), two)[1]


def test_a_share_of_targets_needs_an_inventory() -> None:
    """Ten in a hundred of an unknown number is unknown."""
    tenth = Limits(at_once=RadiusLimit(most=10))

    assert why(facts(), tenth)[0] == "inventory_missing"
    assert objection(facts(outside=Outside(inventory=KNOWN), under_repair=1), tenth, NIGHT) is None
    assert why(facts(outside=Outside(inventory=KNOWN), under_repair=2), tenth) == (
        "at_once",
        (
            "2 remediations are in progress (10% of 20 known targets), and disk-full begins only where there are fewer "
            "than 2. It is tried again when the alert is sent again; until then, look at web-1 yourself."
        ),
    )


def test_who_hears_of_it_is_who_approves_and_whom_the_runbook_tells() -> None:
    """Each once; a group that an alert would choose is left out."""
    place = Place(line=1, column=1)
    steps = [
        Step(id=f"s{number}", name="Tell", uses="slack.escalate", arguments=arguments, place=place)
        for number, arguments in enumerate(
            [{"to": "oncall"}, {"to": "leads"}, {"to": "{{ labels.team }}"}, {"word": "x"}]
        )
    ]
    asking = runbook().model_copy(
        update={"gate": GateRule(approvers=("oncall",), place=place), "otherwise": tuple(steps)}
    )

    assert whom_to_tell(asking) == ("oncall", "leads")
    assert whom_to_tell(runbook()) == ()
