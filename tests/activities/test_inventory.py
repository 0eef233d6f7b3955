"""The inventory: targets that are written out, and those that Prometheus scrapes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from activities import inventory
from activities.connections import PrometheusConnection
from activities.inventory import InventoryError, InventorySource
from activities.surroundings import Surroundings
from activities.windows import WindowsError, WindowsFile
from bot.http.server import HttpServer

FILE = (
    "targets: [{target: web-1, labels: {cluster: eu}}]\nprometheus: [{job: node}, {job: shop, label: host}]\n"
)
SCRAPED = [
    {"job": "node", "instance": "web-2", "cluster": "us"},
    {"job": "node", "instance": "web-1", "cluster": "overruled"},
    {"job": "shop", "instance": "10.0.0.1:80", "host": "shop-1"},
    {"job": "shop", "instance": "10.0.0.2:80"},
    {"job": "another", "instance": "db-1"},
    {"instance": "db-2"},
]


class Prometheus:
    """Answers for the targets as Prometheus does, or as one that is unwell."""

    def __init__(self) -> None:
        self.status = HTTPStatus.OK
        self.body = json.dumps(
            {"status": "success", "data": {"activeTargets": [{"labels": each} for each in SCRAPED]}}
        )
        self.asked = 0

    async def targets(self, request: Request) -> Response:
        self.asked += 1
        assert request.query_params["state"] == "active"
        return Response(self.body, self.status, media_type="application/json")

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[PrometheusConnection]:
        server = HttpServer(
            Starlette(routes=[Route("/api/v1/targets", self.targets)]), host="127.0.0.1", port=0
        )
        await server.start()
        try:
            yield PrometheusConnection(url=f"http://127.0.0.1:{server.port}")
        finally:
            await server.stop()


@pytest.fixture
def file(tmp_path):
    """An inventory's file."""
    path = tmp_path / "inventory.yaml"
    path.write_text(FILE)
    return path


async def test_without_a_file_there_is_no_inventory():
    """Then every target will do."""
    assert await InventorySource(None, None).read() is None


async def test_an_inventory_that_is_written_out_needs_no_prometheus(file):
    """And an edit is taken up at the next question."""
    file.write_text("targets: [web-1]\n")
    source = InventorySource(file, None)
    first = await source.read()
    file.write_text("targets: [web-1, web-2, web-3]\n")

    assert set(first.targets) == {"web-1"}
    assert set((await source.read()).targets) == {"web-1", "web-2", "web-3"}


async def test_knows_what_prometheus_scrapes_for_the_named_jobs(file):
    """A job's label names the target; what is written out overrules; it is asked once for many questions."""
    prometheus = Prometheus()
    async with prometheus.serving() as connection:
        source = InventorySource(file, connection)
        known = await source.read()
        again = await source.read()

    assert set(known.targets) == {"web-1", "web-2", "shop-1"}
    assert known.labels_of("web-1") == {"cluster": "eu"}
    assert known.labels_of("web-2")["cluster"] == "us"
    assert again is known
    assert prometheus.asked == 1


async def test_what_prometheus_said_last_is_believed_for_a_while(file, monkeypatch):
    """A restart of Prometheus does not stop everything; one that stays away does."""
    monkeypatch.setattr(inventory, "FRESH", -inventory.FRESH)
    prometheus = Prometheus()
    async with prometheus.serving() as connection:
        source = InventorySource(file, connection)
        await source.read()
        prometheus.status = HTTPStatus.SERVICE_UNAVAILABLE
        assert "web-2" in (await source.read()).targets

        asked = prometheus.asked
        await source.read()
        assert prometheus.asked == asked  # it is left alone for some seconds

        monkeypatch.setattr(inventory, "BELIEVED", -inventory.BELIEVED)
        with pytest.raises(InventoryError, match="it answered 503"):
            await source.read()


@pytest.mark.parametrize("body", ["", "[]", '{"data": {}}', '{"data": {"activeTargets": [{"labels": 7}]}}'])
async def test_an_answer_that_is_no_list_of_targets_knows_nothing(file, body):
    """It is an error, never an empty inventory."""
    prometheus = Prometheus()
    prometheus.body = body
    async with prometheus.serving() as connection:
        with pytest.raises(InventoryError, match="no list of targets"):
            await InventorySource(file, connection).read()


async def test_a_prometheus_that_is_not_there_is_named(file):
    """With what is wrong; and where none is connected, that."""
    async with Prometheus().serving() as connection:
        pass  # it is gone again
    with pytest.raises(InventoryError, match="connection refused"):
        await InventorySource(file, connection).read()
    with pytest.raises(InventoryError, match="connections file no `prometheus`"):
        await InventorySource(file, None).read()


async def test_the_surroundings_tell_what_cannot_be_asked(file, tmp_path):
    """Admission gets the problem as a fact, and withholds."""
    around = Surroundings(tmp_path / "FREEZE", inventory=InventorySource(file, None))

    found = await around.look()

    assert found.inventory is None
    assert found.inventory_problem.startswith("The inventory cannot be asked: the inventory names jobs")


def test_mistakes_in_the_files_are_found_at_the_start(file, tmp_path):
    """Before the first alert, with file, line and column."""
    windows = tmp_path / "windows.yaml"
    around = Surroundings(
        tmp_path / "FREEZE", windows=WindowsFile(windows), inventory=InventorySource(file, None)
    )

    with pytest.raises(WindowsError, match="PARAMEDIC_WINDOWS names it"):
        around.refuse_mistakes()
    windows.write_text("windows: [{name: w}]\n")
    with pytest.raises(WindowsError, match=r"windows\.yaml:1:11: a window needs `reason`"):
        around.refuse_mistakes()
    windows.write_text("windows: [{name: w, reason: r, every: day, at: '10:00', for: 1h, zone: UTC}]\n")
    around.refuse_mistakes()
    file.write_text("target: []\n")
    with pytest.raises(InventoryError, match=r"inventory\.yaml:1:1: an inventory has no word `target`"):
        around.refuse_mistakes()
