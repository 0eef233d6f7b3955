"""Monitoring, end to end: a real Prometheus, a real Alertmanager, and services under a real supervisord.

No test posts an alert to Paramedic: a service breaks, a rule fires, Alertmanager delivers.  Each
test has a service of its own, so that none waits for another's to be well again.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.http.server import HttpServer
from bot.slack.card import APPROVE
from runbooks.model.alert import AlertStatus
from runbooks.model.record import Record, RecordKind
from runbooks.model.remediation import Ending
from runbooks.policy.story import Story
from tests.components import (
    SUPERVISOR_PASSWORD,
    SUPERVISOR_USER,
    Component,
    alertmanager,
    free_port,
    prometheus,
    samples,
    supervisord,
    wait_until,
)
from tests.e2e.installation import TOKEN, Installation, installation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),  # the first of them waits for all components to start
    pytest.mark.xdist_group("monitoring"),  # one set of components for all of them
    pytest.mark.asyncio(loop_scope="module"),
]

_SILENT = """\
      - alert: ServiceSilent
        expr: up{{instance="{instance}"}} == 0
        for: 2s
        labels: {{service: {service}}}
"""
_FULL = """\
      - alert: QueueFull
        expr: patient_queue_depth{{instance="{instance}"}} > 100
        labels: {{service: {service}}}
"""
SERVICES = {"shop": _SILENT, "search": _SILENT, "mail": _FULL, "bank": _FULL}
"""The services, and the rule that watches each.

Only that of its illness: on a slow machine a service may be silent for a while that is only busy.
"""

# A service counts as well after 4 s of good samples.  Prometheus has told Alertmanager long before
# that, so its "resolved" finds the remediation still in progress.
RESTART = """
runbook: restart-service
summary: Restart a service whose process lives but no longer answers.
when: [{alert: ServiceSilent}]
target: "{{ labels.service }}"
check:
  - name: Prometheus cannot scrape it
    uses: prometheus.query
    with: {query: 'up{instance="{{ labels.instance }}"}'}
    expect: result.value == 0
gate: {approvers: [sre-oncall], within: 15m}
do:
  - name: Restart the service
    uses: supervisor.restart
    with: {supervisor: ward, process: "{{ target }}"}
    undo: none
verify:
  - name: It has been up for 4 s
    uses: prometheus.query
    with: {query: 'min_over_time(up{instance="{{ labels.instance }}"}[4s])'}
    expect: result.value == 1
    within: 60s
  - name: The alert is resolved
    uses: alert.resolved
    within: 60s
"""

DRAIN = """
runbook: drain-queue
summary: Drop the jobs of a service whose queue is full.
autonomy: automatic
when: [{alert: QueueFull}]
target: "{{ labels.service }}"
check:
  - name: More than 100 jobs wait
    uses: prometheus.query
    with: {query: 'patient_queue_depth{instance="{{ labels.instance }}"}'}
    expect: result.value > 100
do:
  - name: Drop the jobs
    uses: http.request
    with: {endpoint: "{{ target }}", path: /queue/drain}
    undo: none
verify:
  - name: Few jobs have been waiting for 4 s
    uses: prometheus.query
    with: {query: 'max_over_time(patient_queue_depth{instance="{{ labels.instance }}"}[4s])'}
    expect: result.value < 10
    within: 10s
otherwise:
  - name: Call people
    uses: slack.escalate
    with: {to: sre-oncall, text: "The queue of {{ target }} needs a person."}
"""


class Service:
    """A service that a test breaks: `bot.practice.patient` under supervisord."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.rules = SERVICES[name].format(instance=f"127.0.0.1:{port}", service=name)
        self.url = f"http://127.0.0.1:{port}"

    @property
    def command(self) -> str:
        return f"{sys.executable} -m bot.practice.patient {self.port}"

    def ask(self, path: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}{path}", trust_env=False, timeout=5).raise_for_status()
        return dict(answer.json())

    def fall_ill(self, illness: str) -> None:
        httpx.post(f"{self.url}/illness/{illness}", trust_env=False, timeout=5).raise_for_status()


