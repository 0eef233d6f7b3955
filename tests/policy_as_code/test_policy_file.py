"""The file of the policy: wrong at the start stops the process, wrong later changes nothing."""

from __future__ import annotations

import os

import pytest
from structlog.testing import capture_logs

from bot.app import Parts, run_process
from bot.policy.policy import DEFAULT, Policy
from bot.policy.policy_file import PolicyFile
from bot.policy.questions import Verb
from bot.settings import Settings
from runbooks.language.findings import RunbookErrors
from tests.policy_as_code.people import PEOPLE, ask

NOBODY = '@id("nobody-runs")\n@reason("closed")\nforbid (principal, action, resource);\n'
WRONG = "permit (principal action, resource);"


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "policy.cedar"
    made.write_text(DEFAULT)
    return made


def write(file, text):
    """Write the file so that it is seen to have changed, however coarse the clock of the disk is."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(before + 10**9, before + 10**9))


def test_without_a_file_the_default_holds():
    """Nobody has to write a policy to be safe."""
    assert PolicyFile(None).current() == Policy.default()


def test_a_change_is_taken_up_and_told(file):
    """From the next question on, the new rules hold."""
    policies = PolicyFile(file)
    assert policies.current().judge(PEOPLE["bob"], ask(Verb.READ)).allowed
    write(file, NOBODY)

    with capture_logs() as logs:
        assert not policies.current().judge(PEOPLE["bob"], ask(Verb.READ)).allowed

    assert [(line["event"], line["rules"]) for line in logs] == [
        ("another policy is in force", ["nobody-runs"])
    ]


@pytest.mark.parametrize("spoil", ["wrong", "gone", "not text"])
def test_a_policy_that_became_wrong_changes_nothing_and_is_told_once(file, spoil):
    """An edit at 3am neither opens doors nor locks everybody out."""
    policies = PolicyFile(file)
    good = policies.current()
    if spoil == "gone":
        file.unlink()
    elif spoil == "wrong":
        write(file, WRONG)
    else:
        file.write_bytes(b"\xff\xfe")

    with capture_logs() as logs:
        assert policies.current() is good
        assert policies.current() is good
    write(file, NOBODY)

    assert [line["event"] for line in logs] == ["the policy is wrong now; the last good one stays in force"]
    assert str(file) in logs[0]["problem"]
    assert policies.current().rules[0].id == "nobody-runs"


def test_a_policy_that_is_wrong_from_the_start_is_refused(tmp_path):
    """There is no last good one then."""
    with pytest.raises(RunbookErrors, match=r"cannot be read \(No such file"):
        PolicyFile(tmp_path / "policy.cedar").current()


async def test_a_process_does_not_start_with_a_wrong_policy(file, tmp_path):
    """It says where it is wrong, and nothing has been begun."""
    file.write_text(WRONG)
    settings = Settings(data=tmp_path / "data", slack="off", policy=file)

    with pytest.raises(RunbookErrors, match=r"policy\.cedar:1:19: this is not Cedar"):
        await run_process(settings, Parts.ALL)

    assert not (tmp_path / "data" / "ledger.db").exists()
