"""The doorkeeper: asked before anybody does anything, whatever way they came.

It finds out who that is, at that moment, and what the installation knows beyond the question; then
the policy judges.  Nothing else in the product asks the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from activities.connections import GroupConnection
from bot.policy.policy import groups_of
from bot.policy.policy_file import PolicyFile
from bot.policy.questions import BRAKING, Person, Question, Ruling
from runbooks.errors import ParamedicError


class NotPermittedError(ParamedicError):
    """The policy does not let this person do that.  The message says why, and whom to ask.

    Attributes:
        ruling: what the policy said.
    """

    code = "not_permitted"

    def __init__(self, ruling: Ruling) -> None:
        super().__init__(ruling.sentence)
        self.ruling = ruling


class StrangerError(ParamedicError):
    """Nobody here knows people who come this way."""

    code = "stranger"


class Knower(Protocol):
    """Whoever knows the people of one path."""

    async def know(self, person: str, groups: Sequence[str]) -> Person:
        """Return the person with those of `groups` that they are in, as of now.

        Raises:
            ParamedicError: there is no such person, or nobody can tell at the moment.
        """


class LocalMembers:
    """Knows who is in which group among people at a terminal of this machine: by the connections file."""

    def __init__(self, groups: Mapping[str, GroupConnection]) -> None:
        self._groups = groups

    async def know(self, person: str, groups: Sequence[str]) -> Person:
        """Return the person, with those of `groups` whose `members` name them."""
        named = (each for each in groups if each in self._groups and person in self._groups[each].members)
        return Person(key=person, groups=tuple(dict.fromkeys(named)))


class Doorkeeper:
    """Asks the policy in force.

    Args:
        knowers: who knows the people that come on a path: `slack`, `local`.
        thaw_group: whose members lift freezes; None: everybody.
        owner_of: the owner of a runbook in force, empty where there is none.
    """

    def __init__(
        self,
        policies: PolicyFile,
        knowers: Mapping[str, Knower],
        *,
        thaw_group: str | None = None,
        owner_of: Callable[[str], str] = lambda _name: "",
    ) -> None:
        self._policies = policies
        self._knowers = knowers
        self._thawers = (thaw_group,) if thaw_group else ()
        self._owner_of = owner_of

    async def judge(self, person: str, question: Question) -> Ruling:
        """Return what the policy says to this person's question.

        Raises:
            ParamedicError: it is not known who that is.
        """
        policy = self._policies.current()
        asked = self._completed(question)
        path = person.partition(":")[0]
        if path not in self._knowers:
            raise StrangerError(f"nobody here knows {person}")
        groups = tuple(dict.fromkeys((*groups_of(asked), *policy.groups)))
        return policy.judge(await self._knowers[path].know(person, groups), asked)

    async def admit(self, person: str, question: Question) -> Ruling:
        """Return the ruling that lets this person do that.

        Raises:
            NotPermittedError: the policy does not.
            ParamedicError: it is not known who that is.
        """
        ruling = await self.judge(person, question)
        if not ruling.allowed:
            raise NotPermittedError(ruling)
        return ruling

    def _completed(self, question: Question) -> Question:
        """Return the question with what only the installation knows."""
        runbook = question.runbook
        if runbook is not None and not runbook.owner:
            runbook = runbook.model_copy(update={"owner": self._owner_of(runbook.name)})
        thawers = self._thawers if question.verb in BRAKING else ()
        return question.model_copy(update={"runbook": runbook, "thawers": thawers})
