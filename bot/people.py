"""People: who somebody is, and which approver groups they are in, whatever way they answer.

A person's key says where they are known: `slack:T0123/U0456` in Slack, `local:alice` on this machine.
Somebody at a terminal of this machine is whom the system says they are; a group's members are listed
in the connections file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from activities.connections import GroupConnection
from bot.answers import People, PersonRefusedError
from runbooks.model.decision import Principal

LOCAL = "local:"


class LocalPeople:
    """People of this machine.  Implements `bot.answers.People`."""

    def __init__(self, groups: Mapping[str, GroupConnection]) -> None:
        self._groups = groups

    async def look_up(self, person: str, groups: Sequence[str]) -> Principal:
        """Return the person with those of `groups` whose members name them.

        Raises:
            PersonRefusedError: they are known somewhere else.
        """
        if not person.startswith(LOCAL):
            raise PersonRefusedError("only people of this machine may answer here: Slack is off")
        mine = (name for name in groups if name in self._groups and person in self._groups[name].members)
        return Principal(key=person, name=person.removeprefix(LOCAL), groups=tuple(mine))


class OnePersonOneKey:
    """People who are known in several places, each as one person.  Implements `bot.answers.People`.

    Where two must agree, nobody can be both of them, and nobody approves at a terminal what they asked
    for in Slack.

    Args:
        known: the keys of each person, by a name.
    """

    def __init__(self, people: People, known: Mapping[str, Sequence[str]]) -> None:
        self._people = people
        self._keys = {key: tuple(keys) for keys in known.values() for key in keys}

    async def look_up(self, person: str, groups: Sequence[str]) -> Principal:
        """Look the person up where they came from, and return them under the key that stands for them."""
        found = await self._people.look_up(person, groups)
        keys = self._keys.get(person, (person,))
        return found.model_copy(update={"key": keys[0], "also": keys[1:]})


class PeopleEverywhere:
    """People of this machine, and those of a chat.  Implements `bot.answers.People`."""

    def __init__(self, local: People, chat: People) -> None:
        self._local = local
        self._chat = chat

    async def look_up(self, person: str, groups: Sequence[str]) -> Principal:
        """Ask where the person is known."""
        place = self._local if person.startswith(LOCAL) else self._chat
        return await place.look_up(person, groups)
