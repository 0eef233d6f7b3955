"""The command `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.running import end, run_to_end
from bot.cli.terminal import OUT, complain, new_commands
from bot.practice.demo import Demo

app = new_commands("Show Paramedic.")


@app.command()
def demo(
    answer: Annotated[
        str | None, typer.Option(help="`approve` or `deny`: answer the gate without a person, then end.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps what it writes.")] = Path("demo-data"),
) -> None:
    """Break a small service for real, twice, and let Paramedic heal it.

    Example: paramedic demo --answer approve
    """
    if answer not in {None, "approve", "deny"}:
        complain(f"--answer is approve or deny, not {answer}")
        raise typer.Exit(2)
    end(0 if run_to_end(Demo(folder, answer=answer, console=OUT).show()) else 1)
