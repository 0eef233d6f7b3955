"""Signed HTTP, Slack's half: payloads posted to the app's address, as Slack posts them.

An interaction is JSON in one field of a form, a slash command is a form, an event is JSON; each is
signed with the signing secret and the time.  The app has three seconds.  An event that was not
taken is tried again, with the number of the retry in a header; what a person did is not, the
person sees that it failed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import structlog

from bot.practice.deliveries import Acknowledgement, Answer
from bot.practice.faults import Delivery, Faults

log = structlog.get_logger(__name__)

RETRY_AFTER = (0.0, 60.0, 300.0)  # seconds until each further attempt at an event, as in Slack
KEPT_POSTS = 200
FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain"


@dataclass(frozen=True)
class Post:
    """One request as it was sent, and the app's answer: an HTTP status, or nought where none came."""

    body: bytes
    headers: Mapping[str, str]
    status: int


class Posts:
    """The app's address, and what is posted to it.

    Args:
        url: where the app listens.
        secret: the signing secret.
        patience: seconds to wait for an answer.
        clock: seconds since the epoch.
        retry_after: seconds until each further attempt at an event.

    Attributes:
        sent: the latest requests, the oldest first.
    """

    def __init__(
        self,
        faults: Faults,
        *,
        url: str,
        secret: str,
        patience: float,
        clock: Callable[[], float],
        retry_after: tuple[float, ...] = RETRY_AFTER,
    ) -> None:
        self._faults = faults
        self._url = url
        self._secret = secret
        self._patience = patience
        self._clock = clock
        self._retry_after = retry_after
        self._client = httpx.AsyncClient(trust_env=False)
        self._retries: set[asyncio.Task[None]] = set()
        self.sent: deque[Post] = deque(maxlen=KEPT_POSTS)

    @property
    def connected(self) -> bool:
        """Whether something can be delivered: Slack does not know before it has tried."""
        return True

    async def aclose(self) -> None:
        """Try nothing again any more, and close the connections."""
        for task in self._retries:
            task.cancel()
        await asyncio.gather(*self._retries, return_exceptions=True)
        await self._client.aclose()

    async def deliver(self, kind: str, payload: Mapping[str, Any]) -> Acknowledgement:
        """Post one payload and wait for the app's answer.

        Args:
            kind: `slash_commands`, `interactive` or `events_api`.
            payload: what the app's listeners get as the body.
        """
        fate = self._faults.next_delivery()
        if fate is Delivery.LOST:
            await asyncio.sleep(self._patience)
            return Acknowledgement(Answer.TIMED_OUT)
        body, content_type = _written(kind, payload)
        if fate is Delivery.TWICE:
            again = self._post(body, content_type, retry=1, reason="http_timeout")
            acknowledgement, _ = await asyncio.gather(self._post(body, content_type), again)
        else:
            acknowledgement = await self._post(body, content_type)
        if kind == "events_api" and acknowledgement.answer is not Answer.ACKNOWLEDGED:
            self._try_again(body, content_type, acknowledgement.answer)
        return acknowledgement

    def signed(self, body: bytes, at: float | None = None) -> dict[str, str]:
        """Return the headers that show that `body` is Slack's, made `at` (seconds since the epoch)."""
        timestamp = str(int(self._clock() if at is None else at))
        base = b"v0:" + timestamp.encode() + b":" + body
        signature = hmac.new(self._secret.encode(), base, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={signature}"}

    async def _post(
        self, body: bytes, content_type: str, *, retry: int = 0, reason: str = ""
    ) -> Acknowledgement:
        headers = {"Content-Type": content_type, "User-Agent": "Slackbot 1.0", **self.signed(body)}
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": reason}
        status = 0
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._client.post(self._url, content=body, headers=headers, timeout=None)
            status = answer.status_code
        except TimeoutError:
            log.warning("app_did_not_answer", patience_s=self._patience)
            return Acknowledgement(Answer.TIMED_OUT)
        except httpx.HTTPError as error:
            log.warning("app_not_reached", error=str(error))
            return Acknowledgement(Answer.NOT_CONNECTED)
        finally:
            self.sent.append(Post(body, headers, status))
        return _acknowledgement(answer)

    def _try_again(self, body: bytes, content_type: str, answer: Answer) -> None:
        task = asyncio.create_task(self._retry(body, content_type, answer))
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def _retry(self, body: bytes, content_type: str, answer: Answer) -> None:
        reasons = {Answer.TIMED_OUT: "http_timeout", Answer.NOT_CONNECTED: "connection_failed"}
        for number, pause in enumerate(self._retry_after, start=1):
            await asyncio.sleep(pause)
            reason = reasons.get(answer, "http_error")
            answer = (await self._post(body, content_type, retry=number, reason=reason)).answer
            if answer is Answer.ACKNOWLEDGED:
                return


def _written(kind: str, payload: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the body in the shape that Slack gives this kind, and its content type."""
    if kind == "interactive":
        return urlencode({"payload": json.dumps(payload)}).encode(), FORM
    if kind == "slash_commands":
        return urlencode(payload).encode(), FORM
    return json.dumps(payload).encode(), "application/json"


def _acknowledgement(answer: httpx.Response) -> Acknowledgement:
    if not answer.is_success:
        log.warning("app_refused", status=answer.status_code)
        return Acknowledgement(Answer.REFUSED)
    if not answer.text:
        return Acknowledgement(Answer.ACKNOWLEDGED)
    if answer.headers.get("content-type", "").startswith(TEXT):
        return Acknowledgement(Answer.ACKNOWLEDGED, {"text": answer.text})
    try:
        payload = answer.json()
    except ValueError:
        return Acknowledgement(Answer.REFUSED)
    return Acknowledgement(Answer.ACKNOWLEDGED, payload if isinstance(payload, dict) else {})
