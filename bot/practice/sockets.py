"""Socket Mode, the server's half: connections of the app, envelopes to it, acknowledgements from it.

An envelope goes to exactly one connection.  Whoever sends it waits for the acknowledgement as
long as Slack would, and learns which of three things happened.  An app that does not answer in
time may still act: that is Slack's behaviour too, and why the product records before it acts.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.practice.deliveries import Acknowledgement, Answer
from bot.practice.faults import Delivery, Faults
from bot.practice.residents import APP

log = structlog.get_logger(__name__)


class Sockets:
    """The app's connections.

    Args:
        patience: seconds to wait for an acknowledgement.
        on_change: called when the app connects or goes.
    """

    def __init__(self, faults: Faults, *, patience: float, on_change: Callable[[], None]) -> None:
        self._faults = faults
        self._patience = patience
        self._on_change = on_change
        self._tickets: set[str] = set()
        self._open: list[WebSocket] = []
        self._retiring: list[WebSocket] = []
        self._waiting: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self.abort: Callable[[HTTPConnection], None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the app has a connection that gets envelopes."""
        return bool(self._open)

    def issue_ticket(self) -> str:
        """Return the secret part of an address that one connection may use, once."""
        ticket = secrets.token_urlsafe(18)
        self._tickets.add(ticket)
        return ticket

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection of the app until it ends."""
        ticket = websocket.query_params.get("ticket", "")
        if ticket not in self._tickets:
            await websocket.close(code=1008, reason="this address was used before, or never existed")
            return
        self._tickets.discard(ticket)
        await websocket.accept()
        self._open.append(websocket)
        self._on_change()
        try:
            await websocket.send_json(self._hello())
            async for text in websocket.iter_text():
                self._receive(text)
        except WebSocketDisconnect:
            pass
        finally:
            self._forget(websocket)

    async def deliver(self, kind: str, payload: Mapping[str, Any]) -> Acknowledgement:
        """Send one envelope and wait for its acknowledgement.

        Args:
            kind: `slash_commands`, `interactive` or `events_api`.
            payload: what the app's listeners get as the body.
        """
        fate = self._faults.next_delivery()
        if not self._open:
            return Acknowledgement(Answer.NOT_CONNECTED)
        envelope = secrets.token_hex(16)
        self._waiting[envelope] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._patience):
                await self._send(envelope, kind, payload, fate)
                return Acknowledgement(Answer.ACKNOWLEDGED, await self._waiting[envelope])
        except TimeoutError:
            log.warning("envelope_not_acknowledged", kind=kind, patience_s=self._patience)
            return Acknowledgement(Answer.TIMED_OUT)
        finally:
            del self._waiting[envelope]

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Ask every connection to be replaced.  Those asked get no envelopes any more."""
        self._retiring, self._open = [*self._retiring, *self._open], []
        self._on_change()
        for websocket in list(self._retiring):  # some go away meanwhile
            farewell = {"type": "disconnect", "reason": reason, "debug_info": {"host": "practice"}}
            await websocket.send_json(farewell)

    def cut(self) -> None:
        """Cut every connection dead, without a word, as a lost network does.

        Raises:
            RuntimeError: only a running `PracticeServer` can do that.
        """
        if self.abort is None:
            raise RuntimeError("only a running PracticeServer can cut connections")
        for websocket in [*self._open, *self._retiring]:
            self.abort(websocket)

    async def _send(self, envelope: str, kind: str, payload: Mapping[str, Any], fate: Delivery) -> None:
        body = {
            "envelope_id": envelope,
            "type": kind,
            "accepts_response_payload": kind != "events_api",
            "payload": payload,
        }
        if kind == "events_api":
            body |= {"retry_attempt": 0, "retry_reason": ""}
        websocket = secrets.choice(self._open)
        times = {Delivery.NORMAL: 1, Delivery.TWICE: 2, Delivery.LOST: 0}[fate]
        for _ in range(times):
            try:
                await websocket.send_json(body)
            except (WebSocketDisconnect, RuntimeError):
                # The connection died just now.  Slack does not notice either: the person waits in vain.
                self._forget(websocket)

    def _receive(self, text: str) -> None:
        try:
            message = json.loads(text)
            envelope, payload = str(message["envelope_id"]), message.get("payload") or {}
        except (ValueError, KeyError, TypeError):
            log.warning("not_an_acknowledgement", text=text[:200])
            return
        waiting = self._waiting.get(envelope)
        if waiting is not None and not waiting.done():  # otherwise it is late, or the second of two
            waiting.set_result(payload)

    def _forget(self, websocket: WebSocket) -> None:
        for connections in (self._open, self._retiring):
            if websocket in connections:
                connections.remove(websocket)
        self._on_change()

    def _hello(self) -> Mapping[str, Any]:
        return {
            "type": "hello",
            "num_connections": len(self._open),
            "debug_info": {"host": "practice", "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": APP},
        }
