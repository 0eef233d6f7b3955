"""Running `paramedic` in this process, as a person would at a terminal of 100 columns."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from bot.cli.main import app


def paramedic(*arguments: object, **settings: object) -> Result:
    """Run a command; `settings` are variables without their prefix: `data=folder`."""
    variables = {f"PARAMEDIC_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {"COLUMNS": "100", "TERM": "dumb", **variables}
    return CliRunner().invoke(app, [str(each) for each in arguments], env=environment)
