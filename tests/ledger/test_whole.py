"""A ledger's life as a whole, on each database: sealed, redacted, sealed by another key, pruned; and good after each."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from activities.ledger import redactions
from activities.ledger.exports import export, verify_export
from activities.ledger.findings import Verification, VerifiedState
from activities.ledger.installation import installation_id
from activities.ledger.notes import PublicKey
from activities.ledger.pruning import PruningOrder, find_prunable, prune
from activities.ledger.redactions import RedactionOrder
from activities.ledger.store import Ledger
from activities.ledger.verification import verify
from bot.sealer.memory import ROTATION_FILE, Memory, public_keys_in
from bot.sealer.sealing import Sealer
from tests.ledger.material import BOTH, NIGHT
from tests.ledger.test_pruning import remediation


async def sealed(ledger: Ledger, folder: Path) -> None:
    """Let a sealer that has just started compare everything, and seal it."""
    memory = Memory(folder, f"paramedic/{await ledger.read(installation_id)}")
    sealer = Sealer(ledger, memory)
    await sealer.begin()
    await sealer.seal()


def report_of(ledger: Ledger, keys: list[PublicKey]) -> Verification:
    lines = ledger.read_now(lambda c: list(export(c, with_values=True)))
    told = verify_export(lines, keys)
    report = ledger.read_now(lambda c: verify(c, keys))
    assert (report.state, report.problem, told.state) == (VerifiedState.OK, "", VerifiedState.OK)
    assert (told.root, told.sealed, told.pruned) == (report.root, report.sealed, report.pruned)
    return report


@BOTH
async def test_a_life(ledger: Ledger, tmp_path: Path) -> None:
    """Nothing that is done to it by the rules makes it suspicious, to the verifier or to the sealer."""
    folder = tmp_path / "sealer"
    old = remediation(ledger, "web-1")
    remediation(ledger, "web-2", days=100)
    await sealed(ledger, folder)
    first = public_keys_in(folder)

    order = RedactionOrder(remediation=old, record=None, reason="a name", actor="local:alice", source="cli")
    assert ledger.write_now(lambda t: redactions.redact(t, order)) is not None
    (folder / ROTATION_FILE).touch()
    await sealed(ledger, folder)
    what = ledger.read_now(lambda c: find_prunable(c, NIGHT + timedelta(days=1), 99))
    pruning = PruningOrder(before=NIGHT, export="ab" * 32, actor="local:alice", source="cli")
    ledger.write_now(lambda t: prune(t, what, pruning))
    await sealed(ledger, folder)

    for keys in (first, public_keys_in(folder)):
        report = report_of(ledger, keys)
        assert (report.pruned, report.checkpoints) == (4, 3)
        assert report.sealed == report.size
