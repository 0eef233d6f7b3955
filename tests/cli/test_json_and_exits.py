"""What scripts can rely on: every command has `--json`, complaints are JSON as well, and codes mean one thing."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

import pytest
from typer.main import get_command

from bot.cli import answers, demo
from bot.cli.exits import BY_ERROR, Exit
from bot.cli.main import PLACES, app, load
from bot.requests import Judged
from runbooks.errors import ParamedicError
from tests.cli.installation import WHO, Installation
from tests.cli.terminal import paramedic
from tests.cli.there import Port
from tests.docs.pages import blocks, table

KEEP_RUNNING = {"up", "serve", "worker", "sealer"}
"""They end when they are told to, and log JSON."""


@dataclass(frozen=True)
class Row:
    """What one command is tried with.

    Attributes:
        good: its arguments for what it is there for; `{name}` is one of the installation's names.
        bad: its arguments for something that is wrong.
        code: how it ends then.
        place: whose settings it has, of the installation's places.
        bad_place: the same for what is wrong.
    """

    good: str
    bad: str
    code: Exit = Exit.WRONG
    place: str = "here"
    bad_place: str = ""


PLAN = "disk-full -l instance=web-1 -l env=prod"

ROWS = {
    "status": Row("", "", bad_place="nowhere"),
    "run": Row(PLAN, "disk-ful"),
    "release": Row("kept --reason x", "web-7 --reason x", Exit.NO),
    "approve": Row("R-APPROVE --yes", "R-000000 --yes"),
    "deny": Row("R-DENY --reason x", "R-DENY"),
    "verdict": Row("R-VERDICT happened --reason x", "R-APPROVE happened --reason x", Exit.NO),
    "stop": Row("{stopped} --reason x", "R-000000 --reason x"),
    "freeze": Row("--scope target=x --reason x", "--reason x", Exit.UNREACHABLE, bad_place="nowhere"),
    "thaw": Row("--scope target=frozen --yes", "--scope target=y --yes", Exit.NO),
    "login": Row("--url {url}", "--url {nobody}", Exit.UNREACHABLE, place="laptop"),
    "login who": Row("", "", Exit.REFUSED, bad_place="broken"),
    "login list": Row("", "", bad_place="nowhere"),
    "login revoke": Row("{login} --reason x", "L-000000", Exit.NO),
    "login issue": Row("slack:T1/U1 --for 1h --reason x", "ann --for 1h --reason x"),
    "logout": Row("", "", Exit.NO, place="guests", bad_place="here"),
    "runbook lint": Row("", "{folder}/nowhere"),
    "runbook list": Row("", "", bad_place="nowhere"),
    "runbook show": Row("disk-full", "disk-ful"),
    "runbook plan": Row(f"{PLAN} -r disk.value=0.93", PLAN),
    "runbook schema": Row("", "--bogus"),
    "policy show": Row("", "", bad_place="broken"),
    "policy check": Row("", "--bogus"),
    "policy test": Row("{root}/docs/policy/payments.cedar", ""),
    "policy explain": Row("local:ann freeze", "ann freeze"),
    "actions": Row("", "--bogus"),
    "timeline": Row("R-7F3K2Q", "R-000000"),
    "redact": Row("R-REDACT --reason x", "R-000000 --reason x", Exit.NO),
    "ledger verify": Row("--anchors {folder}/outside", "", place="sealed", bad_place="nowhere"),
    "ledger export": Row("{folder}/export", "{folder}/nowhere/export"),
    "ledger bundle": Row("{old} -o {folder}/bundle", "R-000000 -o {folder}/none", place="sealed"),
    "ledger keys": Row("", "", place="sealed", bad_place="here"),
    "ledger migrate": Row("", "", bad_place="broken"),
    "ledger roles": Row("", "--bogus"),
    "ledger tail": Row("-n 3", "-n 0"),
    "ledger prune": Row(
        "--before 2025-06-01 --export {folder}/old", "--before 2025-06-01 --export {folder}/old2", place="sealed",
        bad_place="here",
    ),
    "sealer rotate": Row("", "", place="sealed", bad_place="here"),
    "sealer begin-anew": Row("--reason x", "--reason x --key {folder}/none", place="lost"),
    "demo": Row("--answer approve", "--answer perhaps"),
    "slack manifest": Row("", "--mode http"),
    "settings": Row("", "", bad_place="broken"),
    "completion": Row("bash", "tcsh"),
}  # fmt: skip


def leaves():
    """Every command that does something, by its words."""
    for name in get_command(app).commands:
        command = load(next(place for place in PLACES if place.name == name))
        children = getattr(command, "commands", {})
        if not children or command.invoke_without_command:
            yield name, command
        for child in children:
            yield f"{name} {child}", children[child]


LEAVES = dict(leaves())


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with Port() as port:
        installation = Installation(tmp_path_factory.mktemp("house"), port)
        yield installation
        installation.close()


@pytest.fixture(autouse=True)
def ann_alone(monkeypatch):
    """It is Ann who types, her answers are judged at once, and a demo breaks nothing: others try those for real."""
    for module in ("here", "reach", "operations", "login"):
        monkeypatch.setattr(f"bot.cli.{module}.who", lambda: WHO)
    monkeypatch.setattr(answers, "judged", lambda *_: Judged(counts=True))
    monkeypatch.setattr(demo, "Demo", Spoken)
    monkeypatch.setattr(demo, "end", end)


class Spoken:
    """A demo that only speaks."""

    def __init__(self, folder, *, answer, console):
        self.console = console

    async def show(self):
        self.console.print("It breaks, and is healed.")
        return True


def end(code):
    raise SystemExit(code)


def run(house, words, arguments, place, *more):
    given = [each.format(**house.names) for each in shlex.split(arguments)]
    return paramedic(*words.split(), *given, *more, **house.places[place])


def test_every_command_has_a_row():
    """A new one is tried as well; only those that keep running are not."""
    assert set(ROWS) == set(LEAVES) - KEEP_RUNNING


@pytest.mark.parametrize("words", LEAVES)
def test_every_command_has_json(words):
    """But those that keep running."""
    options = {option for each in LEAVES[words].params for option in each.opts}

    assert ("--json" in options) is (words not in KEEP_RUNNING)


@pytest.mark.parametrize("words", ROWS)
def test_json_is_one_document_and_nothing_else(house, words):
    """No colours, no words beside it; what is said for people stands on stderr."""
    row = ROWS[words]

    result = run(house, words, row.good, row.place, "--json")

    assert result.exit_code == Exit.DONE, result.stderr
    assert json.loads(result.stdout) is not None


@pytest.mark.parametrize("words", ROWS)
def test_a_complaint_beside_json_is_json(house, words):
    """One object a line on stderr, with the reason, and nothing that looks like a result on stdout."""
    row = ROWS[words]

    result = run(house, words, row.bad, row.bad_place or row.place, "--json")

    complaints = [json.loads(line) for line in result.stderr.splitlines()]
    assert (result.exit_code, result.stdout) == (row.code, "")
    assert complaints
    assert all(complaint["error"] and complaint["code"] for complaint in complaints)


@pytest.mark.parametrize("words", ROWS)
def test_a_complaint_to_people_is_a_sentence(house, words):
    """The same code, nothing on stdout, no traceback, no frame: a line that says what would be right."""
    row = ROWS[words]

    result = run(house, words, row.bad, row.bad_place or row.place)

    assert (result.exit_code, result.stdout) == (row.code, "")
    assert 1 <= len(result.stderr.splitlines()) <= 2
    assert not any(sign in result.stderr for sign in ("Traceback", "╭", "[error", "[warning"))


def test_without_json_the_next_command_complains_in_words(house):
    """How one command was asked to speak says nothing of another."""
    run(house, "logout", "", "here", "--json")

    assert run(house, "logout", "", "here").stderr == "Nobody is logged in here.\n"


def test_the_page_has_every_exit_code_in_its_own_words():
    """docs/cli.md is what scripts are written from."""
    rows = [(int(code), name, means) for code, name, means in table("docs/cli.md", "exit code")]

    assert rows == [(each.value, each.name.lower(), each.meaning) for each in Exit]


def test_the_page_shows_all_that_is_told_of_an_answer(house):
    """Scripts pick from it."""
    (shown,) = blocks("docs/cli.md", "json")

    told = json.loads(run(house, "approve", ROWS["approve"].good, "here", "--json").stdout)

    assert list(json.loads(shown.text)) == list(told)


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

    result = run(house, "freeze", "--scope target=z --reason x", "here")

    assert "FROZEN: the target z." in result.stdout
    assert "\x1b[3" not in result.stdout
