"""The example runbook: it reads as it is meant, and becomes the plan that it says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from runbooks.language.document import parse_runbook
from runbooks.language.facts import Facts
from runbooks.language.matching import matches
from runbooks.language.rendering import assess, render_checks, render_plan, render_target
from runbooks.model.action import Declaration, Effect
from runbooks.model.runbook import Autonomy, Matcher, MatchOperator, Place, Trigger
from tests.language.declarations import VOCABULARY, Run, declare
from tests.language.story import RIGHT, changed, parse, problems

FILE = Path(__file__).with_name("host-disk-full.yaml")
TEXT = FILE.read_text(encoding="utf-8")

ALERT = Facts(
    labels={"alertname": "HostDiskFull", "env": "prod", "instance": "web-1:9100", "owner": "<!here>"},
    annotations={"summary": 'the disk is "full"'},
)
MEASURED = {"disk": {"value": 0.93}, "nobody_works_on_the_host": {"status": 404}}


def example():
    return parse_runbook(TEXT, file=FILE.name, vocabulary=VOCABULARY)


def test_reads_as_it_is_meant():
    """Each section stands in the value, with its place where an error could need it."""
    runbook = example()

    assert (runbook.name, runbook.owner, runbook.autonomy) == (
        "host-disk-full",
        "storage",
        Autonomy.AUTOMATIC,
    )
    assert runbook.when == (
        Trigger(
            alert="HostDiskFull",
            matchers=(
                Matcher(label="env", operator=MatchOperator.REGEX, value="prod|staging"),
                Matcher(label="team", operator=MatchOperator.NOT_EQUAL, value="batch"),
            ),
        ),
        Trigger(alert="HostDiskWillFill"),
    )
    assert runbook.limits.cooldown == timedelta(minutes=30)
    assert [check.id for check in runbook.checks] == ["disk", "nobody_works_on_the_host"]
    assert [action.id for action in runbook.actions] == [
        "tell_the_owners",
        "delete_rotated_logs_older_than_7_days",
        "widen_the_window",
    ]
    assert runbook.gate is not None
    assert runbook.gate.within == timedelta(minutes=20)
    assert runbook.verify[0].every == timedelta(seconds=10)
    assert runbook.checks[0].place == Place(line=16, column=5)
    assert runbook.target_place == Place(line=10, column=9)
    assert matches(runbook, ALERT.labels)


def test_becomes_the_plan_that_it_says():
    """From alert to target to checks to plan: what people will see and what will run."""
    runbook = example()
    alert = ALERT.model_copy(update={"target": render_target(runbook, ALERT)})
    checks = render_checks(runbook, alert, VOCABULARY)
    plan = render_plan(runbook, alert.model_copy(update={"checks": MEASURED}), VOCABULARY)

    assert [check.arguments for check in checks] == [
        {"query": 'disk_used_ratio{instance="web-1:9100"}'},
        {
            "endpoint": "inventory",
            "path": "/hosts/web-1%3A9100/maintenance?reason=HostDiskFull",
            "headers": {},
        },
    ]
    assert all(assess(check.expect, MEASURED[check.id], alert) for check in checks)
    assert plan.gate is not None
    assert [action.arguments for action in plan.actions] == [
        {"to": "storage", "text": "web-1:9100 of &lt;!here&gt; is at 93.0 %", "fields": {}},
        {
            "host": "web-1:9100",
            "argv": ["find", "/var/log", "-name", "*.gz", "-mtime", "+7", "-delete"],
            "wait": "PT1M30S",
            "retries": 0,
            "dry_run": False,
            "signal": None,
        },
        {"begin": 1, "end": 9, "level": "low", "body": None, "words": ""},
    ]
    assert plan.actions[2].undo is not None
    assert plan.actions[2].undo.arguments["end"] == 5
    assert plan.otherwise[0].arguments == {
        "to": "sre-oncall",
        "text": 'web-1:9100 is still full: the disk is "full"',
        "fields": {"Instance": "web-1:9100"},
    }


def test_the_right_runbook_has_no_problems():
    """The tests that change one thing begin with a runbook that is right."""
    assert problems(RIGHT) == []


def test_a_step_without_a_name_is_called_what_its_action_does():
    """A name is for people; where there is none the action's own sentence serves."""
    step = parse(changed("name: Tell people\n    uses", "uses")).otherwise[0]

    assert (step.name, step.id) == ("The action chat.tell", "the_action_chat_tell")


def test_an_id_is_a_word_that_templates_can_use():
    """Whatever the name, `checks.<id>` can be written."""
    assert parse(changed("It is up", "80 % are - up!")).verify[0].id == "step_80_are_up"
    assert len(parse(changed("It is up", "very " * 23)).verify[0].id) <= 59


def test_an_undo_has_room_for_its_name_and_id():
    """What is made from a long name is cut, not refused."""
    long = "name: " + "r" * 120 + f"\n    id: {'r' * 64}"
    text = changed("name: Restart it", long).replace("undo: none", "undo: {uses: chat.tell, with: {to: sre}}")

    undo = parse(text).actions[0].undo

    assert undo is not None
    assert (undo.id, len(undo.name)) == ("r" * 59 + "_undo", 120)


def test_a_gate_may_say_what_is_the_case_anyway():
    """One approval, and stopping when nobody answers, can be written out."""
    for otherwise in ("stop", "[stop]"):
        gate = parse(changed("[sre]", f"[sre], need: 1, otherwise: {otherwise}")).gate
        assert gate is not None
        assert (gate.need, gate.within) == (1, timedelta(minutes=15))


def test_a_runbook_that_only_tells_needs_no_consent_and_no_proof():
    """Where nothing is changed there is nothing to allow, to take back or to verify."""
    text = RIGHT[: RIGHT.index("check:")] + "do:\n  - uses: chat.tell\n    with: {to: sre}\n"

    runbook = parse(text)

    assert (runbook.autonomy, runbook.gate, runbook.checks) == (Autonomy.AUTOMATIC, None, ())


def test_observing_needs_no_gate_where_nothing_is_destroyed():
    """A runbook that only says what it would do may be tried before anybody is named."""
    text = RIGHT.replace("gate: {approvers: [sre]}", "autonomy: observe")
    text = text.replace(
        'uses: ssh.run\n    with: {host: "{{ target }}", argv: [reboot]}',
        "uses: window.set\n    with: {begin: 1, end: 2}",
    )

    assert parse(text).autonomy is Autonomy.OBSERVE


def test_names_the_actions_there_are_or_that_there_is_none():
    """Where nothing could stand the remedy does not pretend."""
    only: dict[str, Declaration] = {"ssh.run": declare("ssh.run", Run, Effect.DESTRUCTIVE)}
    errors = []
    try:
        parse_runbook(RIGHT, file="host.yaml", vocabulary=only)
    except Exception as error:  # noqa: BLE001 - what kind it is stands in the assertion
        errors = str(error).splitlines()

    assert errors[0].endswith("there is no action `prometheus.query`. There is none that could stand here.")
