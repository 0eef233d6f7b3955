"""A fault: a name, how it is done, and what must hold.  Short entries; the work is done by the house."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chaos.house import House
from chaos.judge import Delivery


@dataclass(frozen=True)
class Trial:
    """One fault in one house: all its tries.  Its targets are called `<fault>-<number>`."""

    house: House
    fault: Fault
    tries: int
    random: random.Random

    def target(self, number: int) -> str:
        """Return the name of a target."""
        return f"{self.fault.name}-{number}"

    def owns(self, target: str) -> bool:
        """Return whether a target is one of this trial's."""
        return self.fault.owns(target)

    def deliveries(self) -> list[Delivery]:
        """Return what the sender was answered 2xx for, of this trial."""
        return [each for each in self.house.sender.deliveries() if self.owns(each.target)]

    async def alert(self, *numbers: int, status: str = "firing") -> None:
        """Tell that these targets are broken, each in a notification of its own."""
        sender = self.house.sender
        news = [sender.news(self.fault.runbook, self.target(number), status) for number in numbers]
        await asyncio.gather(*(sender.tell(each) for each in news))

    async def alert_all(self) -> None:
        """Tell that all targets of this trial are broken."""
        await self.alert(*range(self.tries))


@dataclass(frozen=True)
class Fault:
    """One row of the matrix.

    Attributes:
        name: also the prefix of its targets.
        how: what is done, for people.
        inflict: does it, `trial.tries` times.
        runbook: which one the alerts are for.
        most: how many effects each target may have; 0 where nothing may be done.
        least: how many targets must have had their effect, as a share of the tries; a suite in which
            nothing happens proves nothing.
        short: tries in the short version.
        long: tries in the long one.
        kills: how many kills are planned for each try.
    """

    name: str
    how: str
    inflict: Callable[[Trial], Awaitable[None]]
    runbook: str = "mend"
    most: int = 1
    least: float = 1.0
    short: int = 2
    long: int = 20
    kills: float = 0.0

    def owns(self, target: str) -> bool:
        """Return whether a target is one of this fault's."""
        return target.rpartition("-")[0] == self.name
