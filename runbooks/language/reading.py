"""Reading: words of a mapping as values of the kind that they should have.

A `Section` is a mapping whose words are known.  Asking it for a word gives a value, or None where
the word is missing or wrong; what is wrong has then become a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from runbooks.language.durations import parse_duration
from runbooks.language.expressions import Expression, is_template, parse_expression
from runbooks.language.findings import Findings, shown, suggestion
from runbooks.language.source import START, ListNode, MapNode, Node, ScalarNode
from runbooks.language.words import WordList
from runbooks.model.runbook import Place


class Section:
    """One mapping of a runbook.

    Attributes:
        place: where it begins.
        findings: where it reports what is wrong.
    """

    def __init__(self, node: Node, words: WordList, findings: Findings) -> None:
        self.place = node.place
        self.findings = findings
        self._words = words
        self._entries: Mapping[str, Node] = {}
        self._keys: Mapping[str, Place] = {}
        if isinstance(node, MapNode):
            self._entries, self._keys = node.entries, node.keys
            self._judge_words()
        else:
            known = ", ".join(words.words)
            findings.add(f"{words.title} is a mapping", f"Write words and values: {known}", node.place)

    def _judge_words(self) -> None:
        title, words = self._words.title, self._words.words
        for word, place in self._keys.items():
            if word in self._words.later:
                problem = f"{shown(word)} is not supported yet in {title}"
                self.findings.add(problem, "Delete it: this version would not do what it says", place)
            elif word in self._words.elsewhere:
                self.findings.add(f"{title} has no word {shown(word)}", self._words.elsewhere[word], place)
            elif word not in words:
                self.findings.add(f"{title} has no word {shown(word)}", suggestion(word, words), place)
        for word in self._words.required:
            if word not in self._keys:
                self.findings.add(
                    f"{title} needs `{word}`", f"Add `{word}:`. {words[word]}".rstrip("."), self.place
                )

    def __contains__(self, word: str) -> bool:
        return word in self._entries

    def node(self, word: str) -> Node | None:
        """Return what stands under `word`."""
        return self._entries.get(word)

    def place_of(self, word: str) -> Place:
        """Return where the value of `word` stands; where the section begins, if the word is missing."""
        node = self._entries.get(word)
        return node.place if node is not None else self.place

    def key_place(self, word: str) -> Place:
        """Return where the word itself stands; where the section begins, if it is missing."""
        return self._keys.get(word, self.place)

    def text(self, word: str) -> str | None:
        """Return the text under `word`."""
        node = self._entries.get(word)
        return None if node is None else text_of(node, f"`{word}`", self.findings)

    def plain_text(self, word: str) -> str | None:
        """Return the text under `word`, where a template would stand as it is and mislead people."""
        text = self.text(word)
        if text is not None and is_template(text):
            remedy = "Write it out: nothing is put in here"
            self.findings.add(f"`{word}` cannot be a template", remedy, self.place_of(word))
        return text

    def duration(self, word: str) -> timedelta | None:
        """Return the span of time under `word`."""
        text = self.text(word)
        if text is None:
            return None
        with self.findings.at(self.place_of(word)):
            return parse_duration(text)
        return None

    def expression(self, word: str) -> Expression | None:
        """Return the bare expression under `word`."""
        text = self.text(word)
        if text is None:
            return None
        with self.findings.at(self.place_of(word)):
            return parse_expression(text)
        return None

    def items(self, word: str) -> tuple[Node, ...]:
        """Return the items of the list under `word`."""
        node = self._entries.get(word)
        if node is None:
            return ()
        if isinstance(node, ListNode) and node.items:
            return node.items
        self.findings.add(f"`{word}` is a list with something in it", "Begin each item with `- `", node.place)
        return ()

    def mapping(self, word: str) -> MapNode | None:
        """Return the mapping under `word`, an empty one where the word is missing, None where it is wrong."""
        node = self._entries.get(word, _EMPTY)
        if isinstance(node, MapNode):
            return node
        self.findings.add(f"`{word}` is a mapping", "Write names and values: {name: value}", node.place)
        return None


_EMPTY = MapNode(START, {}, {})


def text_of(node: Node, name: str, findings: Findings) -> str | None:
    """Return the text that `node` is, or None after a finding that calls it `name`."""
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value.strip():
        return node.value
    remedy = (
        "Put it in quotes"
        if isinstance(node, ScalarNode) and node.value not in {None, ""}
        else "Write a text"
    )
    findings.add(f"{name} is a text", remedy, node.place)
    return None
