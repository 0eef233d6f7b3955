"""Running faults in a house, one after another, and judging each when the house has become quiet."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from chaos.fault import Fault, Trial
from chaos.house import House
from chaos.judge import Effect, Findings, judge
from chaos.report import Row

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is done, and from which seed."""

    seed: int
    long: bool = False
    scale: float = 1.0

    def tries_of(self, fault: Fault) -> int:
        """Return how often this fault is tried."""
        return self.times(fault.short, fault.long)

    def times(self, short: int, long: int) -> int:
        """Return which of the two it is, in the scale of this run."""
        return max(1, round((long if self.long else short) * self.scale))

    def random(self, name: str) -> random.Random:
        """Return the chances of one fault: they do not depend on which others ran before it."""
        return random.Random(f"{self.seed}/{name}")


@dataclass(frozen=True)
class Inflicted:
    """A fault that was done and not judged yet."""

    fault: Fault
    tries: int
    kills: int
    seconds: float
    objections: tuple[str, ...]


async def run_faults(house: House, faults: Iterable[Fault], plan: Plan, tell: Tell) -> list[Row]:
    """Do all faults to the house, wait until it is quiet, and judge."""
    inflicted = [await inflict(house, fault, plan, tell) for fault in faults]
    quiet = await house.settled(house.sender.deliveries)
    records = await house.records()
    deliveries, effects = house.sender.deliveries(), house.effects()
    rows = []
    for each in inflicted:
        own = [delivery for delivery in deliveries if each.fault.owns(delivery.target)]
        done = [effect for effect in effects if each.fault.owns(effect.target)]
        findings = judge(own, done, records, most=each.fault.most)
        objections = (*each.objections, *_too_little(each, done, findings))
        rows.append(Row(each.fault.name, each.fault.how, each.tries, each.kills, findings, each.seconds, objections=objections))  # fmt: skip
    if wrong := (await house.verified() or ("" if quiet else "the house did not become quiet")):
        rows[-1] = replace(rows[-1], objections=(*rows[-1].objections, wrong))
    return rows


async def inflict(house: House, fault: Fault, plan: Plan, tell: Tell) -> Inflicted:
    """Do one fault to the house.  A fault that cannot be done is an objection, not the suite's end."""
    tries, kills, begun = plan.tries_of(fault), house.kills, time.monotonic()
    objections: tuple[str, ...] = ()
    try:
        await fault.inflict(Trial(house, fault, tries, plan.random(fault.name)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the others of an hour are not lost with it
        objections = (f"could not be done: {type(error).__name__}: {error}",)
    if not house.alive:
        await house.live()
    seconds = time.monotonic() - begun
    tell(f"{fault.name}: {tries} tries in {seconds:.1f} s")
    return Inflicted(fault, tries, house.kills - kills, seconds, objections)


def _too_little(each: Inflicted, effects: Sequence[Effect], findings: Findings) -> list[str]:
    """Object where so little happened that nothing is proven."""
    acted = len({effect.target for effect in effects}) + findings.to_person
    wanted = round(each.fault.least * each.tries) if each.fault.most else 0
    if acted >= wanted:
        return []
    return [f"only {acted} of {each.tries} targets had their effect, or a person who knows"]
