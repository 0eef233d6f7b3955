"""Admission's limits, as they are read and counted: never more than allowed, whoever asks at the same moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from activities.ledger import admission as door
from activities.ledger import freezes, records, remediations
from activities.ledger.admission import Admission
from activities.ledger.store import Ledger
from runbooks.model.inventory import Inventory
from runbooks.model.record import Record
from runbooks.model.remediation import CallIn
from runbooks.model.runbook import AttemptLimit, RadiusLimit
from runbooks.policy.admission import Outside
from tests.ledger.material import (
    BOTH,
    NIGHT,
    admitted,
    alert,
    call,
    closing,
    delivery,
    received,
    runbook,
)

pytestmark = BOTH

HOUR = timedelta(hours=1)
TWO_PER_CLUSTER = RadiusLimit(most=2, label="cluster")
THREE_PER_6H = AttemptLimit(most=3, per=6 * HOUR)


def calling(ledger: Ledger, target: str = "web-1", number: int = 0, **labels: str) -> CallIn:
    """Let an alert of this target come in, and return the call that it leads to."""
    said = alert(f"n{number}", instance=target, **labels)
    (entry,) = received(ledger, delivery(target, alert=said), at=NIGHT)
    return call(entry, target=target, run=f"run-{target}-{number}")


def close(ledger: Ledger, remediation: str) -> None:
    ledger.write_now(lambda t: remediations.close(t, closing(remediation), at=NIGHT))


def admission_of(ledger: Ledger, remediation: str) -> Record:
    return ledger.read_now(lambda c: records.stream_of(c, remediation))[0]


def reason(admission: Admission) -> str:
    return admission.withheld.reason if admission.withheld else ""


@pytest.mark.parametrize("clusters", [1, 3])
async def test_of_fifty_at_once_two_are_admitted_in_each_cluster(
    url: str, ledger: Ledger, clusters: int
) -> None:
    """They ask at the same moment, and of two processes: the limit is judged and taken in one transaction."""
    calls = [calling(ledger, f"web-{number}", cluster=f"eu-{number % clusters}") for number in range(50)]
    book = runbook(at_once=TWO_PER_CLUSTER)
    other = Ledger.open(url)

    try:
        answers = await asyncio.gather(
            *(
                (ledger, other)[number % 2].write(lambda t, each=each: door.admit(t, each, book, at=NIGHT))
                for number, each in enumerate(calls)
            )
        )
    finally:
        other.close()

    reasons = [reason(each) for each in answers]
    assert reasons.count("") == 2 * clusters
    assert reasons.count("at_once") == 50 - 2 * clusters
    assert len(ledger.read_now(remediations.open_remediations)) == 2 * clusters


def test_one_that_ends_makes_room_for_another(ledger: Ledger) -> None:
    """The next time the alert is sent."""
    first, second, third = (calling(ledger, f"web-{number}", number, cluster="eu") for number in range(3))
    one = admitted(ledger, first, at_once=TWO_PER_CLUSTER)
    admitted(ledger, second, at_once=TWO_PER_CLUSTER)
    assert reason(admitted(ledger, third, at_once=TWO_PER_CLUSTER)) == "at_once"

    close(ledger, one.remediation)

    again = calling(ledger, "web-2", 3, cluster="eu")
    assert reason(admitted(ledger, again, at_once=TWO_PER_CLUSTER)) == ""


@pytest.mark.parametrize(
    "label",
    [{"cluster": "EU"}, {"cluster": "eu-1"}, {"cluster": "e"}, {"other": "eu"}, {"note": '"cluster": "eu"'}],
)
def test_only_the_same_value_of_the_same_label_counts(ledger: Ledger, label: dict[str, str]) -> None:
    """Letter by letter; a value that looks like a label is none."""
    for number in (1, 2):
        admitted(ledger, calling(ledger, f"web-{number}", **label))

    assert reason(admitted(ledger, calling(ledger, "web-3", cluster="eu"), at_once=TWO_PER_CLUSTER)) == ""


def test_the_inventory_adds_labels_that_the_alert_does_not_carry(ledger: Ledger) -> None:
    """The alert's own word counts where both have one."""
    known = Inventory(targets={f"web-{number}": {"cluster": "eu", "team": "payments"} for number in range(4)})
    outside = Outside(inventory=known)
    calls = [calling(ledger, f"web-{number}") for number in range(3)]
    elsewhere = calling(ledger, "web-3", cluster="us")

    reasons = [
        reason(admitted(ledger, each, outside=outside, at_once=TWO_PER_CLUSTER))
        for each in (*calls, elsewhere)
    ]

    assert reasons == ["", "", "at_once", ""]


