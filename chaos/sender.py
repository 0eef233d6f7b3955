"""The sender: behaves as Alertmanager does, and keeps a log of what it was answered.

It repeats each notification until it is answered with 2xx.  What was not answered so is not in the
log, and nobody promised anything about it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from chaos.judge import NEWS, Delivery

PATH = "/alerts/alertmanager"
GIVE_UP_AFTER = 120.0  # seconds; then the house is not standing any more
PAUSE = 0.1  # seconds after a first refusal; doubled after each further one
LONGEST_PAUSE = 1.0  # seconds
ANSWER_WITHIN = 6.0  # seconds


class GaveUpError(Exception):
    """Nobody took an alert for as long as the sender tries."""


@dataclass(frozen=True)
class News:
    """One alert to be told: `kind` is its alert name, and chooses the runbook."""

    kind: str
    target: str
    number: int
    status: str = "firing"

    @property
    def name(self) -> str:
        """What makes it unlike every other one."""
        return f"{self.target}/{self.number}"

    def as_alert(self) -> dict[str, Any]:
        """Return it as Alertmanager writes it."""
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_767_225_600 + self.number))
        return {
            "status": self.status,
            "labels": {"alertname": self.kind, "instance": self.target, NEWS: self.name},
            "annotations": {"summary": "It broke."},
            "startsAt": began,
            "endsAt": "0001-01-01T00:00:00Z" if self.status == "firing" else "2026-06-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph",
            "fingerprint": self.name,
        }


class Sender:
    """One sender with its log."""

    def __init__(self, port: int, log: Path, token: str) -> None:
        self._log = log.open("a", encoding="utf-8")
        self._path = log
        self._numbers = itertools.count(1)
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"authorization": f"Bearer {token}"},
            timeout=ANSWER_WITHIN,
            trust_env=False,
            limits=httpx.Limits(max_connections=100),
        )
        self.refusals = 0

    def news(self, kind: str, target: str, status: str = "firing") -> News:
        """Return an alert that nobody was told yet."""
        return News(kind, target, next(self._numbers), status)

    async def tell(self, *news: News) -> None:
        """Tell all of it in one notification, until it is taken.

        Raises:
            GaveUpError: for two minutes nobody took it.
        """
        body = notification(news)
        deadline, pause = time.monotonic() + GIVE_UP_AFTER, PAUSE
        while not await self._taken(body):
            self.refusals += 1
            if time.monotonic() > deadline:
                raise GaveUpError(f"nobody took {news[0].name} for {GIVE_UP_AFTER:.0f} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        for each in news:
            line = {"news": each.name, "target": each.target, "status": each.status, "at": time.time()}
            self._log.write(json.dumps(line) + "\n")
        self._log.flush()

    def show(self, token: str) -> None:
        """Show another token from now on."""
        self._client.headers["authorization"] = f"Bearer {token}"

    async def answer_to(self, token: str) -> int:
        """Return the status that a notification without alerts gets with this token."""
        shown = {"authorization": f"Bearer {token}"}
        return (await self._client.post(PATH, json=notification([]), headers=shown)).status_code

    async def _taken(self, body: dict[str, Any]) -> bool:
        try:
            return (await self._client.post(PATH, json=body)).is_success
        except (httpx.HTTPError, AttributeError):  # the latter where the far end dies right after it accepted
            return False

    async def is_ready(self) -> bool:
        """Return whether the bot says of itself that it is ready."""
        try:
            return (await self._client.get("/readyz")).is_success
        except (httpx.HTTPError, AttributeError):
            return False

    def deliveries(self) -> list[Delivery]:
        """Return what was taken, each alert once, as the log has it."""
        lines = [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
        told: dict[tuple[str, str], Delivery] = {}
        for line in lines:
            at = datetime.fromtimestamp(line["at"], UTC)
            first = Delivery(line["news"], line["target"], line["status"], at)
            told.setdefault((first.news, first.status), first)
        return list(told.values())

    async def aclose(self) -> None:
        """Close connections and log."""
        self._log.close()
        await self._client.aclose()


def notification(news: Sequence[News]) -> dict[str, Any]:
    """Return Alertmanager's payload, version 4."""
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": news[0].status if news else "firing",
        "receiver": "paramedic",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": [each.as_alert() for each in news],
    }
