"""The way of a click: durable first, then judged once, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.ledger import inbox, records
from activities.ledger.clicks import Reception, claim_clicks, judgement_of
from activities.signatures import TrustedKeys
from bot import answers as answers_module
from bot.answers import Answers, WorkflowGoneError
from bot.keys import ListenerKey
from runbooks.model.decision import Answer
from runbooks.model.record import SYSTEM, RecordKind
from tests.ledgers import new_ledger
from tests.waiting import FakePeople, FakeVoice, Waiting

SOON = timedelta(minutes=1)  # for an attempt, by the clock on the wall; claims run out by that of the story
KEY = ListenerKey.generate()


@pytest.fixture
def ledger(tmp_path):
    opened = new_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


class Scene:
    """A gate that waits, and the answers on their way to it."""

    def __init__(self, ledger, **more):
        self.house = Waiting(ledger, **more)
        self.people = FakePeople()
        self.voice = FakeVoice()
        self.processes = []
        self.answers = self.build()

    def build(self):
        """A new process on the same ledger."""
        self.processes.append(process := self._build())
        return process

    def _build(self):
        return Answers(
            self.house.ledger,
            key=KEY,
            people=self.people,
            workflows=self.house,
            voice=self.voice,
            clock=self.house.now,
            hold=SOON,
        )

    @contextlib.asynccontextmanager
    async def running(self, answers=None):
        await self.house.keep()
        task = asyncio.create_task((answers or self.answers).run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def heard(self):
        """The next thing that anybody is told."""
        async with asyncio.timeout(20):
            return await self.voice.told.get()

    def pass_time(self, span=2 * SOON):
        """Let time pass in the story, which stands still otherwise: whatever was claimed is tried again."""
        self.house.told.wait(seconds=span.total_seconds())
        for process in self.processes:
            process._wake.set()

    async def until(self, holds):
        """Look again until `holds` is true."""
        async with asyncio.timeout(20):
            while not await holds():  # noqa: ASYNC110 - only the database knows
                await asyncio.sleep(0.01)

    async def pending(self):
        """Whether clicks wait in the inbox."""
        query = text("select count(*) from inbox where kind = 'click' and done_at is null")
        return await self.house.ledger.read(lambda c: c.execute(query).scalar_one())

    async def until_done(self):
        async def nothing_waits():
            return await self.pending() == 0

        await self.until(nothing_waits)

    async def refusals(self):
        """Who was refused, and why, as it is on record."""
        everything = await self.house.ledger.read(lambda c: records.after(c, -1, 1000))
        return [
            (record.actor, record.data["objection"])
            for record in everything
            if record.kind is RecordKind.DECISION and record.outcome == "refused"
        ]


@pytest.fixture
def scene(ledger):
    return Scene(ledger)


async def test_a_click_reaches_the_workflow_sealed_and_bound(scene):
    """
    The decision carries gate and plan from the ledger, the groups of now, and a seal that verifies.
    """
    async with scene.running():
        await scene.answers.receive(scene.house.click())
        await scene.until_done()

    (signed,) = scene.house.heard
    assert TrustedKeys([KEY.public_key]).verify(signed)
    assert signed.decision.plan_digest == scene.house.told.plan.digest
    assert signed.decision.expires_at == scene.house.gate.expires_at
    assert signed.decision.principal.groups == ("sre-oncall",)
    assert (await scene.house.story()).gate.outcome == "approved"
    assert scene.voice.told.empty()


async def test_what_became_of_an_answer_is_found_also_where_the_ending_overtook_it(scene):
    """
    The remediation's stream is closed by then, and whoever waits at a terminal must hear it all the same.
    """
    early, late = scene.house.click("U1"), scene.house.click("U2")
    await scene.house.keep()
    await scene.answers.receive(early)
    await scene.answers.receive(late)
    ledger, remediation = scene.house.ledger, scene.house.told.remediation
    assert await ledger.read(lambda c: judgement_of(c, late.id, remediation)) is None

    await scene.house.end("stopped")
    async with scene.running():
        await scene.until_done()

    for click in (early, late):
        found = await ledger.read(lambda c: judgement_of(c, click.id, remediation))  # noqa: B023 - awaited here
        assert (found.stream, found.outcome, found.data["refusal"]) == (SYSTEM, "refused", "closed")
    assert await ledger.read(lambda c: judgement_of(c, "unheard-of", remediation)) is None


async def test_no_more_clicks_are_claimed_than_can_be_delivered_at_once(scene):
    """
    Temporal takes its time: what finds no place waits in the inbox, where other processes find it too.
    """
    answers, decide = answers_module.AT_ONCE + 5, scene.house.decide
    asked, may_go_on = asyncio.Semaphore(0), asyncio.Event()

    async def decide_slowly(workflow_id, signed):
        asked.release()
        await may_go_on.wait()
        return await decide(workflow_id, signed)

    scene.house.decide = decide_slowly
    await scene.house.keep()
    for number in range(answers):
        await scene.answers.receive(scene.house.click(f"U{number}", Answer.APPROVED))
        scene.people.groups[f"slack:T1/U{number}"] = ("sre-oncall",)
    claimed = text("select count(*) from inbox where kind = 'click' and claimed_until is not null")

    async with scene.running():
        for _ in range(answers_module.AT_ONCE):
            await asked.acquire()
        assert await scene.house.ledger.read(lambda c: c.execute(claimed).scalar_one()) == answers - 5
        may_go_on.set()
        await scene.until_done()


async def test_a_click_is_durable_before_anybody_is_asked(scene):
    """
    Once `receive` has returned, the click is on record and waiting, though nobody delivers yet.
    """
    await scene.house.keep()

    reception = await scene.answers.receive(scene.house.click())

    assert reception is Reception.RECORDED
    assert (await scene.house.stream())[-1].kind is RecordKind.DECISION_RECEIVED
    assert await scene.pending() == 1
    assert scene.people.asked == []


async def test_a_click_that_is_delivered_twice_is_one(scene):
    """
    Slack may deliver one click several times; it is recorded and judged once.
    """
    click = scene.house.click()
    async with scene.running():
        first = await scene.answers.receive(click)
        second = await scene.answers.receive(click)
        await scene.until_done()

    assert (first, second) == (Reception.RECORDED, Reception.REPEATED)
    assert len({signed.decision.id for signed in scene.house.heard}) == 1


async def test_a_double_click_is_not_held_against_the_person(scene):
    """
    The second press of the same person changes nothing, and nobody is told off for it.
    """
    async with scene.running():
        await asyncio.gather(
            scene.answers.receive(scene.house.click(nonce="1")),
            scene.answers.receive(scene.house.click(nonce="2")),
        )
        await scene.until_done()

    story = await scene.house.story()
    assert [each.accepted for each in story.gate.decisions].count(True) == 1
    assert scene.voice.told.empty()


async def test_somebody_outside_the_group_is_told_so(scene):
    """
    Whether a group may answer is the engine's to say; the refusal is on record, with its seal.
    """
    scene.people.groups = {}
    async with scene.running():
        await scene.answers.receive(scene.house.click("U9"))
        person, said = await scene.heard()
        await scene.until_done()

    assert person == "slack:T1/U9"
    assert said == "Your answer does not count: you are not in sre-oncall."
    assert await scene.refusals() == [("slack:T1/U9", "you are not in sre-oncall")]
    assert (await scene.house.story()).gate.outcome == ""


async def test_a_guest_never_reaches_the_workflow(scene):
    """
    A guest's click is on record as refused, unsealed, so that nobody can make use of it.
    """
    scene.people.refused = {"slack:T1/U7": "guests may not answer"}
    async with scene.running():
        await scene.answers.receive(scene.house.click("U7"))
        _, said = await scene.heard()
        await scene.until_done()

    assert said == "Your answer does not count: guests may not answer; ask somebody of sre-oncall."
    assert scene.house.heard == []
    refused = (await scene.house.stream())[-1]
    assert (refused.kind, refused.outcome, refused.data["signature"]) == (RecordKind.DECISION, "refused", "")


async def test_two_people_at_once_are_one_decision(scene):
    """
    Of two answers at the same moment one counts; the other person learns how it was decided.
    """
    async with scene.running():
        await asyncio.gather(
            scene.answers.receive(scene.house.click("U1")),
            scene.answers.receive(scene.house.click("U2", Answer.DENIED, reason="no")),
        )
        _, said = await scene.heard()
        await scene.until_done()

    story = await scene.house.story()
    assert [each.accepted for each in story.gate.decisions].count(True) == 1
    assert "this question was closed" in said.lower()


async def test_two_approvals_are_asked_of_two_people(ledger):
    """
    Where two must approve, both count and the gate closes with the second.
    """
    scene = Scene(ledger, need=2)
    async with scene.running():
        await scene.answers.receive(scene.house.click("U1"))
        await scene.answers.receive(scene.house.click("U2"))
        await scene.until_done()

    story = await scene.house.story()
    assert story.gate.outcome == "approved"
    assert {each.key for each in story.gate.decisions if each.accepted} == {"slack:T1/U1", "slack:T1/U2"}


async def test_a_late_click_learns_how_it_was_closed(scene):
    """
    After the end a click is kindly told when and how; its buttons go, and it is on record.
    """
    async with scene.running():
        await scene.house.close_gate("denied", "Bob said no: not now")
        await scene.answers.receive(scene.house.click())
        _, said = await scene.heard()
        await scene.until_done()

    assert said == "This question was closed at 03:07 UTC: Bob said no: not now. Your answer changes nothing."
    assert [each.id for each in scene.voice.tidied] == [scene.house.click().id]
    assert scene.house.heard == []
    assert len(await scene.refusals()) == 1


async def test_nothing_is_written_into_a_stream_that_has_ended(scene):
    """
    The ending is a remediation's last record; what comes later is on record in the system's stream.
    """
    async with scene.running():
        await scene.house.close_gate("expired", "nobody answered in time")
        await scene.house.end("expired")
        await scene.answers.receive(scene.house.click())
        await scene.heard()
        await scene.until_done()

    assert (await scene.house.stream())[-1].kind is RecordKind.ENDING
    system = await scene.house.ledger.read(lambda c: records.stream_of(c, SYSTEM))
    assert [each.kind for each in system] == [RecordKind.DECISION_RECEIVED, RecordKind.DECISION]


async def test_a_click_outlives_a_temporal_that_is_away(scene):
    """
    While Temporal is away the person knows that the answer is recorded; afterwards it is delivered.
    """
    scene.house.away = True
    async with scene.running():
        await scene.answers.receive(scene.house.click())
        _, said = await scene.heard()
        assert "recorded" in said
        assert await scene.pending() == 1

        scene.house.away = False
        scene.pass_time()
        await scene.until_done()

    assert (await scene.house.story()).gate.outcome == "approved"
    assert scene.voice.told.empty()


async def test_an_answer_that_cannot_be_delivered_in_time_is_given_up_aloud(scene):
    """
    When the gate's time is over, an undelivered click becomes a refusal on record.
    """
    scene.house.away = True
    async with scene.running():
        await scene.answers.receive(scene.house.click())
        await scene.heard()
        scene.pass_time(timedelta(minutes=16))
        await scene.until_done()
        _, said = await scene.heard()

    assert "could not be delivered" in said
    assert scene.house.heard == []


async def test_nobody_answers_while_slack_does_not_say_who_they_are(scene):
    """
    Without a look-up there is no decision; with it, the same click counts.
    """
    scene.people.away = True
    async with scene.running():
        await scene.answers.receive(scene.house.click())
        await scene.heard()
        assert scene.house.heard == []

        scene.people.away = False
        scene.pass_time()
        await scene.until_done()

    assert len({signed.decision.id for signed in scene.house.heard}) == 1


async def test_a_restart_delivers_what_was_waiting(scene):
    """
    A click that was acknowledged and not delivered when the process died is delivered by the next.
    """
    await scene.house.keep()
    await scene.answers.receive(scene.house.click())
    await scene.house.ledger.write(
        lambda t: claim_clicks(t, 1, at=scene.house.now(), hold=timedelta(seconds=5))
    )  # the process that died had claimed it
    scene.pass_time()

    async with scene.running(scene.build()):
        await scene.until_done()

    assert (await scene.house.story()).gate.outcome == "approved"


async def judged_before_the_crash(scene):
    """A click whose decision is on record, and that is still in the inbox."""
    await scene.house.keep()
    click = scene.house.click()
    await scene.answers.receive(click)
    story = await scene.house.story()
    principal = await scene.people.look_up(click.person, ("sre-oncall",))
    signed = KEY.sign(answers_module._decision(click, story, story.gate, principal))
    await scene.house.record(signed)
    return signed


async def test_a_crash_after_the_verdict_loses_no_approval(scene):
    """
    The workflow may have died before Temporal knew what it had heard: the very same decision is sent again.
    """
    signed = await judged_before_the_crash(scene)

    async with scene.running():
        await scene.until_done()

    assert scene.house.heard == [signed]
    assert scene.voice.told.empty()


@pytest.mark.parametrize("judged_by", ["the engine", "the listener"])
async def test_whose_answer_did_not_count_is_told_so_by_the_next_process(scene, judged_by):
    """
    The first one dies, or Slack hangs, when the refusal is on record and nobody has said so.
    """
    person = "U8" if judged_by == "the engine" else "U9"
    scene.people.groups["slack:T1/U8"] = ("sales",)
    scene.people.refused["slack:T1/U9"] = "guests may not answer"
    speaking, tell = asyncio.Event(), scene.voice.tell

    async def hang(click, words):
        speaking.set()
        await asyncio.Event().wait()

    scene.voice.tell = hang
    async with scene.running(), asyncio.timeout(20):
        await scene.answers.receive(scene.house.click(person))
        await speaking.wait()
    assert await scene.pending() == 1
    scene.voice.tell = tell
    scene.pass_time()

    async with scene.running(scene.build()):
        await scene.until_done()

    (refusal,) = await scene.refusals()
    told, words = scene.voice.told.get_nowait()
    assert (told, words) == (refusal[0], f"Your answer does not count: {refusal[1]}.")
    assert scene.voice.told.empty()


def limits_of_tasks(monkeypatch):
    """Return the limit of time that each task has set itself last: whoever has it says when it is over."""
    limits, timeout = {}, asyncio.timeout

    def note(seconds):
        limits[asyncio.current_task()] = limit = timeout(seconds)
        return limit

    monkeypatch.setattr(asyncio, "timeout", note)
    return limits


async def test_whose_answer_did_not_count_does_not_hear_that_it_will(scene, monkeypatch):
    """
    An attempt that is cut off while the person is told is not one that could not be delivered.
    """
    scene.people.refused["slack:T1/U9"] = "guests may not answer"
    heard, cut_off, limits = [], asyncio.Event(), limits_of_tasks(monkeypatch)
    give_up, tell = scene.answers._tell_to_wait, scene.voice.tell

    async def hang(click, words):
        heard.append(words)
        limits[asyncio.current_task()].reschedule(asyncio.get_running_loop().time())
        await asyncio.Event().wait()

    async def note(click):
        scene.voice.tell = tell
        await give_up(click)
        cut_off.set()

    scene.voice.tell = hang
    monkeypatch.setattr(scene.answers, "_tell_to_wait", note)
    async with scene.running(), asyncio.timeout(20):
        await scene.answers.receive(scene.house.click("U9"))
        await cut_off.wait()
        assert scene.voice.told.empty()
        scene.pass_time()
        await scene.until_done()

    assert (await scene.heard())[1] == heard[0]
    assert "does not count" in heard[0]


async def test_what_was_decided_about_an_ended_remediation_is_not_sent_again(scene):
    """
    A workflow of the same name may wait for another question by then.
    """
    await judged_before_the_crash(scene)
    await scene.house.end("mitigated")

    async with scene.running():
        await scene.until_done()

    assert scene.house.heard == []


async def test_a_workflow_that_is_gone_means_closed(scene):
    """
    Where nobody waits any more, the person is told, and nothing is sent again.
    """
    scene.house.gone = True
    async with scene.running():
        await scene.answers.receive(scene.house.click())
        _, said = await scene.heard()
        await scene.until_done()

    assert "nobody waits" in said.lower()


@pytest.mark.parametrize("gate", ["R-NOBODY/gate-1", "system/gate-1", "nonsense"])
async def test_a_click_on_an_unknown_question_leaves_no_trace(scene, gate):
    """
    Nobody can open a stream of the ledger, or write into the system's, with a made-up button.
    """
    await scene.house.keep()
    before = await scene.house.ledger.read(records.size)

    reception = await scene.answers.receive(scene.house.click(gate=gate))

    assert reception is Reception.UNKNOWN
    assert await scene.house.ledger.read(records.size) == before


async def test_a_question_that_was_replaced_is_not_answered(scene):
    """
    A button of an older gate of the same remediation decides nothing about the newer one.
    """
    async with scene.running():
        await scene.answers.receive(scene.house.click(gate=f"{scene.house.told.remediation}/gate-0"))
        _, said = await scene.heard()
        await scene.until_done()

    assert "not asked any more" in said
    assert scene.house.heard == []


async def test_one_odd_click_does_not_stop_the_others(scene):
    """
    A click whose delivery fails in an unforeseen way leaves the way free for the next one.
    """
    look_up = scene.people.look_up

    async def odd(person, groups):
        if person.endswith("U8"):
            raise RuntimeError("odd")
        return await look_up(person, groups)

    scene.people.look_up = odd
    async with scene.running():
        await scene.answers.receive(scene.house.click("U8"))
        await scene.answers.receive(scene.house.click("U1"))
        async with asyncio.timeout(20):
            await scene.house.answered.wait()

    assert [each.decision.principal.key for each in scene.house.heard] == ["slack:T1/U1"]


async def test_feeders_of_alerts_never_see_clicks(scene):
    """
    Clicks wait in the same table as alerts, for a deliverer of their own.
    """
    await scene.house.keep()
    await scene.answers.receive(scene.house.click())

    claimed = await scene.house.ledger.write(
        lambda t: inbox.claim(t, 10, at=scene.house.now(), hold=timedelta(seconds=1))
    )

    assert claimed == []


def test_a_refusal_before_the_history_is_not_on_record_yet():
    """
    What the validator refuses left no trace in Temporal; the listener must put it on record.
    """
    refused = WorkflowUpdateFailedError(ApplicationError("you are not in it", type="DecisionRefused"))

    verdict = answers_module._verdict_of(refused)

    assert (verdict.objection, verdict.recorded) == ("you are not in it", False)


def test_an_update_that_its_workflow_outran_means_gone():
    """
    Whether it counted is then asked of the ledger.
    """
    outran = WorkflowUpdateFailedError(ApplicationError("done", type="AcceptedUpdateCompletedWorkflow"))

    with pytest.raises(WorkflowGoneError):
        answers_module._verdict_of(outran)
