"""Answers: the way of a person's click to the workflow that waits for it.

A click is written down before it is acknowledged.  From then on it is ours: who clicked is looked
up at that moment, the decision is bound to the gate and the plan that stand in the ledger, sealed
with the listener's key, and sent to the workflow, however long Temporal is away, until the gate's
time is over.  What a person did not get to count is told to that person and is on record.

No rule about approvals lives here: whether an answer counts is the engine's to say.  This module
only says who it was.  Where an answer takes a form, the same rules are asked before it opens, so that
nobody reads and writes in vain; what is found then binds nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.ledger import records
from activities.ledger.bodies import recordable_text
from activities.ledger.clicks import (
    Click,
    Reception,
    accept_click,
    claim_clicks,
    click_done,
    judgement_in,
    stream_for,
)
from activities.ledger.store import Ledger, Transaction
from bot.keys import ListenerKey
from bot.policy.doorkeeper import Doorkeeper, NotPermittedError
from bot.policy.subjects import question_of_answer
from runbooks.errors import LedgerError, ParamedicError
from runbooks.model.base import Value
from runbooks.model.decision import Answer, Decision, Objection, Principal, Refusal, SignedDecision
from runbooks.model.plan import GateTerms, Link
from runbooks.model.record import Entry, Record, RecordKind
from runbooks.policy.gate import Question, objection_to, objection_to_repeating
from runbooks.policy.story import GateStory, Story, StoryError, read_story
from runbooks.ports.case import Judgement

HOLD = timedelta(seconds=10)
"""How long one attempt at delivering a click may take, and when the next one follows."""

UPDATE_TIMEOUT = timedelta(seconds=5)
"""How long Temporal and a worker may take to judge one decision before it is tried again."""

FORESIGHT = timedelta(seconds=1.5)
"""How long a form may wait for who wants it: Slack opens none three seconds after a press."""

AT_ONCE = 16
"""Clicks that are delivered at the same time."""

LOG = structlog.get_logger("paramedic.answers")


class PersonRefusedError(ParamedicError):
    """Whoever clicked may answer nothing here: a guest, a bot, a stranger.  The message says why."""

    code = "person_refused"


class AwayError(ParamedicError):
    """Somebody who must be asked cannot be reached now.  Trying again may help."""

    code = "away"


class WorkflowGoneError(ParamedicError):
    """The workflow is not there any more."""

    code = "workflow_gone"


class People(Protocol):
    """Whoever knows people and their groups."""

    async def look_up(self, person: str, groups: Sequence[str]) -> Principal:
        """Return the person with those of `groups` that they are in, as of now.

        Raises:
            PersonRefusedError: they may answer nothing.
            AwayError: nobody can tell at the moment.
        """


class Verdict(Value):
    """What became of a decision.

    Attributes:
        objection: why it does not count; None if it does.
        recorded: whether the ledger's keeper has put it on record.
    """

    objection: str | None = None
    recorded: bool = True


class Workflows(Protocol):
    """The waiting workflows."""

    async def decide(self, workflow_id: str, signed: SignedDecision) -> Verdict:
        """Deliver a decision.  Delivering the same one again returns the first verdict.

        Raises:
            WorkflowGoneError: nobody waits for it any more.
            AwayError: it is not known whether it arrived.
        """


class Voice(Protocol):
    """Whoever can answer the person who clicked.  Never raises: the answer is on record anyway."""

    async def tell(self, click: Click, text: str) -> None:
        """Tell the person, and nobody else, the plain `text`."""

    async def closed(self, click: Click, text: str) -> None:
        """Tell them that the question is closed, and take away the buttons that they clicked."""


class Silence:
    """Nobody can be told anything: there is no chat.  Who answers at a terminal reads the record there."""

    async def tell(self, click: Click, text: str) -> None:
        """Say nothing."""

    async def closed(self, click: Click, text: str) -> None:
        """Say nothing."""


class TemporalWorkflows:
    """The waiting workflows, reached through Temporal.

    Args:
        client: with the pydantic data converter.
    """

    def __init__(self, client: Client, timeout: timedelta = UPDATE_TIMEOUT) -> None:
        self._client = client
        self._timeout = timeout

    async def decide(self, workflow_id: str, signed: SignedDecision) -> Verdict:
        """Send the decision as an update whose id is the decision's: Temporal keeps the first."""
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            # The SDK's own retries overrun `rpc_timeout` several times over, so time is kept here too.
            async with asyncio.timeout(self._timeout.total_seconds()):
                judgement: Judgement = await handle.execute_update(
                    "decide",
                    signed,
                    id=signed.decision.id,
                    result_type=Judgement,
                    rpc_timeout=self._timeout,
                )
        except WorkflowUpdateFailedError as error:
            return _verdict_of(error)
        except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError) as error:
            raise AwayError("the workflow did not answer in time") from error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise WorkflowGoneError(f"{workflow_id} is not running") from error
            raise AwayError(f"Temporal: {error.message}") from error
        return Verdict(objection=judgement.objection)


