"""Runbook files, read for people who write them: with everything that is wrong, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from bot.visible import visible
from runbooks.errors import ParamedicError, RunbookError
from runbooks.language.document import RunbookErrors, parse_runbook
from runbooks.language.gates import Members
from runbooks.model.action import Declaration
from runbooks.model.runbook import Runbook

SUFFIXES = frozenset({".yaml", ".yml"})


class NoRunbookError(ParamedicError):
    """There is no runbook where one was looked for."""

    code = "no_runbook"


@dataclass(frozen=True)
class Reading:
    """What came of reading one file: a runbook, or problems."""

    file: Path
    text: str
    runbook: Runbook | None
    problems: tuple[RunbookError, ...] = ()


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the runbook files at `paths`, folders without their subfolders.

    Raises:
        NoRunbookError: a path does not exist, or a folder has no runbook.
    """
    found: list[Path] = []
    for path in paths:
        files = (
            sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
        )
        if not files or not files[0].is_file():
            raise NoRunbookError(
                f"There is no runbook at {path}. Name a YAML file, or a folder that has some."
            )
        found += files
    return found


def read_file(file: Path, vocabulary: Mapping[str, Declaration], members: Members | None = None) -> Reading:
    """Read one file.  That it cannot be read, or is named differently, is a problem of that file.

    Args:
        members: who is in which approver group, where that is known of everybody.
    """
    try:
        text = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = RunbookError(
            f"cannot be read: {error}", remedy="Make it a readable file in UTF-8", file=str(file)
        )
        return Reading(file, "", None, (why,))
    try:
        runbook = parse_runbook(text, file=str(file), vocabulary=vocabulary, members=members)
    except RunbookErrors as errors:
        return Reading(file, text, None, errors.errors)
    if runbook.name != file.stem:
        return Reading(file, text, None, (_differently_named(runbook, file),))
    return Reading(file, text, runbook)


def _differently_named(runbook: Runbook, file: Path) -> RunbookError:
    return RunbookError(
        f"the runbook is called {runbook.name} and its file {file.stem}",
        remedy=f"Name both the same: `runbook: {file.stem}`, or {runbook.name}{file.suffix}",
        file=str(file),
    )


def find_runbook(name: str, folder: Path, vocabulary: Mapping[str, Declaration]) -> Runbook:
    """Return the runbook called `name`, or the one in the file of that name.

    Raises:
        NoRunbookError: there is none.
        RunbookErrors: its file has problems.
    """
    files = find_files([Path(name)] if Path(name).suffix in SUFFIXES else [folder])
    names = {file.stem: file for file in files}
    file = names.get(Path(name).stem)
    if file is None:
        raise NoRunbookError(f"There is no runbook {name} in {folder}. There are: {', '.join(names)}.")
    reading = read_file(file, vocabulary)
    if reading.runbook is None:
        raise RunbookErrors(reading.problems)
    return reading.runbook


def problem_text(problem: RunbookError, text: str) -> Text:
    """Return a problem for people: where, what, the line itself with a mark, and the remedy."""
    place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
    shown = Text(visible(place), style="bold").append(f": {visible(problem.problem)}", style="bold red")
    for line in _excerpt(problem, text.splitlines()):
        shown.append(line)
    return shown.append(f"\n    {visible(problem.remedy)}.", style="green")


def _excerpt(problem: RunbookError, lines: Sequence[str]) -> list[str]:
    if not 0 < problem.line <= len(lines):
        return []
    number = f"{problem.line:>5} | "
    # Tabs and invisible characters are as wide as their replacement, so that the mark stays in place.
    line = "".join(visible(sign) or " " for sign in lines[problem.line - 1])
    excerpt = [f"\n{number}{line}"]
    if problem.column:
        excerpt.append(f"\n{' ' * (len(number) - 2)}| {' ' * (problem.column - 1)}^")
    return excerpt
