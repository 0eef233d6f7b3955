"""What is wrong with a policy: file, line, column, problem, remedy."""

from __future__ import annotations

import pytest

from bot.policy.policy import Policy
from runbooks.language.findings import RunbookErrors

HEAD = '@id("a-rule")\n@reason("because")\n'

MISTAKES = {
    "a comma is missing": (
        HEAD + 'permit (principal, action == Action::"run" resource);',
        (3, 44, "unexpected token `resource`", "right before it"),
    ),
    "a misspelt variable": (
        HEAD + "permit (principle, action, resource);",
        (3, 9, "principle", "Perhaps you mean `principal`"),
    ),
    "a misspelt command": (
        HEAD + 'permit (principal, action == Action::"rnu", resource);',
        (3, 38, 'unrecognized action `Action::"rnu"`', "Perhaps you mean `run`"),
    ),
    "a misspelt attribute": (
        HEAD + "permit (principal, action, resource)\nwhen { principal.gest };",
        (4, 18, "attribute `gest` on entity type `Person` not found", "Perhaps you mean `guest`"),
    ),
    "a misspelt type": (
        HEAD + "permit (principal is Persn, action, resource);",
        (3, 22, "Persn", "Perhaps you mean `Person`"),
    ),
    "an attribute of another thing": (
        HEAD + 'permit (principal, action == Action::"run", resource)\nwhen { resource.scope == "*" };',
        (4, 17, "attribute `scope` on entity type `Runbook` not found", "policy show --schema"),
    ),
    "text where a number would be": (
        HEAD + "permit (principal, action, resource)\nwhen { principal.key == 3 };",
        (1, 1, "not compatible", "policy show --schema"),
    ),
    "the end is missing": (
        HEAD + "permit (principal, action, resource)\nwhen { principal.guest }",
        (4, 24, "the last rule has no end", "`;`"),
    ),
    "an open quotation mark": (
        HEAD + 'permit (principal == Person::"x, action, resource);',
        (3, 30, "not Cedar", "right before it"),
    ),
    "no @id": (
        '@reason("because")\npermit (principal, action, resource);',
        (1, 1, "the rule has no @id", '@id("guests-only-read")'),
    ),
    "no @reason": (
        '@id("a-rule")\npermit (principal, action, resource);',
        (1, 1, "the rule has no @reason", '@reason("guests may only read")'),
    ),
    "an @id that is a sentence": (
        '@id("A rule!")\n@reason("because")\npermit (principal, action, resource);',
        (1, 1, "`A rule!` is no @id", "lower case"),
    ),
    "an @id that is taken": (
        f"{HEAD}permit (principal, action, resource);\n\n{HEAD}permit (principal, action, resource);",
        (5, 1, "the @id `a-rule` is taken", "its own"),
    ),
    "a template": (
        HEAD + "permit (principal == ?principal, action, resource);",
        (1, 1, "a template decides nothing", "instead of ?principal"),
    ),
    "nothing": ("// later\n", (1, 1, "nobody may do anything", "policy show > policy.cedar")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_shown_where_it_is_with_what_would_be_right(mistake):
    """As the runbook language does."""
    text, (line, column, problem, remedy) = MISTAKES[mistake]

    with pytest.raises(RunbookErrors) as caught:
        Policy.parse(text, file="policy.cedar")

    (error,) = caught.value.errors
    assert (error.file, error.line, error.column) == ("policy.cedar", line, column)
    assert problem in error.problem
    assert remedy in error.remedy


def test_all_mistakes_are_told_at_once():
    """Whoever mends a policy does not check once for each."""
    texts = (MISTAKES[name][0] for name in ("a comma is missing", "a misspelt command", "no @reason"))

    with pytest.raises(RunbookErrors) as caught:
        Policy.parse("\n".join(text.replace("a-rule", f"r{n}") for n, text in enumerate(texts)), file="p")

    assert [error.line for error in caught.value.errors] == [3, 6, 7]


def test_semicolons_in_texts_and_comments_end_no_rule():
    """Rules are told apart as the engine does."""
    text = '// one; two\n@id("a")\n@reason("first; then \\"second\\"; // third")\npermit (principal, action, resource); // end;'

    (rule,) = Policy.parse(text, file="policy.cedar").rules

    assert rule.reason == 'first; then "second"; // third'
