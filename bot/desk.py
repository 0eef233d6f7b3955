"""The desk: carries out what a command line asks, and nothing that Slack could not do.

A request is judged by the same policy and goes the same way as from Slack: through the inbox, the
brake, the clicks.  Whose request it is has been found out before it comes here.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import Field

from activities.ledger import redactions
from activities.ledger.clicks import Click, Reception, accept_click, judgement_of
from activities.ledger.logins import Login, LoginEnding
from activities.ledger.records import stream_of
from activities.ledger.redactions import RedactionOrder
from activities.ledger.store import Ledger
from bot.logins import LoginError, Logins
from bot.open_gates import about, meant, name_of
from bot.operations import Operations, RequestError
from bot.policy.questions import LOCAL, Question, Verb
from bot.policy.rulings import admit_on_record
from bot.policy.subjects import question_of_answer, question_of_redaction
from bot.requests import (
    AnswerRequest,
    FreezeRequest,
    Judged,
    JudgedRequest,
    LoginsRequest,
    LookRequest,
    OpenQuestion,
    RedactRequest,
    ReleaseRequest,
    Request,
    RevokeRequest,
    RunRequest,
    StatusRequest,
    StopRequest,
    ThawRequest,
)
from bot.visible import visible
from runbooks.errors import ParamedicError
from runbooks.model.base import Value
from runbooks.policy.story import GateStory, Story, StoryError, read_story

LOG = structlog.get_logger("paramedic.desk")


class NothingAskedError(ParamedicError):
    """There is no such question, or not any more."""

    code = "nothing_asked"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Asker(Value):
    """Whose request it is.

    Attributes:
        person: their key.
        source: where they are, for the record: `cli`, or with their login `cli:L-7F3K2Q`.
        at: when they asked.  To find out what they may takes a while, which is not held against them.
    """

    person: str
    source: str
    at: datetime = Field(default_factory=_utc_now)

    @property
    def is_local(self) -> bool:
        """Whether they are at a terminal of this machine without a login."""
        return self.person.partition(":")[0] == LOCAL


class Desk:
    """Carries out requests.

    Args:
        receive: takes a click in; None: it is written down, and a running Paramedic finds it.
    """

    def __init__(
        self,
        ledger: Ledger,
        operations: Operations,
        logins: Logins,
        receive: Callable[[Click], Awaitable[Reception]] | None = None,
    ) -> None:
        self._ledger = ledger
        self._operations = operations
        self._logins = logins
        self._receive = receive or self._write_down
        self._ways: Mapping[type[Value], Callable[[Any, Asker], Awaitable[Any]]] = {
            StatusRequest: self._status,
            RunRequest: self._run,
            FreezeRequest: self._freeze,
            ThawRequest: self._thaw,
            StopRequest: self._stop,
            ReleaseRequest: self._release,
            RedactRequest: self._redact,
            LookRequest: self._look,
            AnswerRequest: self._answer,
            JudgedRequest: self._judged,
            LoginsRequest: self._list_logins,
            RevokeRequest: self._revoke,
        }

    async def carry_out(self, request: Request, asker: Asker) -> Any:
        """Return the answer to a request, as JSON values.

        Raises:
            ParamedicError: why not, and what would be right.
        """
        if not asker.is_local and not isinstance(request, FreezeRequest):
            await self._operations.doorkeeper.admit(
                asker.person, Question(verb=Verb.READ), source=asker.source
            )
        return await self._ways[type(request)](request, asker)

    async def _status(self, _: StatusRequest, __: Asker) -> Any:
        return (await self._operations.status()).model_dump(mode="json")

    async def _run(self, asked: RunRequest, asker: Asker) -> Any:
        taken = await self._operations.run(
            asked.runbook, asked.labels, actor=asker.person, source=asker.source
        )
        return taken.model_dump(mode="json")

    async def _freeze(self, asked: FreezeRequest, asker: Asker) -> Any:
        names = {"actor": asker.person, "source": asker.source}
        try:
            recorded = await self._operations.freeze(asked.scope, asked.reason, **names)
        except ParamedicError as error:
            if error.code != "away":
                raise
            # The brake does not wait until Slack says who is in which group.
            LOG.warning("a freeze was not judged by the policy", actor=asker.person, why=str(error))
            recorded = await self._operations.brake.freeze(asked.scope, asked.reason, **names)
        return {"frozen": asked.scope, "recorded": recorded}

    async def _thaw(self, asked: ThawRequest, asker: Asker) -> Any:
        thawed = await self._operations.thaw(
            asked.scope, asked.reason, actor=asker.person, source=asker.source
        )
        return {"scope": asked.scope, "thawed": thawed}

    async def _stop(self, asked: StopRequest, asker: Asker) -> Any:
        stopped = await self._operations.stop(
            asked.remediation, asked.reason, actor=asker.person, source=asker.source
        )
        return stopped.model_dump(mode="json")

    async def _release(self, asked: ReleaseRequest, asker: Asker) -> Any:
        kept = await self._operations.release(
            asked.target, asked.reason, actor=asker.person, source=asker.source
        )
        return {"released": kept.model_dump(mode="json") if kept else None}

    async def _redact(self, asked: RedactRequest, asker: Asker) -> Any:
        story = await self._story(asked.remediation)
        names = {"actor": asker.person, "source": asker.source}
        doorkeeper, question = self._operations.doorkeeper, question_of_redaction(story)
        await admit_on_record(doorkeeper, question, ledger=self._ledger, **names)
        order = RedactionOrder(
            remediation=asked.remediation, record=asked.record, reason=asked.reason, **names
        )
        done = await self._ledger.write(lambda transaction: redactions.redact(transaction, order))
        return {"redaction": done.model_dump(mode="json") if done else None}

    # --- questions and answers -------------------------------------------------------------------

    async def _look(self, asked: LookRequest, _: Asker) -> Any:
        story = await self._story(asked.remediation)
        if story is None:
            raise RequestError(
                f"there is no remediation {asked.remediation}; see those in progress: paramedic status"
            )
        return _as_question(story, _chosen(story, asked)).model_dump(mode="json")

    async def _answer(self, asked: AnswerRequest, asker: Asker) -> Any:
        story = await self._story(asked.gate.partition("/")[0])
        gate = next((each for each in story.open_gates if each.gate == asked.gate), None) if story else None
        if story is None or gate is None:
            raise NothingAskedError("this question is closed; see what is asked: paramedic status")
        if gate.plan_digest != asked.plan_digest:
            raise NothingAskedError("the plan is another one than you were shown; look at it again")
        question = question_of_answer(asked.answer, story, gate)
        self._operations.doorkeeper.refuse_without_login(asker.person, question)
        click = Click(
            id=f"cli-{secrets.token_hex(16)}",
            gate=asked.gate,
            answer=asked.answer,
            person=asker.person,
            reason=asked.reason.strip(),
            via=asker.source,
            at=asker.at,
        )
        if await self._receive(click) is Reception.LOGIN_ENDED:
            raise LoginError(
                "your login has ended meanwhile, and your answer was not taken; log in again: paramedic login"
            )
        return {"answer": click.id, "remediation": click.remediation, "gate": click.gate}

    async def _write_down(self, click: Click) -> Reception:
        return await self._ledger.write(lambda transaction: accept_click(transaction, click))

    async def _judged(self, asked: JudgedRequest, _: Asker) -> Any:
        found = await self._ledger.read(lambda c: judgement_of(c, asked.answer, asked.remediation))
        if found is None:
            return Judged().model_dump(mode="json")
        judged = Judged(
            counts=found.outcome == "accepted",
            objection=found.data["objection"],
            refusal=found.data.get("refusal", ""),
        )
        return judged.model_dump(mode="json")

    async def _story(self, remediation: str) -> Story | None:
        stream = await self._ledger.read(lambda connection: stream_of(connection, remediation))
        try:
            return read_story(stream)
        except StoryError:
            return None

    # --- logins ----------------------------------------------------------------------------------

    async def _list_logins(self, _: LoginsRequest, asker: Asker) -> Any:
        """An administrator sees all of them, everybody else their own."""
        return [each.model_dump(mode="json") for each in await self._theirs(asker)]

    async def _revoke(self, asked: RevokeRequest, asker: Asker) -> Any:
        named = [each.id for each in await self._theirs(asker) if each.id == asked.login.upper()]
        ended = await self._logins.end(
            named, LoginEnding.REVOKED, actor=asker.person, source=asker.source, reason=asked.reason
        )
        return {"revoked": [each.model_dump(mode="json") for each in ended]}

    async def _theirs(self, asker: Asker) -> list[Login]:
        return [
            each for each in await self._logins.current() if asker.is_local or each.person == asker.person
        ]


def _chosen(story: Story, asked: LookRequest) -> GateStory:
    """Return the question that is meant.

    Raises:
        NothingAskedError: none is asked.
        RequestError: several are, and it is not said which.
    """
    found = meant(story, asked.gate, doubt=asked.doubt)
    if not found:
        raise NothingAskedError(_nothing_asked(story, asked))
    if len(found) > 1:
        choices = "".join(f"\n--gate {name_of(gate)}: {_asked_of(gate)}" for gate in found)
        raise RequestError(f"{story.remediation} asks {len(found)} questions; say which is meant:{choices}")
    return found[0]


def _nothing_asked(story: Story, asked: LookRequest) -> str:
    """Return why there is nothing to answer, and what there is instead."""
    what = "what became of an action" if asked.doubt else "anybody to approve anything"
    said = f"{story.remediation} does not ask {what}."
    if asked.gate and meant(story, doubt=asked.doubt):
        said = f"{story.remediation} asks nothing at {asked.gate}."
    others = "".join(f"\n{_command(story, each)}: {_asked_of(each)}" for each in story.open_gates)
    return f"{said} It asks:{others}" if others else f"{said} See what it does: paramedic status"


def _command(story: Story, gate: GateStory) -> str:
    verb = "verdict" if gate.doubt is not None else "approve"
    said = ' happened|again|stop --reason "..."' if gate.doubt is not None else ""
    return f"paramedic {verb} {story.remediation}/{name_of(gate)}{said}"


def _asked_of(gate: GateStory) -> str:
    return f"{visible(about(gate))}, {' or '.join(gate.approvers)} until {gate.until:%H:%M} UTC"


def _as_question(story: Story, gate: GateStory) -> OpenQuestion:
    return OpenQuestion(
        gate=gate.gate,
        remediation=story.remediation,
        runbook=story.runbook,
        target=story.target,
        approvers=gate.approvers,
        need=gate.need,
        until=gate.until,
        plan_digest=gate.plan_digest,
        then=gate.otherwise[0].approvers if gate.otherwise else (),
        step=gate.gated.name if gate.gated else "",
        doubt=gate.doubt.name if gate.doubt else "",
        evidence=gate.doubt.evidence if gate.doubt else "",
        plan=story.plan.model_dump(mode="json") if story.plan else None,
    )
