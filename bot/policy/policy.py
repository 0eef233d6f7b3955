"""The policy: rules in Cedar, judged in this process.

A rule permits or forbids; what no rule permits is forbidden, and `forbid` wins.  Each has an `@id`,
which stands on record, and a `@reason`, which the person who was refused is told.  Whom they can ask
is not written anywhere: it is found by asking the same rules about others.

The rules of a gate are not here.  Nobody approves what they asked for themselves, guests answer
nothing and the guard verifies each approval, whatever a policy says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activities.lazily import lazily
from bot.policy.entities import as_request
from bot.policy.mistakes import read_rules
from bot.policy.questions import LOCAL, Person, Question, Ruling
from runbooks.language.findings import Findings

if TYPE_CHECKING:
    import cedarpy
    from cedarpy import pst
else:
    cedarpy = lazily("cedarpy")
    pst = lazily("cedarpy.pst")

_HERE = Path(__file__).parent

SCHEMA = (_HERE / "schema.cedarschema").read_text(encoding="utf-8")
DEFAULT = (_HERE / "default.cedar").read_text(encoding="utf-8")
DEFAULT_NAME = "the default policy"

MOST_PAIRED = 12  # groups: 66 questions, in some hundredths of a second
ANYBODY = "anybody of the workspace who is no guest"
AT_COMMAND_LINE = "somebody at the command line"
AT_MACHINE = "somebody at a terminal of the machine"


@dataclass(frozen=True)
class Rule:
    """One rule, as people know it."""

    id: str
    reason: str
    permits: bool


@dataclass(frozen=True)
class Policy:
    """Rules that have been found right.

    Attributes:
        text: as it stands in its file.
        name: the file's, without its folder, for people.
    """

    text: str
    name: str

    @classmethod
    @cache
    def default(cls) -> Policy:
        """Return the one that holds where none is named.  A test has found it right."""
        return cls(DEFAULT, DEFAULT_NAME)

    @classmethod
    def parse(cls, text: str, *, file: str) -> Policy:
        """Return the policy that `text` is.

        Raises:
            RunbookErrors: holds everything that is wrong with it: no Cedar, a word that the schema
                does not have, a rule without `@id` or `@reason`.
        """
        findings = Findings(file, "a policy", "a rule")
        read_rules(text, SCHEMA, findings)
        findings.settle()
        return cls(text, Path(file).name)

    def judge(self, person: Person, question: Question, *, local_people: bool = True) -> Ruling:
        """Return whether `person` may do that, which rules say so, and who may where they may not.

        Args:
            local_people: whether people at a terminal of the machine count without a login: else they are
                nobody whom somebody could ask.
        """
        allowed, rules, broken = self._decide(person, question)
        told: dict[str, Any] = {"allowed": allowed, "words": question.words, "policy": self.name}
        if broken:
            return Ruling(**told, why=f"a rule could not be evaluated: {broken}")
        if allowed:
            return Ruling(**told, rules=_ids(rules), why=_reasons(rules))
        ask, permitting = self._whom(person, question, local_people=local_people)
        if rules:
            return Ruling(**told, rules=_ids(rules), why=_reasons(rules), ask=ask)
        why = _reasons(permitting) or "no rule of the policy lets anybody do that"
        return Ruling(**told, rules=_ids(permitting), why=why, ask=ask)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, in the order of the file."""
        return tuple(
            Rule(each.annotations.get("id", ""), each.annotations.get("reason", ""), each.effect == "permit")
            for each in self._nodes.static_policies.values()
        )

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups that some rule names."""
        return self._named("Group")

    def _decide(self, person: Person, question: Question) -> tuple[bool, tuple[Rule, ...], str]:
        """Return whether it is allowed, the rules that decided, and what went wrong with a rule."""
        request, entities = as_request(person, question)
        answer = cedarpy.is_authorized(request, self._policies, entities, self._schema)
        # The engine leaves out a rule that fails.  A `forbid` left out would open a door.
        broken = "; ".join(answer.diagnostics.errors)
        decided = sorted(int(each.removeprefix("policy")) for each in answer.diagnostics.reasons)
        return answer.allowed and not broken, tuple(self.rules[each] for each in decided), broken

    def _whom(
        self, person: Person, question: Question, *, local_people: bool
    ) -> tuple[tuple[str, ...], tuple[Rule, ...]]:
        """Return who may do it, for people, and the rules that let them."""
        found: dict[str, tuple[Rule, ...]] = {}
        for words, other in self._others(person, question):
            if words == AT_MACHINE and (AT_COMMAND_LINE in found or not local_people):
                continue
            allowed, rules, _ = self._decide(other, question)
            if allowed and words == ANYBODY:
                return (words,), rules
            if allowed:
                found[words] = rules
        for words, other in () if found else self._in_two_groups(person, question):
            allowed, rules, _ = self._decide(other, question)
            if allowed:
                found[words] = rules
        rules = tuple(dict.fromkeys(rule for each in found.values() for rule in each))
        return tuple(found), rules

    def _in_two_groups(self, person: Person, question: Question) -> Iterator[tuple[str, Person]]:
        """Yield a person for every two of the groups: one rule may want the one, and another the other."""
        groups = self._groups_for(question)[:MOST_PAIRED]
        for one, other in combinations(groups, 2):
            yield f"somebody of both {one} and {other}", _somebody_like(person, one, other)

    def _groups_for(self, question: Question) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*groups_of(question), *self.groups)))

    def _others(self, person: Person, question: Question) -> Iterator[tuple[str, Person]]:
        """Yield those who might be allowed: as this person came, those who are named, and who comes another way."""
        yield from self._of_each_group(person, question)
        for key in self._named("Person"):
            yield key, Person(key=key)
        if person.path == LOCAL:
            yield from self._of_each_group(_IN_CHAT, question)
        else:
            yield AT_COMMAND_LINE, _IN_CHAT.model_copy(update={"logged_in": True})
            yield AT_MACHINE, Person(key=f"{LOCAL}:somebody")

    def _of_each_group(self, person: Person, question: Question) -> Iterator[tuple[str, Person]]:
        """Yield a person of no group, and one of each group, who came as `person` did."""
        yield ANYBODY, _somebody_like(person)
        for group in self._groups_for(question):
            yield f"somebody of {group}", _somebody_like(person, group)

    def _named(self, kind: str) -> tuple[str, ...]:
        named = pst.entity_uids(self._nodes)
        return tuple(sorted({each.id for each in named if each.type.basename == kind}))

    @cached_property
    def _nodes(self) -> pst.PolicySet:
        return cedarpy.policies_to_pst(self.text)

    @cached_property
    def _policies(self) -> cedarpy.PolicySet:
        return cedarpy.PolicySet.from_str(self.text)

    @cached_property
    def _schema(self) -> cedarpy.Schema:
        return cedarpy.Schema.from_str(SCHEMA)


_IN_CHAT = Person(key="slack:somebody")


def _somebody_like(person: Person, *groups: str) -> Person:
    """Return somebody in these groups, and no others, who came as `person` did."""
    return Person(key=f"{person.path}:somebody", groups=groups, logged_in=person.logged_in)


def groups_of(question: Question) -> tuple[str, ...]:
    """Return the groups that matter for this question whatever the policy says."""
    approvers = question.runbook.approvers if question.runbook else ()
    return (*approvers, *question.thawers)


def _ids(rules: Sequence[Rule]) -> tuple[str, ...]:
    return tuple(rule.id for rule in rules)


def _reasons(rules: Sequence[Rule]) -> str:
    return ", and ".join(dict.fromkeys(rule.reason for rule in rules))
