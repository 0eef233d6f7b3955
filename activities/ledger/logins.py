"""Logins: which command line speaks for which person, and until when.

A command line asks for one and gets a token and a short code.  The token is worth nothing until
somebody who is known has said that the code is theirs; from then on it stands for that person.
Neither stands here, only their hashes, so that whoever reads the database can speak for nobody.

A row is there as long as its login counts.  That it was issued, and how it ended, is on record.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from activities.ledger import schema
from activities.ledger.bodies import recordable_text
from activities.ledger.transaction import Transaction
from runbooks.errors import RefusedError
from runbooks.model.base import Value
from runbooks.model.record import SYSTEM, Entry, RecordKind

WAITING_LIMIT = 20
"""How many may wait for their confirmation at the same time: so few codes cannot be guessed."""

WAITING_OF_ONE_PEER = 3
"""How many of them from one address, so that one stranger cannot keep everybody else waiting."""

_TOO_MANY = "too_many_logins"
_login = schema.login.c
_COLUMNS = (_login.id, _login.person, _login.label, _login.peer, _login.opened_at, _login.expires_at)


class LoginEnding(StrEnum):
    """How a login ended."""

    REVOKED = "revoked"  # somebody took it back
    LOGGED_OUT = "logged_out"  # the command line gave it back
    EXPIRED = "expired"


class Login(Value):
    """A command line that speaks for a person, or asks to.

    Attributes:
        id: for people and for the record, `L-7F3K2Q`.
        person: their key, `slack:T0123/U0456`; empty until somebody has confirmed it.
        label: what the command line says of itself, `alice@laptop`; never trusted.
        peer: the address that it came from.
        expires_at: when it ends; until it is confirmed, when its code does.
    """

    id: str
    person: str = ""
    label: str
    peer: str
    opened_at: datetime
    expires_at: datetime


class Grant(Value):
    """Somebody's word that a command line speaks for a person.

    Attributes:
        person: for whom it speaks.
        until: when that ends.
        actor, source: who says so, and where: the person in Slack, or an administrator at the machine.
        reason: why; empty where the person said so.
        at: when.
    """

    person: str
    until: datetime
    actor: str
    source: str
    reason: str = ""
    at: datetime


def ask(transaction: Transaction, login: Login, *, token_hash: bytes, code_hash: bytes) -> None:
    """Keep a login that waits for its confirmation.

    Raises:
        RefusedError: too many wait already.
    """
    connection = transaction.tables
    refuse_crowd(connection, login.peer, login.opened_at)
    gone = (_login.person == "") & (_login.expires_at <= login.opened_at)
    connection.execute(delete(schema.login).where(gone))
    _insert(connection, login, token_hash, code_hash)


def refuse_crowd(connection: Connection, peer: str, at: datetime) -> None:
    """Refuse one more login that waits for its confirmation, where there are too many at this time.

    From this machine itself come those who use a proxy or a tunnel, so all of them together may be many.

    Raises:
        RefusedError: too many wait already, from this address or in all.
    """
    query = select(_login.peer).where(_login.person == "", _login.expires_at > at)
    waiting = [_network(each) for each in connection.execute(query).scalars()]
    near = waiting.count(_network(peer))
    if len(waiting) >= WAITING_LIMIT:
        sentence = f"{len(waiting)} logins wait for their codes; try again in 5 minutes"
        raise RefusedError(_TOO_MANY, sentence)
    if near >= WAITING_OF_ONE_PEER and not _is_this_machine(peer):
        sentence = (
            f"{near} logins from {peer} wait for their codes; type one in Slack, or try again in 5 minutes"
        )
        raise RefusedError(_TOO_MANY, sentence)


def is_known(transaction: Transaction, login: str) -> bool:
    """Return whether a login has, or had, this name.  A name that recurred would lead to another's record."""
    return find(transaction.tables, login) is not None or transaction.find(_issue_event(login)) is not None


def counts(connection: Connection, login: str, person: str, at: datetime) -> bool:
    """Return whether this login speaks for this person at this time: it was not ended, and has not expired."""
    found = find(connection, login)
    return found is not None and bool(person) and found[0].person == person and at < found[0].expires_at


