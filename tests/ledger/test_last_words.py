"""The last words of each alert: forgotten rather than wrong."""

from __future__ import annotations

from datetime import datetime, timedelta

from activities.ledger.last_words import NOTHING, Heard, LastWords, Word
from tests.ledger.material import NIGHT, WINDOW

FIRES, RESOLVED = b"fires", b"resolved"


def heard(about: str = "web-1", said: bytes = FIRES, since: datetime = NIGHT, deliveries: int = 1) -> Heard:
    return Heard(Word(about, said), since, deliveries)


def listening(*told: Heard, limit: int = 100) -> LastWords:
    """Return what is left of these words, each in a transaction of its own."""
    last = LastWords(WINDOW, limit=limit)
    for number, each in enumerate(told):
        last.move([each], before=number - 1 if number else NOTHING, newest=number)
    return last


def repeats(
    last: LastWords, about: str = "web-1", said: bytes = FIRES, after: timedelta = timedelta()
) -> int:
    return last.repeats(Word(about, said), NIGHT + after)


def test_the_last_word_is_repeated() -> None:
    """It counts for as many deliveries as it had."""
    assert repeats(listening(heard(deliveries=2))) == 2


def test_a_word_with_another_in_between_is_news() -> None:
    """Firing, resolved, firing: the third is not a repetition of the first."""
    last = listening(heard(), heard(said=RESOLVED))

    assert (repeats(last, said=RESOLVED), repeats(last, said=FIRES)) == (1, 0)


def test_a_word_is_news_after_the_window() -> None:
    """Counted from when it was said first, like the inbox does."""
    last = listening(heard())

    assert repeats(last, after=WINDOW - timedelta(microseconds=1)) == 1
    assert repeats(last, after=WINDOW) == 0


def test_an_alert_from_elsewhere_makes_all_forgotten() -> None:
    """Another process may have said something else in between."""
    last = listening(heard("web-1"))

    last.move([heard("web-2")], before=7, newest=8)

    assert (repeats(last, "web-1"), repeats(last, "web-2"), last.newest) == (0, 1, 8)


def test_the_memory_is_bounded() -> None:
    """The alerts of which nothing was heard for the longest time are forgotten first."""
    last = listening(heard("a"), heard("b"), heard("a", RESOLVED), heard("c"), limit=2)

    assert [repeats(last, about, said) for about, said in [("a", RESOLVED), ("b", FIRES), ("c", FIRES)]] == [
        1,
        0,
        1,
    ]
