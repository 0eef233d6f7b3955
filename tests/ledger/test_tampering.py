"""Attacks, each tried sixty times, against four levels of protection: what is caught is caught, and no more is claimed.

300 records, checkpoints at 100, 200 and 300; the outside holds those at 100, 200 and 250.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from activities.ledger.findings import VerifiedState
from activities.ledger.merkle import leaf_hash
from runbooks.model.base import canonical
from tests.ledger.history import KEY, Content, History, anchors_of, bodies_of, content, row_of, signed
from tests.ledger.stranger import stranger_says

RECORDS, OUTSIDE, TRIES = 300, 250, 60
SIZES = (100, 200, 300)
STREAMS = ("system", "R-AAAAAA", "R-BBBBBB", "R-CCCCCC")

CONTENTS = [content(number, STREAMS[number * 7 % 4]) for number in range(RECORDS)]
HONEST = History.of(CONTENTS, SIZES)
ANCHORS = anchors_of(signed(bodies_of(CONTENTS), (100, 200, OUTSIDE)))


def caught(history: History, **known: object) -> bool:
    report = history.verified(**known)
    assert report.state is not VerifiedState.CANNOT_TELL, report.problem
    return report.state is VerifiedState.TAMPERED


def test_the_honest_ledger_is_good_at_each_level() -> None:
    """Nothing is called tampered with that is not."""
    report = HONEST.verified([KEY], ANCHORS)

    assert (report.state, report.checkpoints, report.anchors, report.sealed) == (VerifiedState.OK, 3, 3, 300)
    assert HONEST.without_notes().verified().state is VerifiedState.OK
    assert stranger_says(HONEST.exported()) == 0


def with_row(place: int, **columns: object) -> History:
    rows = list(HONEST.rows)
    rows[place] = {**rows[place], **columns}
    return replace(HONEST, rows=tuple(rows))


def flip(dice: random.Random) -> History:
    place = dice.randrange(RECORDS)
    body = bytearray(HONEST.rows[place]["body"])
    body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
    return with_row(place, body=bytes(body))


def edited(number: int) -> Content:
    return {**CONTENTS[number], "actor": "slack:T1/U9"}


def edit(dice: random.Random) -> History:
    place = dice.randrange(RECORDS)
    body = HONEST.rows[place]["body"].replace(b"bot:process", b"slack:T1/U9")
    return with_row(place, body=body, actor="slack:T1/U9")


def edit_with_its_hash(dice: random.Random) -> History:
    place = dice.randrange(RECORDS)
    body = HONEST.rows[place]["body"].replace(b"bot:process", b"slack:T1/U9")
    return with_row(place, body=body, actor="slack:T1/U9", leaf=leaf_hash(body))


def delete(dice: random.Random) -> History:
    rows = list(HONEST.rows)
    del rows[dice.randrange(RECORDS)]
    return replace(HONEST, rows=tuple(rows))


@pytest.mark.slow
@pytest.mark.parametrize("attack", [flip, edit, edit_with_its_hash, delete])
def test_a_change_without_new_hashes_is_caught_by_the_hashes_alone(
    attack: Callable[[random.Random], History],
) -> None:
    """Sixty of sixty, at every level; and an export of it is good for no stranger."""
    dice = random.Random(attack.__name__)
    histories = [attack(dice) for _ in range(TRIES)]

    assert sum(caught(each.without_notes()) for each in histories) == TRIES
    assert sum(map(caught_by_a_stranger, histories)) == TRIES


def caught_by_a_stranger(history: History) -> bool:
    try:
        return stranger_says(history.exported()) == 1
    except UnicodeDecodeError:
        return True  # what is no text cannot stand in an export


def edit_and_recompute(dice: random.Random) -> tuple[list[Content], int]:
    place = dice.randrange(RECORDS)
    return [*CONTENTS[:place], edited(place), *CONTENTS[place + 1 :]], place


def delete_and_recompute(dice: random.Random) -> tuple[list[Content], int]:
    place = dice.randrange(RECORDS)
    return [*CONTENTS[:place], *CONTENTS[place + 1 :]], place


def swap_and_recompute(dice: random.Random) -> tuple[list[Content], int]:
    place = dice.randrange(RECORDS - 1)
    return [*CONTENTS[:place], CONTENTS[place + 1], CONTENTS[place], *CONTENTS[place + 2 :]], place


def insert_and_recompute(dice: random.Random) -> tuple[list[Content], int]:
    place = dice.randrange(RECORDS)
    return [*CONTENTS[:place], content(9999, dice.choice(STREAMS)), *CONTENTS[place:]], place


def cut(dice: random.Random) -> tuple[list[Content], int]:
    size = dice.randrange(1, RECORDS)
    return CONTENTS[:size], size


@pytest.mark.slow
@pytest.mark.parametrize(
    "attack", [edit_and_recompute, delete_and_recompute, swap_and_recompute, insert_and_recompute, cut]
)
def test_a_recomputed_history_is_caught_up_to_the_last_checkpoint_that_the_attacker_cannot_reach(
    attack: Callable[[random.Random], tuple[list[Content], int]],
) -> None:
    """Never by hashes; always by checkpoints that were left; from outside exactly where they reach, key stolen or not."""
    dice = random.Random(attack.__name__)
    for _ in range(TRIES):
        contents, first_change = attack(dice)
        forged = History.of(contents)
        resigned = replace(
            forged, notes=tuple(signed(forged.bodies, [min(size, len(contents)) for size in SIZES]))
        )

        assert not caught(forged)
        assert caught(replace(forged, notes=HONEST.notes), keys=[KEY])
        assert caught_by_a_stranger(replace(forged, notes=HONEST.notes))
        assert caught(forged, keys=[KEY], anchors=ANCHORS) is (first_change < OUTSIDE)
        assert caught(resigned, keys=[KEY], anchors=ANCHORS) is (first_change < OUTSIDE)
        assert not caught(resigned, keys=[KEY])
        assert not caught_by_a_stranger(resigned)  # whose eyes see the file alone


@pytest.mark.slow
def test_another_history_under_a_stolen_key_is_caught_from_outside_only() -> None:
    """Rolled back to 220 and continued otherwise to 320, all of it signed."""
    dice = random.Random("another history")
    for _ in range(TRIES):
        invented = [content(dice.randrange(10_000, 10**6), dice.choice(STREAMS)) for _ in range(100)]
        forged = History.of([*CONTENTS[:220], *invented], (100, 200, 320))

        assert not caught(forged.without_notes())
        assert not caught(forged, keys=[KEY])
        assert caught(forged, keys=[KEY], anchors=ANCHORS)


def test_a_checkpoint_of_another_key_is_not_believed() -> None:
    """Whoever lacks the sealer's key cannot seal a history of his own."""
    lines = HONEST.notes[0].splitlines()
    lines[2] = "A" * 43 + "="

    report = replace(HONEST, notes=("\n".join(lines) + "\n",)).verified([KEY])

    assert (report.state, report.problem) == (
        VerifiedState.TAMPERED,
        "checkpoint 0 is not signed by a key that was given",
    )


