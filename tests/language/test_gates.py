"""Gates in the language: how many of whom, who is asked in turn, of the plan or of one step."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbooks.errors import RenderError
from runbooks.language.document import RunbookErrors, parse_runbook
from runbooks.language.rendering import render_plan
from runbooks.model.plan import GateTerms, Link
from runbooks.model.runbook import Autonomy
from tests.language.declarations import VOCABULARY
from tests.language.story import RIGHT, changed, facts, parse, problems

QUARTER = timedelta(minutes=15)
GATE = "gate: {approvers: [sre]}"
CHAIN = "gate: {approvers: [sre, dba], need: 2, within: 10m, otherwise: [chiefs, ceo, within 15m, board, within 1h, stop]}"
STEP = ("    undo: none", "    undo: none\n    gate: {approvers: [dba], within: 5m}")


def planned(text: str, **more):
    return render_plan(parse(text), facts(**more), VOCABULARY)


def gated_step(text: str = RIGHT, gate: str = "{approvers: [dba], within: 5m}") -> str:
    return text.replace("    undo: none", f"    undo: none\n    gate: {gate}")


def test_a_gate_says_how_many_of_whom_and_who_is_asked_in_turn():
    """The chain is read from left to right: groups, how long they have, again and again, and the end."""
    gate = planned(changed(GATE, CHAIN)).gate

    assert gate == GateTerms(
        approvers=("sre", "dba"), need=2, within=timedelta(minutes=10),
        otherwise=(
            Link(approvers=("chiefs", "ceo"), within=QUARTER),
            Link(approvers=("board",), within=timedelta(hours=1)),
        ),
    )  # fmt: skip
    assert gate.lasts == timedelta(minutes=85)
    assert gate.everybody == ("sre", "dba", "chiefs", "ceo", "board")
    assert gate.asked(1) == ("sre", "dba", "chiefs", "ceo")


@pytest.mark.parametrize("end", ["", ", otherwise: stop", ", otherwise: [stop]"])
def test_without_a_chain_nothing_is_done_when_nobody_answers(end):
    """That is what happens where nothing is said, and it can be said out loud."""
    assert planned(changed("approvers: [sre]", f"approvers: [sre]{end}")).gate.otherwise == ()


def test_the_chain_is_part_of_what_is_approved():
    """Two plans that ask others in turn are two plans: the digest covers it."""
    one, other = planned(RIGHT), planned(changed(GATE, CHAIN))

    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("need: 0", "30: `need` does not say how many people must approve. Write a whole number, 1 to 10."),
        ("need: 11", "30: `need` does not say how many people must approve. Write a whole number, 1 to 10."),
        ("need: true", "30: `need` does not say how many people must approve. Write a whole number, 1 to 10."),
        ("need: [2]", "30: `need` does not say how many people must approve. Write a whole number, 1 to 10."),
        ("otherwise: abort", "35: `abort` is no end of a gate."),
        ("otherwise: []", "35: a gate has no end."),
        ("otherwise: [dba, within 5m]", "41: `within 5m` is no end of a gate."),
        ("otherwise: [dba, within 5m, {approve: all}]", "52: a gate has no end."),
        ("otherwise: [dba, stop]", "41: it is not said how long `dba` is asked."),
        ("otherwise: [within 5m, stop]", "36: `within ` says of nobody how long they are asked."),
        ("otherwise: [dba, within soon, stop]", "41: `soon` is not a duration."),
        ("otherwise: [stop, dba, within 5m, stop]", "36: nothing comes after `stop`."),
        ("otherwise: [sre, within 5m, stop]", "36: `sre` is asked already."),
        ("otherwise: ['{{ labels.team }}', within 5m, stop]", "36: an approver group cannot be a template."),
        ("otherwise: [7, within 5m, stop]", "36: a group in a gate's `otherwise` is a text."),
    ],
)  # fmt: skip
def test_names_every_mistake_in_a_gate(gate, said):
    """A chain that could be read in two ways is refused, with its place and what would be right."""
    first = problems(changed("approvers: [sre]", f"approvers: [sre], {gate}"))[0]

    column, _, problem = said.partition(": ")
    assert first.startswith(f"host.yaml:13:{int(column) + 2}: {problem}"), first


# --- a gate on one step -------------------------------------------------------------------------


def test_a_step_can_have_a_gate_of_its_own():
    """It stands in the plan, beside the plan's own gate."""
    plan = planned(gated_step())

    assert plan.gate == GateTerms(approvers=("sre",), need=1, within=QUARTER)
    assert plan.actions[0].gate == GateTerms(approvers=("dba",), need=1, within=timedelta(minutes=5))
    assert plan.outline().actions[0].gate == plan.actions[0].gate
    assert plan.digest != planned(RIGHT).digest


