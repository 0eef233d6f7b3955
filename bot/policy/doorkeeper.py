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
from bot.policy.questions import BRAKING, LOCAL, Person, Question, Ruling, Verb
from runbooks.errors import ParamedicError

TERMINAL = "cli"
"""What comes from a command line says so: `cli`, or with the login that it has, `cli:L-7F3K2Q`."""

WITHOUT_LOGIN = frozenset({Verb.READ, Verb.FREEZE})
"""What people at a terminal of the machine may always do, if the policy lets them: to look, and the brake."""


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
        local_people: whether people at a terminal of this machine may decide anything without a login.
    """

    def __init__(
        self,
        policies: PolicyFile,
        knowers: Mapping[str, Knower],
        *,
        thaw_group: str | None = None,
        owner_of: Callable[[str], str] = lambda _name: "",
        local_people: bool = True,
    ) -> None:
        self._policies = policies
        self._knowers = knowers
        self._thawers = (thaw_group,) if thaw_group else ()
        self._owner_of = owner_of
        self._local_people = local_people

    async def judge(self, person: str, question: Question, *, source: str = "") -> Ruling:
        """Return what the policy says to this person's question.

        Args:
            source: where they ask, as records name it; a command line begins with `cli`.

        Raises:
            ParamedicError: it is not known who that is.
        """
        policy = self._policies.current()
        asked = self._completed(question)
        path = person.partition(":")[0]
        if path not in self._knowers:
            raise StrangerError(f"nobody here knows {person}")
        if needs_login(person, asked, local_people=self._local_people):
            return not_logged_in(asked)
        groups = tuple(dict.fromkeys((*groups_of(asked), *policy.groups)))
        known = await self._knowers[path].know(person, groups)
        logged_in = path != LOCAL and source.partition(":")[0] == TERMINAL
        there = known.model_copy(update={"logged_in": logged_in})
        return policy.judge(there, asked, local_people=self._local_people)

    async def admit(self, person: str, question: Question, *, source: str = "") -> Ruling:
        """Return the ruling that lets this person do that, who asks at `source`.

        Raises:
            NotPermittedError: the policy does not.
            ParamedicError: it is not known who that is.
        """
        ruling = await self.judge(person, question, source=source)
        if not ruling.allowed:
            raise NotPermittedError(ruling)
        return ruling

    def refuse_without_login(self, person: str, question: Question) -> None:
        """Refuse what nobody may do here without a login, before anything else is asked.

        Raises:
            NotPermittedError: they have none, and need one.
        """
        if needs_login(person, question, local_people=self._local_people):
            raise NotPermittedError(not_logged_in(question))

    def _completed(self, question: Question) -> Question:
        """Return the question with what only the installation knows."""
        runbook = question.runbook
        if runbook is not None and not runbook.owner:
            runbook = runbook.model_copy(update={"owner": self._owner_of(runbook.name)})
        thawers = self._thawers if question.verb in BRAKING else ()
        return question.model_copy(update={"runbook": runbook, "thawers": thawers})


def needs_login(person: str, question: Question, *, local_people: bool) -> bool:
    """Return whether this person may not even ask that without a login.

    Args:
        local_people: as for `Doorkeeper`.
    """
    is_local = person.partition(":")[0] == LOCAL
    return is_local and not local_people and question.verb not in WITHOUT_LOGIN


def not_logged_in(question: Question) -> Ruling:
    """Return the ruling for somebody who needs a login and has none, whatever the policy says."""
    return Ruling(
        allowed=False,
        words=question.words,
        why="nobody is logged in at this terminal (PARAMEDIC_LOCAL_PEOPLE)",
        policy="the settings",
        remedy="log in: paramedic login",
    )
