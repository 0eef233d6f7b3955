"""Findings: all that is wrong with a runbook, told at once and in the order of its file.

Whoever mends a runbook should not have to run lint once for each mistake.  So reading goes on
after a mistake wherever something sensible can still be said, and `Findings` collects.  Lower
layers raise a `RunbookError` without a place: they know what is wrong with an expression, the
reader knows where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from runbooks.errors import ParamedicError, RunbookError
from runbooks.model.runbook import Place

MOST_FINDINGS = 50
"""After so many the rest is left out: a file with more is not a runbook."""

_LONGEST_WORD = 60  # characters of somebody's text that an error repeats
_LONGEST_MISSPELT = 30  # characters of a word for which the nearest known one is looked up


class RunbookErrors(ParamedicError):  # noqa: N818 - it is several
    """A file has problems: a runbook, or another that is read in the same way.

    Attributes:
        errors: all of them, in file order; the text of this error has one line for each.
    """

    code = "runbook_wrong"

    def __init__(self, errors: Iterable[RunbookError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: (error.line, error.column)))
        super().__init__("\n".join(str(error) for error in self.errors))


class Findings:
    """Collects the problems of one file.

    Args:
        what: what the file is, for errors.
        first: what it begins with, for errors.
    """

    def __init__(self, file: str, what: str = "a runbook", first: str = "`runbook:` and a name") -> None:
        self._file = file
        self.what = what
        self.first = first
        self._errors: list[RunbookError] = []

    def add(self, problem: str, remedy: str, place: Place) -> None:
        """Remember one problem.

        Raises:
            RunbookErrors: there are too many already.
        """
        error = RunbookError(problem, remedy=remedy, file=self._file, line=place.line, column=place.column)
        self._errors.append(error)
        if len(self._errors) >= MOST_FINDINGS:
            self.settle()

    @contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """Turn a `RunbookError` that has no place, raised inside, into a finding at `place`."""
        try:
            yield
        except RunbookError as error:
            self.add(error.problem, error.remedy, place)

    def settle(self) -> None:
        """Do nothing if nothing was found.

        Raises:
            RunbookErrors: something was.
        """
        if self._errors:
            raise RunbookErrors(self._errors)


def shown(word: object) -> str:
    """Return somebody's `word` as an error may repeat it: short, printable, in backticks."""
    return f"`{legible(str(word), _LONGEST_WORD)}`"


def legible(text: str, longest: int = 200) -> str:
    """Return `text`, which may hold somebody's words, printable and at most `longest` characters of it."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in short)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the remedy for an unknown `word`: the nearest known one, or all of them."""
    words = sorted(known)
    near = get_close_matches(word, words, n=1) if len(word) <= _LONGEST_MISSPELT else []
    if near:
        return f"Perhaps you mean {shown(near[0])}"
    return f"Known: {', '.join(words)}" if words else "There is none that could stand here"
