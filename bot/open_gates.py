"""Open gates: which question is meant, where a remediation asks several.

A gate's name is what stands after the remediation's id: `gate-1` is about the plan, `step-2` about
the second step, `verdict-1` about what became of an action.  Whoever answers in words may leave it out
where only one question can be meant.  Nothing is guessed: where several can, all of them are listed.

Pure: the same story and the same words, the same gates.
"""

from __future__ import annotations

import re

from runbooks.policy.story import GateStory, Story

_NAME = re.compile(r"(?:gate|step|verdict)-[0-9]{1,4}")


def name_of(gate: GateStory) -> str:
    """Return the name of a gate without its remediation: `step-2`."""
    return gate.gate.rpartition("/")[2]


def is_name(word: str) -> bool:
    """Return whether somebody who types `word` can only mean a gate."""
    return _NAME.fullmatch(word.lower()) is not None


def split_name(word: str) -> tuple[str, str]:
    """Return the remediation and the gate in `R-7F3K2Q/step-2`; the gate is empty where it is not said."""
    remediation, _, name = word.partition("/")
    return remediation, name.lower()


def meant(story: Story, name: str = "", *, doubt: bool = False) -> tuple[GateStory, ...]:
    """Return the open questions that can be meant: one where it is clear, several or none where it is not.

    Args:
        name: of the gate, with or without its remediation; empty where nothing was said.
        doubt: whether what became of an action is meant, and not an approval.
    """
    wanted = name.lower().rpartition("/")[2]
    alike = (gate for gate in story.open_gates if (gate.doubt is not None) is doubt)
    return tuple(gate for gate in alike if wanted in {"", name_of(gate)})


def about(gate: GateStory) -> str:
    """Return what a question is about, in a few words.  Foreign text may stand in them."""
    if gate.doubt is not None:
        return f"what became of “{gate.doubt.name}”"
    return f"the step “{gate.gated.name}”" if gate.gated is not None else "the plan"
