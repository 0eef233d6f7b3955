"""How long it takes to read a runbook, and to say what one would do.

    python -m bench.language

Reading begins from nothing: no expression that was compiled before is used.  A plan is rendered once
for each remediation, from templates that were compiled when the runbook was read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from activities.actions import Registry
from bench.paramedic import RUNBOOK
from runbooks.language import expressions
from runbooks.language.document import parse_runbook
from runbooks.language.facts import Facts
from runbooks.language.rendering import render_plan

FILE = "service-broken.yaml"
TIMES = 200
_MEASURED = {"the_service_is_broken": {"status": 200, "json": {"broken": True}}}


@dataclass(frozen=True)
class Language:
    """Processor time in milliseconds, the best of `TIMES`.

    Attributes:
        read: for 100 lines of a runbook.
        rendered: for one plan.
    """

    read: float
    rendered: float


def measure() -> Language:
    """Measure both."""
    vocabulary = Registry.installed().vocabulary
    runbook = parse_runbook(RUNBOOK, file=FILE, vocabulary=vocabulary)
    facts = Facts(labels={"alertname": "ServiceBroken", "instance": "web-1"}, annotations={})
    facts = facts.model_copy(update={"target": "web-1", "checks": _MEASURED})

    def read() -> None:
        expressions.parse_expression.cache_clear()
        expressions.parse_template.cache_clear()
        parse_runbook(RUNBOOK, file=FILE, vocabulary=vocabulary)

    return Language(
        read=_best_of(read) * 100 / len(RUNBOOK.splitlines()),
        rendered=_best_of(lambda: render_plan(runbook, facts, vocabulary)),
    )


def _best_of(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(TIMES):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return 1000 * min(taken)


def render(found: Language) -> Table:
    """Return the table that people read."""
    table = Table(title="The language: processor time", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("ms", justify="right")
    table.add_row("to read 100 lines of a runbook", f"{found.read:.2f}")
    table.add_row("to render a plan", f"{found.rendered:.2f}")
    return table


if __name__ == "__main__":
    Console().print(render(measure()))
