"""Mistakes in a policy, with the place that the Cedar engine does not tell.

The engine says what is wrong, but not where.  So the text is cut into its rules, each is judged on
its own, and within a rule the place is found: for what does not read as Cedar, the first token after
which no continuation could mend it; for a word that the schema does not have, the word.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activities.lazily import lazily
from runbooks.errors import RunbookError
from runbooks.language.findings import Findings, suggestion
from runbooks.model.runbook import Place

if TYPE_CHECKING:
    import cedarpy
    from cedarpy.pst import Template
else:
    cedarpy = lazily("cedarpy")

_TOKEN = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|\w+|::|\s+|.', re.DOTALL)
_QUOTED = re.compile(r"`([^`]+)`")
_WORD = re.compile(r'\w+|"[^"]*"')
_ABOUT = re.compile(r"^for policy `policy\d+`, ")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

_VARIABLES = frozenset({"principal", "action", "resource", "context"})
_FOLLOWS = "unable to find an applicable action"
_EARLY_END = "unexpected end of input"


@dataclass(frozen=True)
class Token:
    """A word, text or sign, and where it begins in the file."""

    text: str
    start: int


@dataclass(frozen=True)
class Chunk:
    """The text of one rule, up to and with its semicolon.

    Attributes:
        start: where it begins in the file.
    """

    text: str
    start: int
    tokens: tuple[Token, ...]


def read_rules(text: str, schema: str, findings: Findings) -> list[tuple[Chunk, Template]]:
    """Return the rules in `text`; what is wrong with them becomes findings."""
    known = set(re.findall(r"\w+", re.sub(r"//.*", "", schema)))
    chunks = list(_chunks(text))
    rules = []
    for chunk in chunks:
        rule = _read(chunk, text, findings)
        if rule is not None:
            rules.append((chunk, rule))
            _judge_annotations(chunk, rule, text, findings)
            for said in _objections(chunk, schema):
                _tell(chunk, said, text, known, findings)
    _judge_ids(rules, text, findings)
    if not chunks:
        remedy = "Begin with a copy of the default: paramedic policy show > policy.cedar"
        findings.add("there is no rule, so nobody may do anything", remedy, Place(line=1, column=1))
    return rules


def place_at(text: str, offset: int) -> Place:
    """Return where `offset` is, for people."""
    before = text[:offset]
    return Place(line=before.count("\n") + 1, column=offset - (before.rfind("\n") + 1) + 1)


def _chunks(text: str) -> Iterator[Chunk]:
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        if match[0].isspace() or match[0].startswith("//"):
            continue
        tokens.append(Token(match[0], match.start()))
        if match[0] == ";":
            yield _chunk(text, tokens)
            tokens = []
    if tokens:
        yield _chunk(text, tokens)


def _chunk(text: str, tokens: list[Token]) -> Chunk:
    start, end = tokens[0].start, tokens[-1].start + len(tokens[-1].text)
    return Chunk(text[start:end], start, tuple(tokens))


def _read(chunk: Chunk, text: str, findings: Findings) -> Template | None:
    try:
        policies = cedarpy.policies_to_pst(chunk.text)
    except ValueError as error:
        findings.add(*_unreadable(chunk, str(error), text))
        return None
    if not policies.static_policies:
        remedy = "Write out whom and what it is about, instead of ?principal or ?resource"
        findings.add("a template decides nothing", remedy, place_at(text, chunk.start))
        return None
    (rule,) = policies.static_policies.values()
    return rule


def _unreadable(chunk: Chunk, said: str, text: str) -> tuple[str, str, Place]:
    last = chunk.tokens[-1]
    if last.text != ";":
        return "the last rule has no end", "End each rule with `;`", place_at(text, last.start)
    # Once the token that cannot stand there is in, every longer beginning has an error of its own.
    position = bisect_left(range(1, len(chunk.tokens)), True, key=lambda count: _is_lost(chunk, count))
    at = chunk.tokens[min(position, len(chunk.tokens) - 1)].start
    named = _token_named(chunk, said) if position == len(chunk.tokens) - 1 else None
    remedy = "Look at what stands right before it; docs/policy.md has examples"
    if named is not None and named.text not in _VARIABLES:
        remedy = suggestion(named.text, _VARIABLES)
    return f"this is not Cedar: {said}", remedy, place_at(text, named.start if named else at)


def _is_lost(chunk: Chunk, count: int) -> bool:
    """Return whether the first `count` tokens cannot be the beginning of any rule."""
    last = chunk.tokens[count - 1]
    try:
        cedarpy.policies_to_pst(chunk.text[: last.start + len(last.text) - chunk.start])
    except ValueError as error:
        return _EARLY_END not in str(error)
    return False


def _token_named(chunk: Chunk, said: str) -> Token | None:
    """Return the first token of the rule that the engine's sentence names."""
    for quoted in (*_QUOTED.findall(said), said.rpartition(": ")[2]):
        for word in reversed(_WORD.findall(quoted)):
            found = next((token for token in chunk.tokens if token.text.strip('"') == word.strip('"')), None)
            if found is not None:
                return found
    return None


def _objections(chunk: Chunk, schema: str) -> list[str]:
    """Return what the schema says against one rule, without what only follows from something else."""
    said = [_ABOUT.sub("", each.error) for each in cedarpy.validate_policies(chunk.text, schema).errors]
    return [each for each in said if not each.startswith(_FOLLOWS)] or said


def _tell(chunk: Chunk, problem: str, text: str, known: set[str], findings: Findings) -> None:
    named = _token_named(chunk, problem)
    word = named.text.strip('"') if named else ""
    if named is None or word in known:
        remedy = "See what the words mean, and what goes with what: paramedic policy show --schema"
    else:
        remedy = suggestion(word, known)
    findings.add(problem, remedy, place_at(text, named.start if named else chunk.start))


def _judge_annotations(chunk: Chunk, rule: Template, text: str, findings: Findings) -> None:
    place = place_at(text, chunk.start)
    for name, example in (("id", "guests-only-read"), ("reason", "guests may only read")):
        if not rule.annotations.get(name):
            findings.add(f"the rule has no @{name}", f'Write @{name}("{example}") before it', place)
    if (given := rule.annotations.get("id")) and not _ID.fullmatch(given):
        findings.add(f"`{given}` is no @id", "Write lower case, digits and hyphens", place)


def _judge_ids(rules: list[tuple[Chunk, Template]], text: str, findings: Findings) -> None:
    seen: set[str] = set()
    for chunk, rule in rules:
        name = rule.annotations.get("id", "")
        if name and name in seen:
            findings.add(f"the @id `{name}` is taken", "Give each its own", place_at(text, chunk.start))
        seen.add(name)


def unreadable_file(file: str, why: str) -> RunbookError:
    """Return the error about a policy file that cannot be read at all."""
    return RunbookError(f"cannot be read ({why})", remedy="PARAMEDIC_POLICY names it", file=file)
