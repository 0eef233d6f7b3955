"""`paramedic runbook`: check, show and try out runbooks, without touching anything outside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from activities.actions import Registry
from bot.cli.completing import runbook_names
from bot.cli.runbook_card import plan_card, runbook_card
from bot.cli.runbook_files import Reading, find_files, find_runbook, problem_text, read_file
from bot.cli.tables import show_table
from bot.cli.terminal import (
    WRONG,
    AsJson,
    Labels,
    complain,
    counted,
    end_with,
    new_commands,
    parse_pairs,
    settings,
    show_json,
    show_line,
)
from bot.connections_file import read_connections
from bot.visible import visible
from runbooks.errors import RenderError
from runbooks.language.facts import Facts
from runbooks.language.gates import Members
from runbooks.language.json_schema import json_schema
from runbooks.language.matching import matches
from runbooks.language.rendering import render_checks, render_plan, render_target
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.runbook import Runbook

app = new_commands("Check, show and try out runbooks.")

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The runbook's name, or its file.", autocompletion=runbook_names),
]


@app.command()
def lint(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="Files or folders.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find all that is wrong before the first alert does.

    Without a path it reads the folder of the settings.  Exit code 0: nothing is wrong; 1: something is.

    Example: paramedic runbook lint runbooks/catalog
    """
    vocabulary = Registry.installed().vocabulary
    members = _members()
    readings = [read_file(file, vocabulary, members) for file in find_files(paths or [settings().runbooks])]
    problems = sum(len(reading.problems) for reading in readings)
    if as_json:
        show_json([_as_data(reading) for reading in readings])
    else:
        _show_problems(readings, problems)
    if problems:
        raise typer.Exit(1)


def _members() -> Members | None:
    """Return who is in which approver group; None where Slack knows that, and can be asked only at the click."""
    if settings().slack == "on" or settings().connections is None:
        return None
    groups = read_connections(settings().connections).groups
    return {name: group.members for name, group in groups.items()}


def _show_problems(readings: Sequence[Reading], problems: int) -> None:
    for reading in readings:
        for problem in reading.problems:
            show_line(problem_text(problem, reading.text), "")
    found = counted(problems, "problem") if problems else "nothing wrong"
    show_line(f"{counted(len(readings), 'runbook')}: {found}")


def _as_data(reading: Reading) -> dict[str, Any]:
    names = ("line", "column", "problem", "remedy")
    problems = [{name: getattr(problem, name) for name in names} for problem in reading.problems]
    return {"file": str(reading.file), "problems": problems}


@app.command("list")
def list_runbooks(as_json: AsJson = False) -> None:
    """The runbooks of this installation, and those that are refused because they are wrong.

    Example: paramedic runbook list
    """
    vocabulary = Registry.installed().vocabulary
    readings = [read_file(file, vocabulary) for file in find_files([settings().runbooks])]
    if as_json:
        show_json([_as_summary(reading) for reading in readings])
        return
    show_table(("runbook", "autonomy", "alerts", "summary"), [_as_row(reading) for reading in readings])


def _as_row(reading: Reading) -> tuple[object, ...]:
    runbook = reading.runbook
    if runbook is None:
        wrong = f"refused, {counted(len(reading.problems), 'problem')}: see paramedic runbook lint"
        return reading.file.stem, "", "", Text(wrong, style="red")
    return runbook.name, runbook.autonomy.value, _alerts(runbook), runbook.summary


def _alerts(runbook: Runbook) -> str:
    return ", ".join(trigger.alert for trigger in runbook.when)


def _as_summary(reading: Reading) -> dict[str, Any]:
    runbook = reading.runbook
    if runbook is None:
        return {"name": reading.file.stem, "problems": len(reading.problems)}
    return {
        "name": runbook.name,
        "autonomy": runbook.autonomy.value,
        "alerts": [trigger.alert for trigger in runbook.when],
        "summary": runbook.summary,
        "digest": runbook.digest,
        "problems": 0,
    }