def test_a_share_counts_everything_in_progress(ledger: Ledger) -> None:
    """Ten in a hundred of twenty known targets are two."""
    outside = Outside(inventory=Inventory(targets={f"web-{number}": {} for number in range(20)}))
    tenth = RadiusLimit(most=10)

    reasons = [
        reason(admitted(ledger, calling(ledger, f"web-{number}"), outside=outside, at_once=tenth))
        for number in range(3)
    ]

    assert reasons == ["", "", "at_once"]


def test_attempts_count_over_a_restart_and_come_back_with_time(url: str, ledger: Ledger) -> None:
    """They stand in the ledger, not in a process; to be withheld is no attempt."""
    for number in range(3):
        one = admitted(
            ledger, calling(ledger, number=number), at=NIGHT + number * HOUR, attempts=THREE_PER_6H
        )
        close(ledger, one.remediation)
    ledger.close()

    reopened = Ledger.open(url)
    try:
        later = [
            reason(
                admitted(
                    reopened,
                    calling(reopened, number=10 + hours),
                    at=NIGHT + hours * HOUR,
                    attempts=THREE_PER_6H,
                )
            )
            for hours in (3, 5, 6)
        ]
    finally:
        reopened.close()

    assert later == ["attempts_used_up", "attempts_used_up", ""]


def test_attempts_that_are_used_up_are_told_once_with_the_pattern(ledger: Ledger) -> None:
    """The record holds what was tried; a repeat of the alert points to it and wakes nobody again."""
    tried = []
    for number in range(3):
        one = admitted(
            ledger, calling(ledger, number=number), at=NIGHT + number * HOUR, attempts=THREE_PER_6H
        )
        close(ledger, one.remediation)
        tried.append(one.remediation)

    first, second = (
        admitted(ledger, calling(ledger, number=number), at=NIGHT + 4 * HOUR, attempts=THREE_PER_6H)
        for number in (3, 4)
    )

    told, echo = (admission_of(ledger, each.remediation).data for each in (first, second))
    assert [each["remediation"] for each in told["earlier"]] == tried
    assert {each["ending"] for each in told["earlier"]} == {"mitigated"}
    assert (told["said_before"], echo["said_before"]) == ("", first.remediation)
    assert echo["tell"] == []


def test_another_target_has_attempts_of_its_own(ledger: Ledger) -> None:
    """It is this target that it does not help."""
    once = AttemptLimit(most=1, per=HOUR)
    close(ledger, admitted(ledger, calling(ledger), attempts=once).remediation)

    assert reason(admitted(ledger, calling(ledger, "web-2"), attempts=once)) == ""


def test_a_freeze_of_a_label_stops_one_that_is_under_way(ledger: Ledger) -> None:
    """Its labels are those that it was admitted with."""
    name = admitted(ledger, calling(ledger, team="payments")).remediation
    assert ledger.read_now(lambda c: door.stopped(c, name, at=NIGHT)) is None

    for scope in ("label:team=search", "label:team=payments"):
        ledger.write_now(
            lambda t, scope=scope: freezes.freeze(t, scope, actor="bob", source="cli", reason="x", at=NIGHT)
        )

    stopped = ledger.read_now(lambda c: door.stopped(c, name, at=NIGHT))
    assert stopped is not None
    assert "froze all with team=payments" in stopped.sentence
    again = ledger.write_now(lambda t: door.admit_again(t, name, 1, at=NIGHT))
    assert reason(again) == "frozen"


def test_nothing_is_looked_at_for_what_is_withheld(ledger: Ledger) -> None:
    """
    Whoever begins to measure early is told of each alert that may begin, and of no other.
    """
    begun: list[str] = []
    for number in (1, 2, 3):
        asked = calling(ledger, f"web-{number}", cluster="eu")
        ledger.write_now(
            lambda t, asked=asked: door.admit(
                t,
                asked,
                runbook(at_once=TWO_PER_CLUSTER),
                at=NIGHT,
                decided=lambda alert: begun.append(alert.labels["instance"]),
            )
        )

    assert begun == ["web-1", "web-2"]
