"""The command as a whole: it starts at once, and says clearly what is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bot.cli.main import PLACES, load
from tests.cli.terminal import paramedic

HEAVY = ("sqlalchemy", "temporalio", "slack_bolt", "slack_sdk", "starlette", "uvicorn", "asyncssh", "httpx")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_every_command_in_the_table_is_where_the_table_says(place):
    """The table of `--help` has the names and the words of the real commands."""
    command = load(place)

    assert command.name in {place.name, ""}  # a set of commands has the name of its place
    assert (command.help or "").startswith(place.summary.removesuffix("."))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_every_command_that_takes_something_has_an_example(place):
    """Nobody has to guess how a command is called."""
    command = load(place)
    commands = getattr(command, "commands", {place.name: command})

    for name, each in commands.items():
        path = [place.name] if each is command else [place.name, name]
        takes_something = [each for each in each.params if each.name != "help"]
        assert not takes_something or f"Example: paramedic {' '.join(path)}" in (each.help or "").replace(
            "\n", " "
        ), name


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_help_reads_well_on_a_terminal_of_80_columns(place):
    """An example is one line, to be copied; no type of Python's stands there, and no bracket twice."""
    command = load(place)
    for name, each in {"": command, **getattr(command, "commands", {})}.items():
        shown = paramedic(place.name, *filter(None, [name]), "--help", environment={"COLUMNS": "80"}).stdout
        lines = [line.strip() for line in shown.splitlines()]

        examples = [part for part in (each.help or "").split("\n\n") if part.startswith("Example: ")]
        assert [example for example in examples if example not in lines] == []
        assert not any(sign in shown for sign in ("<list", "<bool", "<Verb", "[["))


def test_help_lists_every_command():
    """`paramedic --help` names all commands with one line each."""
    result = paramedic("--help")

    assert result.exit_code == 0
    for place in PLACES:
        assert place.name in result.output
        assert place.summary.split(":")[0] in result.output


def test_a_misspelt_command_is_met_with_the_right_one():
    """Wrong usage ends with code 2 and a suggestion on stderr."""
    result = paramedic("statsu")

    assert result.exit_code == 2
    assert "Did you mean 'status'?" in result.stderr


def test_a_misspelt_setting_is_named_without_a_traceback():
    """A wrong setting is one sentence on stderr, and code 2."""
    result = paramedic("settings", dtaa="x")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "PARAMEDIC_DTAA: there is no such setting; did you mean PARAMEDIC_DATA?\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "also", "needed"),
    [
        (["--help"], {"pydantic", "structlog"}, set()),
        (["settings"], set(), set()),
        (["runbook", "schema"], set(), {"httpx"}),
    ],
    ids=["help", "settings", "runbook schema"],
)
def test_what_needs_no_outside_system_imports_none(arguments, also, needed):
    """Help starts at once: no database, Temporal, Slack or web server is imported for it."""
    unwanted = {*HEAVY, *also} - needed
    program = (
        "import sys\nfrom bot.cli.main import app\n"
        f"try: app({arguments!r})\nexcept SystemExit: pass\n"
        f"heavy = {unwanted!r} & set(sys.modules)\nsys.exit(f'imported: {{heavy}}' if heavy else 0)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "code"), [(["settings"], 0), (["runbook", "show", "none"], 2)])
def test_the_process_ends_with_the_commands_exit_code(arguments, code):
    """The quick way out keeps the exit code and everything that was printed."""
    program = f"import sys; from bot.cli.main import main; sys.argv[1:] = {arguments}; main()"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == code
    assert (done.stdout if code == 0 else done.stderr).strip()
