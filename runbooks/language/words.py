"""The words of the language: which may stand where, and what each says.

One table for the reader, for its error messages and for the JSON Schema, so that they agree.
`later` holds words that the language will have.  They are refused by name, never ignored: a
brake that is written and does not work is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbooks.model.action import Effect


@dataclass(frozen=True)
class WordList:
    """The words of one kind of mapping.

    Attributes:
        title: what the mapping is called in an error.
        words: each with what it says.
        required: those that must be there.
        later: words that are not supported yet.
        elsewhere: words of other places that people write here, each with what to do.
        effects: what an action that stands here may do to the world, where an action stands here.
    """

    title: str
    words: Mapping[str, str]
    required: tuple[str, ...] = ()
    later: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    effects: frozenset[Effect] = frozenset()


CHANGING = frozenset({Effect.WRITE, Effect.DESTRUCTIVE})
"""What changes the world, and so needs checks, consent, `undo` and `verify`."""

_READING = frozenset({Effect.READ})
_ACTING = CHANGING | {Effect.TELL}
_AFTERWARDS = _ACTING - {Effect.DESTRUCTIVE}  # it has just not worked: not the moment to break more


_LATER = frozenset({"batch", "for_each", "parallel", "pause", "retry", "stop_after"})

DOCUMENT = WordList(
    "a runbook",
    {
        "runbook": "Its name, in lower case with hyphens: the same word as the file's name.",
        "summary": "One sentence for people: what it does and when.",
        "owner": "The team that keeps it.",
        "autonomy": "How far it may go on its own: observe, gated or automatic.",
        "when": "The alerts that it is for.",
        "target": "The thing acted on, as a template over the alert's labels.",
        "limits": "Its brakes.",
        "check": "What must be true before anything is done; measured before the gate and again after it.",
        "gate": "Who must agree.",
        "do": "The actions, in order.",
        "verify": "What must be true afterwards: did it help?",
        "otherwise": "What to do when it did not work.",
    },
    required=("runbook", "summary", "when", "target", "do"),
    later=_LATER,
)

TRIGGER = WordList(
    "an item of `when`",
    {
        "alert": "The alert's name.",
        "matchers": "Further conditions on its labels, in Alertmanager's syntax.",
    },
    required=("alert",),
)

LIMITS = WordList(
    "`limits`",
    {
        "cooldown": "After an ending, for this long nothing more for the same target.",
        "attempts": "How often it may be tried for one target, `3 per 6h`; then people are called.",
        "at_once": "How many remediations may be in progress together: `2 per LABEL`, or `10% of targets`.",
    },
    later=_LATER,
)

GATE = WordList(
    "a gate",
    {
        "approvers": "The groups of people who may answer.",
        "need": "How many different people of them must approve.",
        "within": "How long they are asked.",
        "if": "The gate is asked only where this holds.",
        "otherwise": "Who is asked in turn when they do not answer, each with a time, and at last `stop`.",
    },
    required=("approvers",),
)

_STEP = {
    "name": "What is measured or done, for people.",
    "id": "A short name for templates; made from the name where it is left out.",
    "uses": "The action.",
    "with": "The action's parameters.",
    "if": "The step is left out where this is false.",
}
_EXPECT = {"expect": "An expression over `result` that must be true."}
_NO_WAITING = "Only `verify` waits for something to become true; what is checked here must be true already"
_NO_GATE = {"gate": "An action under `do` can have a gate of its own, and so can the runbook"}

CHECK = WordList(
    "a check",
    _STEP | _EXPECT,
    required=("uses",),
    later=_LATER,
    elsewhere={"within": _NO_WAITING, "every": _NO_WAITING, **_NO_GATE},
    effects=_READING,
)

VERIFY = WordList(
    "a check in `verify`",
    _STEP
    | _EXPECT
    | {
        "within": "How long it may take to become true.",
        "every": "How long to wait between two looks.",
    },
    required=("uses",),
    effects=_READING,
    later=_LATER,
    elsewhere=_NO_GATE,
)

ACTION = WordList(
    "an action",
    _STEP
    | {
        "gate": "Who must agree right before this very step.",
        "undo": "The step that takes it back, or `none`.",
    },
    required=("uses",),
    effects=_ACTING,
    later=_LATER,
)

TELLING = WordList(
    "a step of `otherwise`",
    _STEP,
    required=("uses",),
    effects=_AFTERWARDS,
    later=_LATER,
    elsewhere=_NO_GATE,
)

UNDO = WordList("an `undo`", _STEP, required=("uses",), effects=_ACTING, later=_LATER, elsewhere=_NO_GATE)
