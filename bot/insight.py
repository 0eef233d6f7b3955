"""Insight: what people can look at.  Nothing changes by it.

Runbooks and the plans that would follow from them; remediations with their timelines; why something
was done or not; and what a person sees who opens the app.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from activities.ledger import cards, overview, records
from activities.ledger.cards import Card
from activities.ledger.overview import PastRemediation, Success
from activities.ledger.store import Ledger
from bot.explaining import Explanation, explain_story
from bot.operations import Operations, RequestError, RunbookLine, Status
from bot.run_inputs import mistakes_in, with_target
from bot.timeline import ENDING_WORDS, Timeline, timeline
from runbooks.errors import RenderError
from runbooks.language.facts import Facts
from runbooks.language.rendering import render_checks, render_plan, render_target
from runbooks.model.action import Declaration
from runbooks.model.base import Value
from runbooks.model.freeze import EVERYTHING
from runbooks.model.plan import Plan, PlannedCheck
from runbooks.model.record import Record
from runbooks.model.runbook import Runbook
from runbooks.policy.story import Story, StoryError, read_story

ENDINGS_SHOWN = 8
TOLD_OF_TARGET = 5  # remediations, and as many alerts
SUCCESS_SPAN = timedelta(days=30)


class Preview(Value):
    """A plan that nobody carries out.

    Attributes:
        plan: None where it depends on what the checks would measure; `why` says on what.
    """

    runbook: str
    target: str
    checks: tuple[PlannedCheck, ...]
    plan: Plan | None
    why: str = ""


class Overview(Value):
    """What is going on, and what went on lately.

    Attributes:
        cards: where the card of each remediation is that has one.
    """

    status: Status
    endings: tuple[PastRemediation, ...]
    success: tuple[Success, ...]
    cards: Mapping[str, Card]


class Insight:
    """Answers questions, from the catalog in force and from the ledger."""

    def __init__(self, ledger: Ledger, operations: Operations) -> None:
        self._ledger = ledger
        self._operations = operations

    @property
    def vocabulary(self) -> Mapping[str, Declaration]:
        """The actions that runbooks can use."""
        return self._operations.catalog.vocabulary

    @property
    def runbooks(self) -> list[Runbook]:
        """The runbooks in force, by name."""
        known = self._operations.catalog.runbooks
        return [known[name] for name in sorted(known)]

    async def list_runbooks(self) -> list[RunbookLine]:
        """Return all runbooks by name, and the files that were refused."""
        return await self._operations.list_runbooks()

    def runbook(self, name: str) -> Runbook:
        """Return a runbook in force.

        Raises:
            RequestError: there is none of that name; the message has the nearest.
        """
        return self._operations.find(name)

    def plan(self, name: str, given: Mapping[str, str]) -> Preview:
        """Return what a runbook would do for an alert with these labels, without measuring anything.

        Raises:
            RequestError: there is no such runbook, or it cannot be for such an alert.
        """
        runbook = self.runbook(name)
        labels = with_target(runbook, given)
        if wrong := mistakes_in(runbook, labels):
            raise RequestError("; ".join(wrong.values()))
        alert = {"alertname": runbook.when[0].alert} if runbook.when else {}
        facts = Facts(labels={**alert, **labels})
        try:
            facts = facts.model_copy(update={"target": render_target(runbook, facts)})
            checks = render_checks(runbook, facts, self.vocabulary)
        except RenderError as error:
            raise RequestError(f"{name} cannot be planned: {error}") from error
        about = {"runbook": name, "target": facts.target, "checks": checks}
        try:
            return Preview(**about, plan=render_plan(runbook, facts, self.vocabulary))
        except RenderError as error:
            return Preview(**about, plan=None, why=f"{error.problem}")

    async def story(self, remediation: str) -> Story:
        """Return a remediation so far.

        Raises:
            RequestError: there is none of that id.
        """
        try:
            return read_story(await self._stream(remediation))
        except StoryError as error:
            raise RequestError(f"the records of {remediation} cannot be read: {error}") from error

    async def timeline(self, remediation: str) -> Timeline:
        """Return everything about a remediation, in order.

        Raises:
            RequestError: there is none of that id.
        """
        try:
            return timeline(await self._stream(remediation))
        except StoryError as error:
            raise RequestError(f"the records of {remediation} cannot be read: {error}") from error

    async def card(self, remediation: str) -> Card | None:
        """Return where the card of a remediation is, or None."""
        return await self._ledger.read(lambda connection: cards.card(connection, remediation))

    async def explain(self, what: str) -> Explanation:
        """Return why a remediation went as it did, or what was done and not done about a target.

        Raises:
            RequestError: nothing is on record about that.
        """
        if is_remediation(what):
            return explain_story(await self.story(what))
        return await self._explain_target(what)

    async def overview(self) -> Overview:
        """Return what is going on, and what went on lately."""
        status = await self._operations.status()
        since = datetime.now(UTC) - SUCCESS_SPAN
        endings = await self._ledger.read(lambda c: overview.recent_endings(c, ENDINGS_SHOWN))
        helped = await self._ledger.read(lambda c: overview.success(c, since))
        shown = [*(each.remediation for each in status.running), *(each.id for each in endings)]
        found = await self._ledger.read(lambda c: [cards.card(c, each) for each in shown])
        return Overview(
            status=status,
            endings=tuple(endings),
            success=tuple(helped),
            cards={each.remediation: each for each in found if each is not None and each.ts},
        )

    async def _explain_target(self, target: str) -> Explanation:
        past = await self._ledger.read(lambda c: overview.recent_of_target(c, target, TOLD_OF_TARGET))
        explained = await self._ledger.read(lambda c: overview.explained_of_target(c, target, TOLD_OF_TARGET))
        brakes = _brakes_on(await self._operations.status(), target)
        if not past and not explained and not brakes:
            raise RequestError(
                f"nothing is on record about a target {target!r}; write it as its cards do, or give the id R-…"
            )
        told = [*brakes]
        for each in past:
            story = await self.story(each.id)
            told.append(_in_short(story))
        told += [_not_taken_in(record) for record in explained]
        return Explanation(title=f"What was done and not done about {target}", sentences=tuple(told))

    async def _stream(self, remediation: str) -> list[Record]:
        stream = await self._ledger.read(lambda connection: records.stream_of(connection, remediation))
        if stream and is_remediation(remediation):
            return stream
        recent = await self._ledger.read(lambda connection: records.streams_recent(connection, 3))
        known = f"the last ones: {', '.join(recent)}" if recent else "there is none yet"
        raise RequestError(f"there is no remediation {remediation}; {known}")


def is_remediation(text: str) -> bool:
    """Return whether `text` looks like the id of a remediation."""
    return text.startswith("R-")


def _brakes_on(status: Status, target: str) -> list[str]:
    scopes = {EVERYTHING, f"target={target}"}
    told = [
        f"Right now nobody acts on it: {freeze.actor} froze {freeze.what}: {freeze.reason}"
        for freeze in status.frozen
        if freeze.scope in scopes
    ]
    told += [
        f"Right now nobody acts on it: the maintenance window {window.name} is open: {window.reason}"
        for window in status.windows
        if window.scope in scopes
    ]
    told += [
        f"Right now nobody acts on it: it is kept, because nobody knows what {kept.remediation} did to it."
        for kept in status.kept
        if kept.target == target
    ]
    return told


def _in_short(story: Story) -> str:
    opened = f"{story.opened_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    how = ENDING_WORDS[story.ending] if story.ending else f"In progress: {story.phase}."
    return f"{story.remediation}, {story.runbook}, {opened}: {how} {story.ending_sentence}".strip()


def _not_taken_in(record: Record) -> str:
    at = f"{record.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"An alert was not acted on, {at}: {record.data.get('sentence', '')}"
