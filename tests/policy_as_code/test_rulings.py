"""The policy, asked: its words, and what a rule can look at.  Who may do what where: test_matrix.py."""

from __future__ import annotations

import re

import pytest

from bot.policy.policy import DEFAULT, SCHEMA, Policy
from bot.policy.questions import ABOUT_RUNBOOKS, Person, Verb
from tests.policy_as_code.people import PEOPLE, ask, target


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


def test_somebody_at_a_terminal_is_sent_to_people_in_the_chat():
    """Where only those may, the refusal names them, whatever way the person who is refused came."""
    text = (
        '@id("chat-runs")\n@reason("runbooks are run from the chat")\n'
        'permit (principal in Group::"sre-oncall", action == Action::"run", resource)\n'
        'when { principal.path == "slack" };'
    )
    ruling = Policy.parse(text, file="policy.cedar").judge(PEOPLE["root"], ask(Verb.RUN, "disk-full"))

    assert ruling.sentence == (
        "you may not run disk-full on web-1: runbooks are run from the chat (rule chat-runs); "
        "ask somebody of sre-oncall"
    )


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
    assert len(DEFAULT.splitlines()) < 40
    assert all(re.search(rf"\b{verb}\b", SCHEMA) for verb in Verb)
    assert set(ABOUT_RUNBOOKS) < set(Verb)
