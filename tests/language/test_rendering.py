"""Rendering: one alert's plan, complete before anybody is asked, or an error that says why not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbooks.errors import RenderError
from runbooks.language.rendering import assess, render_checks, render_plan, render_target
from runbooks.model.action import ActionClass, Effect
from runbooks.model.plan import GateTerms
from tests.language.declarations import VOCABULARY
from tests.language.story import QUERY, RESTART, RIGHT, changed, facts, parse

STANDING_ORDERS = ("gate: {approvers: [sre]}", "autonomy: automatic")
GATE_IF = (
    "gate: {approvers: [sre]}",
    "autonomy: automatic\ngate: {approvers: [sre], within: 5m, if: labels.env == 'prod'}",
)


def plan_of(old: str = "", new: str = "", **known):
    return render_plan(parse(changed(old, new)), facts(**known), VOCABULARY)


def test_renders_the_target_from_the_labels():
    """The target is known before anything is measured."""
    assert render_target(parse(RIGHT), facts(target="", checks={})) == "web-1"


@pytest.mark.parametrize("value", ["", " web-1", "web-1\n", "web-1\u202e", "a\tb", "x" * 201])
def test_refuses_what_cannot_be_a_target(value):
    """A target is one visible word or line: it is a key, and people read it."""
    with pytest.raises(RenderError) as caught:
        render_target(parse(RIGHT), facts({"instance": value}, target=""))

    assert caught.value.problem.endswith("cannot be a target")
    assert (caught.value.file, caught.value.line, caught.value.column) == ("host.yaml", 6, 9)


def test_says_which_label_the_target_needs():
    """A missing label is an error that stops, never an empty target."""
    alert = facts(target="")
    alert = alert.model_copy(update={"labels": {"env": "prod"}})

    with pytest.raises(RenderError) as caught:
        render_target(parse(RIGHT), alert)

    assert str(caught.value) == (
        "host.yaml:6:9: `target`: `{{ labels.instance }}` could not be evaluated: the alert's labels have no `instance`."
        " Ask `is defined` first, or mend what should have sent it."
    )


def test_renders_the_checks_with_what_their_action_declares():
    """Arguments are escaped and validated, the time limit is the declaration's."""
    (check,) = render_checks(parse(RIGHT), facts({"instance": "x"}, target='a"b', checks={}), VOCABULARY)

    assert check.arguments == {"query": 'up{instance="a\\"b"}'}
    assert check.expect == "result.value == 0"
    assert check.timeout == timedelta(seconds=7)
    assert (check.id, check.name, check.uses) == ("it_is_down", "It is down", "prometheus.query")
    assert (check.within, check.every) == (timedelta(), timedelta(seconds=2))


def test_leaves_out_what_its_if_says():
    """Only a step's own `if` leaves it out."""
    runbook = parse(changed("name: It is down", "name: It is down\n    if: labels.env == 'dev'"))

    assert render_checks(runbook, facts(), VOCABULARY) == ()
    assert len(render_checks(runbook, facts({"env": "dev"}), VOCABULARY)) == 1


def test_renders_every_action_with_every_parameter():
    """Defaults of the declaration are part of the plan that people approve."""
    plan = plan_of()

    (action,) = plan.actions
    assert action.arguments == {
        "host": "web-1",
        "argv": ["reboot"],
        "wait": "PT5S",
        "retries": 0,
        "dry_run": False,
        "signal": None,
    }
    assert (action.effect, action.kind, action.attempts) == (Effect.DESTRUCTIVE, ActionClass.OPAQUE, 1)
    assert action.timeout == timedelta(seconds=30)
    assert action.undo is None
    assert (plan.runbook, plan.target, plan.summary) == ("host", "web-1", "Helps a host.")
    assert plan.runbook_digest == parse(RIGHT).digest
    assert [step.id for step in plan.verify] == ["it_is_up"]
    assert plan.verify[0].within == timedelta(minutes=5)
    assert [step.arguments for step in plan.otherwise] == [{"to": "sre", "text": "look", "fields": {}}]


def test_is_the_same_plan_for_the_same_facts():
    """What was approved can be recognised."""
    assert plan_of().digest == plan_of().digest
    assert plan_of().digest != plan_of(target="web-2").digest


