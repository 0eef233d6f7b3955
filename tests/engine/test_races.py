"""Races at the gate: whatever people answer at the same instant, one outcome, on record, acted on once."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from runbooks.model.decision import Answer
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.engine.ward import ward

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RACES = 100
WITHIN = 200.0  # seconds for all of them; they go on at once, and share the machine
PAIRS = [*product((Answer.APPROVED, Answer.DENIED), repeat=2)]
"""What the two people say, in turn: twice yes, yes and no, no and yes, twice no."""


async def test_a_hundred_races_of_two_people_have_one_outcome_each(env, tmp_path):
    """
    Both answers are on record with their judgement, one of them counted, and what was approved was done once.
    """
    async with ward(tmp_path, env.client) as home:
        with env.auto_time_skipping_disabled():
            await asyncio.gather(*(home.admit(f"web-{number}") for number in range(RACES)))
            gates = await home.recorded(RecordKind.GATE_ASKED, RACES, WITHIN)
            clicks = [
                home.click(asked.data["gate"], person, says)
                for number, asked in enumerate(gates)
                for person, says in zip(("alice", "bob"), PAIRS[number % len(PAIRS)], strict=True)
            ]
            await asyncio.gather(*map(home.answers.receive, clicks))
            await home.recorded(RecordKind.ENDING, RACES, WITHIN)
            judged = await home.recorded(RecordKind.DECISION, 2 * RACES, WITHIN)
        streams = await home.streams()

    by_gate = {asked.data["gate"]: [] for asked in gates}
    for record in judged:
        by_gate[record.data["decision"]["gate"]].append(record)
    counted = []
    for gate, answers in by_gate.items():
        assert sorted(each.outcome for each in answers) == ["accepted", "refused"]
        assert {each.actor for each in answers} == {"slack:T/alice", "slack:T/bob"}
        [accepted] = [each for each in answers if each.outcome == "accepted"]
        ends = [each.outcome for each in streams[accepted.stream] if each.kind is RecordKind.ENDING]
        closed = [each.outcome for each in streams[accepted.stream] if each.kind is RecordKind.GATE_CLOSED]
        said_yes = accepted.data["decision"]["answer"] == Answer.APPROVED
        assert closed == ["approved" if said_yes else "denied"], gate
        assert ends == [Ending.MITIGATED if said_yes else Ending.DENIED], gate
        counted.append(said_yes)
    assert set(home.effects.values()) == {1}
    assert len(home.effects) == counted.count(True)
    assert {True, False} == set(counted)
