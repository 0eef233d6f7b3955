"""Faults of what surrounds the bot: Temporal, the network, the ledger's disk, targets, Prometheus, senders."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
from collections.abc import Iterator

from chaos.fault import Fault, Trial

STOPPED_FOR = 6.0  # seconds
LOCKED_FOR = 5.0  # seconds
STORM = 150  # alerts in one notification


# --- Temporal -------------------------------------------------------------------------------------


async def kill_temporal(trial: Trial) -> None:
    """The server is killed right after an alert was acknowledged; its keeper starts it again."""
    for number in range(trial.tries):
        dying = trial.house.temporal
        await trial.alert(number)
        await asyncio.sleep(trial.random.uniform(0, 0.1))
        dying.kill()
        trial.house.kills += 1
        await trial.house.until(trial.house.temporal_is_back, 30, "Temporal to be back")


async def stop_temporal(trial: Trial) -> None:
    """The server stands still while alerts come."""
    with trial.house.temporal_stopped():
        await trial.alert_all()
        await asyncio.sleep(STOPPED_FOR)


async def slow_network(trial: Trial) -> None:
    """Everything to and from Temporal is late by 0.3 s each way."""
    trial.house.proxy.delay = 0.3
    await trial.alert_all()
    await asyncio.sleep(4)
    trial.house.proxy.heal()


async def cut_network(trial: Trial) -> None:
    """The connections to Temporal are cut, again and again, while it acts."""
    await trial.house.target_has(trial.fault.name, "slow")
    await trial.alert_all()
    for _ in range(5):
        await asyncio.sleep(trial.random.uniform(0.05, 0.3))
        trial.house.proxy.cut()


async def half_open_network(trial: Trial) -> None:
    """The connections to Temporal stay open, and nothing comes through."""
    await trial.house.target_has(trial.fault.name, "slow")
    await trial.alert_all()
    await asyncio.sleep(trial.random.uniform(0.1, 0.6))
    trial.house.proxy.silent = True
    await asyncio.sleep(STOPPED_FOR)
    trial.house.proxy.heal()


# --- the ledger -----------------------------------------------------------------------------------


async def lock_ledger(trial: Trial) -> None:
    """Another process holds the ledger's write lock, while targets are at work and alerts come."""
    await _without_ledger(trial, trial.house.ledger_locked())


async def no_room(trial: Trial) -> None:
    """No file of the bot can grow: every write of the ledger fails, as on a full disk."""
    await _without_ledger(trial, _files_cannot_grow(trial.house.pid))


async def _without_ledger(trial: Trial, disturbed: contextlib.AbstractContextManager[None]) -> None:
    await trial.house.target_has(trial.fault.name, "slow")
    half = trial.tries // 2
    await trial.alert(*range(half))
    await asyncio.sleep(trial.random.uniform(0.05, 0.4))
    with disturbed:
        telling = asyncio.create_task(trial.alert(*range(half, trial.tries)))
        await asyncio.sleep(LOCKED_FOR)
        assert not telling.done(), "alerts were acknowledged that cannot have been durable"
    await telling


@contextlib.contextmanager
def _files_cannot_grow(pid: int) -> Iterator[None]:
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


# --- targets and Prometheus -----------------------------------------------------------------------


async def fail_at_target(fault: str, trial: Trial) -> None:
    """Each target fails in this way the first time, and is well after that."""
    await trial.house.target_has(trial.fault.name, fault)
    await trial.alert_all()


async def prometheus_says(what: str, trial: Trial) -> None:
    """The checks' Prometheus gives an answer that is none."""
    await trial.house.prometheus_says(what)
    await trial.alert_all()
    await trial.house.settled(trial.deliveries)
    await trial.house.prometheus_says("one")


def target(fault: str, how: str) -> Fault:
    """Return the fault of a target that fails the first time."""
    return Fault(f"target-{fault}", how, functools.partial(fail_at_target, fault), short=4, long=50)


def prometheus(what: str, how: str) -> Fault:
    """Return the fault of a Prometheus that knows nothing.  Nothing may be done on that."""
    inflict = functools.partial(prometheus_says, what)
    return Fault(f"prometheus-{what}", how, inflict, runbook="metric", most=0, short=2, long=20)


# --- senders --------------------------------------------------------------------------------------


async def tell_twenty_times(trial: Trial) -> None:
    """Each notification is sent twenty times at once, as by many senders that do not know each other."""
    sender = trial.house.sender
    for number in range(trial.tries):
        same = sender.news(trial.fault.runbook, trial.target(number))
        await asyncio.gather(*(sender.tell(same) for _ in range(20)))


async def shuffle(trial: Trial) -> None:
    """Firing and resolved notifications of each target come in any order, several times."""
    sender = trial.house.sender
    news = [
        sender.news(trial.fault.runbook, trial.target(number), status)
        for number in range(trial.tries)
        for status in ("firing", "resolved", "firing", "resolved")
    ]
    trial.random.shuffle(news)
    for each in news:
        await sender.tell(each)


async def resolved_first(trial: Trial) -> None:
    """A target is reported as resolved that nobody ever reported as firing."""
    await trial.alert(*range(trial.tries), status="resolved")


async def storm(trial: Trial) -> None:
    """Many alerts in one notification, and the same notification once more."""
    sender = trial.house.sender
    news = [sender.news(trial.fault.runbook, trial.target(number)) for number in range(trial.tries)]
    for begin in range(0, len(news), STORM):
        some = news[begin : begin + STORM]
        await asyncio.gather(sender.tell(*some), sender.tell(*some))


SURROUNDINGS = (
    Fault("temporal-killed", "kill -9 of Temporal right after the 200", kill_temporal, short=2, long=50, kills=1),
    Fault("temporal-stopped", "Temporal stands still for 6 s under alerts", stop_temporal, short=5, long=50),
    Fault("temporal-slow", "0.3 s more each way to Temporal", slow_network, short=5, long=20),
    Fault("temporal-cut", "connections to Temporal are cut while it acts", cut_network, short=5, long=40),
    Fault("temporal-half-open", "connections to Temporal are open and silent for 6 s", half_open_network, short=5, long=40),
    Fault("ledger-locked", "another process holds the ledger's lock for 5 s", lock_ledger, short=6, long=30),
    Fault("ledger-no-room", "no file of the bot can grow for 5 s", no_room, short=6, long=30),
    target("error", "the target does it, and answers 500"),
    target("refuse", "the target does nothing, and answers 500"),
    target("hang", "the target does it, and does not answer"),
    target("reset-before", "the target resets the connection, and did nothing"),
    target("reset-after", "the target does it, and resets the connection"),
    target("half", "the target does it, and resets in the middle of its answer"),
    prometheus("empty", "Prometheus has no such series"),
    prometheus("nan", "Prometheus answers NaN"),
    prometheus("infinite", "Prometheus answers +Inf"),
    prometheus("many", "Prometheus answers two series where one was meant"),
    prometheus("stale", "Prometheus answers with a sample that is 15 minutes old"),
    prometheus("down", "Prometheus resets every connection"),
    Fault("told-twenty-times", "each notification comes twenty times at once", tell_twenty_times, short=3, long=50),
    Fault("out-of-order", "firing and resolved come in any order", shuffle, short=5, long=100, least=0.0),
    Fault("resolved-first", "resolved, and nobody ever said firing", resolved_first, most=0, short=3, long=20),
    Fault("storm", "many alerts in one notification, twice", storm, short=STORM, long=10 * STORM),
)  # fmt: skip
