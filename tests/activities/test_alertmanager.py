"""`alert.resolved` against a real Prometheus: resolved only where Prometheus would know otherwise."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio

from activities.alertmanager import Resolved, resolved
from runbooks.errors import MeasureError
from tests.activities.test_http import answering, hang, read_request
from tests.activities.test_prometheus import NOW, answer
from tests.components import alertmanager, free_port, prometheus, samples, wait_until

pytestmark = pytest.mark.xdist_group("alertmanager")  # one component for all of them

RULES = """\
groups:
  - name: watched
    rules:
      - alert: HostDiskFull
        expr: disk_used_ratio > 0.9
        labels: {severity: page, size: '{{ if gt $value 0.95 }}huge{{ else }}large{{ end }}'}
      - alert: HostDiskFull
        expr: disk_used_ratio > 0.7
        labels: {severity: ticket}
      - alert: Soon
        expr: disk_used_ratio > 0.9
        for: 1h
      - alert: ManyErrors
        expr: sum by (job) (rate(errors_total{code="500"}[1m])) > 1
      - alert: Pushed
        expr: pushed_long_ago > 100
      - alert: Quoted
        expr: strange > 0
  - name: sick
    rules:
      - alert: Sick
        expr: disk_used_ratio / on() group_left() twins > 2
  - name: asleep
    interval: 6h
    rules:
      - alert: Asleep
        expr: disk_used_ratio > 2