@dataclass(frozen=True)
class Ward:
    """Everything that is real: the services, their supervisord, who watches them, and the bot."""

    home: Installation
    services: dict[str, Service]
    prometheus: Component
    alertmanager: Component

    # --- what the bot has on record -----------------------------------------------------------

    async def received(self, target: str, status: AlertStatus | None = None) -> list[Record]:
        """Return what came in about `target`, all of it or that with this status."""
        records = [
            each for each in await self.home.records(RecordKind.ALERT_RECEIVED) if each.object == target
        ]
        return [each for each in records if status in {None, each.data["alert"]["status"]}]

    async def reported_resolved(self, target: str) -> None:
        """Wait until Alertmanager's "resolved" has come in."""
        await self.home.until(
            lambda: self.received(target, AlertStatus.RESOLVED), 20, f"{target} to be reported as resolved"
        )

    async def outcomes(self, target: str) -> list[Record]:
        """Return what became of everything that came in about `target`: one outcome each, which is waited for."""
        found: list[Record] = []

        async def all_there() -> bool:
            entries = [each.data["entry"] for each in await self.received(target)]
            joined = await self.home.records(RecordKind.ALERT_JOINED)
            explained = await self.home.records(RecordKind.ALERT_EXPLAINED)
            found[:] = [each for each in joined + explained if each.data["entry"] in entries]
            return {each.data["entry"] for each in found} == set(entries)

        await self.home.until(all_there, 20, f"all alerts about {target} to be accounted for")
        assert len({each.data["entry"] for each in found}) == len(found)
        return found

    async def story(self, target: str, holds: Callable[[Story], object], within: float, what: str) -> Story:
        """Wait until the story of `target` is one of which this holds."""
        found: list[Story] = []

        async def there() -> bool:
            found[:] = [each for each in await self.home.stories() if each.target == target and holds(each)]
            return bool(found)

        await self.home.until(there, within, f"{target}: {what}")
        return found[-1]

    # --- people, and Alertmanager -------------------------------------------------------------

    async def asked(self, target: str) -> Story:
        """Wait until people are asked about `target`."""
        return await self.story(target, lambda story: story.gate is not None, 30, "people to be asked")

    async def approve(self, story: Story) -> None:
        """Press Approve as alice, on the card of this gate."""
        card = await self.home.hands.wait_for_button(APPROVE, story.gate.gate, timeout=20)
        await self.home.hands.approve(card, timeout=30)

    def refused_posts(self) -> float:
        """Return how many of Alertmanager's requests failed, as it counts them."""
        text = httpx.get(f"{self.alertmanager.url}/metrics", trust_env=False).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "alertmanager_notification_requests_failed_total"
            and sample.labels["integration"] == "webhook"
        )

    def resolve_falsely(self, target: str) -> None:
        """Tell Alertmanager that the alert about `target` is over; Prometheus contradicts in 2 to 3 s."""
        api = f"{self.alertmanager.url}/api/v2/alerts"
        query = {"filter": f'service="{target}"'}
        for each in httpx.get(api, params=query, trust_env=False).raise_for_status().json():
            over = {"labels": each["labels"], "endsAt": datetime.now(UTC).isoformat()}
            httpx.post(api, json=[over], trust_env=False).raise_for_status()

    @contextlib.contextmanager
    def prometheus_comes_back(self) -> Iterator[None]:
        """Let Prometheus go on after it was stopped, however this ends."""
        try:
            yield
        finally:
            psutil.Process(self.prometheus.process.pid).resume()


@contextlib.asynccontextmanager
async def _in_front_of(service: Service, deed: Callable[[], object]) -> AsyncIterator[str]:
    """Pass on what is asked of a service, and do something just before; yield the address."""

    async def pass_on(request: Request) -> Response:
        deed()
        key = {"Idempotency-Key": request.headers["idempotency-key"]}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.post(f"{service.url}{request.url.path}", headers=key)
        return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])

    server = HttpServer(
        Starlette(routes=[Route("/{path:path}", pass_on, methods=["POST"])]), host="127.0.0.1", port=0
    )
    await server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    """Everything started, Prometheus first: its first sample takes longer than the rest."""
    folder = tmp_path_factory.mktemp("ward")
    services = {name: Service(name, free_port()) for name in SERVICES}
    runbooks = {"restart-service": RESTART, "drain-queue": DRAIN}
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        home = await enter(installation(folder / "home", runbooks=runbooks, start=False))
        webhook = f"http://127.0.0.1:{home.port}/alerts/alertmanager"
        commands = {each.name: each.command for each in services.values()}
        supervisor = await enter(supervisord(folder / "supervisord", commands))
        teller = await enter(alertmanager(folder / "alertmanager", webhook, TOKEN))
        watcher = await enter(_watcher(folder / "prometheus", services, teller))
        # Stopped in the middle of whatever it does, Prometheus accepts connections, and says nothing.
        stop = psutil.Process(watcher.process.pid).suspend
        addresses = {each.name: each.url for each in services.values()}
        addresses["bank"] = await enter(_in_front_of(services["bank"], stop))
        _connect(home, addresses, supervisor, watcher)
        await home.start()
        await wait_until(lambda: samples(watcher.url, "up") == [1] * len(services), what="the first samples")
        yield Ward(home, services, watcher, teller)


