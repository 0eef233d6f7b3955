"""The commands for the sealer's key, and for pruning: what they do, what they refuse, and what they say."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from activities.ledger.store import Ledger
from bot.cli import prune, sealer
from bot.only_one import only_one
from bot.sealer.memory import MEMORY_FILE, ROTATION_FILE
from bot.sealer.process import seal_once
from bot.sealer.state import read_state, write_state
from bot.settings import Settings
from tests.cli.terminal import paramedic
from tests.ledger.material import NIGHT, entry
from tests.ledger.test_pruning import remediation
from tests.ledgers import new_ledger

pytestmark = pytest.mark.slow

DAY = f"{NIGHT + timedelta(days=1):%Y-%m-%d}"


@pytest.fixture
def house(tmp_path: Path) -> dict[str, object]:
    """The settings of an installation with two remediations, sealed, its checkpoints in a folder outside."""
    data, outside = tmp_path / "data", tmp_path / "outside"
    outside.mkdir()
    house: dict[str, object] = {"data": data, "checkpoint_folder": outside}
    ledger = new_ledger(data / "ledger.db")
    remediation(ledger, "web-1")
    remediation(ledger, "web-2", days=100)
    ledger.close()
    seal(house)
    return house


def seal(house: dict[str, object]) -> None:
    """Let the sealer run once."""
    variables = {f"PARAMEDIC_{name.upper()}": str(value) for name, value in house.items()}
    assert asyncio.run(seal_once(Settings.from_env(variables), everything=True))


def verified(house: dict[str, object], *more: object) -> str:
    """Verify with the checkpoints outside, which must succeed, and return what is said."""
    result = paramedic("ledger", "verify", "--anchors", house["checkpoint_folder"], *more, **house)
    assert result.exit_code == 0, result.stdout + result.stderr
    return result.stdout


def keys(house: dict[str, object]) -> list[str]:
    return paramedic("ledger", "keys", **house).stdout.splitlines()


def test_a_key_is_rotated_and_both_are_shown(house: dict[str, object]) -> None:
    """The old one with the end of its time; the checkpoint that hands over is published at once."""
    (before,) = keys(house)

    result = paramedic("sealer", "rotate", **house)

    assert result.exit_code == 0, result.stderr
    old, new = keys(house)
    assert old.startswith(f"{before} until ")
    assert result.stdout == f"Handed over. The key in office is now {new}\n"
    assert "2 compared" in verified(house)


def test_a_sealer_that_runs_does_it_itself(house: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command asks it; one that does not is said so."""
    monkeypatch.setattr(sealer, "TAKEN_UP_WITHIN", 0.0)
    folder = Path(str(house["data"])) / "sealer"

    with only_one(folder, "sealer"):
        result = paramedic("sealer", "rotate", **house)

    assert (result.exit_code, "has not done it yet" in result.stderr) == (1, True)
    assert (folder / ROTATION_FILE).exists()
    seal(house)
    assert len(keys(house)) == 2


def test_without_a_sealer_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    """A key is made when it runs first."""
    result = paramedic("sealer", "rotate", data=tmp_path)

    assert (result.exit_code, "there is no sealer's key in" in result.stderr) == (2, True)


def test_who_lost_the_folder_begins_anew(house: dict[str, object], tmp_path: Path) -> None:
    """On record with the reason; verification warns, and is good with both keys."""
    (tmp_path / "sealer.pub").write_text("".join(f"{key}\n" for key in keys(house)))
    lost = {**house, "sealer_folder": tmp_path / "another"}

    refused = paramedic("sealer", "begin-anew", "--reason", "burnt", "--key", tmp_path / "none", **lost)
    begun = paramedic("sealer", "begin-anew", "--reason", "burnt", "--key", tmp_path / "sealer.pub", **lost)

    assert (refused.exit_code, "cannot be read" in refused.stderr) == (2, True)
    assert (begun.exit_code, begun.stdout.splitlines()[0]) == (
        0,
        "Begun anew with checkpoint 1, over 13 records.",
    ), begun.stderr
    seal(lost)
    said = verified(lost)
    assert "began anew with checkpoint 1: record 12 says who did it and why" in said
    again = paramedic("sealer", "begin-anew", "--reason", "burnt", **lost)
    assert (again.exit_code, "nothing is lost" in again.stderr) == (2, True)


