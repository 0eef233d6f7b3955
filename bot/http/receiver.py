"""The receiver: where Alertmanager delivers.

Its answers are chosen for what Alertmanager does with them.  200 means that everything is durable
here.  503 means that something is not, and it will be sent again within seconds.  400 is for what
can never be understood, because a notification that is refused comes again at every group
interval.  There is no redirect: after one, Alertmanager's POST becomes a GET, and an alert would
be lost with success.

Strangers are turned away on their headers.  A body is read up to a limit, and a large one parsed
outside the event loop.  What repeats the last word about an alert is shed before anything is made
of it: whole bodies by their hash, single alerts by what they say.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bot.http.answers import Refusal, sorry
from bot.http.authentication import Gatekeeper, Stranger
from bot.http.bodies import Bodies, refuse_unreadable
from bot.http.payload import PayloadError, PayloadTooLargeError
from bot.http.repeats import RepeatedBodies
from bot.intake import Intake, Reading, Taken
from bot.metrics import Metrics
from bot.tray import MEDIA
from runbooks.errors import LedgerError

DEADLINE = 5.0  # seconds for everything; Alertmanager's own budget can be as short as 10
INLINE_LIMIT = 64 * 1024  # bytes; a larger body is read outside the event loop
HASHED_INLINE_LIMIT = 1024 * 1024  # bytes; to hash them takes less than to change threads under load
READING_THREADS = 2

T = TypeVar("T")

_encode = json.JSONEncoder(separators=(",", ":")).encode

log = structlog.get_logger(__name__)


class Receiver:
    """`POST /alerts/alertmanager`, as an ASGI application."""

    def __init__(self, intake: Intake, gatekeeper: Gatekeeper, metrics: Metrics) -> None:
        self._intake = intake
        self._gatekeeper = gatekeeper
        self._metrics = metrics
        self._repeats = RepeatedBodies()
        self._readers = ThreadPoolExecutor(READING_THREADS, thread_name_prefix="alerts")
        self._bodies = Bodies()
        if gatekeeper.open_to_loopback:
            log.warning(
                "no webhook tokens are set: alerts are accepted from this machine only, without "
                "authentication; set PARAMEDIC_WEBHOOK_TOKENS"
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            answer = await self._answer(scope, receive)
        except Exception:  # counted, and raised again for the server's log
            await sorry()(scope, receive, send)
            self._metrics.answered(500)
            raise
        await answer(scope, receive, send)
        self._metrics.answered(answer.status_code)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        try:
            async with asyncio.timeout(DEADLINE):
                return Response(_encode(vars(await self._take(scope, receive))), media_type=MEDIA)
        except Refusal as refused:
            refusal = refused
        except LedgerError as error:
            refusal = Refusal(503, f"{error}; nothing is lost if this is sent again")
        except TimeoutError:
            late = f"not everything was durable within {DEADLINE:g} s"
            refusal = Refusal(503, f"{late}; nothing is lost if this is sent again")
        log.warning("alerts refused", status=refusal.status, why=str(refusal), peer=_peer(scope))
        return refusal.answer()

    def close(self) -> None:
        """End the reading threads."""
        self._readers.shutdown(cancel_futures=True)

    async def _take(self, scope: Scope, receive: Receive) -> Taken:
        headers = Headers(scope=scope)
        if scope["method"] != "POST":
            raise Refusal(405, "alerts are sent with POST", allow="POST")
        sender = self._gatekeeper.identify(headers, _peer(scope))
        if isinstance(sender, Stranger):
            challenge = {"www-authenticate": 'Bearer, Basic realm="alerts"'}
            raise Refusal(sender.status, sender.sentence, **(challenge if sender.status == 401 else {}))
        refuse_unreadable(headers)
        body = await self._bodies.read(receive)
        try:
            return await self._take_body(body, sender.name)
        finally:
            self._bodies.release(body)

    async def _take_body(self, body: bytes, sender: str) -> Taken:
        seen = await self._outside(self._hash, body, if_over=HASHED_INLINE_LIMIT)
        repeated = await self._repeated(seen)
        if repeated is not None:
            self._metrics.suppressed(repeated, by="body")
            return Taken(duplicates=repeated)
        reading = await self._read(body, sender)
        if reading.truncated:
            self._metrics.truncated(reading.truncated)
            log.error("alerts were cut off a notification and may never be sent", alerts=reading.truncated)
        taken = Taken()
        if reading.fresh:
            taken = await self._intake.take(reading.fresh, body, sender)
        self._metrics.suppressed(reading.repeated, by="delivery")
        words = [word for word in reading.words if word is not None]
        if len(words) == len(reading.words):
            self._repeats.remember(seen, words)
        return Taken(taken.accepted, taken.duplicates + reading.repeated, taken.unmatched)

    def _hash(self, body: bytes) -> bytes:
        """Return the hash under which a body is remembered: with other runbooks, it is another one."""
        return hashlib.sha256(self._intake.catalog.digest.encode() + body).digest()

    async def _repeated(self, seen: bytes) -> int | None:
        """Return how many deliveries a body repeats that was read before; None where it may hold news."""
        words = self._repeats.words_in(seen)
        if words is None:
            return None
        since = self._intake.round
        repeats = self._intake.repeats(words)
        return sum(repeats) if all(repeats) and await self._intake.is_alone(since) else None

    async def _read(self, body: bytes, sender: str) -> Reading:
        """Read a body, and leave out what is a repetition for certain.

        Raises:
            Refusal: 400 where it is no notification, 413 where it holds too much.
        """
        try:
            since = self._intake.round
            reading = await self._outside(self._intake.read, body, sender)
            if reading.repeated and not await self._intake.is_alone(since):
                reading = await self._outside(self._read_whole, body, sender)
        except PayloadError as error:
            raise Refusal(413 if isinstance(error, PayloadTooLargeError) else 400, str(error)) from error
        return reading

    def _read_whole(self, body: bytes, sender: str) -> Reading:
        return self._intake.read(body, sender, shed=False)

    async def _outside(
        self, work: Callable[..., T], body: bytes, *given: str, if_over: int = INLINE_LIMIT
    ) -> T:
        """Do `work` on a body and what else is `given`, where it is large outside the event loop."""
        if len(body) <= if_over:
            return work(body, *given)
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, body, *given)


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
