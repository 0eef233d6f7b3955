"""Which message of the channel shows a remediation."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.slack.seating import (
    INCIDENT_LASTS,
    NEW_MESSAGES,
    SEATS,
    STORM,
    STORM_LASTS,
    Seating,
    group_key,
    lead_of,
)
from bot.slack.sender import Posted
from runbooks.model.alert import Alert, AlertStatus
from tests.records import NOON

PLACE = Posted(channel="C1", ts="1.1")


def alert(group: str = "") -> Alert:
    return Alert(status=AlertStatus.FIRING, labels={"alertname": "A"}, group_key=group)


class Clock:
    """A time of day that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_alerts_of_one_group_share_a_message(clock):
    """The first posts it, the others join, however fast they come."""
    seating = Seating(clock)

    first, *others = [seating.seat(alert('{}:{alertname="A"}')) for _ in range(20)]

    assert first[1]
    assert all(spot is first[0] and not is_first for spot, is_first in others)


async def test_other_groups_and_single_alerts_have_messages_of_their_own(clock):
    """As long as there are few of them."""
    seating = Seating(clock)

    seats = [seating.seat(each) for each in (alert('{}:{a="1"}'), alert('{}:{a="2"}'), alert(), None)]

    assert all(is_first for _, is_first in seats)
    assert len({id(spot) for spot, _ in seats}) == 4


@pytest.mark.parametrize("group", ["", "{}:{}", '{}/{severity="page"}:{}'])
def test_a_group_of_everything_is_no_incident(group):
    """Without `group_by`, Alertmanager puts all alerts there are into one group."""
    assert group_key(alert(group)) == ""


async def test_a_storm_shares_one_message(clock):
    """Beyond a handful within a minute, whatever they are about; a known incident keeps its own."""
    seating = Seating(clock)
    incident, _ = seating.seat(alert('{}:{a="1"}'))
    alone = [seating.seat(alert()) for _ in range(NEW_MESSAGES - 1)]

    storm = [seating.seat(alert(f'{{}}:{{a="{n}"}}')) for n in range(100, 150)]

    assert all(is_first for _, is_first in alone)
    assert [is_first for _, is_first in storm] == [True] + [False] * 49
    assert len({id(spot) for spot, _ in storm}) == 1
    assert seating.seat(alert('{}:{a="1"}')) == (incident, False)
    assert seating.seat(alert('{}:{a="120"}'))[0] is storm[0][0]


async def test_after_the_storm_messages_are_read_one_by_one_again(clock):
    """A storm is over when nothing has joined it for a while; what is in it stays."""
    seating = Seating(clock)
    for _ in range(NEW_MESSAGES):
        seating.seat(alert())
    storm, _ = seating.seat(alert())
    clock.now += timedelta(minutes=2)

    assert seating.seat(alert())[1], "a quiet minute"

    for _ in range(NEW_MESSAGES - 1):
        seating.seat(alert())
    assert seating.seat(alert()) == (storm, False)
    clock.now += STORM_LASTS + timedelta(minutes=2)
    for _ in range(NEW_MESSAGES):
        seating.seat(alert())
    assert seating.seat(alert()) != (storm, False)


async def test_an_old_incident_takes_nobody_in(clock):
    """The same alerts next week are another incident."""
    seating = Seating(clock)
    first, _ = seating.seat(alert('{}:{a="1"}'))
    clock.now += INCIDENT_LASTS + timedelta(seconds=1)

    assert seating.seat(alert('{}:{a="1"}')) == (seating._spots[group_key(alert('{}:{a="1"}'))], True)
    assert seating._spots[group_key(alert('{}:{a="1"}'))] is not first


async def test_a_message_has_a_bounded_number_of_seats(clock):
    """An incident without end begins a new message now and then."""
    seating = Seating(clock)

    firsts = [seating.seat(alert('{}:{a="1"}'))[1] for _ in range(SEATS + 1)]

    assert [number for number, is_first in enumerate(firsts) if is_first] == [0, SEATS]


async def test_an_incident_outlives_its_process(clock):
    """The next process lets others join the message that was there."""
    key = group_key(alert('{}:{a="1"}'))
    seating = Seating(clock)
    seating.restore([(key, PLACE), (STORM, Posted(channel="C1", ts="2.2"))])

    spot, is_first = seating.seat(alert('{}:{a="1"}'))

    assert not is_first
    assert spot.posted.result() == PLACE


def test_the_lead_says_why_they_are_together():
    """The group's labels, harmless; for a mixed lot, that it is one."""
    one = lead_of([alert('{}/{severity="page"}:{alertname="<!channel>", cluster="eu"}')] * 3)

    assert 'alertname="&lt;!channel&gt;", cluster="eu"' in one
    assert lead_of([alert("grafana-1")]).endswith("`grafana-1`")
    assert lead_of([alert('{}:{a="1"}'), alert('{}:{a="2"}')]).startswith("*Much at once.*")
    assert lead_of([alert(), None]).startswith("*Much at once.*")
