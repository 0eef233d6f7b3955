"""The command `demo`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.cli.exits import Exit
from bot.cli.running import end, run_to_end
from bot.cli.terminal import OUT, AsJson, new_commands, show_json
from bot.practice.demo import Demo

app = new_commands("Show Paramedic.")


class Said(StrEnum):
    """What the person who is played says."""

    APPROVE = "approve"
    DENY = "deny"


@app.command()
def demo(
    answer: Annotated[Said | None, typer.Option(help="Answer the gate without a person, then end.")] = None,
    folder: Annotated[Path, typer.Option(metavar="PATH", help="Where the demo keeps what it writes.")] = Path(
        "demo-data"
    ),
    as_json: AsJson = False,
) -> None:
    """Break a small service for real, twice, and let Paramedic heal it.

    Example: paramedic demo --answer approve
    """
    console = Console(stderr=True, highlight=False) if as_json else OUT
    went_well = run_to_end(Demo(folder, answer=answer and answer.value, console=console).show())
    if as_json:
        show_json({"went_well": went_well, "folder": str(folder)})
    end(Exit.DONE if went_well else Exit.NO)
