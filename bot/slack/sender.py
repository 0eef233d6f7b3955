"""The sender: one message at a time, the most urgent first, and never against Slack's word.

Slack allows about one message a second and channel, and says with 429 and `Retry-After` when it
has had enough.  In a storm that is when a question to people must not stand in line behind
progress texts.  So all that we post goes through one queue, ordered by urgency; a pause that
Slack asks for holds for everything, and after it the most urgent message goes first.

The client given here has no retry handlers of its own: they would repeat a call inside that pause.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.message import Message
from runbooks.errors import ParamedicError
from runbooks.model.base import Value

LOG = structlog.get_logger("paramedic.slack")

PER_SECOND = 1.0
"""Calls a second in the long run: what Slack allows for one channel."""

BURST = 10
"""Calls that may go out at once after a quiet time."""

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


class Urgency(IntEnum):
    """Who goes first."""

    GATE = 0  # people are asked, or must not press a button any more
    CARD = 1
    PROGRESS = 2
    LINE = 3  # what nobody waits for


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


@dataclass(order=True)
class _Job:
    urgency: Urgency
    number: int
    method: str = field(compare=False)
    call: Callable[[], Awaitable[Any]] = field(compare=False)
    answer: asyncio.Future[Any] = field(compare=False)
    tries: int = field(default=0, compare=False)
    maybe_sent: bool = field(default=False, compare=False)


class Sender:
    """Posts and updates messages.

    Args:
        client: for this sender alone, without retry handlers.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        *,
        per_second: float = PER_SECOND,
        burst: int = BURST,
        tally: Tally | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self._client = client
        self._per_second = per_second
        self._burst = burst
        self._allowance = float(burst)
        self._counted_at = 0.0
        self._quiet_until = 0.0
        self._numbers = 0
        self._waiting: list[_Job] = []
        self._sending: asyncio.Task[None] | None = None

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
        answer = await self._send(
            "chat.postMessage", urgency, lambda: self._client.api_call("chat.postMessage", json=said)
        )
        return Posted(channel=answer["channel"], ts=answer["ts"])

    async def update(self, place: Posted, message: Message, *, urgency: Urgency) -> None:
        """Put `message` in the place of the one that is there.

        Raises:
            SlackRefusedError: Slack said no.
            SlackAwayError: Slack does not answer.
        """
        said = {**place.model_dump(), **message.payload()}
        await self._send("chat.update", urgency, lambda: self._client.api_call("chat.update", json=said))

    async def _send(self, method: str, urgency: Urgency, call: Callable[[], Awaitable[Any]]) -> Any:
        self._numbers += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, _Job(urgency, self._numbers, method, call, answer))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())
        return await answer

    async def _send_all(self) -> None:
        while self._waiting:
            await self._until_allowed()
            job = heapq.heappop(self._waiting)  # chosen after the wait: somebody more urgent may have come
            if not job.answer.cancelled():
                await self._carry_out(job)

    async def _until_allowed(self) -> None:
        loop = asyncio.get_running_loop()
        while (pause := self._pause(loop.time())) > 0:  # noqa: ASYNC110 - time is what is waited for
            await asyncio.sleep(pause)
        self._allowance -= 1

    def _pause(self, now: float) -> float:
        """Return the seconds until the next call is allowed, as far as is known now."""
        earned = (now - self._counted_at) * self._per_second
        self._allowance = min(self._burst, self._allowance + earned)
        self._counted_at = now
        missing = max(0.0, 1 - self._allowance) / self._per_second
        return max(missing, self._quiet_until - now)

    async def _carry_out(self, job: _Job) -> None:
        job.tries += 1
        try:
            answer = await job.call()
        except SlackApiError as error:
            self._after_refusal(job, error)
        except (SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
            # That this call did not get through says nothing of those before it.
            job.maybe_sent = job.maybe_sent or not isinstance(error, aiohttp.ClientConnectorError)
            self._again_or_never(job, str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whoever waits for this message must hear of it
            _fail(job, error)
        else:
            self.tally.count("done")
            if not job.answer.done():
                job.answer.set_result(answer)

    def _after_refusal(self, job: _Job, error: SlackApiError) -> None:
        status = _status(error)
        if status == 429:
            job.tries -= 1
            pause = _retry_after(error)
            self.tally.count("paused")
            LOG.warning("slack asks for a pause", method=job.method, seconds=pause)
            self._rest(pause)
            heapq.heappush(self._waiting, job)
        elif status >= 500 or _word(error) in _SLACKS_OWN_TROUBLE:
            job.maybe_sent = True
            self._again_or_never(job, _word(error) if status < 500 else f"HTTP {status}")
        else:
            self.tally.count("refused")
            _fail(job, SlackRefusedError(job.method, _word(error)))

    def _again_or_never(self, job: _Job, problem: str) -> None:
        self.tally.count("no_answer")
        if job.tries >= TRIES:
            _fail(job, SlackAwayError(job.method, problem, maybe_sent=job.maybe_sent))
            return
        self._rest(FIRST_PAUSE * 2 ** (job.tries - 1))
        heapq.heappush(self._waiting, job)

    def _rest(self, seconds: float) -> None:
        self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + seconds)


def _fail(job: _Job, error: Exception) -> None:
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
