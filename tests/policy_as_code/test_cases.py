"""Tables of cases beside a policy, and the command that asks them."""

from __future__ import annotations

import json

import pytest

from bot.policy.cases import parse_cases, run_case
from bot.policy.policy import Policy
from runbooks.language.findings import RunbookErrors
from tests.cli.terminal import paramedic
from tests.docs.pages import ROOT
from tests.policy_as_code.people import RUNBOOKS

EXAMPLE = ROOT / "docs" / "policy" / "payments.cedar"
BOB_APPROVES = "people: {bob: {}}\ncases:\n  - {who: bob, what: approve, where: disk-full, expect: allow}\n"


def test_the_example_passes_and_fails_once_its_policy_is_weaker(tmp_path):
    """The shipped table finds what the shipped policy would let through without one of its rules."""
    weaker = EXAMPLE.read_text().replace('unless { principal in Group::"payments-leads" }', "unless { true }")
    file = tmp_path / "weaker.cedar"
    file.write_text(weaker)

    passed = paramedic("policy", "test", EXAMPLE)
    failed = paramedic("policy", "test", file, "--cases", EXAMPLE.with_suffix(".cases.yaml"))

    assert (passed.exit_code, passed.stdout) == (0, "15 cases: all as expected\n")
    assert failed.exit_code == 1
    line, summary = failed.stdout.splitlines()
    assert "alice, approve ledger-stuck: it should be refused: you may approve ledger-stuck" in line
    assert summary == "15 cases: 1 failure"


def test_each_rule_of_the_example_is_needed_by_a_case():
    """Without any one of its rules the table fails: it tests the policy, and not itself."""
    text = EXAMPLE.read_text()
    cases = parse_cases(EXAMPLE.with_suffix(".cases.yaml").read_text(), file="cases", catalog={})
    rules = text.split("\n\n")[1:]
    assert len(rules) == 7

    for rule in rules:
        policy = Policy.parse(text.replace(rule, ""), file="less.cedar")
        assert any(run_case(policy, case).difference for case in cases), rule


def test_a_case_that_passes_for_another_reason_is_found():
    """`because` names the rule that must have decided."""
    text = BOB_APPROVES.replace("expect: allow", "expect: refuse, because: workspace-acts")
    (case,) = parse_cases(text, file="cases.yaml", catalog=RUNBOOKS)

    difference = run_case(Policy.default(), case).difference

    assert difference == "rule workspace-acts should decide, and rule approvers-answer did"


@pytest.mark.parametrize(
    ("wrong", "right", "place", "problem", "remedy"),
    [
        ("who: bob", "who: bod", (3, 11), "`bod` is none of the people", "`bob`"),
        ("what: approve", "what: aprove", (3, 22), "`what` has no `aprove`", "`approve`"),
        ("where: disk-full", "where: disk-ful", (3, 38), "no runbook `disk-ful`", "`disk-full`"),
        ("expect: allow", "expect: yes", (3, 57), "`expect` has no `yes`", "Known: allow, refuse"),
        ("bob: {}", "bob: {gest: true}", (1, 16), "no word `gest`", "`guest`"),
        ("bob: {}", "bob: {guest: 1}", (1, 23), "`guest` is true or false", "one of them"),
        ("where: disk-full", "labels: {env: prod}", (3, 5), "not said what to approve", "Name a runbook"),
        (
            "what: approve, where: disk-full",
            "what: thaw, where: db-1",
            (3, 35),
            "`db-1` is no scope",
            "target=NAME",
        ),
    ],
)
def test_a_mistake_in_the_table_is_shown_where_it_is(wrong, right, place, problem, remedy):
    """Line, column, what is wrong and what would be right."""
    with pytest.raises(RunbookErrors) as caught:
        parse_cases(BOB_APPROVES.replace(wrong, right), file="cases.yaml", catalog=RUNBOOKS)

    (error,) = caught.value.errors
    assert (error.file, error.line, error.column) == ("cases.yaml", *place)
    assert problem in error.problem
    assert remedy in error.remedy


def test_a_table_asks_about_everything_that_a_policy_can_say():
    """Read, release, freezes, the group that lifts them, guests, people at a terminal."""
    text = """
people:
  gus: {guest: true}
  root: {key: "local:root"}
  carol: {groups: [commanders]}
thawers: commanders
cases:
  - {who: gus, what: read, expect: refuse}
  - {who: root, what: release, where: web-1, expect: allow}
  - {who: gus, what: freeze, where: "label:env=prod", expect: refuse}
  - {who: carol, what: thaw, expect: allow, because: thawers-thaw}
"""
    cases = parse_cases(text, file="cases.yaml", catalog={})

    assert [run_case(Policy.default(), case).difference for case in cases] == [""] * 4


def test_a_table_that_is_not_there_is_told():
    """A policy without a table has no tests, and that is no success."""
    result = paramedic("policy", "test", EXAMPLE, "--cases", "nowhere.yaml")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "nowhere.yaml: there is no table of cases" in result.stderr


def test_results_for_programs():
    """With the ruling of each case."""
    results = json.loads(paramedic("policy", "test", EXAMPLE, "--json").stdout)

    assert len(results) == 15
    assert {"who", "what", "expect", "allowed", "rules", "sentence", "difference"} <= set(results[0])
