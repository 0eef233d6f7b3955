"""The catalog: the runbooks in force, read from a folder of YAML files.

A file that is wrong is refused and reported; the others keep working, and after a reload the
last good version of a file that became wrong stays in force.  So an edit at 3am cannot take
the other runbooks away, and cannot go unnoticed.

A catalog is a value.  Whoever reloads keeps its versions (`record`) before putting it in the old
one's place, because a remediation runs the version that matched.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from activities.ledger import versions
from activities.ledger.catalogs import last_catalog
from activities.ledger.store import Ledger, Transaction
from runbooks.errors import RenderError, RunbookError
from runbooks.language.document import RunbookErrors, parse_runbook
from runbooks.language.facts import Facts
from runbooks.language.matching import matches
from runbooks.language.rendering import render_target
from runbooks.model.action import Declaration
from runbooks.model.alert import Alert
from runbooks.model.base import as_body, canonical
from runbooks.model.record import SYSTEM, Entry, RecordKind
from runbooks.model.runbook import Runbook

Stamps = tuple[tuple[str, int, int], ...]

FILE_LIMIT = 256 * 1024  # bytes; people read a runbook from top to bottom
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Match:
    """A runbook that an alert is for, and what it would act on.

    Attributes:
        target: empty where it could not be rendered.
        error: why it could not; the alert is then on record as withheld, with this reason.
    """

    runbook: Runbook
    target: str
    error: RunbookError | None = None


@dataclass(frozen=True)
class Catalog:
    """The runbooks of one folder, as they were read at one moment.

    Attributes:
        runbooks: those in force, by name.
        errors: all that is wrong with the files that were refused.
        texts: the text of each runbook in force, by its digest.
        kept: names of runbooks of which an earlier version is in force, because the file became wrong.
        stamps: name, time of change and size of each file when it was read.
    """

    folder: Path
    vocabulary: Mapping[str, Declaration]
    runbooks: Mapping[str, Runbook] = field(default_factory=dict)
    errors: tuple[RunbookError, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    stamps: Stamps = ()

    @classmethod
    def load(cls, folder: Path, vocabulary: Mapping[str, Declaration]) -> Catalog:
        """Read all runbooks in `folder`.  Never raises: what is wrong stands in `errors`."""
        return cls(folder, vocabulary).reloaded()

    def reloaded(self) -> Catalog:
        """Return the catalog as the folder is now.

        Where a file became wrong, or is there and cannot be read, its last good version stays in
        force.  Where a file is gone, so is its runbook.
        """
        runbooks: dict[str, Runbook] = {}
        texts: dict[str, str] = {}
        errors: list[RunbookError] = []
        kept: list[str] = []
        try:
            stamps = _stamps(self.folder)
        except OSError as error:
            return self._without_folder(error)
        for file in (self.folder / name for name, _, _ in stamps):
            try:
                runbook, text = _read(file, self.vocabulary)
            except RunbookErrors as wrong:
                errors.extend(wrong.errors)
                if (good := self.runbooks.get(file.stem)) is not None:
                    runbooks[good.name], texts[good.digest] = good, self.texts[good.digest]
                    kept.append(good.name)
            else:
                runbooks[runbook.name], texts[runbook.digest] = runbook, text
        return Catalog(self.folder, self.vocabulary, runbooks, tuple(errors), texts, tuple(kept), stamps)

    def _without_folder(self, error: OSError) -> Catalog:
        problem = RunbookError(
            f"the folder of runbooks cannot be read ({error.strerror})",
            remedy="Set PARAMEDIC_RUNBOOKS to a folder that this user can read",
            file=str(self.folder),
        )
        return Catalog(
            self.folder, self.vocabulary, self.runbooks, (problem,), self.texts, tuple(self.runbooks)
        )

    @property
    def outdated(self) -> bool:
        """Whether a file has come, gone or changed since.  Looks at the folder, reads no file."""
        try:
            return self.stamps != _stamps(self.folder)
        except OSError:
            return not self.errors

    def owner_of(self, name: str) -> str:
        """Return who keeps the runbook `name`; empty where there is none in force, or nobody is named."""
        return self.runbooks[name].owner if name in self.runbooks else ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the names and digests of the runbooks in force, hex."""
        versions_in_force = {name: runbook.digest for name, runbook in self.runbooks.items()}
        return hashlib.sha256(canonical(versions_in_force)).hexdigest()

    def match(self, alert: Alert) -> list[Match]:
        """Return the runbooks that `alert` is for, by name; none where nobody wrote one."""
        facts = Facts(labels=alert.labels, annotations=alert.annotations)
        return [
            aim(runbook, facts)
            for runbook in self._by_alert.get(alert.name, ())
            if matches(runbook, alert.labels)
        ]

    @cached_property
    def _by_alert(self) -> Mapping[str, Sequence[Runbook]]:
        """The runbooks that some trigger of an alert's name leads to, so that few are asked for each alert."""
        found: dict[str, dict[str, Runbook]] = defaultdict(dict)
        for name in sorted(self.runbooks):
            for trigger in self.runbooks[name].when:
                found[trigger.alert][name] = self.runbooks[name]
        return {alert: tuple(runbooks.values()) for alert, runbooks in found.items()}

    async def record(self, ledger: Ledger) -> None:
        """Keep the versions in force, and one record where they differ from those last recorded.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        data = self._as_data()
        await ledger.write(lambda transaction: self._record(transaction, data))

    def _record(self, transaction: Transaction, data: dict[str, object]) -> None:
        for runbook in self.runbooks.values():
            versions.keep(transaction, runbook.name, self.texts[runbook.digest])
        last = last_catalog(transaction.connection)
        if last is not None and last.data == as_body(data):
            return
        entry = Entry(
            event_id=f"catalog/{transaction.size}",
            stream=SYSTEM,
            kind=RecordKind.CATALOG,
            actor="bot:catalog",
            source=str(self.folder),
            data=data,
        )
        transaction.append(entry)

    def _as_data(self) -> dict[str, object]:
        return {
            "runbooks": {name: runbook.digest for name, runbook in sorted(self.runbooks.items())},
            "refused": [
                {
                    "file": error.file,
                    "line": error.line,
                    "column": error.column,
                    "problem": f"{error.problem}. {error.remedy}.",
                }
                for error in self.errors
            ],
        }


def aim(runbook: Runbook, facts: Facts) -> Match:
    """Return what `runbook` would act on for these facts, or why that cannot be said."""
    try:
        return Match(runbook, render_target(runbook, facts))
    except RenderError as error:
        return Match(runbook, "", error)


def _stamps(folder: Path) -> Stamps:
    """Return name, time of change and size of each runbook file in `folder`, by name."""
    files = sorted(each for each in folder.iterdir() if each.suffix in SUFFIXES and not each.is_dir())
    seen = ((file.name, file.stat()) for file in files)
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in seen)


def _read(file: Path, vocabulary: Mapping[str, Declaration]) -> tuple[Runbook, str]:
    """Return the runbook in `file`, and its text.

    Raises:
        RunbookErrors: it is wrong, too long, not readable, or named differently.
    """
    try:
        if file.stat().st_size > FILE_LIMIT:
            raise _refusal(file, f"longer than {FILE_LIMIT // 1024} KiB", "Split it into several runbooks")
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        raise _refusal(
            file, f"cannot be read ({error.strerror})", "Let the user of the bot read it"
        ) from error
    except UnicodeDecodeError as error:
        raise _refusal(file, "not UTF-8", "Save it as UTF-8") from error
    runbook = parse_runbook(text, file=file.name, vocabulary=vocabulary)
    if runbook.name != file.stem:
        raise _refusal(
            file,
            f"the runbook is called {runbook.name} and its file {file.stem}",
            f"Name both the same: `runbook: {file.stem}`, or {runbook.name}{file.suffix}",
        )
    return runbook, text


def _refusal(file: Path, problem: str, remedy: str) -> RunbookErrors:
    return RunbookErrors([RunbookError(problem, remedy=remedy, file=file.name)])