def _verdict_of(error: WorkflowUpdateFailedError) -> Verdict:
    """A refusal before the history, an update that its workflow outran, or a failure to judge."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == "DecisionRefused":
        return Verdict(objection=cause.message, recorded=False)
    if isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow":
        raise WorkflowGoneError("it ended before it could judge this answer") from error
    return Verdict(objection=f"it could not be judged ({cause}); please answer again", recorded=False)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Answers:
    """Receives clicks and delivers them.

    Args:
        key: seals the decisions.
        doorkeeper: says whether the policy lets a person answer; None: only the gate's own rules hold.
        clock: the time of day; tests set it.
        hold: see `HOLD`.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        key: ListenerKey,
        people: People,
        workflows: Workflows,
        voice: Voice,
        doorkeeper: Doorkeeper | None = None,
        clock: Callable[[], datetime] = _utc_now,
        hold: timedelta = HOLD,
    ) -> None:
        self._ledger = ledger
        self._key = key
        self._people = people
        self._workflows = workflows
        self._voice = voice
        self._doorkeeper = doorkeeper
        self._clock = clock
        self._hold = hold
        self._wake = asyncio.Event()
        self._told_to_wait: set[str] = set()

    async def receive(self, click: Click) -> Reception:
        """Make a click durable.  Only then may it be acknowledged.

        Raises:
            LedgerError: it could not be written; the person must be told to try again.
        """
        reception = await self._ledger.write(lambda transaction: accept_click(transaction, click))
        self._wake.set()
        return reception

    async def closed(self, click: Click) -> str | None:
        """Return, for people, that and why the question that was clicked is closed; None while it is open.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        story = _story(await self._stream(click.remediation))
        return _closed(story, click) if story else "this question is not known here"

    async def asked(self, click: Click) -> tuple[Story, GateStory] | None:
        """Return the remediation and the question that was clicked; None where that is not open, or not known.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        story = _story(await self._stream(click.remediation))
        if story is None or _closed(story, click) is not None:
            return None
        return story, _gate_of(story, click)

    async def turn_away(self, click: Click, story: Story, gate: GateStory) -> str | None:
        """Return what to tell somebody whose answer would not count, before they give it; None where it may.

        It is on record like an answer that was given and did not count.  Where it cannot be found out in
        time who that is, the answer may count: it is judged when it is given, in any case.
        """
        try:
            async with asyncio.timeout(FORESIGHT.total_seconds()):
                objection = await self._foreseen(click, story, gate)
        except (ParamedicError, TimeoutError) as error:
            LOG.info("it is not known yet whether an answer would count", gate=click.gate, why=str(error))
            return None
        if objection is None:
            return None
        try:
            await self._keep_refusal(click, story, objection)
        except LedgerError as error:  # it does not count either way, and the person must know
            LOG.warning("a refusal is not on record", gate=click.gate, error=str(error))
        return _once_is_enough(gate) if _counted(story, click) else _does_not_count(objection.sentence)

    async def _foreseen(self, click: Click, story: Story, gate: GateStory) -> Objection | None:
        """Return why an answer would not count if it were given now."""
        try:
            principal = await self._identify(click, story, gate)
        except (PersonRefusedError, NotPermittedError) as error:
            return _objection_to_person(error, gate)
        question = _question(story, gate)
        consented = principal.key in {each.key for each in gate.given(question.consent)}
        if (repeated := objection_to_repeating(click.answer, consented=consented)) is not None:
            return repeated
        given = click if click.reason else click.model_copy(update={"reason": "to be said in the form"})
        return objection_to(_decision(given, story, gate, principal), question)

    async def run(self) -> None:
        """Deliver clicks until cancelled, those of an earlier process included."""
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as deliveries:
            while True:
                self._wake.clear()
                room = AT_ONCE - len(under_way)
                claimed = await self._claim(room)
                for click in claimed:
                    task = deliveries.create_task(self._deliver_in_time(click))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                if len(claimed) < room:
                    await self._next_round()
                else:  # there may be more, and nobody will say so
                    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)

    async def _next_round(self) -> None:
        try:
            async with asyncio.timeout(self._hold.total_seconds() / 2):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _claim(self, room: int) -> list[Click]:
        now = self._clock()
        try:
            return await self._ledger.write(
                lambda transaction: claim_clicks(transaction, room, at=now, hold=self._hold)
            )
        except LedgerError as error:
            LOG.warning("clicks cannot be read", error=str(error))
            return []

    async def _deliver_in_time(self, click: Click) -> None:
        """Make one attempt.  What is not done when the claim runs out is claimed and tried again."""
        try:
            async with asyncio.timeout(self._hold.total_seconds() * 0.8):
                await self._deliver(click)
        except (AwayError, LedgerError, TimeoutError) as error:
            LOG.warning("click not delivered yet", click=click.id, gate=click.gate, error=str(error))
            await self._tell_to_wait(click)
        except Exception:  # one odd click must not stop the delivery of all others
            LOG.exception("click not delivered", click=click.id, gate=click.gate)

    async def _deliver(self, click: Click) -> None:
        stream = await self._stream(click.remediation)
        story = _story(stream)
        judgement = judgement_in(stream, click.id)
        if story is None:
            await self._done(click)
        elif judgement is not None:
            await self._deliver_again(click, story, judgement)
        elif (closed := _closed(story, click)) is not None:
            await self._refuse(click, story, _too_late_because(closed), late=True)
        elif self._clock() >= _gate_of(story, click).expires_at:
            undelivered = "it could not be delivered before the time to answer was over"
            await self._refuse(click, story, Objection(refusal=Refusal.NOT_JUDGED, sentence=undelivered))
        else:
            await self._decide(click, story)

    async def _deliver_again(self, click: Click, story: Story, judgement: Record) -> None:
        """Go on after an attempt that was cut off when the click was judged already.

        What counted is sent once more: the workflow may have died before Temporal knew what it had heard.
        Whose answer did not count may not have been told so, and is told, if need be twice.
        """
        if objection := judgement.data.get("objection"):
            late = judgement.data.get("refusal") == Refusal.CLOSED.value
            await self._object(click, story, objection, late=late)
        elif judgement.outcome == "accepted" and story.ending is None:
            with suppress(WorkflowGoneError):
                signed = SignedDecision.model_validate(
                    {name: judgement.data[name] for name in SignedDecision.model_fields}
                )
                await self._workflows.decide(story.workflow_id, signed)
        await self._done(click)

    async def _decide(self, click: Click, story: Story) -> None:
        gate = _gate_of(story, click)
        try:
            principal = await self._identify(click, story, gate)
        except (PersonRefusedError, NotPermittedError) as error:
            await self._refuse(click, story, _objection_to_person(error, gate))
            return
        signed = self._key.sign(_decision(click, story, gate, principal))
        try:
            verdict = await self._workflows.decide(story.workflow_id, signed)
        except WorkflowGoneError:
            await self._too_late(click)
            return
        if verdict.objection is None:
            await self._done(click)
        elif verdict.recorded:
            await self._object(click, story, verdict.objection)
            await self._done(click)
        else:
            unjudged = Objection(refusal=Refusal.NOT_JUDGED, sentence=verdict.objection)
            await self._refuse(click, story, unjudged, signed=signed)

    async def _identify(self, click: Click, story: Story, gate: GateStory) -> Principal:
        """Return who answers, where the policy lets them.

        Raises:
            PersonRefusedError, NotPermittedError: they may not; see `_objection_to_person`.
            AwayError: nobody can tell at the moment.
        """
        # Also of groups that are asked later: by the time it is judged, it may be their turn.
        principal = await self._people.look_up(click.person, gate.everybody)
        if self._doorkeeper is not None:
            question = question_of_answer(click.answer, story, gate)
            await self._doorkeeper.admit(click.person, question, source=click.via)
        return principal

    async def _too_late(self, click: Click) -> None:
        """The workflow is gone.  It may have counted this click with its last breath."""
        stream = await self._stream(click.remediation)
        story = _story(stream)
        judgement = judgement_in(stream, click.id)
        if story is None:
            await self._done(click)
            return
        if judgement is not None:
            await self._deliver_again(click, story, judgement)
            return
        closed = _closed(story, click) or "nobody waits for this answer any more"
        await self._refuse(click, story, _too_late_because(closed), late=True)

    async def _refuse(
        self,
        click: Click,
        story: Story,
        objection: Objection,
        *,
        signed: SignedDecision | None = None,
        late: bool = False,
    ) -> None:
        """Put on record that a click did not count, and say so.  It leaves the inbox when that was said."""
        await self._keep_refusal(click, story, objection, signed)
        await self._object(click, story, objection.sentence, late=late)
        await self._done(click)

    async def _keep_refusal(
        self, click: Click, story: Story, objection: Objection, signed: SignedDecision | None = None
    ) -> None:
        entry = _refusal(click, story, objection, signed)

        def keep(transaction: Transaction) -> None:
            stream = stream_for(transaction, click.remediation)
            transaction.append(entry.model_copy(update={"stream": stream}))

        await self._ledger.write(keep)

    async def _object(self, click: Click, story: Story, objection: str, *, late: bool = False) -> None:
        self._told_to_wait.add(click.id)  # if it is cut off here, that it waits is no longer true
        latest = _story(await self._stream(click.remediation)) or story
        closed = _closed(latest, click)
        if _counted(latest, click):
            if closed is None:  # others must still approve, and the person may think that twice is two
                await self._voice.tell(click, _once_is_enough(_gate_of(latest, click)))
            return  # a double click: the first one counted, and the card says so
        if late or closed is not None:
            await self._voice.closed(click, late_answer(closed or objection))
        else:
            await self._voice.tell(click, _does_not_count(objection))

    async def _done(self, click: Click) -> None:
        now = self._clock()
        await self._ledger.write(lambda transaction: click_done(transaction, click.id, at=now))
        self._told_to_wait.discard(click.id)

    async def _tell_to_wait(self, click: Click) -> None:
        if click.id in self._told_to_wait:
            return
        self._told_to_wait.add(click.id)
        text = "Your answer is recorded. It cannot be delivered right now and will be, as soon as possible."
        await self._voice.tell(click, text)

    async def _stream(self, remediation: str) -> list[Record]:
        return await self._ledger.read(lambda connection: records.stream_of(connection, remediation))


