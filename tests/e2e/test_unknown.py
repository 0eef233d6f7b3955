"""Unknown outcomes, end to end: a worker dies in the middle of an opaque action; Temporal loses its database."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest

from bot.slack.card import AGAIN, APPROVE, HAPPENED
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.components import sshd
from tests.e2e.installation import alert, installation, runbook
from tests.e2e.opaque import install_opaque

FROZEN = 15.0  # seconds; a worker is given up after 10 without a heartbeat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package with the opaque action is installed."""
    monkeypatch.setenv("PYTHONPATH", str(install_opaque(tmp_path / "package")))


def opaque_runbook(name: str = "mend", *, linger: float = 30, **more) -> str:
    action = f'uses: opaque.mend\n    with: {{url: "SINK/mend/{{{{ target }}}}", linger_s: {linger:g}}}'
    return runbook(name, action=action, **more)


async def begin_and_die(home, target: str = "web") -> None:
    """Let the bot die after the effect, before there is a receipt; then it is back."""
    file = home.folder / "runbooks" / "mend.yaml"
    file.write_text(file.read_text().replace("SINK", home.sink.url))
    await home.start()
    await home.post(alert(service=target))
    await home.until(lambda: mended(home, target), 30, "the effect")
    home.kill()
    await home.start()


async def mended(home, target: str) -> bool:
    return bool(home.sink.mended[target])


@pytest.mark.parametrize(("button", "times"), [(HAPPENED, 1), (AGAIN, 2)])
async def test_a_person_says_in_slack_what_became_of_it(tmp_path, package, button, times):
    """The card asks; “it happened” goes on to the verification, “do it again” runs it exactly once more."""
    async with installation(tmp_path / "home", runbooks={"mend": opaque_runbook()}, start=False) as home:
        await begin_and_die(home)
        await home.press(button, person="mallory")
        refusal = await home.hands.wait_for(lambda sight: sight.ephemerals, 30, "mallory")
        await home.press(button, person="alice")
        story = await home.ended(within=90)

        assert "does not count" in json.dumps(refusal)
        assert story.ending is Ending.MITIGATED
        assert home.sink.mended == {"web": times}
        assert len(home.sink.keys) == times
        [question] = story.verdicts
        assert [each.accepted for each in question.decisions] == [False, True]
        await home.verify()


async def test_a_person_says_at_a_terminal_to_stop(tmp_path, package):
    """
    The command goes the same way as a button, in the name of the person who has logged in.

    To stop keeps the target until somebody gives it back.
    """
    async with installation(tmp_path / "home", runbooks={"mend": opaque_runbook()}, start=False) as home:
        await begin_and_die(home)
        [asked] = await home.recorded(RecordKind.GATE_ASKED, within=60)
        assert f"paramedic verdict {asked.stream}" in await home.paramedic("status")

        assert "Logged in as slack:" in await home.log_in("alice")
        said = await home.paramedic("verdict", asked.stream, "stop", "--reason", "I cannot reach it")
        story = await home.ended(within=60)

        assert said == "Your answer counts: stop.\n"
        assert (story.ending, story.ending_reason) == (Ending.FAILED, "verdict_stopped")
        (decision,) = story.verdicts[0].decisions
        (login,) = await home.records(RecordKind.LOGIN_ISSUED)
        assert (decision.key, decision.via) == (login.object, f"cli:{login.data['login']}")
        assert "KEPT: web" in await home.paramedic("status")
        assert "I cannot reach it" in await home.paramedic("timeline", asked.stream)
        await home.verify()


async def test_everything_has_an_explained_ending_though_temporal_lost_its_database(tmp_path, package):
    """What had begun is unknown and its target kept; what had not is fed again; no question stays open."""
    asking = runbook("ask", gate=True, alert="Asking")
    books = {"mend": opaque_runbook(), "ask": asking}
    async with installation(tmp_path / "home", runbooks=books, start=False) as home:
        file = home.folder / "runbooks" / "mend.yaml"
        file.write_text(file.read_text().replace("SINK", home.sink.url))
        await home.start()
        await home.post(alert("Asking", service="asking"))
        await home.recorded(RecordKind.GATE_ASKED)
        await home.post(alert(service="begun"))
        await home.until(lambda: mended(home, "begun"), 30, "the effect")
        home.kill()
        shutil.rmtree(home.folder / "data" / "temporal")
        await home.start()

        begun = await home.ended("begun", within=60)
        asked = await home.ended("asking", within=60)
        gates = await home.recorded(RecordKind.GATE_ASKED, number=2)
        button = await home.hands.wait_for_button(APPROVE, timeout=30, value=gates[-1].data["gate"])
        await home.hands.approve(button, timeout=30)
        again = await home.ended("asking", number=2, within=60)

        assert (begun.ending, begun.ending_reason, begun.actions[0].state) == (
            Ending.FAILED,
            "lost",
            "unknown",
        )
        assert (asked.ending, asked.ending_reason, asked.gate.outcome) == (
            Ending.WITHHELD,
            "interrupted",
            "withdrawn",
        )
        assert again.ending is Ending.MITIGATED
        assert home.sink.mended == {"begun": 1, "asking": 1}
        assert "KEPT: begun" in await home.paramedic("status")
        await home.verify()


async def test_a_worker_that_was_frozen_in_the_middle_has_no_late_effect(tmp_path):
    """Frozen for longer than a heartbeat may take and then resumed, `ssh.run` has run its command once."""
    async with sshd(tmp_path / "sshd") as server:
        host = {"address": "127.0.0.1", "port": server.port, "user": server.user, "host_key": server.host_key,
                "private_key": f"file:{server.private_key}", "state_directory": str(tmp_path / "state")}  # fmt: skip
        effects = tmp_path / "effects"
        action = f"""uses: ssh.run
    with: {{host: web, argv: [sh, -c, "sleep 2; echo ran >> {effects}"]}}"""
        text = runbook("mend", action=action).replace(
            "expect: not result.json.broken", "expect: result.json.broken"
        )
        connections = {"hosts": {"web": host}}
        async with installation(tmp_path / "home", runbooks={"mend": text}, connections=connections) as home:
            await home.post(alert(service="web"))
            await home.recorded(RecordKind.ACTION_INTENT)
            home.suspend()
            await asyncio.sleep(FROZEN)  # it is the time itself that is tested
            home.resume()
            story = await home.ended(within=90)

            assert effects.read_text() == "ran\n"
            assert story.ending is Ending.MITIGATED
            assert story.actions[0].state == "ok"
            await home.verify()
