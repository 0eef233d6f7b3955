"""Logins: a person at a command line is whom they are in Slack, and proves it there.

`paramedic login` gets a token and shows a short code.  The person types the code in Slack, where it
is known who they are, and the token speaks for them from then on, for some hours.  What they do with
it counts as theirs: the same key, the same groups, the same policy, the same single vote.

For the day when Slack is down, an administrator at the machine can issue one, and stands on record
for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from activities.ledger import logins
from activities.ledger.logins import Grant, Login, LoginEnding
from activities.ledger.store import Ledger, Transaction
from runbooks.errors import LedgerError, ParamedicError
from runbooks.model.base import Value

CODE_LIFETIME = timedelta(minutes=5)
GUESSES = 5  # wrong codes of one person within the lifetime of a code
LONGEST = timedelta(days=7)
SWEEP_EVERY = 30.0  # seconds between two looks for logins whose time is over

_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # none that looks like another
_CODE_LENGTH = 8  # 31^8: nearly a billion billionths for 5 guesses at 20 codes

LOG = structlog.get_logger("paramedic.logins")


class LoginError(ParamedicError):
    """A login cannot be had, or does not count.  The message says why and what would be right."""

    code = "login_wrong"


class Asked(Value):
    """A login that waits for its confirmation, as the command line that asked for it is told.

    Attributes:
        login: its name, `L-7F3K2Q`.
        token: the secret.  It is told once, and worth nothing until the code is confirmed.
        code: what the person types in Slack, `K7QF-M2XR`.
        expires_at: when the code is worth nothing any more.
    """

    login: str
    token: str
    code: str
    expires_at: datetime


class Issued(Value):
    """A login that an administrator has issued.  `token` is told once."""

    login: Login
    token: str


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Logins:
    """Asks for, confirms, looks up and ends logins.

    Args:
        lifetime: how long one lasts that a person has confirmed.
        clock: the time of day; tests set it.
    """

    def __init__(
        self, ledger: Ledger, *, lifetime: timedelta, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self._ledger = ledger
        self._lifetime = lifetime
        self._clock = clock
        self._wrong: dict[str, list[datetime]] = {}

    async def ask(self, label: str, peer: str) -> Asked:
        """Begin a login for a command line that calls itself `label`, from the address `peer`.

        Raises:
            RefusedError: too many wait already.
            LedgerError: it could not be written.
        """
        now = self._clock()
        # Anybody may ask: who is refused must not cost a transaction, which alerts would wait for.
        await self._ledger.read(lambda connection: logins.refuse_crowd(connection, peer, now))
        code = _draw(_CODE_LENGTH)

        def keep(transaction: Transaction) -> tuple[Login, str]:
            login, token = self._new(transaction, label, peer, CODE_LIFETIME)
            logins.ask(transaction, login, token_hash=_hash(token), code_hash=_hash(code))
            return login, token

        login, token = await self._ledger.write(keep)
        shown = f"{code[:4]}-{code[4:]}"
        return Asked(login=login.id, token=token, code=shown, expires_at=login.expires_at)

    async def confirm(self, code: str, person: str, source: str) -> Login:
        """Let the command line that shows `code` speak for `person`, who has just typed it.

        Raises:
            LoginError: no such code waits, or the person has tried too many.
            LedgerError: it could not be recorded; nobody is logged in by it.
        """
        self._refuse_guessing(person)
        at = self._clock()
        grant = Grant(person=person, until=at + self._lifetime, actor=person, source=source, at=at)
        digest = _hash(plain(code))
        confirmed = await self._ledger.write(lambda t: logins.confirm(t, digest, grant))
        if confirmed is None:
            self._wrong.setdefault(person, []).append(at)
            raise LoginError(
                "no login waits for this code: it serves once, for 5 minutes; "
                "see whether it is typed as the terminal shows it, or run paramedic login again"
            )
        self._wrong.pop(person, None)
        LOG.info("a login was confirmed", login=confirmed.id, person=person, expires_at=str(grant.until))
        return confirmed

    def _refuse_guessing(self, person: str) -> None:
        since = self._clock() - CODE_LIFETIME
        recent = [at for at in self._wrong.get(person, ()) if at > since]
        if len(recent) >= GUESSES:
            raise LoginError(f"{GUESSES} codes were wrong: wait 5 minutes, then run paramedic login again")
        if person in self._wrong:
            self._wrong[person] = recent

    async def issue(self, grant: Grant) -> Issued:
        """Issue a login that an administrator of this machine vouches for.

        Raises:
            LoginError: it would last too long.
            LedgerError: it could not be recorded; then there is none.
        """
        if not timedelta() < grant.until - grant.at <= LONGEST:
            raise LoginError(f"a login lasts at most {LONGEST.days} days; say for how long with --for, 1h")

        def keep(transaction: Transaction) -> Issued:
            lifetime = grant.until - grant.at
            login, token = self._new(transaction, "issued at the machine", "-", lifetime)
            issued = logins.issue(transaction, login, grant, token_hash=_hash(token))
            return Issued(login=issued, token=token)

        return await self._ledger.write(keep)

    async def identify(self, token: str) -> Login:
        """Return the login that this token stands for; its `person` is empty while it waits.

        Raises:
            LoginError: it stands for none.
            LedgerError: it cannot be looked up.
        """
        name, _, _ = token.partition(".")
        found = await self._ledger.read(lambda connection: logins.find(connection, name))
        # Compared also where there is nothing to compare with, so that the time it takes tells nothing.
        login, known = found if found is not None else (None, _hash(""))
        right = hmac.compare_digest(_hash(token), known)
        if login is None or not right or login.expires_at <= self._clock():
            raise LoginError("this login has ended, or never was; log in again: paramedic login")
        return login

    async def current(self) -> list[Login]:
        """Return the logins that count now.

        Raises:
            LedgerError: they cannot be read.
        """
        now = self._clock()
        return await self._ledger.read(lambda connection: logins.current(connection, now))

    async def end(
        self, names: Sequence[str], ending: LoginEnding, *, actor: str, source: str, reason: str = ""
    ) -> list[Login]:
        """End logins, and return those that counted.

        Raises:
            LedgerError: it could not be recorded; they go on counting.
        """
        return await self._ledger.write(
            lambda t: logins.end(t, names, ending, actor=actor, source=source, reason=reason)
        )

    async def sweep(self) -> int:
        """Put on record which logins have expired.  Return how many.

        Raises:
            LedgerError: it could not be.  They count no more, all the same.
        """
        now = self._clock()
        over = await self._ledger.read(lambda connection: logins.expired(connection, now))
        if not over:
            return 0
        names = [login.id for login in over]
        return len(await self.end(names, LoginEnding.EXPIRED, actor="bot:logins", source="clock"))

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except LedgerError as error:
                LOG.warning("logins that have expired are not on record yet", error=str(error))
            await asyncio.sleep(SWEEP_EVERY)

    def _new(self, transaction: Transaction, label: str, peer: str, lifetime: timedelta) -> tuple[Login, str]:
        """Return a login under a name that none ever had, and its token, which begins with that name."""
        name = _draw_name()
        while logins.is_known(transaction, name):
            name = _draw_name()
        at = self._clock()
        login = Login(id=name, label=label[:80], peer=peer, opened_at=at, expires_at=at + lifetime)
        return login, f"{name}.{secrets.token_urlsafe(32)}"


def plain(code: str) -> str:
    """Return a code as it is compared: without what people put between its letters, in capitals."""
    return "".join(each for each in code.upper() if each.isalnum())


def _draw(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _draw_name() -> str:
    return f"L-{_draw(6)}"


def _hash(secret: str) -> bytes:
    """Return what is kept of a secret.  It is random and long enough that nobody finds it by trying."""
    return hashlib.sha256(secret.encode()).digest()