"""
STRANGE = 'a"} or vector(1) #\\\n.*|b(c'
PAGE = """\
disk_used_ratio {ratio}
twins{{n="1"}} 1
twins{{n="2"}} 1
pushed_long_ago 5 {long_ago}
strange{{name="{strange}"}} 1
"""


class House:
    """A Prometheus and the page that it watches."""

    def __init__(self, url: str, page: Any) -> None:
        self.url = url
        self.page = page
        self.instance = page.target

    def set(self, ratio: float) -> None:
        strange = STRANGE.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        long_ago = int(time.time() * 1000 - 100_000)
        self.page.text = PAGE.format(ratio=ratio, long_ago=long_ago, strange=strange)

    def is_sick(self) -> bool:
        rules = httpx.get(f"{self.url}/api/v1/rules", trust_env=False).json()["data"]["groups"]
        return any(rule["health"] == "err" for group in rules for rule in group["rules"])

    def measures(self, promql: str) -> bool:
        return bool(samples(self.url, promql))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory, metrics_page):
    """A Prometheus with the rules above, which has evaluated them."""
    folder = tmp_path_factory.mktemp("prometheus")
    async with prometheus(folder, scrape=[metrics_page.target], rules=RULES) as running:
        house = House(running.url, metrics_page)
        house.set(0.92)
        await wait_until(lambda: house.measures("ALERTS"), what="the first alert")
        await wait_until(house.is_sick, what="the first failing evaluation")
        yield house


def labels_of(house: House, alertname: str = "HostDiskFull", **further: str) -> dict[str, str]:
    """The labels as Alertmanager sends them: with the external one."""
    given = {"alertname": alertname, "instance": house.instance, "job": "node", "cluster": "practice"}
    return given | further


async def ask(
    make_scene: Any, house: House, labels: dict[str, str], alert: str | None = None, stale_after: float = 20
) -> Any:
    connections = {"prometheus": {"url": house.url, "stale_after": stale_after}}
    return await resolved.perform(Resolved(alert=alert), make_scene(connections, alert_labels=labels))


@pytest.mark.slow
class TestAgainstPrometheus:
    """What a real Prometheus knows of its alerts."""

    async def test_a_firing_alert_is_not_resolved(self, house, make_scene):
        """
        The external label, which Prometheus itself does not see, hides no alert.
        """
        measured = await ask(make_scene, house, labels_of(house, severity="page", size="large"))

        assert measured.decided is False
        assert measured.sentence == "HostDiskFull is still active"
        assert measured.result == {"active": 1}

    async def test_a_pending_alert_is_not_resolved(self, house, make_scene):
        """
        Pending will fire again in a moment.
        """
        measured = await ask(make_scene, house, labels_of(house, "Soon"))

        assert measured.decided is False

    async def test_a_label_made_from_the_value_does_not_hide_the_alert(self, house, make_scene):
        """
        The alert that was `huge` and is `large` now is still active.
        """
        measured = await ask(make_scene, house, labels_of(house, severity="page", size="huge"))

        assert measured.decided is False

    async def test_another_targets_alert_is_not_ours(self, house, make_scene):
        """
        An alert with another instance is not ours; and for an instance that nobody scrapes
        nothing can be told.
        """
        measured = await ask(make_scene, house, labels_of(house, instance="web-9", severity="page"))

        assert measured.decided is None
        assert measured.inconclusive

    async def test_hostile_label_values_match_only_themselves(self, house, make_scene):
        """
        A value full of PromQL and regular expression is matched as text.
        """
        same = await ask(make_scene, house, labels_of(house, "Quoted", name=STRANGE))
        other = await ask(make_scene, house, labels_of(house, "Quoted", name=STRANGE + "x"))

        assert same.decided is False
        assert other.decided is True

    async def test_an_alert_without_series_is_resolved_where_its_target_is_up(self, house, make_scene):
        """
        No errors at all is a recovery, as long as the target answers.
        """
        measured = await ask(make_scene, house, {"alertname": "ManyErrors", "job": "node"})

        assert measured.decided is True

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("NoSuchRule", "has no rule NoSuchRule"),
            ("Sick", "its evaluation fails: .*duplicate series"),
            ("Asleep", "has not been evaluated yet"),
            ("Pushed", r"the data is \d+ s old"),
        ],
    )
    async def test_silence_that_means_nothing_is_inconclusive(self, house, make_scene, name, words):
        """
        Unknown rule, failing evaluation, old evaluation, old data: no alert, and no proof either.
        """
        measured = await ask(make_scene, house, labels_of(house, name))

        assert measured.inconclusive
        assert measured.decided is None
        assert re.search(words, measured.sentence), measured.sentence

    async def test_an_old_evaluation_is_inconclusive(self, house, make_scene):
        """
        A rule that was evaluated longer ago than the limit may not know of the alert.
        """
        labels = labels_of(house, "ManyErrors")

        measured = await ask(make_scene, house, labels, stale_after=0.001)

        assert measured.inconclusive
        assert "last evaluated more than 0.001 s ago" in measured.sentence

    async def test_another_alert_can_be_named(self, house, make_scene):
        """
        `alert:` asks about another rule for the same target; what that rule sets does not matter.
        """
        labels = labels_of(house, "Something", severity="other")

        active = await ask(make_scene, house, labels, alert="HostDiskFull")
        silent = await ask(make_scene, house, labels, alert="ManyErrors")

        assert active.result == {"active": 2}
        assert silent.decided is True

    async def test_recovery_is_resolved_and_a_dead_exporter_is_not(self, house, make_scene):
        """
        The alert goes away in both cases; only one of them is a recovery.
        """
        page = labels_of(house, severity="page", size="large")
        house.set(0.8)
        await wait_until(lambda: not house.measures('ALERTS{severity="page"}'))
        recovered = await ask(make_scene, house, page)
        warned = await ask(make_scene, house, labels_of(house, severity="ticket"))

        house.page.text = None
        await wait_until(lambda: not house.measures('ALERTS{severity="ticket"}'))
        dead = await ask(make_scene, house, labels_of(house, severity="ticket"))
        house.set(0.92)
        await wait_until(lambda: house.measures('ALERTS{severity="page"}'))

        assert recovered.decided is True
        assert recovered.sentence == "HostDiskFull is resolved"
        assert set(recovered.result) == set(resolved.declaration.samples)
        assert warned.decided is False
        assert dead.decided is None
        assert dead.inconclusive


@pytest.mark.slow
async def test_alertmanager_delivers_with_the_token(tmp_path, listen):
    """
    The Alertmanager of the test house sends version 4 to the webhook, with the bearer token.
    """
    seen: list[Any] = []
    webhook = await listen(answering(200, seen=seen))
    async with alertmanager(tmp_path / "alertmanager", f"{webhook}/alerts/alertmanager", "t0ken") as running:
        async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
            await client.post("/api/v2/alerts", json=[{"labels": {"alertname": "A", "instance": "b"}}])
        await wait_until(lambda: bool(seen), what="the delivery")

    first, headers, body = seen[0]
    assert first == "POST /alerts/alertmanager HTTP/1.1"
    assert headers["authorization"] == "Bearer t0ken"
    assert b'"version":"4"' in body


async def test_the_data_is_judged_at_the_time_of_the_evaluation(listen, make_scene):
    """
    Data that arrived after the rule was evaluated was not evaluated, so it proves nothing.
    """
    evaluated_at = datetime.fromtimestamp(NOW - 5, UTC).isoformat()
    rule = {"name": "A", "health": "ok", "labels": {}, "query": "up > 1", "lastEvaluation": evaluated_at}
    rules = json.dumps({"data": {"groups": [{"rules": [rule]}]}}).encode()
    seen: list[str] = []

    async def talk(reader: Any, writer: Any) -> None:
        first, _, _ = await read_request(reader)
        seen.append(first)
        body = rules if "/rules" in first else answer("vector", [{"metric": {}, "value": [NOW, "0"]}])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    scene = make_scene({"prometheus": {"url": await listen(talk)}}, alert_labels=LABELS)
    measured = await resolved.perform(Resolved(), scene)

    assert measured.decided is True
    assert measured.result["evaluated_s_ago"] == 5
    assert f"&time={NOW - 5:.3f}" in seen[-1]


async def test_without_a_name_nothing_can_be_asked(make_scene):
    """
    A remediation without an alert has to name one.
    """
    with pytest.raises(MeasureError, match="name it") as caught:
        await resolved.perform(Resolved(), make_scene({"prometheus": {"url": "http://127.0.0.1:1"}}))

    assert not caught.value.retryable


LABELS = {"alertname": "A"}


@pytest.mark.parametrize("kind", ["hang", "refused", "500"])
async def test_no_answer_is_retryable(listen, make_scene, kind):
    """
    A Prometheus that does not answer may answer the next time.
    """
    talks = {"hang": hang, "500": answering(500)}
    url = await listen(talks[kind]) if kind in talks else f"http://127.0.0.1:{free_port()}"
    scene = make_scene({"prometheus": {"url": url, "timeout": 0.1}}, alert_labels=LABELS)

    with pytest.raises(MeasureError) as caught:
        await resolved.perform(Resolved(), scene)

    assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "body"), [(404, b""), (200, b"<html>"), (200, b"[]"), (200, b'{"data": 1}')]
)
async def test_an_answer_of_something_else_is_an_error(listen, make_scene, status, body):
    """
    Where the url leads elsewhere, asking again does not help.
    """
    url = await listen(answering(status, body))
    scene = make_scene({"prometheus": {"url": url, "timeout": 20}}, alert_labels=LABELS)

    with pytest.raises(MeasureError) as caught:
        await resolved.perform(Resolved(), scene)

    assert not caught.value.retryable
