"""The sender: what is posted or changed goes out in good order, and never against Slack's word.

Slack allows about one message a second in a channel, and says with 429 and `Retry-After` when it
has had enough: of messages in that channel, or of that other method.  In a storm that is when a
question to people must not stand in line behind progress texts.  So all that we post or change goes
through the lanes of `bot.slack.lanes`: one for each channel that is posted in, one for the changes of
all messages.  A pause that Slack asks for holds for its lane, and after it the most urgent goes first.

The client given here has no retry handlers of its own: they would repeat a call inside that pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.lanes import Job, Lane, Limit, Urgency
from bot.slack.message import Message
from runbooks.errors import ParamedicError
from runbooks.model.base import Value

__all__ = ["Posted", "Sender", "SlackAwayError", "SlackRefusedError", "Tally", "Urgency"]

LOG = structlog.get_logger("paramedic.slack")

POST, UPDATE = "chat.postMessage", "chat.update"

IN_A_CHANNEL = Limit(per_second=1.0, burst=10)
"""What Slack takes of new messages in one channel."""

OF_CHANGES = Limit(per_second=50 / 60, burst=10, at_once=4)
"""What Slack takes of changes to messages, wherever they are; a slow one holds up no other message's."""

LANES_KEPT = 100
"""Lanes that are remembered; beyond them, those that know nothing any more are forgotten."""

TRIES = 4
"""How often a call is made that Slack did not answer properly.  429 does not count."""

