"""People: one person is one person, in Slack and at a terminal of this machine."""

from __future__ import annotations

import pytest

from activities.connections import Connections, GroupConnection
from bot.people import LocalPeople, OnePersonOneKey
from runbooks.model.decision import Principal

ALICE = ("slack:T1/U1", "local:alice")


def people(known: dict[str, tuple[str, ...]]) -> OnePersonOneKey:
    groups = {"oncall": GroupConnection(members=("local:alice", "local:bob"))}
    return OnePersonOneKey(LocalPeople(groups), known)


async def test_somebody_who_is_known_twice_answers_under_one_key():
    """The first key stands for the person; the others are on record with it."""
    found = await people({"alice": ALICE}).look_up("local:alice", ["oncall"])

    assert found == Principal(key=ALICE[0], also=ALICE[1:], name="alice", groups=("oncall",))


async def test_somebody_who_is_known_once_keeps_their_key():
    """Nothing changes for who is not listed."""
    found = await people({"alice": ALICE}).look_up("local:bob", ["oncall"])

    assert (found.key, found.also) == ("local:bob", ())


def test_one_key_is_one_persons():
    """Two people who share a key would be one person who can approve twice, or two who cannot."""
    with pytest.raises(ValueError, match="local:alice is written twice"):
        Connections(people={"alice": ALICE, "bob": ("local:alice", "slack:T1/U2")})
    assert Connections(people={"alice": ALICE}).people == {"alice": ALICE}
