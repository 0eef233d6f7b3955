"""Bodies that were taken in a moment ago."""

from __future__ import annotations

from datetime import timedelta

from bot.http.repeats import RepeatedBodies


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def remembering(limit=50_000):
    clock = Clock()
    return RepeatedBodies(timedelta(minutes=10), clock=clock, limit=limit), clock


def test_knows_a_body_within_the_window():
    """A body is a repetition for as long as the window, counted from when it was taken in."""
    bodies, clock = remembering()
    bodies.remember(b"A", ["web-1", "web-2"], news=True)

    assert bodies.alerts_in(b"A") == 2
    assert bodies.alerts_in(b"B") is None
    clock.now += 599.9
    assert bodies.alerts_in(b"A") == 2
    clock.now += 0.1
    assert bodies.alerts_in(b"A") is None


def test_news_about_an_alert_makes_an_earlier_body_new_again():
    """Firing, resolved, firing: the third body equals the first and is not a repetition."""
    bodies, _ = remembering()
    bodies.remember(b"firing", ["web-1"], news=True)
    bodies.remember(b"about another", ["web-2"], news=True)
    bodies.remember(b"resolved", ["web-1"], news=True)

    assert bodies.alerts_in(b"firing") is None
    assert bodies.alerts_in(b"resolved") == 1
    assert bodies.alerts_in(b"about another") == 1


def test_no_news_leaves_what_is_remembered():
    """Two senders of one cluster word the same alerts differently: both bodies are repetitions."""
    bodies, _ = remembering()
    bodies.remember(b"from the first", ["web-1"], news=True)
    bodies.remember(b"from the second", ["web-1"], news=False)

    assert (bodies.alerts_in(b"from the first"), bodies.alerts_in(b"from the second")) == (1, 1)


def test_remembers_a_limited_number_of_alerts():
    """The oldest bodies are forgotten first, and nothing is left of them."""
    bodies, _ = remembering(limit=30)
    for number in range(100):
        bodies.remember(b"%d" % number, [f"web-{number}"], news=True)

    known = [number for number in range(100) if bodies.alerts_in(b"%d" % number) is not None]
    assert known == list(range(85, 100))
    assert len(bodies._about) == 15


def test_a_body_larger_than_the_limit_is_not_remembered():
    """One huge body cannot make the memory grow."""
    bodies, _ = remembering(limit=30)
    bodies.remember(b"huge", [f"web-{number}" for number in range(100)], news=True)

    assert bodies.alerts_in(b"huge") is None
    assert bodies._about == {}


def test_an_empty_body_counts_too():
    """A notification without alerts is remembered, once."""
    bodies, _ = remembering(limit=3)
    for _ in range(10):
        bodies.remember(b"empty", [], news=False)

    assert bodies.alerts_in(b"empty") == 0
