"""The words of `/runbook`: a list that a telephone shows at once, and each word in detail.

What is needed at 3am stands first: what is going on, how to answer, how to stop it.  A word that is
not known is answered with the one that was probably meant, never carried out.

Pure: the same words, the same help.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from bot.slack.message import Message, listing, say
from bot.slack.text import code
from runbooks.model.base import Value

COMMAND = "/runbook"


class Usage(Value):
    """How one word is used.

    Attributes:
        group: what kind of word it is.
        form: what follows it; in brackets what may be left out.
        short: what it does, in so few words that a telephone shows them on one line.
        more: all that there is to say, for whoever asks about this one.
        example: what follows the word, as somebody would type it.
    """

    group: str
    form: str = ""
    short: str
    more: str
    example: str = ""


_SCOPES = "A scope is `runbook=NAME`, `target=NAME` or `label:NAME=VALUE`; without one, everything is meant."
_GATE = "Where it asks several questions, say which: `gate-1`, `step-2`."

USAGE: Mapping[str, Usage] = {
    "status": Usage(
        group="Look",
        form="[R-…]",
        short="what goes on, what waits",
        more="What is frozen, what waits for whom and until when, what runs. With an id: only that one.",
        example="R-7F3K2Q",
    ),
    "why": Usage(
        group="Look",
        form="R-…",
        short="why it was done, or not",
        more="Of one remediation, or of a target: what was measured, who was asked, which rule refused what.",
        example="web-1",
    ),
    "timeline": Usage(
        group="Look",
        form="R-…",
        short="what it saw and did",
        more="Everything on record of one remediation, in order. A button shares it as a file.",
        example="R-7F3K2Q",
    ),
    "approve": Usage(
        group="Answer",
        form="R-… [GATE]",
        short="read the plan, say yes",
        more=f"It opens the plan in full; submitting that is the approval. {_GATE}",
        example="R-7F3K2Q",
    ),
    "deny": Usage(
        group="Answer",
        form="R-… [GATE] REASON",
        short="nothing is done",
        more=f"The same answer as with the button. The reason is shown in the channel. {_GATE}",
        example="R-7F3K2Q the migration runs until 14:00",
    ),
    "verdict": Usage(
        group="Answer",
        form="R-… [GATE] happened|again|stop",
        short="did it happen?",
        more="What became of an action of which nobody knows: `happened` goes on, `again` does it once more, "
        "`stop` does nothing more. Look at the target first. A reason may follow.",
        example="R-7F3K2Q happened it restarted at 03:12",
    ),
    "freeze": Usage(
        group="Stop",
        form="[SCOPE] [REASON]",
        short="everything, at once",
        more=f"Nobody acts until it is thawed, not even what is under way. {_SCOPES}",
        example="target=db-1 migration until 14:00",
    ),
    "thaw": Usage(
        group="Stop",
        form="[SCOPE] [REASON]",
        short="runbooks act again",
        more=f"It lifts a freeze of the same scope. {_SCOPES}",
        example="target=db-1",
    ),
    "stop": Usage(
        group="Stop",
        form="R-… REASON",
        short="only this one",
        more="One remediation does nothing more; all others go on. What was done is not undone.",
        example="R-7F3K2Q we fail over by hand",
    ),
    "list": Usage(
        group="Runbooks",
        short="all of them",
        more="Each with how far it may go on its own, and the files that are wrong.",
    ),
    "show": Usage(
        group="Runbooks",
        form="NAME",
        short="one of them",
        more="What it is for, measures, asks and does, with the labels that it needs.",
        example="host-disk-full",
    ),
    "plan": Usage(
        group="Runbooks",
        form="NAME LABEL=VALUE…",
        short="what it would do",
        more="With every parameter. Nothing is measured or done.",
        example="host-disk-full target=web-1",
    ),
    "run": Usage(
        group="Runbooks",
        form="[NAME LABEL=VALUE…]",
        short="a form, to run one",
        more="At once, where everything that it needs is said; else a form asks for it. Its gate asks as always, "
        "and you cannot approve what you asked for.",
        example="host-disk-full target=web-1",
    ),
    "login": Usage(
        group="Command line",
        form="CODE",
        short="it speaks for you",
        more="Type only a code that your own terminal shows: `paramedic login` does.",
        example="K7QF-M2XR",
    ),
    "logout": Usage(
        group="Command line",
        form="[L-…]",
        short="it no longer does",
        more="Without an id, none speaks for you any more.",
        example="L-7F3K2Q",
    ),
    "help": Usage(
        group="More",
        form="[WORD]",
        short="about one: `help freeze`",
        more="This list, or one word in detail.",
        example="freeze",
    ),
}

_IN_SHORT = {
    "status": "status",
    "approve": "approve R-…",
    "deny": "deny R-… REASON",
    "verdict": "verdict R-…",
    "freeze": "freeze",
    "thaw": "thaw",
    "stop": "stop R-… REASON",
    "plan": "plan NAME",
    "run": "run",
    "logout": "logout",
    "help": "help WORD",
}
"""Forms that the list shortens; the others stand there whole."""

_SAID_FOR = {
    "abort": "stop",
    "accept": "approve",
    "cancel": "stop",
    "continue": "thaw",
    "execute": "run",
    "halt": "freeze",
    "history": "timeline",
    "info": "show",
    "lock": "freeze",
    "log": "timeline",
    "ls": "list",
    "no": "deny",
    "ok": "approve",
    "open": "status",
    "pause": "freeze",
    "preview": "plan",
    "reject": "deny",
    "resume": "thaw",
    "runbooks": "list",
    "start": "run",
    "trigger": "run",
    "unfreeze": "thaw",
    "unlock": "thaw",
    "yes": "approve",
}
"""What people say for our words, however far from them in letters."""


def help_page() -> Message:
    """Return all words, one a line."""
    groups: dict[str, list[str]] = {}
    for verb, usage in USAGE.items():
        groups.setdefault(usage.group, []).append(f"`{_form_in_short(verb)}` {usage.short}")
    lines = [line for group, words in groups.items() for line in (f"*{group}*", *words)]
    return listing(f"*What `{COMMAND}` can do*", lines)


def help_about(word: str) -> Message:
    """Return how one word is used, and what it does."""
    verb = word.lower().lstrip("/")
    if verb not in USAGE:
        return unknown(word)
    usage = USAGE[verb]
    written = f"{COMMAND} {verb} {usage.form}".rstrip()
    example = [f"For example: `{COMMAND} {verb} {usage.example}`"] if usage.example else []
    return listing(f"*`{written}`*", [usage.more, *example])


def unknown(word: str) -> Message:
    """Return what is said to a word that is none, with the nearest one where there is one."""
    near = nearest(word.lower())
    guess = f" Did you mean `{near}`?" if near else ""
    return say(f"There is no {code(word, 60)} here.{guess} All words: `{COMMAND} help`")


def nearest(word: str) -> str:
    """Return the word that was probably meant; empty where nobody could tell."""
    if word in _SAID_FOR:
        return _SAID_FOR[word]
    near = difflib.get_close_matches(word, [*USAGE, *_SAID_FOR], n=1, cutoff=0.6)
    return _SAID_FOR.get(near[0], near[0]) if near else ""


def _form_in_short(verb: str) -> str:
    return _IN_SHORT.get(verb, f"{verb} {USAGE[verb].form}".rstrip())
