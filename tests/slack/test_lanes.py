"""What waits for what on the way to Slack: what shares a limit, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.web.async_client import AsyncWebClient

from bot.practice.server import PracticeServer
from bot.practice.workspace import Workspace
from bot.slack.boards import Board, Crew
from bot.slack.lanes import Job, Lane, Limit
from bot.slack.message import say
from bot.slack.places import Places
from bot.slack.sender import LANES_KEPT, Posted, Sender, SlackAwayError, Urgency
from runbooks.policy.story import read_story
from tests.records import Telling
from tests.slack.test_card import asked

FAST = Limit(per_second=1e6, burst=1000)
NIGHT = 600  # seconds: a pause that no test lives to see the end of
POST, UPDATE = "chat.postMessage", "chat.update"


# --- one lane -----------------------------------------------------------------------------------


class Calls:
    """Calls that go as a test wants: each says how often it gets 429 before it is carried out."""

    def __init__(self, limit: Limit) -> None:
        self.lane = Lane(limit, self.carry_out)
        self.done: list[Job] = []
        self.together: list[str] = []
        self.under_way: list[str] = []
        self.pauses: dict[int, int] = {}
        self.jobs: list[Job] = []

    async def carry_out(self, lane: Lane, job: Job) -> None:
        self.under_way.append(job.place)
        self.together.append(" ".join(sorted(self.under_way)))
        await asyncio.sleep(0)
        self.under_way.remove(job.place)
        if self.pauses.get(job.number, 0):
            self.pauses[job.number] -= 1
            lane.add(job)
        else:
            self.done.append(job)
            job.answer.set_result(None)

    def add(
        self, urgency: Urgency, place: str = "m", *, pauses: int = 0, keeps_order: bool = True
    ) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = len(self.jobs)
        self.pauses[number] = pauses
        self.jobs.append(Job(urgency, number, UPDATE, place, keeps_order, asyncio.sleep, answer))
        self.lane.add(self.jobs[-1])
        return answer

    def order(self, place: str = "m") -> list[int]:
        return [job.number for job in self.done if job.place == place]


async def test_the_most_urgent_goes_first_and_equals_in_the_order_in_which_they_came():
    """A question to people overtakes progress that waits already."""
    calls = Calls(FAST)
    urgencies = [Urgency.LINE, Urgency.PROGRESS, Urgency.PROGRESS, Urgency.GATE]

    await asyncio.gather(*(calls.add(each, keeps_order=False) for each in urgencies))

    assert calls.order() == [3, 1, 2, 0]


async def test_what_is_older_of_a_message_is_not_shown_last():
    """A change that is urgent takes those before it of the same message along, and no others."""
    calls = Calls(FAST)
    waiting = [
        calls.add(Urgency.PROGRESS, "other"),
        calls.add(Urgency.CARD),
        calls.add(Urgency.GATE, pauses=2),
        calls.add(Urgency.CARD),
    ]

    await asyncio.gather(*waiting)

    assert [job.number for job in calls.done] == [1, 2, 3, 0]


async def test_changes_of_different_messages_are_under_way_together():
    """As many as the limit says, and never two of one message."""
    calls = Calls(Limit(per_second=1e6, burst=1000, at_once=2))

    await asyncio.gather(*(calls.add(Urgency.CARD, place) for place in "aaabbc"))

    assert max(len(each.split()) for each in calls.together) == 2
    assert all(len(set(each.split())) == len(each.split()) for each in calls.together)
    assert (calls.order("a"), calls.order("b"), calls.order("c")) == ([0, 1, 2], [3, 4], [5])


async def test_who_does_not_wait_any_more_is_not_called_for():
    """A job that was given up is left out, and holds up nobody."""
    calls = Calls(FAST)
    given_up, wanted = calls.add(Urgency.GATE), calls.add(Urgency.LINE)
    given_up.cancel()

    await wanted

    assert calls.order() == [1]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(Urgency), st.sampled_from("abc"), st.integers(0, 2)),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 3),
)
def test_nothing_is_lost_doubled_or_out_of_order(jobs, at_once):
    """Property: whatever is urgent and however often Slack says no, each place sees its calls once, in order."""

    async def story() -> Calls:
        calls = Calls(Limit(per_second=1e6, burst=1000, at_once=at_once))
        await asyncio.gather(*(calls.add(urgency, place, pauses=pauses) for urgency, place, pauses in jobs))
        return calls

    calls = asyncio.run(story())

    assert sorted(job.number for job in calls.done) == list(range(len(jobs)))
    assert all(calls.order(place) == sorted(calls.order(place)) for place in "abc")


# --- the sender, with a workspace that says no --------------------------------------------------


class Desk:
    """A sender with Slack's own limits, before a practice workspace over real sockets."""

    def __init__(self, server: PracticeServer) -> None:
        self.server = server
        client = AsyncWebClient(token=server.bot_token, base_url=server.base_url)
        client.proxy, client.retry_handlers = None, []
        self.sender = Sender(client)
        self.paused = asyncio.Event()
        self.sender.tally.count = lambda outcome: self.paused.set() if outcome == "paused" else None

    async def post(self, channel: str, text: str = "x", urgency: Urgency = Urgency.CARD) -> Posted:
        return await self.sender.post(channel, say(text), urgency=urgency)

    async def held(self, call: Any) -> asyncio.Task[Any]:
        """Begin a call to which Slack says for how long it wants no more of them."""
        task: asyncio.Task[Any] = asyncio.create_task(call)
        await self.paused.wait()
        return task

    def calls(self, method: str) -> list[Any]:
        return [each for each in self.server.workspace.calls if each.method == method]

    def said(self, channel: str) -> list[str]:
        return [each.text for each in self.server.workspace.messages(channel)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    workspace = Workspace()
    workspace.add_channel("general")
    async with PracticeServer(workspace) as server:
        yield Desk(server)


async def test_a_channel_that_has_had_enough_holds_up_no_other(desk):
    """Not another channel, not a person, and not the change of a message in that same channel."""
    card = await desk.post("#incidents", "the card")
    desk.server.faults.fail(POST, retry_after=NIGHT, channel="C0INCIDENTS")
    held = await desk.held(desk.post("#incidents"))

    await desk.post("#general")
    await desk.post("U0ALICE")
    await desk.sender.update(card, say("changed"), urgency=Urgency.LINE)

    assert not held.done()
    held.cancel()


async def test_a_method_that_has_had_enough_holds_up_no_other(desk):
    """While nothing may be changed, a new question is posted, in the same channel."""
    card = await desk.post("#incidents", "the card")
    desk.server.faults.fail(UPDATE, retry_after=NIGHT)
    held = await desk.held(desk.sender.update(card, say("changed"), urgency=Urgency.GATE))

    await desk.post("#incidents", "a question", Urgency.GATE)

    assert not held.done()
    held.cancel()


async def test_a_pause_of_a_channel_holds_by_whatever_name_it_is_called(desk):
    """Cards are posted by the channel's name and their threads by its id; Slack counts them together."""
    desk.server.faults.fail(POST, retry_after=NIGHT, channel="C0INCIDENTS")
    by_id = await desk.held(desk.post("C0INCIDENTS"))
    await desk.post("#incidents", "as nobody knows yet that this is the same")
    by_name = asyncio.create_task(desk.post("#incidents"))
    await desk.post("#general")

    assert [each.arguments["channel"] for each in desk.calls(POST)] == [
        "C0INCIDENTS",
        "#incidents",
        "#general",
    ]
    assert not by_id.done() | by_name.done()
    by_id.cancel()
    by_name.cancel()


@pytest.mark.slow
async def test_after_a_pause_a_channel_gets_everything_once_the_question_first(desk):
    """Inside `Retry-After` there is no call for it; what waited keeps its order."""
    loop = asyncio.get_running_loop()
    desk.server.faults.fail(POST, retry_after=1, channel="C0INCIDENTS")
    since = loop.time()  # before the pause begins: however late this test hears of it, it is not over sooner
    first = await desk.held(desk.post("#incidents", "progress 0", Urgency.PROGRESS))
    calls = len(desk.calls(POST))

    rest = [desk.post("#incidents", f"progress {n}", Urgency.PROGRESS) for n in range(1, 5)]
    await asyncio.gather(first, *rest, desk.post("#incidents", "question", Urgency.GATE))

    assert desk.said("C0INCIDENTS") == ["question", *(f"progress {n}" for n in range(5))]
    assert loop.time() - since >= 1.0
    assert len(desk.calls(POST)) == calls + 6


async def test_no_message_is_lost_or_doubled_however_often_slack_says_no(desk):
    """Two channels, each with pauses of its own in between."""
    for _ in range(3):
        for channel in ("C0INCIDENTS", "C0GENERAL"):
            desk.server.faults.fail(POST, retry_after=0, channel=channel)
    names = [str(number) for number in range(6)]

    await asyncio.gather(
        *(desk.post(channel, name) for name in names for channel in ("#incidents", "#general"))
    )

    assert desk.said("C0INCIDENTS") == desk.said("C0GENERAL") == names
    assert [each.error for each in desk.calls(POST)].count("http_429") == 6


async def test_a_change_that_takes_long_holds_up_no_other_message(desk):
    """A card gets its buttons while a board's update is still under way."""
    board, card = await desk.post("#general", "board"), await desk.post("#incidents", "card")
    desk.server.faults.slow(UPDATE, seconds=NIGHT, channel="C0GENERAL")
    slow = asyncio.create_task(desk.sender.update(board, say("board 2"), urgency=Urgency.GATE))
    await asyncio.sleep(0)  # it is the first in line

    await desk.sender.update(card, say("card 2"), urgency=Urgency.GATE)

    assert desk.said("C0INCIDENTS") == ["card 2"]
    assert not slow.done()
    slow.cancel()


async def test_a_channel_that_cannot_be_reached_holds_up_no_other(desk, monkeypatch):
    """Trouble is a lane's own as well: it is given up there, and elsewhere nobody notices."""
    monkeypatch.setattr("bot.slack.sender.FIRST_PAUSE", 0.0)
    desk.server.faults.fail(POST, status=503, times=4, channel="C0INCIDENTS")

    failed, posted = await asyncio.gather(
        desk.post("#incidents"), desk.post("#general"), return_exceptions=True
    )

    assert isinstance(failed, SlackAwayError)
    assert posted.channel == "C0GENERAL"


async def test_lanes_that_know_nothing_are_forgotten():
    """Whoever was told something once is not remembered for ever."""

    class Slack:
        async def api_call(self, _method: str, json: Any) -> Any:
            return {"channel": json["channel"], "ts": "1.1"}

    sender = Sender(Slack(), per_second=1e6)  # type: ignore[arg-type]
    for number in range(2 * LANES_KEPT):
        await sender.post(f"U{number}", say("x"), urgency=Urgency.GATE)

    assert len(sender._lanes) <= LANES_KEPT


# --- boards -------------------------------------------------------------------------------------


class Urgencies:
    """A poster that remembers how urgent what it was given is."""

    def __init__(self) -> None:
        self.seen: list[Urgency] = []

    async def replace(self, _place: Posted, _draft: Any, *, urgency: Urgency) -> None:
        self.seen.append(urgency)


async def test_a_board_is_urgent_only_where_its_questions_change():
    """A button that people wait for does not stand behind a board that tells of progress."""
    poster = Urgencies()
    crew = Crew(None, poster, Places(None, poster), None, "", None)  # type: ignore[arg-type]
    board = Board(Posted(channel="C1", ts="1.1"), crew)
    working = Telling("R-WORKING").admitted()
    answered = asked().answered("denied").gate_closed("denied")
    for told in (asked(), working, working.check("before", "passed"), answered):
        board.put(read_story(told.records))
        await board._update()

    assert poster.seen == [Urgency.GATE, Urgency.CARD, Urgency.CARD, Urgency.GATE]