# --- what the records say of a click ------------------------------------------------------------


def _story(stream: list[Record]) -> Story | None:
    try:
        return read_story(stream)
    except StoryError:
        return None


def _named(story: Story, click: Click) -> GateStory | None:
    return next((gate for gate in story.gates if gate.gate == click.gate), None)


def _gate_of(story: Story, click: Click) -> GateStory:
    gate = _named(story, click)
    assert gate is not None, "asked only where _closed found an open gate"
    return gate


def _counted(story: Story, click: Click) -> bool:
    gate = _named(story, click)
    return gate is not None and any(
        each.accepted and each.key == click.person and each.answer is click.answer for each in gate.decisions
    )


def _closed(story: Story, click: Click) -> str | None:
    """Return that, when and how the question was closed, for people; None while it is open."""
    gate = _named(story, click)
    if gate is None:
        return "this question is not asked any more"
    if gate.outcome:
        at = f" at {gate.closed_at:%H:%M} UTC" if gate.closed_at else ""
        return f"this question was closed{at}: {gate.sentence or gate.outcome}".rstrip(".")
    if story.ending is not None:
        return f"this remediation has ended: {story.ending_sentence or story.ending}".rstrip(".")
    return None


def _question(story: Story, gate: GateStory) -> Question:
    """Return the question as the engine would judge an answer to it now."""
    no_time = timedelta()  # when who is asked stands in the records; here it is asked who may answer
    later = tuple(Link(approvers=link.approvers, within=no_time) for link in gate.otherwise)
    return Question(
        terms=GateTerms(approvers=gate.approvers, need=gate.need, within=no_time, otherwise=later),
        plan_digest=gate.plan_digest,
        requested_by=story.requested_by,
        about=gate.about,
        in_doubt=gate.doubt is not None,
    )


