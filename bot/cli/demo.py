"""The command `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.cli.running import end, run_to_end
from bot.cli.terminal import OUT, AsJson, complain, new_commands, show_json
from bot.practice.demo import Demo

app = new_commands("Show Paramedic.")


@app.command()
def demo(
    answer: Annotated[
        str | None, typer.Option(help="`approve` or `deny`: answer the gate without a person, then end.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps what it writes.")] = Path("demo-data"),
    as_json: AsJson = False,
) -> None:
    """Break a small service for real, twice, and let Paramedic heal it.

    Example: paramedic demo --answer approve
    """
    if answer not in {None, "approve", "deny"}:
        complain(f"--answer is approve or deny, not {answer}")
        raise typer.Exit(2)
    console = Console(stderr=True, highlight=False) if as_json else OUT
    went_well = run_to_end(Demo(folder, answer=answer, console=console).show())
    if as_json:
        show_json({"went_well": went_well, "folder": str(folder)})
    end(0 if went_well else 1)
