"""Faults of those who change something while it works: files edited badly, secrets, the clock, a second process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from sqlalchemy import select

from activities.ledger.schema import inbox
from bench.processes import REPOSITORY
from chaos.fault import Fault, Trial
from chaos.files import FIRST_TOKEN, put_back, save
from chaos.house import TOKEN, HouseError
from chaos.ports import lasting_port
from chaos.targets import ask_target
from runbooks.model.record import Record, RecordKind

REFUSED_WITHIN = 60.0  # seconds
CLAIMED_WITHIN = 60.0  # seconds
LONGEST_CALL = 2.5  # seconds; so long somebody may still show a token that was valid when they read it
_HOUR = timedelta(hours=1)
_REFUSED = 2  # exit code of a process that will not begin
_UNAUTHORIZED = 401

BAD_EDITS: Sequence[Callable[[bytes], bytes]] = (
    lambda good: good[: len(good) // 2],
    lambda _: b"",
    lambda good: good.replace(b"check:", b"chekc:"),
    lambda good: good.replace(b"  - name", b"\t- name"),
    lambda _: b"\xff\xfe\x00",
    lambda good: good.replace(b"runbook: mend", b"runbook: amend"),
    lambda good: good + b"#" * 2_000_000,
    lambda good: good.replace(b"{{ labels.instance }}", b"{{ labels.instance"),
)
"""What becomes of a runbook's file at 3am."""


# --- files ------------------------------------------------------------------------------------------


async def edit_runbook_badly(trial: Trial) -> None:
    """A runbook is saved broken while it runs, again and again, then deleted, and is back in the end."""
    house, file = trial.house, trial.house.files.runbook(trial.fault.runbook)
    await house.target_has(trial.fault.name, "slow")
    with put_back(file) as good:
        for number in range(trial.tries):
            save(file, BAD_EDITS[number % len(BAD_EDITS)](good))
            await _catalog(trial, lambda said: trial.fault.runbook in str(said.data["refused"]))
            await trial.alert(number)
        file.unlink()
        await _catalog(trial, lambda said: trial.fault.runbook not in said.data["runbooks"])
    await _catalog(trial, lambda said: trial.fault.runbook in said.data["runbooks"])


async def _catalog(trial: Trial, holds: Callable[[Record], bool]) -> None:
    """Wait until the newest record of the runbooks says so."""

    async def there() -> bool:
        known = [record for record in await trial.house.records() if record.kind is RecordKind.CATALOG]
        return holds(known[-1])

    await trial.house.until(there, REFUSED_WITHIN, "the change of the runbooks to be on record")


