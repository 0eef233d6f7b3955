"""Logins: a token speaks for one person, from the code that they typed until its time is over."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest

from activities.ledger.logins import WAITING_LIMIT, Grant, LoginEnding
from activities.ledger.records import after
from bot.logins import CODE_LIFETIME, GUESSES, LONGEST, LoginError, Logins, plain
from runbooks.errors import RefusedError
from runbooks.model.record import RecordKind
from tests.ledgers import new_ledger
from tests.records import NOON

ANN, BOB = "slack:T1/UANN", "slack:T1/UBOB"
WRONG = "2222-2222"


class Watch:
    """The time of day."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def ledger(tmp_path):
    ledger = new_ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def logins(ledger, watch):
    return Logins(ledger, lifetime=timedelta(hours=12), clock=watch)


def recorded(ledger):
    """What is on record of logins: kind, actor, person, outcome."""
    kinds = {RecordKind.LOGIN_ISSUED, RecordKind.LOGIN_ENDED}
    records = ledger.read_now(lambda connection: after(connection, -1, 99, kinds))
    return [(each.kind, each.actor, each.object, each.outcome) for each in records]


async def logged_in(logins, person=ANN):
    asked = await logins.ask("ann@laptop", "127.0.0.1")
    await logins.confirm(asked.code, person, "slack:C1")
    return asked


async def test_a_token_speaks_for_nobody_until_its_code_is_typed(logins, ledger):
    """To ask for a login needs no credentials, so it must give nothing."""
    asked = await logins.ask("ann@laptop", "10.0.0.7")
    before = await logins.identify(asked.token)
    confirmed = await logins.confirm(asked.code.lower().replace("-", " "), ANN, "slack:C1")
    found = await logins.identify(asked.token)

    assert before.person == ""
    assert (found.person, found.expires_at) == (ANN, NOON + timedelta(hours=12))
    assert found == confirmed
    assert (found.label, found.peer) == ("ann@laptop", "10.0.0.7")
    assert recorded(ledger) == [(RecordKind.LOGIN_ISSUED, ANN, ANN, "-")]


async def test_a_code_serves_once(logins):
    """Who reads it over a shoulder comes too late."""
    asked = await logged_in(logins)

    with pytest.raises(LoginError, match="no login waits for this code"):
        await logins.confirm(asked.code, BOB, "slack:C1")
    assert (await logins.identify(asked.token)).person == ANN


async def test_a_code_is_worth_nothing_after_five_minutes(logins, watch):
    """And neither is the token that waited for it."""
    asked = await logins.ask("ann@laptop", "-")
    watch.now += CODE_LIFETIME

    with pytest.raises(LoginError, match="no login waits"):
        await logins.confirm(asked.code, ANN, "slack:C1")
    with pytest.raises(LoginError, match="log in again: paramedic login"):
        await logins.identify(asked.token)


async def test_who_guesses_codes_has_to_wait_and_nobody_else(logins, watch):
    """The right code does not help them then; other people log in meanwhile."""
    asked = await logins.ask("ann@laptop", "-")
    for _ in range(GUESSES):
        with pytest.raises(LoginError, match="no login waits"):
            await logins.confirm(WRONG, BOB, "slack:C1")

    with pytest.raises(LoginError, match="wait 5 minutes"):
        await logins.confirm(asked.code, BOB, "slack:C1")
    assert (await logins.confirm(asked.code, ANN, "slack:C1")).person == ANN

    watch.now += CODE_LIFETIME + timedelta(seconds=1)
    later = await logins.ask("bob@laptop", "-")
    assert (await logins.confirm(later.code, BOB, "slack:C1")).person == BOB


async def test_only_so_many_codes_wait_at_a_time(logins, watch):
    """Each that waits makes guessing easier; those whose time is over make room."""
    for _ in range(WAITING_LIMIT):
        await logins.ask("somebody", "-")

    with pytest.raises(RefusedError, match="wait for their codes"):
        await logins.ask("somebody", "-")
    watch.now += CODE_LIFETIME
    assert await logins.ask("somebody", "-")


@pytest.mark.parametrize(
    "forge", [lambda token: token[:-1], lambda token: token + "x", lambda token: token[:8]]
)
async def test_another_token_for_the_same_login_is_none(logins, forge):
    """The name in front of a token is no secret; what follows it decides."""
    asked = await logged_in(logins)

    with pytest.raises(LoginError, match="has ended, or never was"):
        await logins.identify(forge(asked.token))


async def test_the_database_holds_nothing_that_anybody_could_log_in_with(logins, ledger, tmp_path):
    """Neither token nor code stands there, in the tables or in the records."""
    waiting = await logins.ask("bob@laptop", "-")
    asked = await logged_in(logins)
    dump = "\n".join(sqlite3.connect(tmp_path / "ledger.db").iterdump())
    ledger.close()

    everything = dump + (tmp_path / "ledger.db").read_bytes().decode("latin-1")
    assert asked.login in everything
    for secret in (asked.token.partition(".")[2], waiting.token.partition(".")[2], plain(waiting.code)):
        assert secret not in everything
        assert secret.encode().hex().upper() not in everything.upper()


async def test_a_login_that_was_taken_back_counts_no_more(logins, ledger):
    """At once, and who took it back and why is on record, once."""
    asked = await logged_in(logins)
    names = {"actor": "local:root", "source": "cli", "reason": "the laptop is lost"}

    (ended,) = await logins.end([asked.login], LoginEnding.REVOKED, **names)
    again = await logins.end([asked.login], LoginEnding.REVOKED, **names)

    assert (ended.person, again) == (ANN, [])
    with pytest.raises(LoginError):
        await logins.identify(asked.token)
    assert recorded(ledger)[1:] == [(RecordKind.LOGIN_ENDED, "local:root", ANN, "revoked")]


async def test_a_login_ends_with_its_time_and_that_is_on_record(logins, ledger, watch):
    """It counts no more from that very moment, swept or not."""
    asked = await logged_in(logins)
    watch.now += timedelta(hours=12)

    with pytest.raises(LoginError):
        await logins.identify(asked.token)
    assert await logins.current() == []
    assert (await logins.sweep(), await logins.sweep()) == (1, 0)
    assert recorded(ledger)[1:] == [(RecordKind.LOGIN_ENDED, "bot:logins", ANN, "expired")]


async def test_an_administrator_vouches_for_somebody_and_is_on_record_for_it(logins, ledger):
    """For the day when Slack is down: for a while, with a reason."""
    grant = Grant(
        person=BOB,
        until=NOON + timedelta(hours=1),
        actor="local:root",
        source="cli",
        reason="Slack is down",
        at=NOON,
    )
    issued = await logins.issue(grant)

    found = await logins.identify(issued.token)
    assert (found.person, found.expires_at) == (BOB, grant.until)
    assert recorded(ledger) == [(RecordKind.LOGIN_ISSUED, "local:root", BOB, "-")]
    with pytest.raises(LoginError, match="at most 7 days"):
        await logins.issue(grant.model_copy(update={"until": NOON + LONGEST + timedelta(seconds=1)}))
