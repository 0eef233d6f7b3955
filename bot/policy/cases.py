"""A table of cases beside a policy: who wants to do what where, and what the policy must say.

    people:
      alice: {groups: [sre-oncall]}
    cases:
      - {who: alice, what: approve, where: disk-full, labels: {env: prod}, expect: allow, because: approvers-answer}

A policy is code, so it has tests.  `because` names the rule that must have decided: a case that
passes for another reason than the author had in mind is found as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.policy.policy import Policy
from bot.policy.questions import BRAKING, Person, Question, Ruling, RunbookFacts, TargetFacts, Verb
from bot.policy.subjects import pose
from runbooks.errors import RunbookError
from runbooks.language.findings import Findings, shown, suggestion
from runbooks.language.reading import Section, text_of
from runbooks.language.source import MapNode, Node, ScalarNode, read_yaml
from runbooks.language.words import WordList
from runbooks.model.action import Effect
from runbooks.model.base import Value
from runbooks.model.runbook import Place

EXPECTED = {"allow": True, "refuse": False}

FILE = WordList(
    "a table of cases",
    {
        "people": "Who there is: a name, and groups, guest, external or key.",
        "runbooks": "Runbooks that are made up for this table; further ones come from the catalog.",
        "thawers": "The group that lifts freezes, as PARAMEDIC_THAW_GROUP names it.",
        "cases": "A list: who, what, where, expect, because.",
    },
    required=("people", "cases"),
)
PERSON = WordList(
    "a person",
    {
        "key": "slack:T0123/U0456 or local:alice; made up from the name, if left out.",
        "groups": "A list.",
        "guest": "true or false.",
        "external": "Of another workspace: true or false.",
    },
)
RUNBOOK = WordList(
    "a runbook",
    {
        "owner": "The team that keeps it.",
        "effect": "The strongest effect of its actions: read, tell, write or destructive.",
        "approvers": "A list of groups.",
    },
)
CASE = WordList(
    "a case",
    {
        "who": "One of the people.",
        "what": "One of read, run, approve, stop, freeze, thaw, release, redact.",
        "where": "A runbook; for freeze and thaw a scope; for release a target.",
        "target": "The target's name.",
        "labels": "The labels of the alert: {env: prod}.",
        "expect": "allow or refuse.",
        "because": "The @id of a rule that must have decided.",
    },
    required=("who", "what", "expect"),
)


class Case(Value):
    """One row of the table."""

    who: str
    person: Person
    question: Question
    expect: bool
    because: str = ""
    place: Place


class Result(Value):
    """What became of a case.

    Attributes:
        difference: what is otherwise than expected; empty where nothing is.
    """

    case: Case
    ruling: Ruling
    difference: str = ""


def run_case(policy: Policy, case: Case) -> Result:
    """Return what `policy` says, and what of it is not as expected."""
    ruling = policy.judge(case.person, case.question)
    return Result(case=case, ruling=ruling, difference=_difference(case, ruling))


def _difference(case: Case, ruling: Ruling) -> str:
    if ruling.allowed is not case.expect:
        return f"it should be {'allowed' if case.expect else 'refused'}: {ruling.sentence}"
    if case.because and case.because not in ruling.rules:
        decided = f"rule {', '.join(ruling.rules)}" if ruling.rules else "no rule"
        return f"rule {case.because} should decide, and {decided} did"
    return ""


def parse_cases(text: str, *, file: str, catalog: Mapping[str, RunbookFacts]) -> tuple[Case, ...]:
    """Return the table in `text`.

    Args:
        catalog: the runbooks that there are, beside those that the table makes up.

    Raises:
        RunbookErrors: holds everything that is wrong with it.
    """
    findings = Findings(file, "a table of cases", "`people:`")
    section = Section(read_yaml(text, findings, times=4), FILE, findings)
    reader = _Reader(section, findings, catalog)
    cases = [reader.case(Section(item, CASE, findings)) for item in section.items("cases")]
    findings.settle()
    return tuple(case for case in cases if case is not None)


class _Reader:
    """Reads cases, knowing the people and the runbooks that they are about."""

    def __init__(self, section: Section, findings: Findings, catalog: Mapping[str, RunbookFacts]) -> None:
        self._findings = findings
        thawer = section.plain_text("thawers")
        self._thawers = (thawer,) if thawer else ()
        people, made_up = section.mapping("people"), section.mapping("runbooks")
        self._people = {name: self._person(name, node) for name, node in _entries(people)}
        self._runbooks = {**catalog, **{name: self._runbook(name, node) for name, node in _entries(made_up)}}

    def case(self, section: Section) -> Case | None:
        """Return one row, or None after a finding."""
        who, what = section.plain_text("who"), self._choice(section, "what", tuple(Verb))
        expect = self._choice(section, "expect", tuple(EXPECTED))
        if who is not None and who not in self._people:
            problem = f"{shown(who)} is none of the people"
            self._findings.add(problem, suggestion(who, self._people), section.place_of("who"))
            return None
        question = self._question(section, Verb(what)) if what else None
        if who is None or question is None or expect is None:
            return None
        return Case(
            who=who,
            person=self._people[who],
            question=question,
            expect=EXPECTED[expect],
            because=section.plain_text("because") or "",
            place=section.place,
        )

    def _question(self, section: Section, verb: Verb) -> Question | None:
        labels = {name: str(_plain(node)) for name, node in _entries(section.mapping("labels"))}
        target = TargetFacts(name=section.plain_text("target") or "", labels=labels)
        with self._findings.at(section.place_of("where")):
            question = pose(verb, section.plain_text("where") or "", target, self._runbooks)
            thawers = self._thawers if verb in BRAKING else ()
            return question.model_copy(update={"thawers": thawers})
        return None

    def _person(self, name: str, node: Node) -> Person:
        section = Section(node, PERSON, self._findings)
        return Person(
            key=section.plain_text("key") or f"slack:T0/{name}",
            groups=self._texts(section, "groups"),
            guest=self._flag(section, "guest"),
            external=self._flag(section, "external"),
        )

    def _runbook(self, name: str, node: Node) -> RunbookFacts:
        section = Section(node, RUNBOOK, self._findings)
        effect = self._choice(section, "effect", tuple(Effect)) or Effect.WRITE
        owner, approvers = section.plain_text("owner") or "", self._texts(section, "approvers")
        return RunbookFacts(name=name, owner=owner, effect=Effect(effect), approvers=approvers)

    def _texts(self, section: Section, word: str) -> tuple[str, ...]:
        texts = (text_of(item, f"an item of `{word}`", self._findings) for item in section.items(word))
        return tuple(text for text in texts if text is not None)

    def _choice(self, section: Section, word: str, known: tuple[str, ...]) -> str | None:
        text = section.plain_text(word)
        if text is None or text in known:
            return text
        self._findings.add(f"`{word}` has no {shown(text)}", suggestion(text, known), section.place_of(word))
        return None

    def _flag(self, section: Section, word: str) -> bool:
        value = _plain(section.node(word)) if word in section else False
        if not isinstance(value, bool):
            self._findings.add(f"`{word}` is true or false", "Write one of them", section.place_of(word))
        return value is True


def _entries(node: MapNode | None) -> list[tuple[str, Node]]:
    return list(node.entries.items()) if node else []


def _plain(node: Node | None) -> Any:
    return node.value if isinstance(node, ScalarNode) else None


def no_table(file: str) -> RunbookError:
    """Return the error about a table that is not there."""
    remedy = "Write one beside the policy, or name it with --cases; docs/policy.md has an example"
    return RunbookError("there is no table of cases", remedy=remedy, file=file)