async def edit_connections_badly(trial: Trial) -> None:
    """The connections are saved broken, nothing stops; the next start refuses, and says where it is wrong."""
    house = trial.house
    await house.target_has(trial.fault.name, "slow")
    with put_back(house.files.connections) as good:
        save(house.files.connections, good[: len(good) // 2])
        await trial.alert(*range(trial.tries - 1))
        await house.calm(trial.deliveries, 0)
        await house.kill()
        with contextlib.suppress(HouseError):
            await house.live()
        assert not house.alive, "it began with half of its connections"
        assert f"{house.files.connections}:" in house.log(), "nobody was told where the file is wrong"
    telling = asyncio.create_task(trial.alert(trial.tries - 1))
    await house.live()
    await telling
    await house.calm(trial.deliveries, 0)


async def edit_windows_badly(trial: Trial) -> None:
    """The file of maintenance windows cannot be read any more: it may say stop, so nothing is done."""
    windows, half = trial.house.files.windows, trial.tries // 2
    with put_back(windows):
        save(windows, b"windows: [")
        await trial.alert(*range(half))
        await trial.house.calm(trial.deliveries, 0)
        windows.unlink()
        await trial.alert(*range(half, trial.tries))
        await trial.house.calm(trial.deliveries, 0)


# --- secrets ----------------------------------------------------------------------------------------


async def replace_credential(trial: Trial) -> None:
    """The token of a service is replaced while actions use it: for a moment both are valid, then the old one is not."""
    house, token = trial.house, trial.house.files.token
    with put_back(token) as first:
        valid = first.decode().strip()
        await _accept(trial, valid)
        for number in range(trial.tries):
            telling = asyncio.create_task(trial.alert(number))
            await asyncio.sleep(trial.random.uniform(0, 0.2))
            old, valid = valid, f"token-{number + 1}"
            await _accept(trial, old, valid)
            save(token, f"{valid}\n".encode())
            await telling
            await asyncio.sleep(LONGEST_CALL)
            await _accept(trial, valid)
        await house.calm(trial.deliveries, 0)
        await _accept(trial, valid, FIRST_TOKEN)


async def _accept(trial: Trial, *tokens: str) -> None:
    """Let the guarded endpoint know these tokens, and no others."""
    await ask_target(trial.house.target_port, "PUT", f"/tokens/{','.join(tokens)}")


async def replace_webhook_token(trial: Trial) -> None:
    """The senders' token is replaced, with a restart before and one after: for a time both are valid."""
    house, old = trial.house, TOKEN
    await house.target_has(trial.fault.name, "slow")
    for number in range(trial.tries):
        new = f"{TOKEN}-{number + 1}"
        telling = asyncio.create_task(trial.alert(number))
        await _restart_with(trial, old, new)
        await telling
        house.sender.show(new)
        await _restart_with(trial, new)
        assert await house.sender.answer_to(old) == _UNAUTHORIZED, "the old token is still valid"
        old = new
    await _restart_with(trial, old, TOKEN)
    house.sender.show(TOKEN)


async def _restart_with(trial: Trial, *tokens: str) -> None:
    trial.house.webhook_tokens = tokens
    await trial.house.stop()
    await trial.house.live()


# --- the clock --------------------------------------------------------------------------------------


async def move_clock(by: timedelta, trial: Trial) -> None:
    """The bot's clock jumps while targets work, further with each alert, and the bot dies after every second jump."""
    house = trial.house
    await house.target_has(trial.fault.name, "slow")
    async with house.moving_clock() as clock:
        for number in range(trial.tries):
            await trial.alert(number)
            await asyncio.sleep(trial.random.uniform(0, 0.6))
            clock.move((number + 1) * by)
            if number % 2:
                await house.kill()
                await house.live()
        await house.calm(trial.deliveries, 0)


async def move_clock_under_claims(trial: Trial) -> None:
    """Temporal is away, alerts are claimed by a bot that then dies, and the next one lives hours before that."""
    house = trial.house
    async with house.moving_clock() as clock:
        with house.temporal_stopped():
            await trial.alert_all()
            await house.until(partial(_all_claimed, trial), CLAIMED_WITHIN, "the alerts to be claimed")
            clock.move(-3 * _HOUR)
            await house.kill()
        await house.live()
        await house.calm(trial.deliveries, 0)


async def _all_claimed(trial: Trial) -> bool:
    claimed = await trial.house.ledger.read(
        lambda c: c.execute(select(inbox.c.target).where(inbox.c.claimed_until.is_not(None))).scalars().all()
    )
    return {trial.target(number) for number in range(trial.tries)} <= set(claimed)


async def move_clock_in_cooldown(trial: Trial) -> None:
    """An alert comes back within its cooldown, by a clock that jumped back a day, and by one that jumped half of it."""
    house = trial.house
    async with house.moving_clock() as clock:
        for offset in (timedelta(), -24 * _HOUR, _HOUR / 2):
            clock.move(offset)
            await trial.alert_all()
            await house.calm(trial.deliveries, 0)


# --- a second process -------------------------------------------------------------------------------


async def start_second(trial: Trial) -> None:
    """`paramedic up` is started a second time on the same folder, while the first is at work: it refuses."""
    house = trial.house
    await house.target_has(trial.fault.name, "slow")
    for number in range(trial.tries):
        await trial.alert(number)
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot.process", "all"),
            env=house.environment | {"PARAMEDIC_HTTP_PORT": str(lasting_port())},
            stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, cwd=REPOSITORY,
        )  # fmt: skip
        _, said = await second.communicate()
        assert second.returncode == _REFUSED, (
            f"the second one ended with {second.returncode}: {said.decode()[-500:]}"
        )
        assert b"already" in said, f"it does not say why: {said.decode()[-500:]}"
        assert house.alive, "the first one ended"


CHANGES = (
    Fault("runbook-broken", "a runbook is saved broken, deleted, and put back, while it runs", edit_runbook_badly, short=3, long=16),
    Fault("connections-broken", "the connections are saved broken, and the bot dies", edit_connections_badly, short=3, long=10),
    Fault("windows-broken", "the file of windows is broken, then gone", edit_windows_badly, most=0, short=2, long=10),
    Fault("token-replaced", "the token of a service is replaced under load", replace_credential, runbook="guarded", short=2, long=10),
    Fault("sender-token-replaced", "the senders' token is replaced, with two restarts", replace_webhook_token, short=1, long=5),
    Fault("clock-forward", "the bot's clock jumps ahead by hours while targets work", partial(move_clock, 3 * _HOUR), short=2, long=20),
    Fault("clock-back", "the bot's clock jumps back by hours while targets work", partial(move_clock, -3 * _HOUR), short=2, long=20),
    Fault("clock-back-claimed", "the bot dies over claimed alerts, and its clock jumps back", move_clock_under_claims, short=2, long=20),
    Fault("clock-cooldown", "the bot's clock jumps within a cooldown", move_clock_in_cooldown, runbook="rest", short=2, long=20),
    Fault("started-twice", "a second `paramedic up` on the same folder", start_second, short=1, long=5),
)  # fmt: skip
