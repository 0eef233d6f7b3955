"""The commands that keep running: `up`, `serve` and `worker`."""

from __future__ import annotations

import os

from bot.app import Parts, run_process
from bot.cli.running import end, run_to_end
from bot.cli.terminal import new_commands
from bot.logs import configure_logs
from bot.settings import Settings

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


def _run_parts(parts: Parts) -> None:
    settings = Settings.from_env(os.environ)
    configure_logs(settings.log_format)
    run_to_end(run_process(settings, parts))
    end(0)
