"""How commands end, for scripts: what each exit code means."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """An exit code.  docs/cli.md has the same table."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Exit:
        """Make a code with its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "it was done; the answer is yes"
    NO = 1, "the answer is no: something is wrong with what was looked at, or there was nothing to do"
    WRONG = 2, "wrong usage, or a setting, a file or a service that it needs is wrong; the message says which"
    WAITING = 3, "it is on record, and nobody has judged it yet"
    REFUSED = 4, "you may not do that, or nobody is logged in; the message says whom to ask"
    UNREACHABLE = 5, "Paramedic, or what it needs to answer, does not answer now; trying again may help"
    BROKEN = 70, "a mistake in Paramedic itself; the traceback on stderr says where"
    INTERRUPTED = 130, "Ctrl-C"
    UNREAD = 141, "whoever read the output went away, as `head` does"


BY_ERROR = {
    "not_permitted": Exit.REFUSED,
    "login_wrong": Exit.REFUSED,
    "person_refused": Exit.REFUSED,
    "nothing_asked": Exit.NO,
    "away": Exit.UNREACHABLE,
    "ledger_away": Exit.UNREACHABLE,
    "unreachable": Exit.UNREACHABLE,
}
"""Errors of the house, by their code, that do not end with `WRONG`."""
