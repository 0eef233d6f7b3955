"""The main job, end to end: the real process, a real Temporal server, real HTTP, the practice workspace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest

from activities.freeze_file import FILE_NAME
from activities.ledger import records
from activities.ledger.store import Ledger
from bot.slack.card import APPROVE, DENY
from bot.slack.interactions import REASON_BLOCK
from bot.slack.manifest import Mode
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.components import sshd
from tests.e2e.installation import alert, answered, installation, notification, runbook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def test_mends_at_once_where_standing_orders_allow_it(tmp_path):
    """An alert is acted on, verified and on record, without anybody being asked."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend")}) as home:
        response = await home.post(alert(service="web"))
        story = await home.ended()

        assert (response.status_code, response.json()["accepted"]) == (200, 1)
        assert story.ending is Ending.MITIGATED
        assert home.sink.mended == {"web": 1}
        await home.verify()
        assert await home.stop() == 0


async def test_asks_then_acts_and_refuses_a_stranger(tmp_path):
    """Who is not in the group is told so, and nothing happens until somebody who is has approved."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend", gate=True)}) as home:
        await home.post(alert(service="web"))
        await home.press(APPROVE, person="mallory")
        refusal = await home.hands.wait_for(lambda sight: sight.ephemerals, 20, "mallory")
        assert "you may not" in json.dumps(refusal)
        assert "sre-oncall" in json.dumps(refusal)  # whom to ask
        assert home.sink.mended == {}

        await home.press(APPROVE, person="alice")
        story = await home.ended()

        assert story.ending is Ending.MITIGATED
        assert [(d.key[-5:], d.accepted) for d in story.gate.decisions] == [("LLORY", False), ("ALICE", True)]
        assert home.sink.mended == {"web": 1}


async def test_does_nothing_when_denied_and_keeps_the_reason(tmp_path):
    """Deny asks for a reason, which stands with the decision, and not in sentences, where it could not be redacted."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend", gate=True)}) as home:
        await home.post(alert(service="web"))
        await home.press(DENY, person="bob")
        modal = await home.hands.wait_for_modal(20, "bob")
        await home.hands.submit(modal, {REASON_BLOCK: "The migration is running."}, "bob")
        story = await home.ended()

        assert story.ending is Ending.DENIED
        assert [each.reason for each in story.gate.decisions] == ["The migration is running."]
        assert "The migration is running." not in story.ending_sentence
        assert home.sink.mended == {}


async def test_tells_people_when_it_did_not_help(tmp_path):
    """Verification that does not hold ends unverified, and `otherwise` calls people in Slack."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend", within="1s")}) as home:
        home.sink.helps = False
        await home.post(alert(service="web"))
        story = await home.ended()

        said = await home.hands.wait_for(
            lambda sight: "Look at web, please." in json.dumps(sight.snapshot), 20
        )
        assert story.ending is Ending.UNVERIFIED
        assert said


async def test_a_hundred_equal_webhooks_are_one_remediation(tmp_path):
    """The same notification, posted a hundred times at once, acts once."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend")}) as home:
        same = alert(service="web", starts="2026-01-01T00:00:00Z")
        responses = await asyncio.gather(*(home.post(same) for _ in range(100)))
        await home.ended()
        again = await home.post(same)

        assert answered(responses) == {200: 100}
        assert len(await home.records(RecordKind.ALERT_RECEIVED)) == 1
        assert again.json()["duplicates"] == 1
        assert len(await home.stories()) == 1
        assert home.sink.mended == {"web": 1}


@pytest.mark.parametrize("mode", get_args(Mode))
async def test_a_gate_survives_kill_9(tmp_path, mode):
    """The bot is killed while people are asked; after it is back the same card's button works, however Slack calls."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend", gate=True)}, slack_mode=mode) as home:
        await home.post(alert(service="web"))
        card = await home.hands.wait_for_button(APPROVE, timeout=30)
        home.kill()
        await home.start()
        await home.hands.wait_for(lambda sight: sight.connected, 20)
        await home.hands.approve(card, timeout=30)
        story = await home.ended()

        assert story.ending is Ending.MITIGATED
        assert home.sink.mended == {"web": 1}
        cards = {button.ts for button in (await home.hands.look()).buttons()} | {card.ts}
        assert cards == {card.ts}
        await home.verify()


async def test_a_webhook_that_was_answered_survives_the_death_of_temporal(tmp_path):
    """Temporal is killed right after the 200; it comes back, and the alert is handled."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend")}) as home:
        for n in range(3):
            dying = home.temporal
            response = await home.post(alert(service=f"web-{n}"))
            dying.kill()
            assert response.status_code == 200
            assert (await home.ended(f"web-{n}")).ending is Ending.MITIGATED

        assert home.sink.mended == {"web-0": 1, "web-1": 1, "web-2": 1}
        await home.verify()


