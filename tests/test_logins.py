"""Logins: a token speaks for one person, from the code that they typed until its time is over."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from activities.ledger.clicks import Click, Reception, accept_click
from activities.ledger.logins import WAITING_LIMIT, Grant, LoginEnding, end
from activities.ledger.records import after
from bot.logins import CODE_LIFETIME, GUESSES, LONGEST, LoginError, Logins, plain
from runbooks.errors import RefusedError
from runbooks.model.decision import Answer
from runbooks.model.record import RecordKind
from tests.ledgers import new_ledger
from tests.records import NOON, Telling
from tests.waiting import as_entry

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
    for number in range(WAITING_LIMIT):
        await logins.ask("somebody", f"10.0.0.{number}")

    with pytest.raises(RefusedError, match="20 logins wait for their codes"):
        await logins.ask("somebody", "10.0.0.99")
    watch.now += CODE_LIFETIME
    assert await logins.ask("somebody", "10.0.0.99")


@pytest.mark.parametrize(
    ("peers", "other"),
    [
        (["6.6.6.6"] * 4, "6.6.6.7"),
        (["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:f::", "2001:db8:0:1::3"], "2001:db8:0:2::1"),
        (["::ffff:6.6.6.6"] * 3 + ["6.6.6.6"], "::ffff:6.6.6.7"),
    ],
    ids=["one address", "one network", "two ways to write it"],
)
async def test_one_stranger_cannot_close_the_door_for_everybody(logins, ledger, peers, other, monkeypatch):
    """Who asks for too many is refused without a transaction, and the next one gets in."""
    for peer in peers[:-1]:
        await logins.ask("a stranger", peer)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "write", None)
        with pytest.raises(RefusedError, match="3 logins from"):
            await logins.ask("a stranger", peers[-1])
    assert await logins.ask("ann@laptop", other)


async def test_many_may_come_through_a_tunnel_to_this_machine(logins):
    """They all have its address."""
    for _ in range(WAITING_LIMIT):
        assert await logins.ask("somebody", "127.0.0.1")


async def test_a_name_that_a_login_ever_had_is_not_given_again(logins, ledger, monkeypatch):
    """Its record would be taken for that of the new one."""
    drawn = iter(["L-AAAAAA", "L-AAAAAA", "L-BBBBBB", "L-AAAAAA", "L-BBBBBB", "L-CCCCCC"])
    monkeypatch.setattr("bot.logins._draw_name", lambda: next(drawn))
    first = await logged_in(logins)
    await logins.end([first.login], LoginEnding.LOGGED_OUT, actor=ANN, source="cli")

    waiting = await logins.ask("bob@laptop", "-")
    last = await logged_in(logins, BOB)

    assert [each.login for each in (first, waiting, last)] == ["L-AAAAAA", "L-BBBBBB", "L-CCCCCC"]
    issued = [person for kind, _, person, _ in recorded(ledger) if kind is RecordKind.LOGIN_ISSUED]
    assert issued == [ANN, BOB]


async def accepted(ledger, login, *, person=ANN, at=None):
    """What becomes of an answer that comes through a login."""
    admission = as_entry(Telling().admitted().records[0])
    await ledger.write(lambda t: t.append(admission))
    click = Click(
        id="cli-1",
        gate=f"{admission.stream}/gate-1",
        answer=Answer.APPROVED,
        person=person,
        via=f"cli:{login}",
        at=at or datetime.now(UTC),
    )
    return await ledger.write(lambda t: accept_click(t, click))


@pytest.fixture
async def live(ledger):
    """A login that counts by the ledger's clock."""
    return await logged_in(Logins(ledger, lifetime=timedelta(hours=12)))


async def test_an_answer_through_a_login_that_counts_is_taken(ledger, live):
    """Once: a second delivery is the same, also when the login has ended since."""
    first = await accepted(ledger, live.login)
    await ledger.write(lambda t: end(t, [live.login], LoginEnding.REVOKED, actor=ANN, source="slack:C1"))

    assert (first, await accepted(ledger, live.login)) == (Reception.RECORDED, Reception.REPEATED)


async def test_an_answer_whose_login_was_revoked_meanwhile_is_not_taken(ledger, live):
    """Nothing of it gets on record, where it would look like a forgery."""
    at = datetime.now(UTC)
    await ledger.write(lambda t: end(t, [live.login], LoginEnding.REVOKED, actor=ANN, source="slack:C1"))

    assert await accepted(ledger, live.login, at=at) is Reception.LOGIN_ENDED
    assert ledger.read_now(lambda c: after(c, -1, 99, {RecordKind.DECISION_RECEIVED})) == []


async def test_an_answer_whose_login_expired_meanwhile_is_not_taken(ledger, live):
    """Neither where the click came after that, nor where it took until then to be accepted."""
    late = datetime.now(UTC) + timedelta(hours=13)
    over = await logged_in(Logins(ledger, lifetime=-timedelta(minutes=1)))

    assert await accepted(ledger, live.login, at=late) is Reception.LOGIN_ENDED
    assert await accepted(ledger, over.login, at=NOON) is Reception.LOGIN_ENDED


async def test_a_login_vouches_for_nobody_else(ledger, live):
    """Not even where whoever hands the answer in says so."""
    assert await accepted(ledger, live.login, person=BOB) is Reception.LOGIN_ENDED


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
