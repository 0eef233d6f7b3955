"""`python -m bench`: the contenders side by side and in turns, then the table.

Each pass begins with fresh servers, fresh databases and fresh sinks.  Exit code
0 says that all was measured, whether or not the targets were met; 1 that a contender failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console

from bench import clicks, language, ledger
from bench.contenders import Contender, run_bare
from bench.load import Driver, Metrics, Samples, measure
from bench.paramedic import run_paramedic
from bench.processes import ContenderError
from bench.report import BARE, PARAMEDIC, machine, render, summarise
from bench.server import flags_of
from bench.sink import sink

RUNNERS: dict[str, Callable[[Path, int], AbstractAsyncContextManager[Contender]]] = {
    BARE: run_bare,
    PARAMEDIC: run_paramedic,
}
QUIET_LOAD = 0.25  # load average for each core that leaves the numbers alone


@dataclass(frozen=True)
class Pass:
    """One contender, measured once.  `server` holds the flags of its Temporal server."""

    contender: str
    metrics: Metrics
    samples: Samples
    server: list[str]


async def measure_pass(contenders: Sequence[str]) -> list[Pass]:
    """Run all contenders side by side, and measure each once."""
    async with AsyncExitStack() as stack:
        drivers = []
        for contender in contenders:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paramedic-bench-")))
            target = await stack.enter_async_context(sink(folder))
            running = await stack.enter_async_context(RUNNERS[contender](folder, target.port))
            drivers.append(Driver(running, target))
        found = await measure(drivers)
        return [
            Pass(contender, metrics, samples, flags_of(driver.contender.roots))
            for contender, driver, (metrics, samples) in zip(contenders, drivers, found, strict=True)
        ]


async def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure, show, and write what was asked for."""
    facts = machine()
    warn_if_loaded(console)
    contenders = [arguments.only] if arguments.only else list(RUNNERS)
    done: list[Pass] = []
    for number in range(arguments.passes):
        console.print(f"pass {number + 1} of {arguments.passes}")
        done += await measure_pass(contenders)
    warn_if_servers_differ(done, console)
    summary = summarise({name: [one.metrics for one in done if one.contender == name] for name in contenders})
    console.print(render(summary))
    pressed = await clicks.measure()
    console.print(clicks.render(pressed))
    found = await ledger.measure_all()
    console.print(ledger.render(found))
    share = await ledger.measure_share(_alert_to_action(done))
    console.print(ledger.render_share(share))
    spoken = language.measure()
    console.print(language.render(spoken))
    if arguments.out:
        written = {
            "machine": facts,
            "summary": summary,
            "passes": [vars(one) for one in done],
            "clicks": asdict(pressed),
            "ledger": [asdict(each) for each in found],
            "share": asdict(share),
            "language": asdict(spoken),
        }
        arguments.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        console.print(f"written: {arguments.out}")


def _alert_to_action(done: Iterable[Pass]) -> float:
    """Return the median of the product's passes; of the others' where it was not measured."""
    medians = {each.contender: [] for each in done}
    for each in done:
        medians[each.contender].append(each.metrics["idle_action_p50"])
    return median(medians.get(PARAMEDIC) or next(iter(medians.values())))


def warn_if_loaded(console: Console) -> None:
    """Say so where others use the machine."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > QUIET_LOAD * cores:
        console.print(
            f"[yellow]The machine is loaded (load average {load:.1f} on {cores} cores): trust the ratios less.[/]"
        )


def warn_if_servers_differ(passes: Iterable[Pass], console: Console) -> None:
    """Say so where the contenders' Temporal servers did not run with the same flags."""
    flags = {one.contender: set(one.server) for one in passes}
    for contender, own in flags.items():
        others = set().union(*flags.values())
        if missing := sorted(others - own):
            console.print(f"[yellow]The Temporal server of {contender} ran without: {', '.join(missing)}[/]")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Paramedic beside a bare Temporal program"
    )
    parser.add_argument("--out", type=Path, help="write all samples and the summary as JSON")
    parser.add_argument("--passes", type=int, default=3, help="how often each contender is measured (3)")
    parser.add_argument("--only", choices=list(RUNNERS), help="measure one contender")
    return parser.parse_args()


def main() -> int:
    console = Console()
    try:
        uvloop.run(run(parse_arguments(), console))
    except ContenderError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