def test_gives_a_parameter_that_is_no_text_the_value_itself():
    """`{{ }}` alone is a number where a number is wanted; durations are written as everywhere."""
    action = plan_of(
        RESTART,
        'uses: ssh.run\n    with: {host: a, argv: ["{{ 1 }}"], retries: "{{ labels.tries }}", wait: "{{ 3 }}m",'
        ' dry_run: "{{ checks.it_is_down.result.value == 0 }}", signal: "{{ labels.signal }}"}',
        labels={"tries": "3", "signal": "hangup"},
    ).actions[0]

    assert action.arguments == {
        "host": "a",
        "argv": ["1"],
        "wait": "PT3M",
        "retries": 3,
        "dry_run": True,
        "signal": "hangup",
    }


def test_gives_anything_what_the_expression_gives():
    """A parameter of any type takes texts, numbers and lists as they are."""
    action = plan_of(
        RESTART,
        "uses: window.set\n    with: {begin: 1, end: 2, words: ['{{ target }}'],"
        ' body: {list: "{{ [1, target] }}", number: "{{ 1.5 }}", text: "a {{ 1 }}", whole: "{{ target }}"}}',
    ).actions[0]

    assert action.arguments["body"] == {"list": [1, "web-1"], "number": 1.5, "text": "a 1", "whole": "web-1"}
    assert action.arguments["words"] == ["web-1"]


@pytest.mark.parametrize(
    ("parameters", "labels", "said"),
    [
        (
            "host: a, argv: [reboot], retries: '{{ labels.tries }}'",
            {"tries": "many"},
            "the parameter `retries` of ssh.run is wrong: input should be a valid integer, unable to parse string as an integer",
        ),
        (
            "host: a, argv: [reboot], retries: '{{ [1, 2] }}'",
            {},
            "a list or mapping cannot come from one template",
        ),
        (
            "host: a, argv: ['{{ labels.tries }}']",
            {"tries": "-rf"},
            "the argument would be the option `-rf`",
        ),
        (
            "host: '{{ labels.tries }}', argv: [reboot]",
            {"tries": "two words"},
            "the parameter `host` of ssh.run is wrong: a host is one word",
        ),
        (
            "host: a, argv: [reboot], wait: '{{ labels.tries }}'",
            {"tries": "soon"},
            "the parameter `wait` of ssh.run is wrong: input should be a valid timedelta, invalid digit in duration",
        ),
        (
            "host: a, argv: [reboot, '{{ labels.tries }}']",
            {"tries": "x" * 5_000},
            "the parameter `argv[1]` of ssh.run is wrong: string should have at most 4096 characters",
        ),
        (
            "host: a, argv: [reboot, '{{ labels.tries }}']",
            {"tries": "x" * 70_000},
            "a rendered text has 70000 bytes",
        ),
        (
            "host: a, argv: [reboot], signal: '{{ labels.tries }}'",
            {"tries": "x" * 70_000},
            "a rendered text has 70000 bytes",
        ),
    ],
)
def test_refuses_parameters_that_the_action_would_not_accept(parameters, labels, said):
    """The rendered values are validated, and the error names the step and never repeats a value at length."""
    with pytest.raises(RenderError) as caught:
        plan_of(RESTART, f"uses: ssh.run\n    with: {{{parameters}}}", labels=labels)

    assert caught.value.problem == f"step `Restart it`: {said}"
    assert (caught.value.file, caught.value.line, caught.value.column) == ("host.yaml", 15, 5)
    assert len(str(caught.value)) < 500


def test_refuses_an_action_that_is_gone():
    """A package that was removed is found before anything is done."""
    less = {name: each for name, each in VOCABULARY.items() if name != "ssh.run"}

    with pytest.raises(RenderError, match=r"there is no action `ssh\.run` any more"):
        render_plan(parse(RIGHT), facts(), less)


