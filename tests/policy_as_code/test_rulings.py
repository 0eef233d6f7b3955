"""The policy, asked: a matrix of people, commands, runbooks and environments, and what the refused are told."""

from __future__ import annotations

import re
from itertools import product

import pytest

from bot.policy.policy import ANYBODY, DEFAULT, SCHEMA, Policy
from bot.policy.policy_file import read_policy
from bot.policy.questions import ABOUT_RUNBOOKS, Person, Verb
from tests.docs.pages import ROOT
from tests.policy_as_code.people import PEOPLE, RUNBOOKS, ask, target

EXAMPLE = ROOT / "docs" / "policy" / "payments.cedar"

POLICIES = {"default": Policy.default(), "payments": read_policy(EXAMPLE)}

# `+` may, `.` may not.  Columns: each runbook in production, in staging, and where nobody knows.
ABOUT_A_RUNBOOK = """
                   disk-full   ledger-stuck   drop-cache
default  bob    run      +++         +++            +++
default  bob    approve  ...         ...            ...
default  bob    stop     ...         ...            ...
default  alice  run      +++         +++            +++
default  alice  approve  +++         +++            +++
default  alice  stop     +++         +++            +++
default  gus    run      ...         ...            ...
default  gus    approve  ...         ...            ...
default  sue    run      ...         ...            ...
default  sue    approve  ...         ...            ...
default  root   run      +++         +++            +++
default  root   approve  ...         ...            ...
payments bob    run      ...         ...            ...
payments bob    approve  ...         ...            ...
payments alice  run      +++         .++            +++
payments alice  approve  +++         .++            .+.
payments alice  stop     +++         +++            +++
payments paula  run      +++         +++            +++
payments paula  approve  +++         +++            .+.
payments carol  run      +++         .++            +++
payments carol  approve  +++         .++            +++
payments sue    run      ...         ...            ...
payments sue    approve  ...         ...            ...
payments root   run      ...         ...            ...
"""

# Columns: read, freeze everything, thaw everything, thaw where a group lifts freezes, release.
ABOUT_THE_HOUSE = """
default  bob    +++..
default  alice  +++..
default  carol  ++++.
default  gus    .....
default  sue    .....
default  root   +++++
payments bob    ++...
payments carol  +++++
payments gus    ++...
payments sue    .....
payments root   ++...
"""


def matrix():
    """Yield policy, person, question and whether it is allowed, from both tables."""
    for line in ABOUT_A_RUNBOOK.strip().splitlines()[1:]:
        policy, who, verb, *cells = line.split()
        places = product(RUNBOOKS, ("prod", "staging", ""))
        for (runbook, environment), cell in zip(places, "".join(cells), strict=True):
            yield policy, who, ask(Verb(verb), runbook, environment), cell == "+"
    for line in ABOUT_THE_HOUSE.strip().splitlines():
        policy, who, cells = line.split()
        questions = (
            ask(Verb.READ),
            ask(Verb.FREEZE),
            ask(Verb.THAW),
            ask(Verb.THAW, thawers=("incident-commanders",)),
            ask(Verb.RELEASE, "web-1"),
        )
        for question, cell in zip(questions, cells, strict=True):
            yield policy, who, question, cell == "+"


MATRIX = list(matrix())


def named(case) -> str:
    policy, who, question, allowed = case
    environment = question.target.environment if question.target else ""
    group = "-with-a-group" if question.thawers else ""
    words = f"{policy}-{who}-{question.words}-{environment}{group}-{allowed}"
    return re.sub(r"\W+", "-", words)


@pytest.mark.parametrize("case", MATRIX, ids=named)
def test_who_may_do_what_where(case):
    """Each cell of the tables above."""
    policy, who, question, allowed = case

    assert POLICIES[policy].judge(PEOPLE[who], question).allowed is allowed


def test_the_matrix_has_both_answers_for_every_command():
    """It would find a policy that lets everybody, or nobody."""
    for policy, verb in product(POLICIES, ("run", "approve", "read", "freeze", "thaw", "release")):
        answers = {
            allowed for name, _, question, allowed in MATRIX if (name, question.verb) == (policy, verb)
        }
        assert answers == {True, False}, (policy, verb)


@pytest.mark.parametrize("case", [case for case in MATRIX if not case[3]], ids=named)
def test_every_refusal_says_why_and_whom_to_ask(case):
    """The sentence has what was wanted, the rule with its reason, and those who may; and they really may."""
    policy, who, question, _ = case
    ruling = POLICIES[policy].judge(PEOPLE[who], question)

    assert ruling.sentence.startswith(f"you may not {question.words}: {ruling.why}")
    assert set(ruling.rules) <= {rule.id for rule in POLICIES[policy].rules}
    assert ruling.rules
    assert ruling.why
    assert ruling.ask
    assert ruling.sentence.endswith(f"; ask {' or '.join(ruling.ask)}")
    for words in ruling.ask:
        assert POLICIES[policy].judge(meant(words, PEOPLE[who]), question).allowed, words


def meant(words: str, asker: Person) -> Person:
    """Return the person whom a refusal names."""
    if words == ANYBODY:
        return Person(key=f"{asker.path}:x")
    if words == "somebody at the command line":
        return Person(key="local:x")
    groups = words.removeprefix("somebody of ").removeprefix("both ").split(" and ")
    return Person(key=f"{asker.path}:x", groups=tuple(groups))