def _watcher(
    folder: Path, services: dict[str, Service], teller: Component
) -> contextlib.AbstractAsyncContextManager[Component]:
    rules = "groups:\n  - name: services\n    rules:\n" + "".join(each.rules for each in services.values())
    scrape = [f"127.0.0.1:{each.port}" for each in services.values()]
    return prometheus(folder, scrape=scrape, rules=rules, alertmanager=teller.url)


def _connect(
    home: Installation, addresses: dict[str, str], supervisor: Component, watcher: Component
) -> None:
    password = home.folder / "supervisor.password"
    password.write_text(SUPERVISOR_PASSWORD)
    home.connect(
        # A check that gets no answer asks three times, which must not take longer than it may.
        prometheus={"url": watcher.url, "timeout": 3},
        endpoints={name: {"url": address} for name, address in addresses.items()},
        supervisors={
            "ward": {"url": supervisor.url, "user": SUPERVISOR_USER, "password": f"file:{password}"}
        },
    )


async def test_heals_what_prometheus_reports_and_knows_that_it_did(ward):
    """A silent service is restarted after a person agreed, and Prometheus itself says that it helped."""
    shop = ward.services["shop"]
    before = shop.ask("/healthz")["pid"]

    shop.fall_ill("silence")
    await ward.approve(await ward.asked("shop"))
    story = await ward.home.ended("shop")
    await ward.reported_resolved("shop")

    after = shop.ask("/healthz")["pid"]
    [done] = story.actions
    assert story.ending is Ending.MITIGATED, story.ending_sentence
    assert not psutil.pid_exists(before)
    assert (done.output["pid_before"], done.output["pid_after"]) == (before, after)
    for outcome in await ward.outcomes("shop"):
        assert outcome.kind is RecordKind.ALERT_EXPLAINED or outcome.stream == story.remediation
    told = await ward.home.paramedic("timeline", story.remediation)
    for words in (story.remediation, "Restart the service", "Alice", "The alert is resolved", "Mitigated"):
        assert words in told
    await ward.home.verify()


async def test_alertmanager_brings_an_alert_through_that_could_not_be_kept(ward):
    """While the inbox cannot be written Alertmanager is refused; it tries again, and the alert is in once."""
    mail = ward.services["mail"]
    refused = ward.refused_posts()
    assert await ward.received("mail") == []

    with ward.home.ledger_locked():
        mail.fall_ill("backlog")
        await wait_until(lambda: ward.refused_posts() > refused, what="Alertmanager to be refused")
        assert await ward.received("mail") == []
    story = await ward.home.ended("mail")
    await ward.reported_resolved("mail")

    [received] = await ward.received("mail", AlertStatus.FIRING)
    assert story.entries == (received.data["entry"],)
    assert await ward.outcomes("mail")
    assert 'answers_total{code="503"}' in (await ward.home.client.get("/metrics")).text
    assert story.ending is Ending.MITIGATED, story.ending_sentence
    assert mail.ask("/queue")["drained"] == 1
    await ward.home.verify()


async def test_a_false_resolved_does_not_close_the_gate(ward):
    """Alertmanager says resolved, Prometheus says firing: the question to people stands."""
    search = ward.services["search"]
    search.fall_ill("silence")
    asked = await ward.asked("search")

    async def told() -> bool:
        ward.resolve_falsely("search")
        return bool(await ward.received("search", AlertStatus.RESOLVED))

    await ward.home.until(told, 20, "the false resolved to arrive")
    looked = await ward.story("search", _looked_again, 20, "the world to be asked again")
    assert looked.gate.outcome == ""

    await ward.approve(asked)
    story = await ward.home.ended("search")
    assert (story.gate.outcome, story.ending) == ("approved", Ending.MITIGATED)
    assert await ward.outcomes("search")


def _looked_again(story: Story) -> bool:
    return any(check.round == "again" for check in story.checks)


async def test_without_prometheus_nobody_claims_that_it_helped(ward):
    """Prometheus goes away with the action: what did help ends unverified, and people are called."""
    bank = ward.services["bank"]
    bank.fall_ill("backlog")
    with ward.prometheus_comes_back():
        story = await ward.home.ended("bank")
    called = await ward.home.hands.wait_for(
        lambda sight: "bank needs a person" in json.dumps(sight.snapshot["messages"]), 20
    )

    assert (story.ending, story.ending_reason) == (Ending.UNVERIFIED, "verify_error")
    # The second is said where a slow machine does not even let Prometheus fail to answer three times.
    assert re.search("Prometheus did not answer|no answer within 15 s", story.ending_sentence)
    assert bank.ask("/queue")["drained"] == 1
    assert called
    assert await ward.outcomes("bank")
    await ward.home.verify()
