"""What scripts can rely on: every command has `--json`, complaints are JSON as well, and codes mean one thing."""

from __future__ import annotations

import asyncio
import json

import pytest

from bot.cli.exits import BY_ERROR, Exit
from bot.cli.main import PLACES, load
from runbooks.errors import ParamedicError
from tests.cli.terminal import paramedic
from tests.cli.test_runbook_command import GOOD
from tests.docs.pages import table
from tests.ledgers import new_ledger
from tests.records import a_good_night
from tests.waiting import as_entry

KEEP_RUNNING = {("up",), ("serve",), ("worker",), ("sealer",)}
"""They end when they are told to, and log JSON."""

ASK = ("-l", "instance=web-1", "-l", "env=prod")

PRINTS = {
    ("status",): (),
    ("run",): ("disk-full", *ASK),
    ("freeze",): ("--reason", "x"),
    ("login", "who"): (),
    ("login", "list"): (),
    ("login", "issue"): ("slack:T1/U1", "--for", "1h", "--reason", "x"),
    ("runbook", "lint"): (),
    ("runbook", "list"): (),
    ("runbook", "show"): ("disk-full",),
    ("runbook", "plan"): ("disk-full", *ASK, "-r", "disk.value=0.93"),
    ("runbook", "schema"): (),
    ("policy", "show"): (),
    ("policy", "check"): (),
    ("policy", "explain"): ("local:ann", "freeze"),
    ("actions",): (),
    ("timeline",): ("R-7F3K2Q",),
    ("ledger", "verify"): (),
    ("ledger", "export"): ("{data}/export",),
    ("ledger", "migrate"): (),
    ("ledger", "roles"): (),
    ("ledger", "tail"): (),
    ("slack", "manifest"): (),
    ("settings",): (),
    ("completion",): ("bash",),
}
"""What needs nothing but a ledger and a runbook, with the arguments that it takes."""


def leaves():
    """Every command that does something, by its words."""
    for place in PLACES:
        command = load(place)
        children = getattr(command, "commands", {})
        if not children or command.invoke_without_command:
            yield (place.name,), command
        for name, child in children.items():
            yield (place.name, name), child


LEAVES = dict(leaves())


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The settings of an installation with one runbook and one good night."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "catalog").mkdir()
    (folder / "catalog" / "disk-full.yaml").write_text(GOOD)
    ledger = new_ledger(folder / "ledger.db")
    asyncio.run(ledger.append(*map(as_entry, a_good_night().records)))
    ledger.close()
    return {"data": folder, "runbooks": folder / "catalog"}


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_has_json(words):
    """But those that keep running."""
    options = {option for each in LEAVES[words].params for option in each.opts}

    assert ("--json" in options) is (words not in KEEP_RUNNING)


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_json_is_one_document_and_nothing_else(house, words):
    """No colours, no words beside it; what is said for people stands on stderr."""
    arguments = [each.format(data=house["data"]) for each in PRINTS[words]]

    result = paramedic(*words, *arguments, "--json", **house)

    json.loads(result.stdout)
    assert result.exit_code in {Exit.DONE, Exit.NO}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("timeline", "R-000000", "--json"), Exit.WRONG),
        (("thaw", "--yes", "--scope", "target=x", "--json"), Exit.NO),
        (("run", "disk-ful", "--json"), Exit.WRONG),
        (("logout", "--json"), Exit.NO),
        (("deny", "R-000000", "--reason", "x", "--json"), Exit.WRONG),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else "",
)
def test_a_complaint_beside_json_is_json(house, arguments, code):
    """One object a line on stderr, and nothing that looks like a result on stdout."""
    result = paramedic(*arguments, **house)

    complaints = [json.loads(line) for line in result.stderr.splitlines()]
    assert (result.exit_code, result.stdout) == (code, "")
    assert all(complaint["error"] for complaint in complaints)
    assert complaints


def test_without_json_the_next_command_complains_in_words(house):
    """How one command was asked to speak says nothing of another."""
    paramedic("logout", "--json", **house)

    assert paramedic("logout", **house).stderr == "Nobody is logged in here.\n"


def test_the_page_has_every_exit_code_in_its_own_words():
    """docs/cli.md is what scripts are written from."""
    rows = [(int(code), name, means) for code, name, means in table("docs/cli.md", "exit code")]

    assert rows == [(each.value, each.name.lower(), each.meaning) for each in Exit]


def test_every_error_with_a_code_of_its_own_is_one_that_there_is():
    """A renamed error would silently end with another code."""

    def codes(kind):
        return {kind.code}.union(*map(codes, kind.__subclasses__()))

    assert set(BY_ERROR) <= codes(ParamedicError)


@pytest.mark.parametrize("variable", ["NO_COLOR", None])
def test_there_are_colours_on_a_terminal_only(house, variable, monkeypatch):
    """A file and a pipe get none; neither does a person who wants none."""
    if variable:
        monkeypatch.setenv(variable, "1")
        monkeypatch.setenv("FORCE_COLOR", "1")

    result = paramedic("freeze", "--reason", "x", **house)

    assert "FROZEN: everything." in result.stdout
    assert "\x1b[3" not in result.stdout