def _decision(click: Click, story: Story, gate: GateStory, principal: Principal) -> Decision:
    return Decision(
        id=click.id,
        gate=gate.gate,
        remediation=story.remediation,
        plan_digest=click.shown or gate.plan_digest,
        answer=click.answer,
        # As the ledger can keep it: what is signed must be what stands there.
        principal=principal.model_copy(update={"name": recordable_text(principal.name)}),
        about=gate.about,
        reason=click.reason,
        via=click.via,
        decided_at=click.at,
        expires_at=gate.expires_at,
    )


def _refusal(click: Click, story: Story, objection: Objection, signed: SignedDecision | None) -> Entry:
    """Return the record of a click that did not count.  Without a seal, nobody can use it as one."""
    return Entry(
        event_id=f"click/{click.id}/refused",
        stream=story.remediation,
        kind=RecordKind.DECISION,
        actor=click.person,
        source=click.via,
        object=story.target or "-",
        outcome="refused",
        data={
            **_refused_decision(click, story, signed),
            "objection": objection.sentence,
            "refusal": objection.refusal.value,
        },
    )


def _refused_decision(click: Click, story: Story, signed: SignedDecision | None) -> dict[str, Any]:
    if signed is not None:
        return signed.model_dump(mode="json")
    gate = _named(story, click)
    unsealed = Decision(
        id=click.id,
        gate=click.gate,
        remediation=story.remediation,
        plan_digest=gate.plan_digest if gate else "",
        answer=click.answer,
        principal=Principal(key=click.person),
        about=gate.about if gate else "",
        reason=click.reason,
        via=click.via,
        decided_at=click.at,
        expires_at=gate.expires_at if gate else click.at,
    )
    return {"decision": unsealed.model_dump(mode="json"), "key_id": "", "signature": ""}


def _objection_to_person(error: PersonRefusedError | NotPermittedError, gate: GateStory) -> Objection:
    if isinstance(error, NotPermittedError):
        return Objection(refusal=Refusal.NOT_PERMITTED, sentence=str(error))
    # The policy, which knows whom they could ask, was not asked.
    whom = " or ".join(gate.approvers)
    return Objection(refusal=Refusal.PERSON_REFUSED, sentence=f"{error}; ask somebody of {whom}")


def _too_late_because(closed: str) -> Objection:
    return Objection(refusal=Refusal.CLOSED, sentence=closed)


def _does_not_count(objection: str) -> str:
    return f"Your answer does not count: {objection}."


def _once_is_enough(gate: GateStory) -> str:
    """Return what a person is told who gives an answer again that counted, while it still waits for others."""
    answer = Answer.AGAIN if gate.doubt else Answer.APPROVED
    missing = gate.need - len(gate.given(answer))
    return f"You have answered already, and it counts once. {missing} more must approve."


def late_answer(closed: str) -> str:
    """Return what a person is told whose question is `closed`."""
    return f"{closed[:1].upper()}{closed[1:]}. Your answer changes nothing."
