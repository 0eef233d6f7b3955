"""Whoever may not answer is told before they read and write in vain; what is found then binds nobody."""

from __future__ import annotations

import asyncio

import pytest

from bot import answers as answers_module
from runbooks.errors import LedgerError
from runbooks.model.decision import Answer
from tests import test_answers_told
from tests.ledgers import new_ledger
from tests.records import Telling
from tests.test_answers import Scene
from tests.test_answers_told import TOLD, UNSURE

scene = test_answers_told.scene


async def turned_away(scene: Scene, **facts: object) -> str | None:
    await scene.house.keep()
    click = scene.house.click(**facts)
    asked = await scene.answers.asked(click)
    assert asked is not None
    return await scene.answers.turn_away(click, *asked)


@pytest.mark.parametrize(
    "occasion", ["said already", "not yet their turn", "of no group that is ever asked", "a guest"]
)
async def test_the_words_are_those_of_an_answer_that_was_given_and_stand_on_record(scene, occasion):
    """Why not, whom to ask, once; nobody tries in secret."""
    happen, sentence = TOLD[occasion]
    async with scene.running():
        facts = await happen(scene)

        said = await turned_away(scene, **facts)

    assert said == sentence
    assert [objection for _, objection in await scene.refusals()] == [
        sentence.removeprefix(UNSURE).removesuffix(".") if UNSURE in sentence else "you have already answered"
    ]
    assert await scene.pending() == 0


@pytest.mark.parametrize("answer", [Answer.APPROVED, Answer.DENIED])
async def test_whose_answer_may_count_is_not_turned_away(scene, answer):
    """The reason of a no is asked for after this; nothing is written, and nothing is decided."""
    assert await turned_away(scene, answer=answer) is None
    assert await scene.refusals() == []
    assert scene.house.heard == []


async def test_a_no_is_heard_from_whoever_has_said_yes(scene):
    """Nobody is held to a yes, so the form for the reason opens."""
    async with scene.running():
        await scene.answers.receive(scene.house.click())
        await scene.until_done()

        assert await turned_away(scene, answer=Answer.DENIED) is None


async def test_nobody_is_shown_what_they_asked_for_themselves_to_approve_it(tmp_path):
    """To deny it they may: the engine's own rule is asked, with who asked for it."""
    ledger = new_ledger(tmp_path / "ledger.db")
    told = Telling().admitted(requested_by="slack:T1/U1").check("before", "passed").planned().asked()
    scene = Scene(ledger, told=told)

    approving = await turned_away(scene)
    denying = await turned_away(scene, answer=Answer.DENIED)
    ledger.close()

    assert approving is not None
    assert "you cannot approve what you asked for yourself: somebody else of sre-oncall must" in approving
    assert denying is None


async def test_who_cannot_be_found_out_in_time_is_let_read(scene, monkeypatch):
    """A Slack that is away, or slower than its own patience with forms, keeps nobody from an answer."""
    scene.people.away = True
    away = await turned_away(scene, who="U8")
    monkeypatch.setattr(answers_module, "FORESIGHT", answers_module.timedelta(seconds=0.01))
    scene.people.look_up = lambda *_: asyncio.Event().wait()
    slow = await turned_away(scene, who="U8")

    assert (away, slow) == (None, None)
    assert await scene.refusals() == []


async def test_who_is_turned_away_is_told_though_it_cannot_be_recorded(scene, monkeypatch):
    """It does not count either way, and the person must know."""

    async def full(_work: object) -> None:
        raise LedgerError("the disk is full")

    await scene.house.keep()
    click = scene.house.click(who="U8")
    asked = await scene.answers.asked(click)
    monkeypatch.setattr(scene.house.ledger, "write", full)

    assert await scene.answers.turn_away(click, *asked) == f"{UNSURE}you are not in sre-oncall."
