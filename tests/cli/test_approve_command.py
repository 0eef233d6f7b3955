"""`paramedic approve` and `deny`: the buttons of a card, at a terminal."""

from __future__ import annotations

import asyncio
import json

import pytest

from activities.ledger.records import stream_of
from activities.ledger.store import Ledger
from bot import desk
from bot.cli import answers
from bot.requests import Judged
from runbooks.model.decision import Refusal
from runbooks.model.record import RecordKind
from tests.cli.terminal import paramedic
from tests.ledgers import new_ledger
from tests.records import PLAN, Telling
from tests.waiting import as_entry


@pytest.fixture
def told():
    return Telling().admitted().planned().asked()


@pytest.fixture
def home(tmp_path, told):
    """The settings of an installation whose ledger holds `told`."""
    ledger = new_ledger(tmp_path / "ledger.db")
    asyncio.run(ledger.append(*map(as_entry, told.records)))
    ledger.close()
    return {"data": tmp_path}


def clicks(home):
    ledger = Ledger.open(f"sqlite:///{home['data'] / 'ledger.db'}", create=False)
    try:
        stream = ledger.read_now(lambda c: stream_of(c, "R-7F3K2Q"))
    finally:
        ledger.close()
    return [(each.object, each.outcome) for each in stream if each.kind is RecordKind.DECISION_RECEIVED]


def test_shows_the_whole_plan_and_asks_whether_that_is_meant(home, told):
    """Nobody approves what they have not seen; whoever says no has not approved."""
    no = paramedic("approve", "r-7f3k2q", "--wait", "0", stdin="n\n", **home)
    before = clicks(home)
    yes = paramedic("approve", "r-7f3k2q", "--wait", "0", stdin="y\n", **home)

    assert (no.exit_code, before) == (1, [])
    for words in ("Restart checkout", "supervisor.restart", "undo: none", PLAN.digest[:12]):
        assert words in yes.stderr
    assert "R-7F3K2Q asks sre-oncall until 03:22 UTC." in yes.stderr
    assert (yes.exit_code, clicks(home)) == (3, [(told.gate, "approved")])


def test_says_no_with_a_reason(home, told):
    """A no without a reason helps nobody."""
    without = paramedic("deny", "R-7F3K2Q", **home)
    said = paramedic("deny", "R-7F3K2Q", "--reason", "we fail over", "--wait", "0", **home)

    assert (without.exit_code, said.exit_code) == (2, 3)
    assert clicks(home) == [(told.gate, "denied")]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("approve", "R-000000", "--yes"), 2, "there is no remediation R-000000"),
        (
            ("approve", "R-7F3K2Q", "--yes", "--gate", "gate-9"),
            1,
            "R-7F3K2Q asks nothing at gate-9. It asks:",
        ),
        (("verdict", "R-7F3K2Q", "stop", "--reason", "x"), 1, "paramedic approve R-7F3K2Q/gate-1: the plan"),
    ],
    ids=["no remediation", "no such gate", "another question"],
)
def test_answers_only_what_is_asked(home, arguments, code, complaint):
    """A typo is found before anything is written."""
    result = paramedic(*arguments, **home)

    assert (result.exit_code, result.stdout) == (code, "")
    assert complaint in result.stderr
    assert clicks(home) == []


def test_several_questions_are_listed_and_the_one_that_is_named_is_answered(home, told):
    """Nothing is guessed: each is told with what it is about and whom it asks; a name is enough, either way."""
    told.asked_about_step(otherwise=[{"approvers": ["chiefs"], "until": "2026-03-14T03:52:00Z"}])
    ledger = new_ledger(home["data"] / "ledger.db")
    asyncio.run(ledger.append(as_entry(told.records[-1])))
    ledger.close()

    unclear = paramedic("approve", "R-7F3K2Q", "--yes", **home)
    plan = paramedic("deny", "R-7F3K2Q", "--gate", "GATE-1", "--reason", "no", "--wait", "0", **home)
    step = paramedic("approve", "r-7f3k2q/step-1", "--wait", "0", stdin="y\n", **home)

    assert (unclear.exit_code, plan.exit_code, step.exit_code) == (2, 3, 3)
    assert "R-7F3K2Q asks 2 questions; say which is meant:" in unclear.stderr
    assert "--gate step-1: the step “Restart checkout”, sre-oncall until 03:22 UTC" in unclear.stderr
    asked = "asks sre-oncall about the step Restart checkout until 03:22 UTC, then chiefs too."
    assert asked in " ".join(step.stderr.split())
    assert clicks(home) == [("R-7F3K2Q/gate-1", "denied"), ("R-7F3K2Q/step-1", "approved")]


def test_a_plan_that_changed_after_it_was_shown_is_not_approved(home, monkeypatch):
    """What was approved is what runs: the answer is bound to what the person saw."""
    look = answers._look
    seen_before = {"plan_digest": "0" * 64}
    monkeypatch.setattr(answers, "_look", lambda *asked: look(*asked).model_copy(update=seen_before))

    result = paramedic("approve", "R-7F3K2Q", "--yes", **home)

    assert (result.exit_code, clicks(home)) == (1, [])
    assert "the plan is another one than you were shown" in result.stderr


@pytest.mark.parametrize(
    ("judged", "code", "out", "err"),
    [
        (Judged(counts=True), 0, "Your answer counts: you approve.", ""),
        (Judged(counts=False, objection="you are not in sre-oncall"), 1, "", "you are not in sre-oncall."),
        (Judged(), 3, "", "was not judged yet"),
    ],
    ids=["counts", "does not", "not yet"],
)
def test_says_whether_the_answer_counts(home, monkeypatch, judged, code, out, err):
    """In words, by the exit code, and as JSON."""
    monkeypatch.setattr(answers, "judged", lambda *_: judged)

    result = paramedic("approve", "R-7F3K2Q", "--yes", **home)
    as_json = paramedic("approve", "R-7F3K2Q", "--yes", "--json", **home)

    assert (result.exit_code, as_json.exit_code) == (code, code)
    assert out in result.stdout
    assert err in result.stderr
    assert json.loads(as_json.stdout)["counts"] is judged.counts


def test_a_script_is_told_why_in_one_word(home, told, monkeypatch):
    """The sentence may be put otherwise one day; the complaint beside it is that of everybody."""
    monkeypatch.setattr(desk.secrets, "token_hex", lambda _: "1")
    said = {"objection": "you are not in sre-oncall", "refusal": Refusal.NOT_A_MEMBER.value}
    told.answered("approved", "refused", id="cli-1", **said)
    ledger = new_ledger(home["data"] / "ledger.db")
    asyncio.run(ledger.append(as_entry(told.records[-1])))
    ledger.close()

    result = paramedic("approve", "R-7F3K2Q", "--yes", "--json", "--wait", "0", **home)

    gate = {"answer": "cli-1", "remediation": "R-7F3K2Q", "gate": told.gate}
    assert (result.exit_code, json.loads(result.stdout)) == (1, {**gate, "counts": False, **said})
    assert json.loads(result.stderr)["code"] == "does_not_count"
    assert json.loads(result.stderr)["error"].endswith("see who you are: paramedic login who")
