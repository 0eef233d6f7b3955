"""Every runbook in the documents is one, and every output that they show is what the command prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from activities.actions import Registry
from runbooks.language.document import RunbookErrors, parse_runbook
from tests.cli.terminal import paramedic
from tests.docs.pages import PAGES, Block, blocks, table

PAGE = "docs/writing-a-runbook.md"
VOCABULARY = Registry.installed().vocabulary
WHOLE = [
    block
    for page in PAGES
    for block in blocks(page, "yaml")
    if re.search(r"^runbook:", block.text, re.MULTILINE)
]
PARTS = [
    block
    for block in blocks(PAGE, "yaml")
    if block not in WHOLE  # a part of a runbook: some words of it, in the place of the example's own
]
SESSIONS = blocks(PAGE, "console")


def is_wrong_on_purpose(block: Block) -> bool:
    return Path(block.file).name.startswith("wrong")


def problems(text: str) -> str:
    try:
        parse_runbook(text, file="example.yaml", vocabulary=VOCABULARY)
    except RunbookErrors as errors:
        return str(errors)
    return ""


def words(text: str) -> dict[str, str]:
    """Return the text under each word of a runbook, the word included."""
    return {
        found[1]: found[0] for found in re.finditer(r"^(\w+):.*\n(?:(?:[ \t].*)?\n)*", text, re.MULTILINE)
    }


def test_there_are_examples():
    """The tests below look at something."""
    assert len(WHOLE) >= 2
    assert len(PARTS) >= 3
    assert len(SESSIONS) >= 3


@pytest.mark.parametrize("block", WHOLE, ids=str)
def test_a_runbook_in_the_documents_is_one(block):
    """It can be copied: it parses with the real actions, and one that is wrong on purpose does not."""
    assert bool(problems(block.text)) == is_wrong_on_purpose(block)


@pytest.mark.parametrize("block", PARTS, ids=str)
def test_a_part_of_a_runbook_fits_into_the_example(block):
    """What the page shows of a runbook may stand in the place of the same words of its first example."""
    example = words(next(each for each in WHOLE if each.page == PAGE).text)
    merged = "".join((example | words(block.text)).values())

    assert words(block.text)
    assert problems(merged) == ""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that the page writes."""
    for block in blocks(PAGE, "yaml"):
        if block.file:
            (tmp_path / block.file).parent.mkdir(exist_ok=True)
            (tmp_path / block.file).write_text(block.text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", SESSIONS, ids=str)
def test_an_output_on_the_page_is_what_the_command_prints(block, folder):
    """Nothing is made up; a line of `…` stands for lines that are left out."""
    command, *expected = block.text.splitlines()
    prompt, name, *arguments = shlex.split(command)
    result = paramedic(*arguments, runbooks="runbooks-of-ours")
    printed = "".join(f"{line.rstrip()}\n" for line in result.output.splitlines())
    pattern = "".join("(?:.*\n)*?" if line == "…" else re.escape(f"{line}\n") for line in expected)

    assert (prompt, name) == ("$", "paramedic")
    assert re.fullmatch(pattern, printed), printed


def test_the_table_of_actions_is_that_of_the_installation():
    """Effect, class, parameters and what is measured are as declared."""
    for name, effect, kind, parameters, measured in table(PAGE, "action"):
        declaration = VOCABULARY[name.strip("`")]
        fields = declaration.parameters.model_fields
        shown = [each if field.is_required() else f"[{each}]" for each, field in fields.items()]

        assert (effect, kind) == (declaration.effect, declaration.kind)
        assert parameters == ", ".join(shown)
        assert measured.partition(";")[0] == ", ".join(declaration.samples)

    assert [name.strip("`") for name, *_ in table(PAGE, "action")] == sorted(VOCABULARY)
