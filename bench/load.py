"""The drivers, one for each contender: the alerts, the three scenarios, and what they measure.

Requests are rendered before the clock runs.  Latencies begin when the driver starts to send an
alert and end at the sink's clock, or at the contender's own record of the ending.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import fmean, quantiles
from typing import Any, TypeVar

from bench.contenders import Contender
from bench.processes import ContenderError, usage_of
from bench.server import closing_times
from bench.sink import Sink, TargetLog
from bench.wire import Connection, connected, render_request

SEED = 20
WARM_UP = 20  # alerts, not counted
IDLE = 40  # alerts, one after another
IDLE_GAP = (0.020, 0.120)  # seconds after each was verified
BURST = 200  # alerts, one a POST
BURSTS = 2  # of each contender in a pass
STORM_ENTRIES = 5000  # entries that repeat
STORM_GROUP = 50  # of them in a POST
STORM_ALERTS = 20  # distinct alerts that they repeat
STORM_NEW = 10  # new alerts among them, one a POST
CONNECTIONS = 16
VERIFIED_WITHIN = 60.0  # seconds; a contender that takes longer has lost something
SETTLE = 1.0  # seconds after a scenario: late actions and follow-up work belong to it

T = TypeVar("T")

Times = dict[str, float]
"""A moment for each target, unix seconds."""

Metrics = dict[str, float]
"""One number for each name in `bench.report.ROWS`."""

Samples = dict[str, list[float]]
"""What the numbers were made of; milliseconds, but for counts."""


def alert(target: str) -> dict[str, Any]:
    """Return one firing alert as Alertmanager tells it."""
    labels = {
        "alertname": "ServiceBroken",
        "cluster": "eu-west-1-prod",
        "container": "checkout-api",
        "env": "prod",
        "instance": target,
        "job": "kubernetes-pods",
        "namespace": "checkout",
        "pod": f"checkout-api-{target}",
        "prometheus": "monitoring/k8s",
        "service": "checkout-api",
        "severity": "critical",
        "team": "payments",
    }
    expression = 'sum(rate(http_requests_total{code=~"5..",service="checkout-api"}[5m])) / sum(rate(http_requests_total[5m])) > 0.05'
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {
            "description": f"More than 5 % of the requests to checkout-api on {target} have failed for 5 minutes. "
            "Customers see errors when they pay; orders are kept and can be paid later.",
            "summary": f"checkout-api is broken on {target}",
            "expression": expression,
            "dashboard_url": f"https://grafana.example.com/d/checkout/overview?var-instance={target}&from=now-1h",
            "runbook_url": "https://runbooks.example.com/checkout/service-broken",
        },
        "startsAt": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://prometheus.example.com/graph?g0.expr=service%3Aerrors%3Aratio5m+%3E+0.05&g0.tab=1",
        "fingerprint": hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:16],
    }


def notification(alerts: Sequence[dict[str, Any]]) -> bytes:
    """Return the body of a notification, payload version 4: 2 KB with one alert, 55 KB with fifty."""
    group = {"alertname": "ServiceBroken", "cluster": "eu-west-1-prod"}
    body = {
        "receiver": "paramedic",
        "status": "firing",
        "alerts": alerts,
        "groupLabels": group,
        "commonLabels": _common([entry["labels"] for entry in alerts]),
        "commonAnnotations": _common([entry["annotations"] for entry in alerts]),
        "externalURL": "https://alertmanager.example.com",
        "version": "4",
        "groupKey": '{}/{severity="critical"}:{alertname="ServiceBroken", cluster="eu-west-1-prod"}',
        "truncatedAlerts": 0,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _common(maps: Sequence[dict[str, str]]) -> dict[str, str]:
    first, *others = maps
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


@dataclass
class Tally:
    """What the driver saw of one scenario: `sent` holds the first POST of each target."""

    sent: Times = field(default_factory=dict)
    acks: list[float] = field(default_factory=list)  # seconds
    began: float = 0.0
    acked: float = 0.0  # when the last answer had come


@dataclass(frozen=True)
class Post:
    """One request, ready to be sent, and whom it is about."""

    targets: Sequence[str]
    request: bytes


@dataclass(frozen=True)
class Burst:
    """One burst: how long it took and what processor time, in seconds, and how long each alert waited."""

    seconds: float
    cpu: float
    acks: Sequence[float]  # seconds
    actions: Sequence[float]  # milliseconds


@dataclass
class Driver:
    """One contender under load."""

    contender: Contender
    sink: Sink

    async def warm_up(self) -> None:
        """Let imports, pools and caches fill: a server that was just started is not what people run."""
        await self._run([self.post([f"warm-{n:03}"]) for n in range(WARM_UP)], 4, WARM_UP)

    async def idle_numbers(self, tally: Tally) -> tuple[Metrics, Samples]:
        """Return what became of the alerts that were sent one after another."""
        log = await self.sink.log()
        samples = {
            "idle_ack": [1000 * took for took in tally.acks],
            "idle_action": since(tally.sent, first_actions(log)),
            "idle_ending": since(tally.sent, await self.contender.endings()),
            "idle_closed": since(tally.sent, await closing_times(self.contender.temporal_port)),
        }
        metrics = {f"{name}_p50": percentile(values, 50) for name, values in samples.items()}
        return metrics | {f"{name}_p95": percentile(values, 95) for name, values in samples.items()}, samples

    async def burst(self, number: int) -> Burst:
        """Many new alerts at once, one a POST; other ones for each `number`."""
        before = usage_of(self.contender.roots)
        posts = [self.post([f"burst-{number}-{n:03}"]) for n in range(BURST)]
        tally = await self._run(posts, CONNECTIONS, BURST)
        log = await self.sink.log()
        used = usage_of(self.contender.roots).cpu - before.cpu
        last = max(target.verified or 0.0 for target in log.values())
        return Burst(last - tally.began, used, tally.acks, since(tally.sent, first_actions(log)))

    async def storm(self) -> tuple[Metrics, Samples]:
        """The same few alerts over and over, and new ones among them."""
        distinct = STORM_ALERTS + STORM_NEW
        tally = await self._run(list(self._storm_posts()), CONNECTIONS, distinct)
        log = await self.sink.log()
        acted = [len(target.acted) for target in log.values()]
        new = {target: at for target, at in tally.sent.items() if target.startswith("new-")}
        waits = since(new, first_actions(log))
        return {
            "storm_rate": (STORM_ENTRIES + STORM_NEW) / 1000 / (tally.acked - tally.began),
            "storm_new_p50": percentile(waits, 50),
            "storm_new_p95": percentile(waits, 95),
            "storm_actions": fmean(acted),
            "storm_odd": sum(times != 1 for times in acted),
        }, {"storm_new": waits, "storm_actions": [float(times) for times in acted]}

    def post(self, targets: Sequence[str]) -> Post:
        """Return the request that tells of new alerts on `targets`."""
        return self._render([alert(target) for target in targets], targets)

    def _render(self, alerts: Sequence[dict[str, Any]], targets: Sequence[str]) -> Post:
        body = notification(alerts)
        return Post(targets, render_request("POST", "/alerts/alertmanager", body, self.contender.token))

    def _storm_posts(self) -> Iterator[Post]:
        """Yield groups of repeated alerts in ever new order, and every so often a new alert."""
        order = random.Random(SEED)
        repeated = [(name := f"storm-{n:03}", alert(name)) for n in range(STORM_ALERTS)]
        groups = STORM_ENTRIES // STORM_GROUP
        for number in range(groups):
            entries = (repeated * (STORM_GROUP // STORM_ALERTS + 1))[:STORM_GROUP]
            order.shuffle(entries)
            yield self._render([entry for _, entry in entries], [target for target, _ in entries])
            if number % (groups // STORM_NEW) == groups // STORM_NEW // 2:
                yield self.post([f"new-{number:03}"])

    async def _run(self, posts: Sequence[Post], connections: int, distinct: int) -> Tally:
        """Send all over several connections, and wait until `distinct` targets are verified and it is quiet."""
        await self.sink.reset()
        tally, waiting = Tally(), iter(posts)

        async def send_rest(connection: Connection) -> None:
            for post in waiting:  # shared: each connection takes the next
                await self.send(connection, post, tally)

        async with AsyncExitStack() as stack:
            opened = [
                await stack.enter_async_context(connected(self.contender.port)) for _ in range(connections)
            ]
            tally.began = time.time()
            await asyncio.gather(*(send_rest(connection) for connection in opened))
            tally.acked = time.time()
            await self.verified(distinct)
        await asyncio.sleep(SETTLE)
        return tally

    async def send(self, connection: Connection, post: Post, tally: Tally) -> None:
        """Send one request, and note when.

        Raises:
            ContenderError: it was not accepted.
        """
        at = time.time()
        for target in post.targets:
            tally.sent.setdefault(target, at)
        answer = await connection.ask(post.request)
        tally.acks.append(time.time() - at)
        if not 200 <= answer.status < 300:
            raise ContenderError(f"{self.contender.name} answered {answer.status}: {answer.body[:300]!r}")

    async def verified(self, count: int) -> None:
        """Return when so many targets have been verified.

        Raises:
            ContenderError: it takes too long: something was lost.
        """
        try:
            await asyncio.wait_for(self.sink.wait_for_verified(count), VERIFIED_WITHIN)
        except TimeoutError:
            raise ContenderError(
                f"{self.contender.name}: not all of {count} alerts were verified in {VERIFIED_WITHIN:.0f} s"
            ) from None


async def measure(drivers: Sequence[Driver]) -> list[tuple[Metrics, Samples]]:
    """Run all scenarios, and return the numbers of each contender, and the samples behind them."""
    for driver in drivers:
        await driver.warm_up()
    found = await idle(drivers)
    for (metrics, samples), (more, behind) in zip(found, await bursts(drivers), strict=True):
        metrics.update(more)
        samples.update(behind)
    for driver, (metrics, samples) in zip(drivers, found, strict=True):
        more, behind = await driver.storm()
        metrics.update(more)
        samples.update(behind)
        metrics["memory"] = usage_of(driver.contender.roots).memory
    return found


async def idle(drivers: Sequence[Driver]) -> list[tuple[Metrics, Samples]]:
    """One alert after another, with a pause after each; the contenders in turns, alert by alert.

    What else the machine does, from one second to the next, hits all of them alike; and each of them
    comes first as often as the others.
    """
    gaps = random.Random(SEED)
    tallies = [Tally() for _ in drivers]
    async with AsyncExitStack() as stack:
        lanes = [
            (each, await stack.enter_async_context(connected(each.contender.port)), tally)
            for each, tally in zip(drivers, tallies, strict=True)
        ]
        for driver in drivers:
            await driver.sink.reset()
        for number in range(IDLE):
            for driver, connection, tally in _in_turn(lanes, number):
                await driver.send(connection, driver.post([f"idle-{number:03}"]), tally)
                await driver.verified(number + 1)
                await asyncio.sleep(gaps.uniform(*IDLE_GAP))
    await asyncio.sleep(SETTLE)
    return [await driver.idle_numbers(tally) for driver, tally in zip(drivers, tallies, strict=True)]


async def bursts(drivers: Sequence[Driver]) -> list[tuple[Metrics, Samples]]:
    """A burst for each contender, and another for each in the opposite order: the machine changes its pace."""
    lanes: list[tuple[Driver, list[Burst]]] = [(driver, []) for driver in drivers]
    for number in range(BURSTS):
        for driver, done in _in_turn(lanes, number):
            done.append(await driver.burst(number))
    return [_numbers_of(done) for _, done in lanes]


def _in_turn(contenders: Sequence[T], number: int) -> Sequence[T]:
    return contenders[::-1] if number % 2 else contenders


def _numbers_of(done: Sequence[Burst]) -> tuple[Metrics, Samples]:
    acks = [1000 * took for burst in done for took in burst.acks]
    return {
        "burst_rate": BURST * len(done) / sum(burst.seconds for burst in done),
        "burst_ack_p50": percentile(acks, 50),
        "burst_cpu": 1000 * sum(burst.cpu for burst in done) / (BURST * len(done)),
    }, {"burst_ack": acks, "burst_action": [took for burst in done for took in burst.actions]}


def first_actions(log: Mapping[str, TargetLog]) -> Times:
    """Return when each target was acted on for the first time."""
    return {target: entry.acted[0] for target, entry in log.items() if entry.acted}


def since(sent: Times, then: Mapping[str, float]) -> list[float]:
    """Return how long after its POST each target's moment came, in milliseconds.

    Raises:
        ContenderError: a target has none.
    """
    if missing := sent.keys() - then.keys():
        raise ContenderError(f"nothing is known of {len(missing)} alerts, {min(missing)} among them")
    return [1000 * (then[target] - at) for target, at in sent.items()]


def percentile(values: Sequence[float], share: int) -> float:
    """Return the percentile `share` (1 to 99) of `values`."""
    return quantiles(values, n=100, method="inclusive")[share - 1]