def test_a_runbook_whose_every_change_is_gated_needs_no_gate_for_the_whole():
    """Nothing is done that nobody agreed to, so it is gated, whether it says so or not."""
    text = gated_step(RIGHT.replace(f"{GATE}\n", ""))

    assert problems(text) == []
    assert parse(text).autonomy is Autonomy.GATED
    assert parse(text.replace("do:", "autonomy: gated\ndo:", 1)).autonomy is Autonomy.GATED
    assert problems(text.replace("do:", "autonomy: observe\ndo:", 1)) == []


def test_one_gated_step_agrees_to_no_other():
    """A step without a gate beside one with needs standing orders, said out loud."""
    second = (
        "  - name: And again\n    uses: ssh.run\n    with: {host: a, argv: [reboot]}\n    undo: none\nverify:"
    )
    text = gated_step(RIGHT.replace(f"{GATE}\n", "")).replace("verify:", second, 1)

    assert ["the runbook does not say who agrees" in problem for problem in problems(text)] == [True]
    assert problems(text.replace("do:", "autonomy: automatic\ndo:", 1)) == []


@pytest.mark.parametrize(("env", "asked"), [("prod", True), ("test", False)])
def test_a_step_is_asked_about_only_where_its_if_holds(env, asked):
    """Where people agree to the plan, a step's own question can be for some alerts only."""
    text = gated_step(gate='{approvers: [dba], if: labels.env == "prod"}')

    assert (planned(text, labels={"env": env}).actions[0].gate is not None) is asked


def test_a_steps_gate_that_cannot_tell_stops():
    """An `if` that cannot be evaluated is an error that names the step, never a gate that is left out."""
    text = gated_step(gate="{approvers: [dba], if: labels.rack == 'a'}")

    with pytest.raises(RenderError, match="the gate of step `Restart it`") as stopped:
        planned(text)
    assert (stopped.value.line, stopped.value.column) == (19, 5)


def test_a_steps_if_needs_somebody_who_agreed_otherwise():
    """Without standing orders and without a gate for the whole, its `if` would let nobody be asked."""
    text = gated_step(RIGHT.replace(f"{GATE}\n", ""), '{approvers: [dba], if: labels.env == "prod"}')

    (said,) = problems(text)
    assert said.startswith("host.yaml:18:5: the `if` of a step's gate has no effect")
    assert problems(text.replace("do:", "autonomy: automatic\ndo:", 1)) == []


@pytest.mark.parametrize("before", ["    expect: result.value == 0", "    with: {to: sre}"])
def test_only_an_action_has_a_gate_of_its_own(before):
    """To look, to undo and to tell people needs nobody's consent."""
    said = problems(changed(before, f"{before}\n    gate: {{approvers: [sre]}}"))

    assert ["An action under `do` can have a gate of its own" in each for each in said] == [True]


def test_an_unknown_action_with_a_gate_is_one_mistake():
    """What it would do is not known, so nothing more is said of its consent."""
    text = gated_step().replace("uses: ssh.run", "uses: ssh.rum")

    assert len(problems(text)) == 1
    assert len(problems(RIGHT.replace("uses: ssh.run", "uses: ssh.rum"))) == 1


# --- who could answer at all --------------------------------------------------------------------

MEMBERS = {"sre": ["local:a", "local:b"], "chiefs": ["local:b", "local:c"]}


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("{approvers: [sre], need: 2}", []),
        ("{approvers: [sre], need: 3, otherwise: [chiefs, within 5m, stop]}", []),
        (
            "{approvers: [sre], need: 3}",
            ["host.yaml:13:32: 3 must approve, and `sre` have 2 members in all"],
        ),
        (
            "{approvers: [sre], otherwise: [chiefs, within 5m, stop], need: 4}",
            ["host.yaml:13:70: 4 must approve, and `sre` and `chiefs` have 3 members in all"],
        ),
        (
            "{approvers: [ghosts]}",
            ["host.yaml:13:19: 1 must approve, and `ghosts` have 0 members in all"],
        ),
        ("{approvers: ['{{ target }}'], need: 9}", ["host.yaml:13:20: an approver group cannot be a template"]),
        ("{approvers: sre, need: 9}", ["host.yaml:13:19: `approvers` is a list with something in it"]),
    ],
)  # fmt: skip
def test_a_gate_that_nobody_could_pass_is_found_where_the_members_are_known(gate, said):
    """More people than there are can never approve; one who is in two groups counts once."""
    found: list[str] = []
    try:
        parse_runbook(
            changed(GATE, f"gate: {gate}"), file="host.yaml", vocabulary=VOCABULARY, members=MEMBERS
        )
    except RunbookErrors as errors:
        found = str(errors).splitlines()

    assert [each.partition(". ")[0] for each in found] == said