def test_old_remediations_are_pruned_into_a_file_that_proves_them(
    house: dict[str, object], tmp_path: Path
) -> None:
    """The file verifies, the ledger does, and the command says what went and where it is."""
    archive = tmp_path / "2026.jsonl"

    result = paramedic("ledger", "prune", "--before", DAY, "--export", archive, "--json", **house)

    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["remediations"], told["records"], told["blobs"]) == (1, 4, 1)
    assert "4 records, which stand in earlier exports" in verified(house)
    assert "13 found good" not in verified(house, archive)
    again = paramedic("ledger", "prune", "--before", DAY, "--export", tmp_path / "b.jsonl", **house)
    assert (again.exit_code, again.stderr) == (1, "Nothing can be pruned.\n")


def test_the_export_is_the_owners_and_its_name_is_on_the_disk_before_bodies_go(
    house: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds all values in clear, and after a power cut nothing else may have them."""
    archive, draft = tmp_path / "2026.jsonl", tmp_path / ".2026.jsonl.part"
    draft.write_text("of one who crashed")
    draft.chmod(0o644)
    done: list[tuple[str, bool]] = []
    carry_out = prune._carry_out
    monkeypatch.setattr(prune, "sync_folder", lambda folder: done.append((str(folder), archive.exists())))
    monkeypatch.setattr(prune, "_carry_out", lambda *a: (done.append(("bodies", True)), carry_out(*a))[1])

    result = paramedic("ledger", "prune", "--before", DAY, "--export", archive, **house)

    assert result.exit_code == 0, result.stderr
    assert done == [(str(tmp_path), True), ("bodies", True)]
    assert (archive.stat().st_mode & 0o777, draft.exists()) == (0o600, False)


def test_nothing_is_pruned_while_the_sealer_refuses_to_sign(house: dict[str, object], tmp_path: Path) -> None:
    """Nor with checkpoints that are named: the ledger is in doubt."""
    folder = Path(str(house["data"])) / "sealer"
    state = read_state(folder)
    assert state is not None
    write_state(folder, state.model_copy(update={"refused": "record 3 is not what was sealed"}))
    archive = tmp_path / "b.jsonl"
    prune = ("ledger", "prune", "--before", DAY, "--export", archive)

    alone = paramedic(*prune, **house)
    anchored = paramedic(*prune, "--anchors", house["checkpoint_folder"], **house)

    for result in (alone, anchored):
        assert (result.exit_code, "record 3 is not what was sealed; mend that" in result.stderr) == (2, True)
    assert not archive.exists()


def test_nothing_is_pruned_that_is_not_safe(house: dict[str, object], tmp_path: Path) -> None:
    """Not under a checkpoint outside, not into a file that is there, and not from a ledger that is not good."""
    archive = tmp_path / "there.jsonl"
    archive.write_text("")
    prune = ("ledger", "prune", "--before", DAY, "--export")

    there = paramedic(*prune, archive, **house)
    nowhere = paramedic(*prune, tmp_path / "b", **{**house, "sealer_folder": tmp_path / "none"})
    empty = tmp_path / "empty"
    empty.mkdir()
    unanchored = paramedic(*prune, tmp_path / "b", "--anchors", empty, **house)
    ledger = Ledger.open(f"sqlite:///{house['data']}/ledger.db")
    ledger.write_now(lambda t: t.append(entry("odd", kind="listener.key", data={"key_id": "x", "key": ""})))
    ledger.close()
    spoilt = paramedic(*prune, tmp_path / "b", **house)

    assert (there.exit_code, "there.jsonl cannot be written" in there.stderr) == (2, True), there.stderr
    assert (nowhere.exit_code, "no checkpoint is known to be outside" in nowhere.stderr) == (2, True)
    assert (unanchored.exit_code, "there is no checkpoint in" in unanchored.stderr) == (2, True)
    assert (spoilt.exit_code, "the export is not good" in spoilt.stderr) == (2, True), spoilt.stderr
    assert not (tmp_path / "b").exists()
    assert (Path(str(house["data"])) / "sealer" / MEMORY_FILE).exists()


def test_the_listeners_keys_can_be_named(house: dict[str, object]) -> None:
    """As the command shows them; what is no key is refused."""
    none = paramedic("ledger", "keys", "--listeners", "--json", **house)
    wrong = paramedic("ledger", "verify", "--listener-key", "AAAA", **house)

    assert json.loads(none.stdout) == {"key": None, "keys": []}
    assert (wrong.exit_code, "a public key has 32 bytes" in wrong.stderr) == (2, True)
    assert "ok" in verified(house, "--listener-key", "A" * 43 + "=")