@pytest.mark.parametrize(
    ("change", "labels", "terms"),
    [
        pytest.param(
            ("", ""), {}, GateTerms(approvers=("sre",), need=1, within=timedelta(minutes=15)), id="gated"
        ),
        pytest.param(STANDING_ORDERS, {}, None, id="standing orders"),
        pytest.param(
            GATE_IF, {}, GateTerms(approvers=("sre",), need=1, within=timedelta(minutes=5)), id="the if holds"
        ),
        pytest.param(GATE_IF, {"env": "dev"}, None, id="the if does not hold"),
        pytest.param(
            (GATE_IF[0], GATE_IF[1].replace("automatic", "observe")),
            {"env": "dev"},
            GateTerms(approvers=("sre",), need=1, within=timedelta(minutes=5)),
            id="without standing orders people are asked whatever the if says",
        ),
    ],
)
def test_asks_people_unless_standing_orders_allow_not_to(change, labels, terms):
    """No gate means that the author said so, for alerts like this one."""
    assert plan_of(*change, labels=labels).gate == terms


def test_stops_where_the_gate_cannot_tell():
    """A gate whose `if` cannot be evaluated is not taken for closed or open."""
    runbook = parse(changed(*GATE_IF))
    alert = facts().model_copy(update={"labels": {"instance": "web-1"}})

    with pytest.raises(RenderError) as caught:
        render_plan(runbook, alert, VOCABULARY)

    assert str(caught.value).startswith(
        "host.yaml:14:1: `gate`: `labels.env == 'prod'` could not be evaluated"
    )


UNDO = "undo: {uses: chat.tell, with: {to: '{{ labels.env }}'}, if: labels.env == 'prod'}"


def test_renders_what_takes_an_action_back():
    """The undo is part of the plan, with an id of its own."""
    undo = plan_of("undo: none", UNDO).actions[0].undo

    assert undo is not None
    assert (undo.id, undo.name, undo.uses) == ("restart_it_undo", "Undo: Restart it", "chat.tell")
    assert undo.arguments["to"] == "prod"
    assert plan_of("undo: none", UNDO, labels={"env": "dev"}).actions[0].undo is None


@pytest.mark.parametrize(("name", "word"), [("name: Restart it", "do"), ("name: It is up", "verify")])
def test_refuses_a_plan_without_an_action_or_a_verification(name, word):
    """A plan that does nothing cannot be approved, and one that nothing verifies cannot be trusted."""
    with pytest.raises(RenderError) as caught:
        plan_of(name, f"{name}\n    if: labels.env == 'dev'")

    assert caught.value.problem == f"every step of `{word}` is left out by its `if`"


def test_plans_without_the_otherwise_that_is_left_out():
    """`otherwise` may be empty."""
    assert plan_of("name: Tell people", "name: Tell people\n    if: labels.env == 'dev'").otherwise == ()


def test_uses_what_the_checks_measured():
    """The plan may depend on measurements, and stops where one is missing."""
    change = ("with: {to: sre}", "with: {to: sre, text: 'was {{ checks.it_is_down.result.value }}'}")

    assert plan_of(*change).otherwise[0].arguments["text"] == "was 0.0"
    with pytest.raises(RenderError, match="what was checked has no `it_is_down`"):
        plan_of(*change, checks={})
    with pytest.raises(RenderError, match="the result of `it_is_down` has no `value`"):
        plan_of(*change, checks={"it_is_down": {}})


def test_never_renders_a_value_again():
    """A label that looks like a template is shown as it is, in every place."""
    evil = "{{ 7*7 }}{% for a in labels %}"
    plan = plan_of(
        RESTART,
        'uses: ssh.run\n    with: {host: a, argv: [echo, "{{ labels.evil }}"]}',
        labels={"evil": evil},
    )

    assert plan.actions[0].arguments["argv"][1] == evil
    assert assess("labels.evil == result.value", {"value": evil}, facts({"evil": evil}))


def test_verifies_with_what_was_measured_before():
    """An expectation after the actions can compare with the check before them."""
    runbook = parse(changed("result.value == 1", "result.value > checks.it_is_down.result.value"))
    check = render_plan(runbook, facts(), VOCABULARY).verify[0]

    assert assess(check.expect, {"value": 1}, facts())
    assert not assess(check.expect, {"value": 0}, facts())


def test_a_get_is_escaped_as_a_path():
    """Each parameter has the escaping of its type, also in a check."""
    get = (
        "uses: http.get\n    with: {endpoint: a, path: '/{{ target }}', headers: {Why: '{{ labels.env }}/x'}}"
    )
    (check,) = render_checks(parse(changed(QUERY, get)), facts(target="a/b"), VOCABULARY)

    assert check.arguments == {"endpoint": "a", "path": "/a%2Fb", "headers": {"Why": "prod/x"}}
