"""The inventory: which targets there are, by a file and by the Prometheus that scrapes them.

An inventory that cannot be asked knows nothing, and then nobody acts.  So that a restart of
Prometheus does not stop everything, what it said last is believed for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import httpx
from pydantic import BaseModel, Field

from activities.changing_file import ChangingFile
from activities.connections import PrometheusConnection, SecretMissingError
from activities.transport import BearerToken, in_words, open_client, read_at_most
from runbooks.errors import ParamedicError
from runbooks.language.findings import RunbookErrors
from runbooks.language.inventory import InventoryFile, Job, parse_inventory
from runbooks.model.inventory import Inventory

FRESH = timedelta(seconds=30)
"""How old what Prometheus said may be before it is asked again."""

BELIEVED = timedelta(minutes=10)
"""How long what it said last is believed when it does not answer."""

PAUSE = timedelta(seconds=5)
"""How long it is left alone then: nobody waits for it at every alert."""

_ANSWER_LIMIT = 32 * 1024 * 1024  # bytes; a target needs about a thousand
_OK = 200


class InventoryError(ParamedicError):
    """The inventory cannot be asked.  The message says why."""

    code = "inventory_wrong"


class _Target(BaseModel):
    labels: Mapping[str, str]


class _Active(BaseModel):
    active: Annotated[tuple[_Target, ...], Field(alias="activeTargets")]


class _Answer(BaseModel):
    """What is read of an answer of `/api/v1/targets`."""

    data: _Active


class InventorySource:
    """Knows the targets.

    Args:
        file: None where the installation has no inventory.
        prometheus: whom to ask for the targets of jobs.
    """

    def __init__(self, file: Path | None, prometheus: PrometheusConnection | None) -> None:
        self._file = ChangingFile(file, _parse) if file else None
        self._prometheus = prometheus
        self._scraped: Mapping[str, Mapping[str, str]] = {}
        self._known_jobs: tuple[Job, ...] = ()
        self._asked_at = float("-inf")
        self._not_before = float("-inf")
        self._asking = asyncio.Lock()
        self._whole = Inventory(targets={})
        self._made_of: tuple[object, object] = (None, None)

    def read_file(self) -> InventoryFile | None:
        """Return what the file says; None where there is none.

        Raises:
            InventoryError: the file cannot be read or is wrong.
        """
        return self._file.read() if self._file else None

    async def read(self) -> Inventory | None:
        """Return all targets; None where the installation has no inventory.

        Raises:
            InventoryError: it cannot be told which there are.
        """
        said = self.read_file()
        if said is None or not said.jobs:
            return said.written if said else None
        async with self._asking:  # one asks for all that come meanwhile
            scraped = await self._scraped_by(said.jobs)
        if self._made_of[0] is not said or self._made_of[1] is not scraped:
            self._whole = Inventory(targets={**scraped, **said.written.targets})
            self._made_of = (said, scraped)
        return self._whole

    async def _scraped_by(self, jobs: tuple[Job, ...]) -> Mapping[str, Mapping[str, str]]:
        now = time.monotonic()
        age = now - self._asked_at if jobs == self._known_jobs else float("inf")
        if age < FRESH.total_seconds() or (age < BELIEVED.total_seconds() and now < self._not_before):
            return self._scraped
        try:
            self._scraped = _targets(await self._ask(), jobs)
        except InventoryError:
            if age >= BELIEVED.total_seconds():
                raise
            self._not_before = now + PAUSE.total_seconds()
        else:
            self._known_jobs, self._asked_at = jobs, now
        return self._scraped

    async def _ask(self) -> bytes:
        if self._prometheus is None:
            raise InventoryError(
                "the inventory names jobs of Prometheus, and the connections file no `prometheus`"
            )
        url, timeout, token = str(self._prometheus.url), self._prometheus.timeout, self._prometheus.token
        auth = BearerToken(token) if token else None
        try:
            async with (
                open_client(url, timeout=timeout, auth=auth) as client,
                client.stream("GET", "api/v1/targets", params={"state": "active"}) as response,
            ):
                body, whole = await read_at_most(response, _ANSWER_LIMIT)
        except httpx.HTTPError as error:
            raise InventoryError(
                f"Prometheus does not tell which targets there are: {in_words(error)}"
            ) from error
        except SecretMissingError as error:
            raise InventoryError(f"Prometheus cannot be asked for the targets: {error}") from error
        if response.status_code != _OK or not whole:
            raise InventoryError(
                f"Prometheus does not tell which targets there are: it answered {response.status_code}"
            )
        return body


def _parse(file: Path) -> InventoryFile:
    try:
        return parse_inventory(file.read_text(encoding="utf-8"), file=str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InventoryError(f"{file}: cannot be read: {error}. PARAMEDIC_INVENTORY names it.") from None
    except RunbookErrors as error:
        raise InventoryError(str(error)) from None


def _targets(body: bytes, jobs: Iterable[Job]) -> dict[str, Mapping[str, str]]:
    """Return the targets of these jobs with their labels, out of what Prometheus answered."""
    names = {each.job: each.label for each in jobs}
    try:
        active = _Answer.model_validate_json(body).data.active
    except ValueError as error:
        raise InventoryError("Prometheus answered something that is no list of targets") from error
    named = ((each.labels.get(names.get(each.labels.get("job", ""), ""), ""), each.labels) for each in active)
    return {name: labels for name, labels in named if name}
