"""What waits in the tray, as far as this process knows: the notifications, and what was said last in them.

In a storm nine deliveries of ten repeat what waits already.  If they were put behind it, the storm would
feed itself; so a repetition of the last durable word about an alert is shed.  Where that may not be the
last, because somebody else took in something, or a notification was put aside, nothing is a repetition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from activities.ledger.blobs import Blob
from activities.ledger.inbox import Delivery
from activities.ledger.last_words import Heard, Word

ROOM = 5_000  # alerts that may wait; whoever brings more is answered when there is room again
ROOM_BYTES = 32 * 1024 * 1024  # of their bodies


@dataclass(frozen=True, slots=True)
class Way:
    """One alert on its way to one runbook, or to nobody.

    Attributes:
        withheld: why it goes no further than the inbox, one sentence; empty where it does.
    """

    delivery: Delivery
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class Addressed:
    """One alert on all its ways.

    Attributes:
        about: the alert's fingerprint.
        word: what was said of it; None where that cannot be recognised when it is said again.
    """

    ways: tuple[Way, ...]
    about: str
    word: Word | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be taken in of one notification.

    Attributes:
        raw: the body that it came in.
    """

    addressed: Sequence[Addressed]
    raw: Blob
    received_at: datetime


@dataclass(slots=True)
class _Said:
    """What waits about one alert.

    Attributes:
        times: how many notifications say something of it.
        newest: what the one that came last says.
        since: the number of the first from which on all have said that.
        last: the last word that is durable; None where none is, or where that cannot be told.
        round: `Pending.round` when it was heard.
    """

    times: int = 0
    newest: Word | None = None
    since: int = 0
    last: Heard | None = None
    round: int = 0


@dataclass(frozen=True, slots=True)
class _Aside:
    """A notification that could not be taken in: until when it is left alone, and what it is about."""

    until: float
    about: frozenset[str] = frozenset()


class Pending:
    """The notifications that wait, by their ids.

    The event loop's thread changes it; the ledger's may say `doubt`, and any may ask with `get`, `aside`,
    `repeats` and `round`.
    """

    def __init__(self) -> None:
        self._notices: dict[str, Notice] = {}  # in the order of their rows
        self._said: dict[str, _Said] = {}  # of the alerts in them, by fingerprint
        self._alerts = self._bytes = 0
        self._aside: Mapping[str, _Aside] = {}  # replaced and never changed, for threads look at it
        self._round = 0
        self._count = 0

    def __len__(self) -> int:
        return len(self._notices)

    @property
    def ids(self) -> list[str]:
        """The ids of all, in the order in which they came."""
        return list(self._notices)

    @property
    def has_room(self) -> bool:
        """Whether more may wait."""
        return self._alerts < ROOM and self._bytes < ROOM_BYTES

    @property
    def aside(self) -> frozenset[str]:
        """The ids of those that could not be taken in, and are left alone for a while."""
        return frozenset(self._aside)

    @property
    def round(self) -> int:
        """How often somebody else had taken in something, so that what was said last here may not be the last."""
        return self._round

    def doubt(self) -> None:
        """Believe no more that what waits here was said last: somebody else has taken in something."""
        self._round += 1

    def has_none_of(self, ids: Iterable[str]) -> bool:
        """Whether none of these waits any more."""
        return self._notices.keys().isdisjoint(ids)

    def get(self, name: str) -> Notice | None:
        """Return the notification with this id; None where it does not wait here."""
        return self._notices.get(name)

    def repeats(self, word: Word, since: datetime) -> int | None:
        """Return how many deliveries `word` repeats of what waits and came after `since`; 0 where it may be news.

        None where nothing waits that is about this alert.
        """
        if any(word.about in each.about for each in self._aside.values()):
            return 0
        said = self._said.get(word.about)
        if said is None:
            return None
        last = said.last
        is_last = last is not None and last.word == word and last.since > since and said.round == self._round
        return last.deliveries if last is not None and is_last else 0

    def put(self, name: str, notice: Notice) -> int:
        """Let a notification wait, behind the others; return its number.  What it says counts from `hear` on."""
        self._count += 1
        self._notices[name] = notice
        self._alerts += len(notice.addressed)
        self._bytes += len(notice.raw.value)
        for each in notice.addressed:
            said = self._said.setdefault(each.about, _Said(newest=each.word, since=self._count))
            said.times += 1
            if said.newest != each.word:
                said.newest, said.since, said.last = each.word, self._count, None
        return self._count

    def hear(self, notice: Notice, number: int, *, durable: bool) -> None:
        """Note that a notification is durable, or that nobody knows.

        What it says is the last word where all that came after it says the same.  Where nobody knows, nothing
        is a repetition until something else is durable.
        """
        for each in notice.addressed:
            said = self._said.get(each.about)
            if said is None:
                continue
            if not durable:
                said.last = None
            elif number >= said.since:
                said.last = each.word and Heard(each.word, notice.received_at, len(each.ways))
                said.round = self._round

    def drop(self, name: str) -> None:
        """Forget a notification that does not wait any more."""
        notice = self._notices.pop(name, None)
        if notice is None:
            return
        self._alerts -= len(notice.addressed)
        self._bytes -= len(notice.raw.value)
        for each in notice.addressed:
            said = self._said[each.about]
            said.times -= 1
            if not said.times:
                del self._said[each.about]

    def put_aside(self, name: str, until: float) -> None:
        """Leave a notification alone until then, and let nothing pass for a repetition that it is about."""
        notice = self._notices.get(name)
        about = frozenset(each.about for each in notice.addressed) if notice is not None else frozenset()
        self._aside = {**self._aside, name: _Aside(until, about)}
        self.drop(name)

    def take_up(self, now: float) -> None:
        """Leave alone no more what was put aside until now."""
        self._aside = {name: each for name, each in self._aside.items() if each.until > now}
