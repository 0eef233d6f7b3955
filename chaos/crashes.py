"""Faults of the bot's own process: killed at each named point and at random ones, frozen, stopped."""

from __future__ import annotations

import asyncio
import functools
import signal

from chaos.crash_points import ACTION_POINTS
from chaos.fault import Fault, Trial

FROZEN_FOR = 13.0  # seconds; longer than it takes until a lost worker is noticed
TOGETHER = 3  # alerts that are told before deaths at random
DEATHS = 2  # at random, for each such notice
LIFE = 0.6  # seconds; the longest life between two deaths at random
MOST_WAITING = 60  # alerts without an outcome; where more wait, the bot may live for a while
FEW_WAITING = 20
LEAST = (
    0.5  # share of targets that must be acted on; whose three attempts all died in crashes may be left alone
)


async def kill_at(point: str, trial: Trial) -> None:
    """One life for each target: it ends at the point, and the next one finds what it left."""
    house = trial.house
    await house.kill_unless_dead()
    telling = []
    for number in range(trial.tries):
        await house.live(f"{point}:1")
        telling.append(asyncio.create_task(trial.alert(number)))
        await house.died()
    await house.live()
    await asyncio.gather(*telling)


async def kill_at_random(trial: Trial) -> None:
    """Alerts come, and the bot is killed at random moments of what it does for them and for those before.

    A bot that dies every second does hardly anything but begin, and each death costs what it had in hand
    ten seconds, until Temporal gives it to the next life.  So where many alerts wait, it may live until
    few do: else all but the first of a thousand deaths would hit the same beginning.
    """
    house = trial.house
    for begin in range(0, trial.tries, TOGETHER):
        telling = asyncio.create_task(trial.alert(*range(begin, min(begin + TOGETHER, trial.tries))))
        for _ in range(DEATHS):
            await asyncio.sleep(trial.random.uniform(0, LIFE))
            await house.kill()
            await house.live()
        await telling
        if len(await house.waiting(trial.deliveries())) > MOST_WAITING:
            await house.calm(trial.deliveries, FEW_WAITING)


async def kill_by_target(trial: Trial) -> None:
    """The target does what it is told, and kills the bot instead of answering."""
    house = trial.house
    await house.target_has(trial.fault.name, "kill")
    for number in range(trial.tries):
        telling = asyncio.create_task(trial.alert(number))
        await house.died()
        await house.live()
        await telling


async def kill_while_it_acts(trial: Trial) -> None:
    """Some targets work for a while, and the bot is killed while they do."""
    house = trial.house
    await house.target_has(trial.fault.name, "slow")
    for begin in range(0, trial.tries, TOGETHER):
        await trial.alert(*range(begin, min(begin + TOGETHER, trial.tries)))
        await asyncio.sleep(trial.random.uniform(0.1, 0.7))
        await house.kill()
        await house.live()


async def freeze_while_it_acts(trial: Trial) -> None:
    """The bot stands still in the middle of an action until everybody has given it up, and goes on."""
    house = trial.house
    await house.target_has(trial.fault.name, "slow")
    await trial.alert_all()
    await asyncio.sleep(trial.random.uniform(0.05, 0.6))
    house.signal(signal.SIGSTOP)
    await asyncio.sleep(FROZEN_FOR)
    house.signal(signal.SIGCONT)


async def stop_politely(trial: Trial) -> None:
    """The bot is told to stop while it acts, as each deploy does, and is started again."""
    house = trial.house
    await house.target_has(trial.fault.name, "slow")
    for number in range(trial.tries):
        await trial.alert(number)
        await asyncio.sleep(trial.random.uniform(0, 0.6))
        await house.stop()
        await house.live()


def at(point: str, how: str, short: int = 1, long: int = 50) -> Fault:
    """Return the fault that kills the bot at a named point."""
    name = f"killed-{point.replace('_', '-')}"
    return Fault(name, how, functools.partial(kill_at, point), least=LEAST, short=short, long=long, kills=1)


CRASHES = (
    Fault("killed-at-random", "kill -9 at random moments, two for three alerts", kill_at_random, least=LEAST, short=9, long=900, kills=DEATHS / TOGETHER),
    at("before_inbox", "kill -9: an alert was read, and is not durable"),
    at("before_answer", "kill -9: it is durable, and its sender was not answered"),
    at("taking_in", "kill -9: its sender was answered, and its records are not committed"),
    at("after_examine", "kill -9: admitted and planned, and Temporal does not know it"),
    *(
        at(point, f"kill -9: {how}")
        for point, how in zip(
            ACTION_POINTS,
            (
                "the action was ordered, and nothing written",
                "the intent is durable, and nothing done",
                "it was done, and nothing written",
                "its receipt is on the way to the disk",
                "its receipt is durable, and Temporal does not know it",
            ),
            strict=True,
        )
    ),
    at("after_verify", "kill -9: the ending is durable, and Temporal does not know it"),
    Fault("killed-by-target", "kill -9 by the target, after the effect, before the answer", kill_by_target, least=LEAST, long=50, kills=1),
    Fault("killed-while-acting", "kill -9 while targets are at work", kill_while_it_acts, least=LEAST, short=3, long=30, kills=1 / TOGETHER),
    Fault("frozen-while-acting", "STOP for 13 s in the middle of an action, then CONT", freeze_while_it_acts, least=LEAST, short=3, long=20),
    Fault("stopped-while-acting", "TERM in the middle of an action, as a deploy does", stop_politely, short=1, long=20),
    Fault("command-killed", "kill -9 while a command runs over ssh", kill_while_it_acts, runbook="command", least=LEAST, short=3, long=30, kills=1 / TOGETHER),
)  # fmt: skip
