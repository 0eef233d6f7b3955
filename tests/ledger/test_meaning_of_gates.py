"""Meaning, at gates: several people, others in turn, single steps; each rule, broken, is named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from runbooks.model.base import as_body
from runbooks.model.plan import GateTerms, Link
from tests.ledger.test_meaning import judge
from tests.records import PLAN, Telling

Content = dict[str, Any]
Change = Callable[[list[Content]], None]
QUARTER = timedelta(minutes=15)
CHIEF = {"key": "slack:T1/U7", "also": ["local:chief"], "name": "Chief", "groups": ["chiefs"]}
IN_TURN = GateTerms(
    approvers=("sre-oncall",),
    need=2,
    within=QUARTER,
    otherwise=(Link(approvers=("chiefs",), within=QUARTER),),
)
ONE = GateTerms(approvers=("sre-oncall",), need=1, within=QUARTER)


def bodies(told: Telling) -> list[Content]:
    return [copy.deepcopy(as_body(each.model_dump(mode="json"))) for each in told.records]


def in_turn() -> list[Content]:
    """Alice of the first, and a chief of the next who were asked, approved; it was done."""
    told = Telling(plan=PLAN.model_copy(update={"gate": IN_TURN})).admitted().planned()
    end = (told.now + 2 * QUARTER).isoformat()
    told.asked(need=2, expires_at=end, asked_until=(told.now + QUARTER).isoformat())
    told.answered("approved", expires_at=end).wait(minutes=16).escalated("chiefs", until=end)
    told.answered("approved", principal=CHIEF, expires_at=end).gate_closed("approved")
    return bodies(told.intent().receipt().ended("mitigated"))


def one_step() -> list[Content]:
    """The plan was approved, then the step; it was done."""
    action = PLAN.actions[0].model_copy(update={"gate": ONE})
    told = Telling(plan=PLAN.model_copy(update={"gate": ONE, "actions": (action,)})).admitted().planned()
    told.asked().answered("approved").gate_closed("approved").asked_about_step()
    told.answered("approved", about=told.key).gate_closed("approved")
    return bodies(told.intent().receipt().ended("mitigated"))


def done_again() -> list[Content]:
    """Nobody knew whether it was done; a person said to do it again, and it was."""
    told = Telling(plan=PLAN.model_copy(update={"gate": None})).admitted().planned()
    told.intent().unknown().in_doubt().answered("again", about=told.key).gate_closed("again")
    told.intent(key="second", iteration=2).receipt(key="second").ended("mitigated")
    return bodies(told)


@pytest.mark.parametrize("story", [in_turn, one_step, done_again])
def test_what_happened_by_the_rules_is_accepted(story) -> None:
    """Nothing in it is suspicious."""
    assert judge(story()) == ""


def the(records: list[Content], kind: str, number: int = 0) -> Content:
    return [each for each in records if each["kind"] == kind][number]


def decided(number: int, **changes: Any) -> Change:
    return lambda records: the(records, "decision", number)["data"]["decision"].update(changes)


def without(kind: str) -> Change:
    return lambda records: records.remove(the(records, kind))


def named(*numbers: int) -> Change:
    """Return a change after which the last intent names only these decisions."""

    def change(records: list[Content]) -> None:
        intent = the(records, "action.intent", -1)["data"]
        intent["decisions"] = [intent["decisions"][number] for number in numbers]

    return change


def escalated_out_of_turn(records: list[Content]) -> None:
    the(records, "gate.escalated")["data"]["link"] = 2


def asked_for_by_the_chief(records: list[Content]) -> None:
    the(records, "admission")["data"]["requested_by"] = "local:chief"


def gated(**changes: Any) -> Change:
    return lambda records: the(records, "gate.asked", -1)["data"]["gated"].update(changes)


@pytest.mark.parametrize(
    ("story", "change", "problem"),
    [
        (in_turn, named(0), "2 people must approve, 1 did"),
        (in_turn, named(0, 0), "2 people must approve, 1 did"),
        (in_turn, without("gate.escalated"), "came from somebody who was not asked"),
        (in_turn, escalated_out_of_turn, "went on to link 2 out of turn"),
        (in_turn, decided(1, principal={**CHIEF, "groups": ["board"]}), "somebody who was not asked"),
        (in_turn, asked_for_by_the_chief, "approved what they had asked for"),
        (one_step, named(0), "1 people must approve, 0 did"),
        (one_step, named(1), "1 people must approve, 0 did"),
        (one_step, decided(1, about=""), "was about another action"),
        (one_step, decided(1, about="another"), "was about another action"),
        (one_step, decided(0, about="R-7F3K2Q/restart"), "was about another action"),
        (one_step, gated(step="another"), "was about another action"),
        (one_step, decided(1, answer="again"), "is no approval"),
        (done_again, named(), "1 people must approve, 0 did"),
        (done_again, decided(0, answer="approved"), "is no approval"),
        (done_again, decided(0, about="another"), "was about another action"),
        (done_again, decided(0, principal={**CHIEF, "groups": ["sales"]}), "somebody who was not asked"),
    ],
)
def test_a_broken_rule_is_named(story, change: Change, problem: str) -> None:
    """Each lie that a forger could tell about consent does not fit what stands before it."""
    records = story()
    change(records)

    assert problem in judge(records)
