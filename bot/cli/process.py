"""The commands that keep running: `up`, `serve`, `worker`, and the demo."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
import uvloop

from bot.app import Parts, run_process
from bot.cli.terminal import OUT, complain, new_commands
from bot.logs import configure_logs
from bot.practice.demo import Demo
from bot.settings import Settings
from runbooks.errors import ParamedicError

T = TypeVar("T")

app = new_commands("Run Paramedic.")


@app.command()
def up() -> None:
    """Run everything that one machine needs: Temporal, the worker, webhooks, Slack, the ledger.

    All state is in one folder (PARAMEDIC_DATA); a restart continues where it was.
    """
    _run_parts(Parts.ALL)


@app.command()
def serve() -> None:
    """Run the webhooks, metrics and the conversation in Slack, beside a Temporal cluster."""
    _run_parts(Parts.WEB)


@app.command()
def worker() -> None:
    """Run the worker, which carries out remediations, beside a Temporal cluster."""
    _run_parts(Parts.WORKER)


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
    _end(0 if _run(Demo(folder, answer=answer, console=OUT).show()) else 1)


def _run_parts(parts: Parts) -> None:
    settings = Settings.from_env(os.environ)
    configure_logs(settings.log_format)
    _run(run_process(settings, parts))
    _end(0)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end.  Ctrl-C ends it in order, without a traceback."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        _end(130)
    except ParamedicError as error:
        complain(str(error))
        _end(2)


def _end(code: int) -> NoReturn:
    """End the process at once: with a call to Temporal in flight, Python's own way out was seen to hang."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
