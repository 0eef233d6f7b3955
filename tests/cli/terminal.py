"""Running `paramedic` in this process, as a person would at a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Mapping

from typer.testing import CliRunner, Result

from bot.cli.main import app

NO_LOGIN = "/nonexistent"
"""A configuration folder without a login: a developer's own must not decide a test."""


def paramedic(
    *arguments: object,
    configuration: object = NO_LOGIN,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    **settings: object,
) -> Result:
    """Run a command; `settings` are variables without their prefix: `data=folder`.

    Args:
        configuration: the person's configuration folder.
        stdin: what they type.
        environment: further variables.

    People at this terminal may decide without a login, unless `local_people` says otherwise.
    """
    variables = {
        f"PARAMEDIC_{name.upper()}": str(value) for name, value in {"local_people": "on", **settings}.items()
    }
    whole = {
        "COLUMNS": "100",
        "TERM": "dumb",
        "XDG_CONFIG_HOME": str(configuration),
        **variables,
        **(environment or {}),
    }
    arguments_given = [str(each) for each in arguments]
    return CliRunner().invoke(app, arguments_given, env=whole, input=stdin, prog_name="paramedic")
