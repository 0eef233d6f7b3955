"""A stop is part of the story: who, why, when."""

from __future__ import annotations

from runbooks.model.record import RecordKind
from runbooks.policy.story import read_story
from tests.records import NOON, Telling


def test_who_stopped_it_and_why_is_told():
    """Cards, timelines and reasons read it from here."""
    told = Telling().admitted().tell(RecordKind.STOP_ASKED, actor="local:alice", reason="by hand")

    stop = read_story(told.records).stop

    assert stop is not None
    assert (stop.key, stop.reason, stop.at) == ("local:alice", "by hand", NOON)
    assert read_story(Telling().admitted().records).stop is None