async def test_a_command_runs_once_though_the_worker_dies_in_the_middle(tmp_path):
    """Killed between intent and receipt of `ssh.run`: the command ran once, and the receipt is found."""
    async with sshd(tmp_path / "sshd") as server:
        host = {"address": "127.0.0.1", "port": server.port, "user": server.user, "host_key": server.host_key,
                "private_key": f"file:{server.private_key}", "state_directory": str(tmp_path / "state")}  # fmt: skip
        effects, goes_on = tmp_path / "effects", tmp_path / "goes on"
        waits = f"for each in `seq 600`; do test -e '{goes_on}' && break; sleep 0.1; done"
        action = f"""uses: ssh.run
    with: {{host: web, argv: [sh, -c, "{waits}; echo ran >> {effects}; echo done"]}}"""
        text = runbook("mend", action=action).replace(
            "expect: not result.json.broken", "expect: result.json.broken"
        )
        async with installation(tmp_path / "home", runbooks={"mend": text}, connections={"hosts": {"web": host}}) as home:  # fmt: skip
            await home.post(alert(service="web"))
            await home.recorded(RecordKind.ACTION_INTENT)
            home.kill()
            goes_on.touch()  # and not before: without a worker there is nobody who could write the receipt
            await home.start()
            story = await home.ended(within=90)

            assert effects.read_text() == "ran\n"
            assert story.ending is Ending.MITIGATED
            [done] = story.actions
            assert done.state == "ok"
            kinds = [
                str(r.kind)
                for r in await home.records(stream=story.remediation)
                if r.kind.startswith("action")
            ]
            assert kinds == ["action.intent", "action.unknown", "action.intent", "action.receipt"]
            await home.verify()


async def test_alerts_are_answered_and_kept_while_temporal_is_stopped(tmp_path):
    """Temporal stands still for a minute under alerts: every one is answered 200, and handled after."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend")}) as home:
        temporal = home.temporal
        temporal.suspend()
        stopped = time.monotonic()
        slowest, sent = 0.0, 0
        while time.monotonic() - stopped < 60:
            begun = time.monotonic()
            response = await home.post(alert(service=f"web-{sent}"))
            slowest = max(slowest, time.monotonic() - begun)
            assert response.status_code == 200
            sent += 1
            await asyncio.sleep(2)
        temporal.resume()

        await home.recorded(RecordKind.ENDING, number=sent, within=90)
        assert home.sink.mended == {f"web-{n}": 1 for n in range(sent)}
        assert slowest < 5
        assert {story.ending for story in await home.stories()} == {Ending.MITIGATED}


async def test_answers_503_while_the_inbox_cannot_be_written(tmp_path):
    """Nothing is acknowledged that is not durable: a locked ledger means 503 in time, and 200 after."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend")}) as home:
        lock = subprocess.Popen(  # noqa: ASYNC220 - starting it takes a millisecond
            [sys.executable, "-c", _HOLD_THE_LOCK, str(tmp_path / "data" / "ledger.db")],
            stdout=subprocess.PIPE,
        )
        assert lock.stdout is not None
        await asyncio.to_thread(lock.stdout.readline)
        begun = time.monotonic()
        response = await home.post(alert(service="web"))
        took = time.monotonic() - begun
        lock.kill()
        lock.wait()
        lock.stdout.close()

        assert response.status_code == 503
        assert took < 5.5
        assert (await home.post(alert(service="web"))).status_code == 200
        assert (await home.ended()).ending is Ending.MITIGATED


