"""`paramedic ledger prune`: old remediations go into an export, and their hashes stay."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from activities.ledger.anchors import read_anchors
from activities.ledger.checkpoints import seal_at
from activities.ledger.exports import export, verify_export
from activities.ledger.findings import CannotTellError, VerifiedState
from activities.ledger.notes import PublicKey
from activities.ledger.pruning import Prunable, PruningOrder, find_prunable, prune
from activities.ledger.store import Ledger
from activities.ledger.walking import Anchor
from bot.cli.exits import Exit
from bot.cli.here import SOURCE, who
from bot.cli.terminal import AsJson, end_with, settings, show_json, show_line
from bot.sealer.files import sync_folder
from bot.sealer.memory import public_keys_in
from bot.sealer.state import read_state
from bot.visible import visible
from runbooks.errors import LedgerError, RefusedError

_PIECE = 1024 * 1024  # bytes


def prune_ledger(
    before: Annotated[
        datetime,
        typer.Option(
            "--before",
            metavar="DATE",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"],
            help="What ended before this day began, UTC; or a time: 2026-01-01T12:00:00Z.",
        ),
    ],
    archive: Annotated[
        Path, typer.Option("--export", metavar="FILE", help="Where it is kept from now on; a new file.")
    ],
    anchors: Annotated[
        Path | None,
        typer.Option(
            "--anchors",
            metavar="PATH",
            help="Checkpoints from outside the database.  Without it: as far as the sealer has published.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Move old remediations out of the ledger, and leave their hashes.

    Everything is exported first, with all values, and the export verified.  Then the bodies of remediations
    that ended before that time are deleted, with what stands behind their commitments, and the messages
    that alerts came in by.  The ledger still verifies.  What is open, holds a target, or stands under no
    checkpoint outside the database stays.  With PostgreSQL only the owner of the tables may do it.  While
    the sealer refuses to sign, nothing is pruned.

    Example: paramedic ledger prune --before 2026-01-01 --export ledger-2025.jsonl
    """
    earlier = before.replace(tzinfo=UTC)
    _sealer_must_sign()
    with closing(Ledger.open(settings().ledger, create=False)) as ledger:
        keys = public_keys_in(settings().sealers_folder)
        known = _anchors(anchors, keys)
        published = _published(ledger, known)
        what = ledger.read_now(lambda c: find_prunable(c, earlier, published))
        if not what.streams and not what.raws:
            end_with(Exit.NO, f"Nothing can be pruned{_left(what)}.", "nothing_to_prune")
        digest = _archive(ledger, archive, keys, known)
        order = PruningOrder(before=earlier, export=digest, actor=who(), source=SOURCE)
        done = [_carry_out(ledger, piece, order) for piece in what.batches()]
    told = {
        "remediations": len(what.streams),
        "records": sum(each["records"] for each in done),
        "blobs": sum(each["blobs"] for each in done),
        "export": str(archive),
        "sha256": digest,
        "unfinished": what.unfinished,
        "unpublished": what.unpublished,
    }
    if as_json:
        show_json(told)
        return
    counts = f"{told['remediations']} remediations, {told['records']} records, {told['blobs']} messages"
    show_line(Text(visible(f"Pruned: {counts}{_left(what)}.")))
    show_line(Text(visible(f"They stand in {archive}, SHA-256 {digest}. Keep it: nothing else has them.")))


def _carry_out(ledger: Ledger, what: Prunable, order: PruningOrder) -> Mapping[str, Any]:
    return ledger.write_now(lambda transaction: prune(transaction, what, order)).data


def _left(what: Prunable) -> str:
    """Return, for people, what stays although it is old."""
    reasons = {"not finished": what.unfinished, "under no checkpoint outside yet": what.unpublished}
    stays = [f"{count} {reason}" for reason, count in reasons.items() if count]
    return f"; {' and '.join(stays)}" if stays else ""


def _sealer_must_sign() -> None:
    """Refuse to go on while the sealer does: nothing may be taken out of a ledger that is in doubt.

    Raises:
        RefusedError: it does not sign what the ledger holds.
    """
    state = read_state(settings().sealers_folder)
    if state is not None and state.refused:
        raise RefusedError(
            "not_sealed",
            f"nothing is pruned while the sealer refuses to sign: {state.refused}; "
            "mend that, let the sealer run again, and prune then",
        )


def _anchors(place: Path | None, keys: list[PublicKey]) -> list[Anchor]:
    try:
        return [] if place is None else read_anchors(place, keys)
    except CannotTellError as error:
        raise RefusedError("not_verified", str(error)) from error


def _published(ledger: Ledger, anchors: list[Anchor]) -> int:
    """Return how many records stand under a checkpoint outside the database.

    Raises:
        RefusedError: nobody knows of any.
    """
    if anchors:
        return max(anchor.note.checkpoint.size for anchor in anchors)
    state = read_state(settings().sealers_folder)
    if state is None or not state.behind:
        raise RefusedError(
            "not_published",
            "no checkpoint is known to be outside the database: give the sealer a destination "
            "(PARAMEDIC_CHECKPOINT_FOLDER, _GIT or _SSH), or name the checkpoints with --anchors",
        )
    number = state.number - min(state.behind.values())
    seal = ledger.read_now(lambda c: seal_at(c, number))
    return 0 if seal is None else seal.size


def _archive(ledger: Ledger, file: Path, keys: list[PublicKey], anchors: list[Anchor]) -> str:
    """Write everything to a new file, verify it, and return its SHA-256.

    Raises:
        RefusedError: it does not verify.
        LedgerError: it cannot be written.
    """
    draft = file.with_name(f".{file.name}.part")
    try:
        digest = ledger.read_now(lambda c: _write(draft, export(c, with_values=True)))
        with draft.open("rb") as lines:
            report = verify_export(lines, keys, anchors)
        if report.state is not VerifiedState.OK:
            raise RefusedError("not_verified", f"nothing is pruned: the export is not good: {report.problem}")
        file.hardlink_to(draft)
        sync_folder(file.parent)  # or a power cut could take the name, when the bodies are gone already
    except OSError as error:
        raise LedgerError(f"{file} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return digest


def _write(file: Path, lines: Iterable[bytes]) -> str:
    """Write `lines` to the disk, for the owner's eyes only, and return their SHA-256."""
    digest = hashlib.sha256()
    file.unlink(missing_ok=True)  # of one who crashed
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=_PIECE) as output:
        for line in lines:
            digest.update(line)
            output.write(line)
        output.flush()
        os.fsync(output.fileno())
    return digest.hexdigest()