_SLACKS_OWN_TROUBLE = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Words of an answer, with HTTP 200, that say nothing of the message: it may even have been posted."""

FIRST_PAUSE = 0.5  # seconds after the first call without a proper answer; doubles
LONGEST_WAIT = 15 * 60  # seconds that Retry-After may ask for: more than Slack does, less than a night


class SlackRefusedError(ParamedicError):
    """Slack answered, and the answer is no.

    Attributes:
        word: Slack's word for it, such as `channel_not_found`.
    """

    code = "slack_refused"

    def __init__(self, method: str, word: str) -> None:
        super().__init__(f"Slack refused {method}: {word}")
        self.word = word


class SlackAwayError(ParamedicError):
    """Slack did not answer properly, several times.

    Attributes:
        maybe_sent: one of the calls may have been carried out.
    """

    code = "slack_away"

    def __init__(self, method: str, problem: str, *, maybe_sent: bool) -> None:
        super().__init__(f"Slack did not answer {method}: {problem}")
        self.maybe_sent = maybe_sent


class Tally:
    """Who counts what becomes of messages; nobody, until somebody says so.

    Attributes:
        count: is told `done`, `paused`, `refused`, `no_answer`; by the poster `plain`, `fallback`, `nowhere`.
    """

    def __init__(self) -> None:
        self.count: Callable[[str], None] = lambda _: None


class Posted(Value):
    """Where a message is."""

    channel: str
    ts: str


class Sender:
    """Posts and updates messages.

    Args:
        client: for this sender alone, without retry handlers.
        per_second, burst: instead of Slack's own, for every lane.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        *,
        per_second: float | None = None,
        burst: int | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self._client = client
        self._in_a_channel = _changed(IN_A_CHANNEL, per_second, burst)
        self._of_changes = _changed(OF_CHANGES, per_second, burst)
        self._numbers = 0
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._ids: dict[str, str] = {}  # of channels that were called by their name, or by a person

    async def post(
        self,
        channel: str,
        message: Message,
        *,
        urgency: Urgency,
        thread: str = "",
        broadcast: bool = False,
    ) -> Posted:
        """Post a message, in the thread of another one where `thread` is its ts.

        With `broadcast`, the channel sees a message of a thread as well.

        Raises:
            SlackRefusedError: Slack said no.
            SlackAwayError: Slack does not answer.
        """
        said = {"channel": channel, **message.payload()}
        if thread:
            said |= {"thread_ts": thread, "reply_broadcast": broadcast}
        job = self._job(POST, urgency, channel, lambda: self._client.api_call("chat.postMessage", json=said))
        self._lane(POST, self._ids.get(channel, channel), self._in_a_channel).add(job)
        answer = await job.answer
        return Posted(channel=answer["channel"], ts=answer["ts"])

    async def update(self, place: Posted, message: Message, *, urgency: Urgency) -> None:
        """Put `message` in the place of the one that is there.

        Raises:
            SlackRefusedError: Slack said no.
            SlackAwayError: Slack does not answer.
        """
        said = {**place.model_dump(), **message.payload()}
        where = f"{place.channel}/{place.ts}"
        job = self._job(UPDATE, urgency, where, lambda: self._client.api_call("chat.update", json=said))
        job.keeps_order = True  # else what is older could be shown last, and stay
        self._lane(UPDATE, "", self._of_changes).add(job)
        await job.answer

    def _job(self, method: str, urgency: Urgency, place: str, call: Callable[[], Awaitable[Any]]) -> Job:
        self._numbers += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        return Job(urgency, self._numbers, method, place, keeps_order=False, call=call, answer=answer)

    def _lane(self, method: str, channel: str, limit: Limit) -> Lane:
        lane = self._lanes.get((method, channel))
        if lane is None:
            if len(self._lanes) >= LANES_KEPT:
                self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.is_idle}
            lane = self._lanes[method, channel] = Lane(limit, self._carry_out)
        return lane

    def _learn(self, called: str, channel: str) -> None:
        """Remember that a name, or a person, means this channel: both share what Slack takes there."""
        if channel in {called, self._ids.get(called)}:
            return
        self._ids[called] = channel
        named = self._lanes.pop((POST, called), None)
        if named is not None and (known := self._lanes.setdefault((POST, channel), named)) is not named:
            known.take_over(named)

    async def _carry_out(self, lane: Lane, job: Job) -> None:
        job.tries += 1
        try:
            answer = await job.call()
        except SlackApiError as error:
            self._after_refusal(lane, job, error)
        except (SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
            # That this call did not get through says nothing of those before it.
            job.maybe_sent = job.maybe_sent or not isinstance(error, aiohttp.ClientConnectorError)
            self._again_or_never(lane, job, str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whoever waits for this message must hear of it
            _fail(job, error)
        else:
            self.tally.count("done")
            if not job.answer.done():
                job.answer.set_result(answer)
            if job.method == POST:  # before the next of this lane is begun
                self._learn(job.place, str(answer.get("channel") or job.place))

    def _after_refusal(self, lane: Lane, job: Job, error: SlackApiError) -> None:
        status = _status(error)
        if status == 429:
            job.tries -= 1
            pause = _retry_after(error)
            self.tally.count("paused")
            LOG.warning("slack asks for a pause", method=job.method, seconds=pause)
            lane.rest(pause)
            lane.add(job)
        elif status >= 500 or _word(error) in _SLACKS_OWN_TROUBLE:
            job.maybe_sent = True
            self._again_or_never(lane, job, _word(error) if status < 500 else f"HTTP {status}")
        else:
            self.tally.count("refused")
            _fail(job, SlackRefusedError(job.method, _word(error)))

    def _again_or_never(self, lane: Lane, job: Job, problem: str) -> None:
        self.tally.count("no_answer")
        if job.tries >= TRIES:
            _fail(job, SlackAwayError(job.method, problem, maybe_sent=job.maybe_sent))
            return
        lane.rest(FIRST_PAUSE * 2 ** (job.tries - 1))
        lane.add(job)


def _changed(limit: Limit, per_second: float | None, burst: int | None) -> Limit:
    return replace(limit, per_second=per_second or limit.per_second, burst=burst or limit.burst)


def _fail(job: Job, error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)


def _status(error: SlackApiError) -> int:
    """Return the HTTP status; the SDK keeps it in one of two places."""
    response = error.response
    return int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)


def _word(error: SlackApiError) -> str:
    try:
        return str(error.response["error"])
    except (KeyError, TypeError):
        return f"HTTP {_status(error)}"


def _retry_after(error: SlackApiError) -> float:
    try:
        return min(float(error.response.headers["Retry-After"]), LONGEST_WAIT)
    except (KeyError, ValueError, AttributeError):
        return 1.0