_HOLD_THE_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
print("held", flush=True)
time.sleep(60)
"""

HOSTILE = [
    "; rm -rf / #$(reboot)`id`",
    "{{ 7*7 }}{% for x in range(9**9) %}x{% endfor %}",
    'a"} or vector(1) #',
    "<!channel> <@U0ALICE> <http://evil|click>",
    "\ud800 lone \udfff",
    "x" * 1_000_000,
    "../../admin?x=1#y",
    "a\x00b\x1b[31m\u202e\r\n",
]


async def test_hostile_labels_stay_data(tmp_path):
    """Metacharacters, templates, PromQL quotes, mentions, surrogates, a megabyte: nothing runs, all is on record."""
    text = runbook("mend", gate=True).replace("Mend it.", "Mend it, whatever its name is.")
    async with installation(tmp_path, runbooks={"mend": text}) as home:
        for n, value in enumerate(HOSTILE):
            body = json.dumps(notification(alert(service=f"web-{n}", note=value)))
            response = await home.client.post("/alerts/alertmanager", content=body)
            assert response.status_code == 200, (n, response.text)
            body = json.dumps(notification(alert(service=value)))
            assert (await home.client.post("/alerts/alertmanager", content=body)).status_code == 200

        received = await home.recorded(RecordKind.ALERT_RECEIVED, number=2 * len(HOSTILE))
        await home.recorded(RecordKind.GATE_ASKED, number=len(HOSTILE), within=60)
        sight = await home.hands.wait_for(
            lambda sight: sight if len(sight.buttons()) >= 2 * len(HOSTILE) else None, 60
        )
        shown = "\n".join(markup_of(sight.messages("#incidents")))
        assert len(received) == 2 * len(HOSTILE)
        assert "49" not in {record.object for record in received}
        assert "&lt;!channel&gt;" in shown
        assert "<!channel>" not in shown
        assert "<http://evil" not in shown
        assert home.sink.mended == {}
        asked = {r.stream for r in await home.records(RecordKind.GATE_ASKED)}
        ended = {r.stream for r in await home.records(RecordKind.ENDING)}
        explained = await home.records(RecordKind.ALERT_EXPLAINED)
        assert len(asked | ended) + len(explained) == 2 * len(HOSTILE)
        await home.verify()


def markup_of(value):
    """Return every text that Slack reads as markup: message texts and mrkdwn objects, not plain_text."""
    if isinstance(value, list):
        return [text for item in value for text in markup_of(item)]
    if not isinstance(value, dict):
        return []
    if value.get("type") == "plain_text":
        return []
    own = [value["text"]] if isinstance(value.get("text"), str) else []
    return own + [text for item in value.values() for text in markup_of(item)]


async def test_a_wrong_runbook_is_refused_and_the_others_work(tmp_path):
    """A file that is wrong is reported with its place, at load, and takes nothing else down."""
    wrong = runbook("wrong").replace("target:", "tarjet:")
    async with installation(tmp_path, runbooks={"mend": runbook("mend"), "wrong": wrong}) as home:
        await home.post(alert(service="web"))

        assert (await home.ended()).ending is Ending.MITIGATED
        [catalog] = await home.records(RecordKind.CATALOG)
        assert 6 in [problem["line"] for problem in catalog.data["refused"]]
        assert "wrong.yaml:6" in home.log()


async def test_the_freeze_file_withholds(tmp_path):
    """`touch FREEZE` stops new remediations, and says so."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend")}) as home:
        (tmp_path / "data" / FILE_NAME).touch()
        await home.post(alert(service="web"))
        story = await home.ended()

        assert (story.ending, story.ending_reason) == (Ending.WITHHELD, "frozen")
        assert home.sink.mended == {}