def confirm(transaction: Transaction, code_hash: bytes, grant: Grant) -> Login | None:
    """Let the login with this code speak for a person; None where no such code waits.  A code serves once."""
    query = select(*_COLUMNS, _login.code_hash).where(_login.person == "", _login.expires_at > grant.at)
    found = None
    for row in transaction.tables.execute(query).all():  # all of them, so that time tells nothing
        if hmac.compare_digest(bytes(row.code_hash), code_hash):
            found = _login_of(row)
    if found is None:
        return None
    confirmed = found.model_copy(update={"person": grant.person, "expires_at": grant.until})
    values = {"person": confirmed.person, "expires_at": confirmed.expires_at, "code_hash": b""}
    transaction.tables.execute(update(schema.login).where(_login.id == found.id).values(values))
    _record_issue(transaction, confirmed, grant)
    return confirmed


def issue(transaction: Transaction, login: Login, grant: Grant, *, token_hash: bytes) -> Login:
    """Keep a login that an administrator vouches for, without a code."""
    issued = login.model_copy(update={"person": grant.person, "expires_at": grant.until})
    _insert(transaction.tables, issued, token_hash, b"")
    _record_issue(transaction, issued, grant)
    return issued


def find(connection: Connection, login: str) -> tuple[Login, bytes] | None:
    """Return a login with the hash of its token; None where it has ended, or never was."""
    query = select(*_COLUMNS, _login.token_hash).where(_login.id == login)
    row = connection.execute(query).first()
    return None if row is None else (_login_of(row), bytes(row.token_hash))


def current(connection: Connection, at: datetime) -> list[Login]:
    """Return the logins that count at this time, the oldest first."""
    query = select(*_COLUMNS).where(_login.person != "", _login.expires_at > at)
    return [_login_of(row) for row in connection.execute(query.order_by(_login.opened_at, _login.id))]


def expired(connection: Connection, at: datetime) -> list[Login]:
    """Return the logins whose time is over and that nobody has ended."""
    query = select(*_COLUMNS).where(_login.person != "", _login.expires_at <= at)
    return [_login_of(row) for row in connection.execute(query.order_by(_login.opened_at, _login.id))]


def end(
    transaction: Transaction,
    logins: Sequence[str],
    ending: LoginEnding,
    *,
    actor: str,
    source: str,
    reason: str = "",
) -> list[Login]:
    """End logins and return those that were there.  From here on their tokens are worth nothing."""
    ended = []
    for name in logins:
        found = find(transaction.tables, name)
        if found is None or not found[0].person:
            continue
        login = found[0]
        transaction.tables.execute(delete(schema.login).where(_login.id == name))
        data = {"login": login.id, "person": login.person, "reason": reason}
        transaction.append(
            Entry(
                event_id=f"login/{login.id}/ended",
                stream=SYSTEM,
                kind=RecordKind.LOGIN_ENDED,
                actor=actor,
                source=source,
                object=login.person,
                outcome=ending.value,
                data=data,
            )
        )
        ended.append(login)
    return ended


def _insert(connection: Connection, login: Login, token_hash: bytes, code_hash: bytes) -> None:
    told = {name: recordable_text(getattr(login, name)) for name in ("id", "person", "label", "peer")}
    times = {"opened_at": login.opened_at, "expires_at": login.expires_at}
    secret = {"token_hash": token_hash, "code_hash": code_hash}
    connection.execute(insert(schema.login), {**told, **times, **secret})


def _record_issue(transaction: Transaction, login: Login, grant: Grant) -> None:
    data = {
        "login": login.id,
        "person": login.person,
        "label": login.label,
        "peer": login.peer,
        "expires_at": login.expires_at.isoformat(),
        "reason": grant.reason,
    }
    transaction.append(
        Entry(
            event_id=_issue_event(login.id),
            stream=SYSTEM,
            kind=RecordKind.LOGIN_ISSUED,
            actor=grant.actor,
            source=grant.source,
            object=login.person,
            at=grant.at,
            data=data,
        )
    )


def _issue_event(login: str) -> str:
    return f"login/{login}/issued"


def _address(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _network(peer: str) -> str:
    """Return what one person can hold alone: an address, of IPv6 a network of 64 bits."""
    address = _address(peer)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return peer if address is None else str(address)


def _is_this_machine(peer: str) -> bool:
    address = _address(peer)
    return address is not None and address.is_loopback


def _login_of(row: Any) -> Login:
    return Login.model_validate({column.name: getattr(row, column.name) for column in _COLUMNS})
