"""Bodies that were read a moment ago."""

from __future__ import annotations

from activities.ledger.last_words import Word
from bot.http.repeats import RepeatedBodies


def words(*about: str) -> tuple[Word, ...]:
    return tuple(Word(each, b"fires") for each in about)


def test_knows_what_a_body_said():
    """Of a body that was read, its words are known; of another, nothing."""
    bodies = RepeatedBodies()
    bodies.remember(b"A", words("web-1", "web-2"))

    assert bodies.words_in(b"A") == words("web-1", "web-2")
    assert bodies.words_in(b"B") is None


def test_remembers_a_limited_number_of_alerts():
    """The oldest bodies are forgotten first."""
    bodies = RepeatedBodies(limit=30)
    for number in range(100):
        bodies.remember(b"%d" % number, words(f"web-{number}"))

    assert [n for n in range(100) if bodies.words_in(b"%d" % n) is not None] == list(range(85, 100))


def test_a_body_that_comes_again_is_counted_once():
    """Reading the same body anew does not push others out."""
    bodies = RepeatedBodies(limit=4)
    bodies.remember(b"other", words("web-1"))
    for _ in range(10):
        bodies.remember(b"again", words("web-2"))

    assert bodies.words_in(b"other") is not None


def test_a_body_larger_than_the_limit_is_not_remembered():
    """One huge body cannot make the memory grow."""
    bodies = RepeatedBodies(limit=30)
    bodies.remember(b"huge", words(*map(str, range(100))))

    assert bodies.words_in(b"huge") is None


def test_an_empty_body_counts_too():
    """Bodies without alerts cannot make the memory grow either."""
    bodies = RepeatedBodies(limit=3)
    for number in range(10):
        bodies.remember(b"empty %d" % number, ())

    assert sum(bodies.words_in(b"empty %d" % n) is not None for n in range(10)) == 3
