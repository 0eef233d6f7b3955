"""A story's gates: who is asked by now, who is next, and what a single step waits for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbooks.model.decision import Answer
from runbooks.model.record import RecordKind
from runbooks.policy.story import StoryError, read_story
from tests.records import NOON, Telling

QUARTER = timedelta(minutes=15)


def asked() -> Telling:
    return Telling().admitted().check("before", "passed").planned()


def in_turn() -> Telling:
    """Two must approve; after a quarter of an hour the chiefs are asked too, and then the board."""
    return asked().asked(
        need=2, asked_until=_at(1), expires_at=_at(3),
        otherwise=[{"approvers": ["chiefs"], "until": _at(2)}, {"approvers": ["board"], "until": _at(3)}],
    )  # fmt: skip


def before_step() -> Telling:
    return asked().asked().answered("approved").gate_closed("approved").asked_about_step()


def _at(quarters: int) -> str:
    return (NOON + quarters * QUARTER).isoformat()


def test_a_gate_knows_who_is_asked_by_now_and_who_is_next():
    """What the card and the status say is in the records, and nowhere else."""
    gate = read_story(in_turn().records).gate

    assert (gate.approvers, gate.until) == (("sre-oncall",), NOON + QUARTER)
    assert [link.approvers for link in gate.otherwise] == [("chiefs",), ("board",)]
    assert gate.everybody == ("sre-oncall", "chiefs", "board")
    assert gate.expires_at == NOON + 3 * QUARTER


def test_a_gate_that_goes_on_asks_further_people():
    """Those asked before may still answer, so they stay; what they gave keeps counting."""
    told = in_turn().answered("approved").wait(minutes=15).escalated("chiefs", until=_at(2))

    gate = read_story(told.records).open_gate
    assert (gate.approvers, gate.until) == (("sre-oncall", "chiefs"), NOON + 2 * QUARTER)
    assert [link.approvers for link in gate.otherwise] == [("board",)]
    assert [each.name for each in gate.given(Answer.APPROVED)] == ["Alice"]


def test_a_gate_without_a_chain_is_asked_until_it_expires():
    """Records of a gate that goes to nobody else say one time only."""
    gate = read_story(asked().asked().records).gate

    assert gate.until == gate.expires_at
    assert gate.everybody == gate.approvers


@pytest.mark.parametrize("kind", [RecordKind.GATE_ESCALATED, RecordKind.GATE_CLOSED])
def test_a_gate_that_was_never_asked_goes_nowhere(kind):
    """Records about a question that nobody was asked are no story."""
    told = asked().tell(kind, gate="R-7F3K2Q/gate-9", approvers=["chiefs"], asked_until=_at(2))

    with pytest.raises(StoryError, match="a gate that was never asked"):
        read_story(told.records)


def test_a_step_that_waits_is_asked_about():
    """Its gate stands beside the plan's, which is closed, and is bound to the step."""
    story = read_story(before_step().records)

    assert story.phase == "asking"
    assert story.open_gate == story.step_gates[0] == story.approval
    assert (story.open_gate.gated.name, story.open_gate.about) == (
        "Restart checkout",
        story.open_gate.gated.key,
    )
    assert [gate.outcome for gate in story.gates] == ["approved", ""]
    assert story.gate.about == ""


def test_all_questions_that_wait_are_told():
    """One that opens while another waits hides neither; what has ended waits for nobody."""
    told = Telling().admitted().planned().asked().asked_about_step()

    assert [gate.gate for gate in read_story(told.records).open_gates] == [
        "R-7F3K2Q/gate-1",
        "R-7F3K2Q/step-1",
    ]
    assert read_story(told.ended("stopped").records).open_gates == ()


def test_a_step_that_was_agreed_to_is_about_to_be_done():
    """After its gate the remediation acts."""
    story = read_story(before_step().answered("approved").gate_closed("approved").records)

    assert story.phase == "acting"
    assert story.open_gate is None


def test_a_step_that_was_refused_is_not_about_to_be_done():
    """Between the no and the ending nobody reads that it acts."""
    story = read_story(before_step().answered("denied").gate_closed("denied", "Alice said no").records)

    assert story.phase == "asking"
    assert story.approval.outcome == "denied"


def test_a_plan_on_standing_orders_waits_at_a_steps_gate_only():
    """Where the plan has no gate, a step's gate is the only question."""
    told = Telling(plan=Telling().plan.model_copy(update={"gate": None})).admitted().planned()
    assert read_story(told.records).approval is None
    assert read_story(told.records).phase == "acting"

    assert read_story(told.asked_about_step().records).phase == "asking"
