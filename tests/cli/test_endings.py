"""How a command ends when somebody stops it, nobody reads it, or the machine does not let it go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from activities.freeze_file import FILE_NAME
from bot.cli import reach
from bot.cli.exits import Exit
from tests.cli.terminal import paramedic
from tests.components import leave_out
from tests.ledgers import new_ledger
from tests.records import Telling
from tests.waiting import as_entry

COMMAND = [sys.executable, "-c", "from bot.cli.main import main; main()"]


def start(*arguments, **streams):
    """Start the command as a process of its own, whose output can be waited for."""
    environment = {**os.environ, "PARAMEDIC_DATA": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
    return subprocess.Popen([*COMMAND, *arguments], env=environment, **streams)


@pytest.fixture
def asked(tmp_path):
    """The settings of an installation that asks somebody, and where nobody judges what they say."""
    ledger = new_ledger(tmp_path / "ledger.db")
    records = Telling().admitted().planned().asked().records
    ledger.write_now(lambda t: [t.append(as_entry(each)) for each in records])
    ledger.close()
    return {"data": tmp_path}


def test_who_stops_waiting_is_told_that_the_answer_counts_all_the_same(asked, monkeypatch):
    """Ctrl-C takes nothing back, and nobody should believe that it does."""

    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(reach.time, "sleep", stopped)

    result = paramedic("deny", "R-7F3K2Q", "--reason", "x", **asked)

    assert (result.exit_code, result.stdout) == (Exit.INTERRUPTED, "")
    assert result.stderr == "Nobody waits any more, but your answer is on record: it is not taken back.\n"


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", Exit.DONE), ("Yes\n", Exit.DONE), ("n\n", Exit.NO), ("", Exit.NO)]
)
def test_a_question_is_answered_from_a_pipe_and_nothing_said_is_no(tmp_path, answer, code):
    """`yes | paramedic thaw` works, and a job without stdin does not hang, or do what nobody said."""
    new_ledger(tmp_path / "ledger.db").close()
    paramedic("freeze", "--reason", "x", data=tmp_path)

    result = paramedic("thaw", stdin=answer, data=tmp_path)

    assert result.exit_code == code
    assert result.stderr.startswith("Let everything act again? [y/N]: \n")
    assert (tmp_path / FILE_NAME).exists() is (code is Exit.NO)


def test_beside_json_a_question_is_not_shown_where_nobody_sees_it(tmp_path):
    """A program that reads stderr finds JSON there, and what it may say."""
    result = paramedic("thaw", "--json", stdin="", data=tmp_path)

    assert (result.exit_code, result.stdout) == (Exit.NO, "")
    assert result.stderr.startswith(
        '{"error": "Nobody said yes, so nothing was done. Where nobody can be asked: --yes"'
    )


@pytest.mark.slow
def test_ctrl_c_ends_with_its_code_and_without_a_traceback():
    """At a question, for instance."""
    process = start("thaw", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        begun = process.stderr.read(len("Let everything"))
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()

    assert (begun, process.returncode) == (b"Let everything", Exit.INTERRUPTED)
    assert b"Traceback" not in rest


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [("settings",), ("settings", "--json"), ("runbook", "schema")], ids=" ".join
)
def test_a_pipe_that_nobody_reads_is_no_mistake(arguments):
    """`| head -1` is not answered with a traceback, and the code is nobody's answer."""
    reading, writing = os.pipe()
    os.close(reading)
    with start(*arguments, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        complaint = process.stderr.read()

    assert (process.returncode, complaint) == (Exit.UNREAD, b"")


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_said_in_one_sentence(monkeypatch, unbuffered):
    """Whoever writes a report into a file must not take half of it for the whole, whenever it is written."""
    if not Path("/dev/full").exists():
        leave_out("this system has no /dev/full")
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "wb") as full, start("settings", stdout=full, stderr=subprocess.PIPE) as process:  # noqa: PTH123
        complaint = process.stderr.read().decode()

    assert process.returncode == Exit.WRONG
    assert complaint == "this machine does not let Paramedic go on: [Errno 28] No space left on device\n"


@pytest.mark.slow
def test_without_stdout_the_command_is_carried_out():
    """Some service managers close it."""
    with subprocess.Popen(["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "settings"]) as process:
        assert process.wait(timeout=60) == Exit.DONE


@pytest.mark.slow
def test_a_mistake_of_our_own_has_a_code_that_is_no_answer():
    """A script that asks "is it good?" must not take a crash for a no."""
    broken = "import bot.cli.main as it\nit.app = lambda **_: 1 / 0\nit.main()"

    done = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (Exit.BROKEN, "")
    assert "ZeroDivisionError" in done.stderr
