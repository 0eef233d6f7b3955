"""The first look begins early, and what it saw is only used for what was admitted."""

from __future__ import annotations

import asyncio

import pytest

from activities.first_look import FirstLook
from runbooks.errors import RenderError
from runbooks.language.facts import Facts

NODE_1 = Facts(labels={"instance": "node-1"}, annotations={}, target="node-1")
NODE_2 = Facts(labels={"instance": "node-2"}, annotations={}, target="node-2")


class Eyes:
    """Looks until it may return, and remembers at what."""

    def __init__(self) -> None:
        self.at: list[str] = []
        self.ended: list[str] = []
        self.may_return = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.has_ended = asyncio.Event()

    async def look(self, facts):
        self.at.append(facts.target)
        self.has_begun.set()
        try:
            await self.may_return.wait()
        finally:
            self.ended.append(facts.target)
            self.has_ended.set()
        return [], [facts.target]


async def test_it_begins_from_another_thread_before_anybody_asks():
    """
    The writer's thread lets it begin; whoever asks later gets what was seen then.
    """
    eyes = Eyes()
    look = FirstLook(eyes.look)

    await asyncio.to_thread(look.begin_soon, NODE_1)
    await asyncio.wait_for(eyes.has_begun.wait(), 5)
    eyes.may_return.set()

    assert await look.at(NODE_1) == ([], ["node-1"])
    assert eyes.at == ["node-1"]


async def test_what_was_seen_of_others_is_not_used():
    """
    A transaction that is repeated may admit something else: that is looked at anew, and the first look ends.
    """
    eyes = Eyes()
    look = FirstLook(eyes.look)
    look.begin_soon(NODE_1)
    await asyncio.wait_for(eyes.has_begun.wait(), 5)
    eyes.may_return.set()

    assert await look.at(NODE_2) == ([], ["node-2"])
    assert (eyes.at, eyes.ended) == (["node-1", "node-2"], ["node-1", "node-2"])


async def test_it_begins_where_nobody_let_it():
    """
    A call that is repeated after a crash finds its remediation admitted: it looks when it asks.
    """
    eyes = Eyes()
    eyes.may_return.set()

    assert await FirstLook(eyes.look).at(NODE_1) == ([], ["node-1"])


async def test_a_look_that_nobody_needs_ends(caplog):
    """
    Where the admission fails, the look is ended; one that had failed by then is not complained about.
    """
    eyes = Eyes()
    needless = FirstLook(eyes.look)
    needless.begin_soon(NODE_1)
    await asyncio.wait_for(eyes.has_begun.wait(), 5)
    needless.end()
    await asyncio.wait_for(eyes.has_ended.wait(), 5)

    async def fail(_):
        raise RenderError("There is no label `role`.", remedy="Add one.")

    failing = FirstLook(fail)
    with pytest.raises(RenderError):
        await failing.at(NODE_1)
    failing.end()
    del failing
    assert not caplog.records


async def test_what_is_over_does_not_begin():
    """
    Whoever examined was cancelled before the writer came to it: nothing is measured for nobody.
    """
    eyes = Eyes()
    look = FirstLook(eyes.look)
    look.end()

    look.begin_soon(NODE_1)
    later = asyncio.Event()
    asyncio.get_running_loop().call_soon(later.set)  # after what was to begin, and before its first step
    await later.wait()

    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert eyes.at == []
