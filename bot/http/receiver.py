"""The receiver: where Alertmanager delivers.

Its answers are chosen for what Alertmanager does with them.  200 means that everything is durable
here.  503 means that something is not, and it will be sent again within seconds.  400 is for what
can never be understood, because a notification that is refused comes again at every group
interval.  There is no redirect: after one, Alertmanager's POST becomes a GET, and an alert would
be lost with success.

Strangers are turned away on their headers.  A body is read up to a limit, byte-equal repetitions
are shed by their hash, and large ones are parsed outside the event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from bot.http.answers import Refusal
from bot.http.authentication import Gatekeeper, Stranger
from bot.http.bodies import Bodies, refuse_unreadable
from bot.http.payload import Notification, PayloadError, PayloadTooLargeError, parse_notification
from bot.http.repeats import RepeatedBodies
from bot.intake import Addressed, Intake, Taken
from bot.metrics import Metrics
from runbooks.errors import LedgerError

DEADLINE = 5.0  # seconds for everything; Alertmanager's own budget can be as short as 10
INLINE_LIMIT = 32 * 1024  # bytes; a larger body is read outside the event loop
READING_THREADS = 2

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Receiver:
    """`POST /alerts/alertmanager`, as an ASGI application."""

    def __init__(
        self,
        intake: Intake,
        gatekeeper: Gatekeeper,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intake = intake
        self._gatekeeper = gatekeeper
        self._metrics = metrics
        self._repeats = RepeatedBodies(intake.duplicate_window, clock=clock)
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
        except Exception:  # counted, and raised again
            self._metrics.answered(500)
            raise
        self._metrics.answered(answer.status_code)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        try:
            async with asyncio.timeout(DEADLINE):
                return JSONResponse(vars(await self._take(scope, receive)))
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
        async with self._bodies.read(receive) as body:
            return await self._take_body(body, sender.name)

    async def _take_body(self, body: bytes, sender: str) -> Taken:
        seen = await self._outside(len(body), lambda: self._hash(body))
        repeated = self._repeats.alerts_in(seen)
        if repeated is not None:
            self._metrics.suppressed(repeated, by="body")
            return Taken(duplicates=repeated)
        try:
            said, addressed, told = await self._outside(len(body), lambda: self._read(body, sender))
        except PayloadError as error:
            raise Refusal(413 if isinstance(error, PayloadTooLargeError) else 400, str(error)) from error
        if said.truncated:
            self._metrics.truncated(said.truncated)
            log.error("alerts were cut off a notification and may never be sent", alerts=said.truncated)
        taken = await self._intake.take(addressed)
        self._metrics.suppressed(taken.duplicates, by="delivery")
        self._repeats.remember(seen, told, news=taken.news)
        return taken

    def _hash(self, body: bytes) -> bytes:
        """Return the hash under which a body is remembered: with other runbooks, it is another one."""
        return hashlib.sha256(self._intake.catalog.digest.encode() + body).digest()

    def _read(self, body: bytes, sender: str) -> tuple[Notification, list[Addressed], list[int]]:
        said = parse_notification(body)
        told = [hash(frozenset(alert.labels.items())) for alert in said.alerts]
        return said, self._intake.address(said.alerts, sender), told

    async def _outside(self, size: int, work: Callable[[], T]) -> T:
        """Do `work` on a body of this size, where it is large outside the event loop."""
        if size <= INLINE_LIMIT:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