async def test_freezes_and_thaws_from_slack(tmp_path):
    """`/runbook freeze` reaches what is asked for after it, `/runbook thaw` lifts it."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend")}) as home:
        await home.hands.wait_for(lambda sight: sight.connected, 20)
        await home.hands.command("/runbook", "freeze careful, please", "alice")
        await home.recorded(RecordKind.FREEZE)
        await home.post(alert(service="web"))
        assert (await home.ended()).ending_reason == "frozen"

        await home.hands.command("/runbook", "thaw", "alice")
        await home.recorded(RecordKind.THAW)
        await home.post(alert(service="web"))
        assert (await home.ended(number=2)).ending is Ending.MITIGATED


async def test_runs_a_runbook_by_hand_and_the_asker_cannot_approve(tmp_path):
    """`/runbook run` goes the same way as an alert, and who asked may not approve it."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend", gate=True)}) as home:
        await home.hands.wait_for(lambda sight: sight.connected, 20)
        await home.hands.command("/runbook", "run mend service=web", "alice")
        await home.press(APPROVE, person="alice")
        refusal = await home.hands.wait_for(
            lambda sight: [e for e in sight.ephemerals if "yourself" in json.dumps(e)], 20
        )
        await home.press(APPROVE, person="bob")

        assert refusal
        assert (await home.ended()).ending is Ending.MITIGATED


async def test_refuses_to_serve_without_slack_and_names_the_demo(tmp_path):
    """There is no silent fallback to a chat that is none."""
    answer = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "bot", "up"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip

    assert answer.returncode == 2
    assert "make demo" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("part", "said", "complaint"),
    [
        ("worker", {}, "PARAMEDIC_SLACK_BOT_TOKEN"),
        ("worker", {"PARAMEDIC_SLACK": "off"}, "PARAMEDIC_TEMPORAL_ADDRESS"),
        ("serve", {"PARAMEDIC_SLACK": "off"}, "PARAMEDIC_TEMPORAL_ADDRESS"),
    ],
)
async def test_what_is_missing_is_said_before_anything_is_created(tmp_path, part, said, complaint):
    """A worker without Slack could call nobody; and a refused process leaves no data folder behind."""
    answer = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "bot", part], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **said},
    )  # fmt: skip

    assert answer.returncode == 2
    assert complaint in answer.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_process_writes_its_start_and_its_orderly_stop_and_says_that_no_runbook_is_in_force(tmp_path):
    """An auditor sees when it ran; a newcomer sees why nothing happens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "up", cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PARAMEDIC_SLACK": "off",
            "PARAMEDIC_HTTP_PORT": "0", "PARAMEDIC_TEMPORAL_PORT": "0",
        },
    )  # fmt: skip
    told = b""
    try:
        async with asyncio.timeout(60):
            while b"alerts are taken" not in told:
                told += await process.stderr.read(4096)
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0
    assert b"no runbook is in force" in told
    assert str(tmp_path / "runbooks").encode() in told
    ledger = Ledger.open(f"sqlite:///{tmp_path / '.paramedic' / 'ledger.db'}", create=False)
    written = ledger.read_now(lambda c: records.after(c, -1, 99, {RecordKind.PROCESS}))
    ledger.close()
    assert [record.data["what"] for record in written] == ["started", "stopped"]
    assert {record.data["pid"] for record in written} == {process.pid}
    assert written[0].data["parts"] == ["temporal", "web", "worker"]


async def test_a_second_bot_on_the_same_folder_is_refused(tmp_path):
    """Two processes on one ledger and one Temporal database would both act."""
    async with installation(tmp_path, runbooks={"mend": runbook("mend")}) as home:
        answer = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "bot", "up"], cwd=tmp_path, capture_output=True, text=True,
            check=False, env=home.environment | {"PARAMEDIC_HTTP_PORT": "0", "PARAMEDIC_TEMPORAL_PORT": "0"},
        )  # fmt: skip

        assert answer.returncode == 2
        assert "already" in answer.stderr


@pytest.mark.parametrize("answer", ["approve", "deny"])
async def test_the_demo_shows_what_it_claims(tmp_path, answer):
    """`make demo ANSWER=…` ends with 0 only if the patient is healthy again, or was left alone as told."""
    demo = subprocess.Popen(  # noqa: ASYNC220 - starting it takes a millisecond
        [sys.executable, "-m", "bot", "demo", "--answer", answer, "--folder", str(tmp_path / "demo")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        told = (await asyncio.to_thread(demo.communicate, timeout=200))[0]
    finally:
        if demo.poll() is None:
            demo.send_signal(signal.SIGINT)
            demo.wait(30)

    assert demo.returncode == 0, told
    assert "ledger        verify: ok" in told