@pytest.mark.parametrize(
    ("who", "verb", "where", "sentence"),
    [
        (
            "bob",
            Verb.APPROVE,
            "disk-full",
            (
                "you may not approve disk-full on web-1: only members of its approver groups may answer "
                "(rule approvers-answer); ask somebody of sre-oncall"
            ),
        ),
        (
            "gus",
            Verb.FREEZE,
            "target=db-1",
            (
                "you may not freeze the target db-1: only people of this workspace who are no guests may do that "
                "(rule workspace-acts); ask anybody of the workspace who is no guest"
            ),
        ),
    ],
)
def test_the_words_of_a_refusal(who, verb, where, sentence):
    """As a person reads it at 3am."""
    assert Policy.default().judge(PEOPLE[who], ask(verb, where)).sentence == sentence


def test_an_answer_says_which_rule_allowed_it():
    """What was let through has its reason too."""
    ruling = Policy.default().judge(PEOPLE["alice"], ask(Verb.APPROVE, "disk-full"))

    assert (ruling.rules, ruling.ask) == (("approvers-answer",), ())
    assert ruling.sentence == "you may approve disk-full on web-1: rule approvers-answer"


def test_what_nobody_may_is_for_those_who_keep_the_policy():
    """A refusal without anybody to ask still says where to go."""
    only = '@id("readers")\n@reason("people read")\npermit (principal, action == Action::"read", resource);'
    ruling = Policy.parse(only, file="policy.cedar").judge(PEOPLE["carol"], ask(Verb.THAW))

    assert ruling.rules == ()
    assert ruling.sentence == (
        "you may not thaw everything: no rule of the policy lets anybody do that; "
        "ask whoever keeps the policy (policy.cedar)"
    )


def test_a_rule_may_name_a_person_and_then_they_are_the_one_to_ask():
    """Rules about one person are found by asking about that person."""
    text = (
        '@id("dora-thaws")\n@reason("Dora lifts freezes")\n'
        'permit (principal == Person::"slack:T1/DORA", action == Action::"thaw", resource);'
    )
    policy = Policy.parse(text, file="policy.cedar")

    assert policy.judge(Person(key="slack:T1/DORA"), ask(Verb.THAW)).allowed
    assert policy.judge(PEOPLE["bob"], ask(Verb.THAW)).ask == ("slack:T1/DORA",)


def test_a_rule_that_fails_refuses():
    """The engine leaves out a rule that cannot be evaluated; here that is a refusal, were it a `forbid`."""
    text = (
        '@id("all")\n@reason("all may")\npermit (principal, action, resource);\n'
        '@id("overflow")\n@reason("too long")\n'
        'forbid (principal, action == Action::"run", resource)\n'
        "when { 9223372036854775807 + (if principal.guest then 1 else 2) > 0 };"
    )
    ruling = Policy.parse(text, file="policy.cedar").judge(PEOPLE["bob"], ask(Verb.RUN, "disk-full"))

    assert not ruling.allowed
    assert ruling.why.startswith("a rule could not be evaluated: ")
    assert "overflow" in ruling.why


def test_labels_beyond_the_environment_can_be_asked_for():
    """`hasTag` and `getTag` see every label of the alert."""
    text = (
        '@id("not-team-red")\n@reason("team red does it by hand")\n'
        "permit (principal, action, resource);"
        '@id("red")\n@reason("team red does it by hand")\n'
        'forbid (principal, action == Action::"run", resource)\n'
        'when { context.target.hasTag("team") && context.target.getTag("team") == "red" };'
    )
    policy = Policy.parse(text, file="policy.cedar")
    question = ask(Verb.RUN, "disk-full")
    red = target().model_copy(update={"labels": {"team": "red"}})

    assert policy.judge(PEOPLE["bob"], question).allowed
    assert policy.judge(PEOPLE["bob"], question.model_copy(update={"target": red})).rules == ("red",)


@pytest.mark.parametrize(
    ("scope", "condition"),
    [
        ("*", 'resource.scope == "*"'),
        ("runbook=disk-full", 'resource.runbook == "disk-full"'),
        ("target=web-1", 'resource.target == "web-1"'),
        ("label:env=prod", 'resource.environment == "prod"'),
        ("label:runbook=disk-full", 'resource.scope like "label:*" && resource.runbook == ""'),
    ],
)
def test_a_brake_is_known_by_what_it_is_about(scope, condition):
    """A policy can tell a brake on production from one on a single target."""
    text = f'@id("a")\n@reason("b")\npermit (principal, action == Action::"freeze", resource)\nwhen {{ {condition} }};'
    policy = Policy.parse(text, file="policy.cedar")

    assert policy.judge(PEOPLE["bob"], ask(Verb.FREEZE, scope)).allowed
    assert not policy.judge(PEOPLE["bob"], ask(Verb.FREEZE, "target=other")).allowed


@pytest.mark.parametrize("key", ['slack:T1/U"1', "local:o'hara", "local:new\nline", "slack:T1/::Group", ""])
def test_a_name_is_data(key):
    """Nothing in a key, a label or a target is read as Cedar."""
    labels = {key or "x": '"} permit(principal, action, resource); //'}
    question = ask(Verb.APPROVE, "disk-full").model_copy(
        update={"target": target().model_copy(update={"name": key, "labels": labels})}
    )

    assert not Policy.default().judge(Person(key=key), question).allowed
    assert Policy.default().judge(Person(key=key, groups=("sre-oncall",)), question).allowed


def test_the_default_policy_is_right_short_and_has_a_word_for_each_verb():
    """It is not validated when a process starts, so it is here."""
    assert Policy.parse(DEFAULT, file="default.cedar").rules == Policy.default().rules
    assert len(DEFAULT.splitlines()) < 30
    assert all(re.search(rf"\b{verb}\b", SCHEMA) for verb in Verb)
    assert set(ABOUT_RUNBOOKS) < set(Verb)