@app.command("show")
def show_runbook(name: Name, as_json: AsJson = False) -> None:
    """A runbook as a card: when, target, limits, checks, gate, actions, verification.

    Example: paramedic runbook show host-disk-full
    """
    vocabulary = Registry.installed().vocabulary
    runbook = find_runbook(name, settings().runbooks, vocabulary)
    if as_json:
        show_json(runbook.model_dump(mode="json"))
    else:
        show_line(runbook_card(runbook, vocabulary))


@app.command()
def plan(
    name: Name,
    labels: Labels = [],  # noqa: B006 - typer reads the default and never changes it
    alert_file: Annotated[
        Path | None,
        typer.Option(
            "--alert", metavar="FILE", help="JSON with labels and annotations, or a webhook's body."
        ),
    ] = None,
    results: Annotated[
        list[str],
        typer.Option("--result", "-r", metavar="CHECK.NAME=VALUE", help="What a check would have measured."),
    ] = [],  # noqa: B006 - the same
    as_json: AsJson = False,
) -> None:
    """Render the plan for an alert, without measuring or doing anything.

    Where the plan needs what a check measured, say it with --result.

    Example: paramedic runbook plan disk-full -l instance=web-1 -r disk.value=0.93
    """
    vocabulary = Registry.installed().vocabulary
    runbook = find_runbook(name, settings().runbooks, vocabulary)
    alert = _alert(runbook, alert_file, parse_pairs(labels, "--label"))
    if not matches(runbook, alert.labels):
        note = f"Note: these labels would not start {runbook.name}: its `when` does not match them."
        complain(note, "not_matched")
    facts = Facts(labels=alert.labels, annotations=alert.annotations, checks=parse_results(results))
    facts = facts.model_copy(update={"target": render_target(runbook, facts)})
    checks = render_checks(runbook, facts, vocabulary)
    try:
        rendered = render_plan(runbook, facts, vocabulary)
    except RenderError as error:
        hint = "" if results else " Where it is a check's result that is missing, say it with --result."
        end_with(WRONG, f"{error}{hint}", error.code)
    if as_json:
        measured = [check.model_dump(mode="json") for check in checks]
        show_json({"digest": rendered.digest, "checks": measured, "plan": rendered.model_dump(mode="json")})
    else:
        show_line(plan_card(rendered, checks))


@app.command()
def schema(as_json: AsJson = False) -> None:
    """The JSON Schema of the language, for editors that complete and check.

    Example: paramedic runbook schema > runbook.schema.json
    """
    del as_json  # it is JSON either way
    show_json(json_schema(Registry.installed().vocabulary))


def parse_results(texts: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Return `CHECK.NAME=VALUE` texts as each check's results; a value is JSON, or else text.

    Raises:
        typer.BadParameter: one is not of that form.
    """
    results: dict[str, dict[str, Any]] = {}
    for key, value in parse_pairs(texts, "--result").items():
        check, dot, name = key.partition(".")
        if not (check and dot and name):
            raise typer.BadParameter(f"{key!r} is not CHECK.NAME", param_hint="--result")
        results.setdefault(check, {})[name] = _json_or_text(value)
    return results


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _alert(runbook: Runbook, file: Path | None, labels: Mapping[str, str]) -> Alert:
    """Return the alert of `file` with `labels` put over its own; its name is the runbook's first."""
    told = _read_alert(file) if file is not None else {}
    name = {"alertname": runbook.when[0].alert} if runbook.when else {}
    return Alert(
        status=AlertStatus.FIRING,
        labels={**name, **told.get("labels", {}), **labels},
        annotations=told.get("annotations", {}),
    )


def _read_alert(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return dict(told["alerts"][0] if "alerts" in told else told)
    except (OSError, ValueError, TypeError, LookupError) as error:
        problem = f"{visible(file)} is not an alert as JSON ({error}): it needs `labels`"
        raise typer.BadParameter(problem, param_hint="--alert") from None
