"""The file of the policy: read when the process starts, and again when it has changed.

A policy that is wrong at the start stops the process.  One that becomes wrong later is told in the
log, and the last good one stays in force: an edit at 3am must neither open doors nor lock everybody out.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from activities.changing_file import ChangingFile
from bot.policy.mistakes import unreadable_file
from bot.policy.policy import Policy
from runbooks.errors import ParamedicError
from runbooks.language.findings import RunbookErrors

LOG = structlog.get_logger("paramedic.policy")


class PolicyFile:
    """The policy in force.

    Args:
        file: None where the default policy holds.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = ChangingFile(file, read_policy) if file else None
        self._good: Policy | None = None
        self._told = ""

    def current(self) -> Policy:
        """Return the policy in force, and say in the log when the file says another, or nothing sensible.

        Raises:
            RunbookErrors: it is wrong, and there is no earlier one.
        """
        if self._file is None:
            return Policy.default()
        try:
            policy = self._file.read()
        except ParamedicError as error:
            if self._good is None:
                raise
            self._complain(str(error))
            return self._good
        if self._good is not None and policy is not self._good:
            LOG.info("another policy is in force", file=policy.name, rules=[each.id for each in policy.rules])
        self._good, self._told = policy, ""
        return policy

    def _complain(self, problem: str) -> None:
        if problem != self._told:
            LOG.error("the policy is wrong now; the last good one stays in force", problem=problem)
        self._told = problem


def read_policy(file: Path) -> Policy:
    """Return the policy in `file`.

    Raises:
        RunbookErrors: it is wrong, or cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise RunbookErrors([unreadable_file(str(file), str(error.strerror))]) from None
    except UnicodeDecodeError:
        raise RunbookErrors([unreadable_file(str(file), "not UTF-8")]) from None
    return Policy.parse(text, file=str(file))
