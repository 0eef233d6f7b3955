"""The storm: as large as it says, and its rules can be broken."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from bench.storm import ASKING, GROUP, Found, Plan, broken_rules, posts

PLAN = Plan(distinct=200, repeated=1000, services=10, within=6.0, drain=1.0)


def good() -> Found:
    return Found(
        answers=Counter({200: 25}),
        received=201,
        explained=201,
        suppressed=1000,
        actions=Counter({**{f"service-{n:05}": 1 for n in range(10)}, ASKING: 1}),
        verified="ok",
    )


def test_a_storm_is_as_large_as_it_says():
    """So many distinct alerts, so many repetitions of what was told before, spread over the time."""
    told: Counter[str] = Counter()
    dues = []
    for due, request in posts(PLAN):
        group = [
            each["labels"]["instance"] for each in json.loads(request.partition(b"\r\n\r\n")[2])["alerts"]
        ]
        assert len(group) == GROUP
        assert len({name in told for name in group}) == 1  # all new, or all told before
        told.update(group)
        dues.append(due)

    assert (len(told), told.total()) == (200, 1200)
    assert dues == sorted(dues)
    assert dues[-1] < PLAN.within


def test_a_good_night_breaks_no_rule():
    """What is asked for can be had."""
    assert broken_rules(PLAN, good()) == []


@pytest.mark.parametrize(
    "worse",
    [
        {"answers": Counter({200: 24, 503: 1})},
        {"received": 200},
        {"explained": 200},
        {"suppressed": 999},
        {"actions": good().actions + Counter({"service-00001": 1})},
        {"actions": good().actions - Counter({"service-00001": 1})},
        {"actions": good().actions - Counter({ASKING: 1})},
        {"verified": "tampered"},
    ],
    ids=str,
)
def test_each_rule_can_be_broken(worse):
    """Nothing that went wrong goes unsaid."""
    assert broken_rules(PLAN, replace(good(), **worse))