@pytest.mark.parametrize(
    ("notes", "problem"),
    [
        (("",), "checkpoint 0 is no checkpoint"),
        (("paramedic\n100\nAAAA\n",), "checkpoint 0 is no checkpoint"),
        (HONEST.notes[1:], "checkpoint 0 does not follow the one before it"),
        (HONEST.notes[:1] + HONEST.notes[2:], "checkpoint 1 does not follow the one before it"),
    ],
)
def test_a_checkpoint_that_is_none_or_misses_the_one_before_is_found(
    notes: tuple[str, ...], problem: str
) -> None:
    """With or without a key to verify signatures."""
    for keys in ([], [KEY]):
        report = replace(HONEST, notes=notes).verified(keys)

        assert (report.state, report.problem) == (VerifiedState.TAMPERED, problem)


def test_a_body_that_is_sealed_and_no_record_is_named_and_does_not_crash() -> None:
    """The hash is right, and what it stands for makes no sense."""
    for body in (b"[1]", b"[" * 100_000, b"{}", b'{"seq":0}', b"\xff", canonical({"seq": 0, "stream": 1})):
        row = {**row_of(HONEST.rows[0]["body"]), "body": body, "leaf": leaf_hash(body)}
        report = replace(HONEST, rows=(row, *HONEST.rows[1:]), notes=()).verified()

        assert (report.state, report.seq) == (VerifiedState.TAMPERED, 0)
