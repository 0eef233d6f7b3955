"""`paramedic ledger`: verify the record of everything, and read its end."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text

from activities.ledger.anchors import read_anchors
from activities.ledger.bundles import bundle, verify_bundle
from activities.ledger.exports import FORMAT, export, verify_export
from activities.ledger.findings import CannotTellError, Verification, VerifiedState
from activities.ledger.notes import KeyTextWrongError, PublicKey
from activities.ledger.records import after, size, streams_recent
from activities.ledger.roles import render_roles
from activities.ledger.schema import REVISION
from activities.ledger.store import Ledger
from activities.ledger.verification import verify
from activities.ledger.walking import Anchor
from activities.signatures import parse_public_key
from bot.cli.completing import recent_ids
from bot.cli.prune import prune_ledger
from bot.cli.tables import show_table
from bot.cli.terminal import (
    AsJson,
    new_commands,
    settings,
    show_err,
    show_json,
    show_line,
)
from bot.sealer.memory import public_keys_in
from bot.timeline_rows import as_time
from bot.timeline_views import result_text
from bot.visible import visible
from runbooks.errors import LedgerError
from runbooks.model.record import Record, RecordKind

app = new_commands("Verify and read the record of everything.")


class _Trust(NamedTuple):
    """What is believed, in the order in which verifiers take it.

    Attributes:
        keys: of the sealer.
        anchors: checkpoints from outside the database.
        listeners: raw keys; without any, those on record.
    """

    keys: list[PublicKey]
    anchors: list[Anchor]
    listeners: list[bytes]


_EXPORT = f'{{"format":"{FORMAT}"'.encode()


@contextmanager
def open_ledger() -> Iterator[Ledger]:
    """Open the ledger of these settings, which must be there, and close it again.

    Raises:
        LedgerError: there is none, or it cannot be used.
    """
    ledger = Ledger.open(settings().ledger, create=False)
    try:
        yield ledger
    finally:
        ledger.close()


app.command("prune")(prune_ledger)


@app.command("verify")
def verify_ledger(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="An export or a bundle.  Without it: the ledger of these settings."
        ),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="File with the sealer's public keys.  May be repeated."),
    ] = None,
    anchors: Annotated[
        Path | None,
        typer.Option(
            "--anchors",
            metavar="PATH",
            help="Checkpoints from outside the database: a folder of them, or a file.",
        ),
    ] = None,
    listener_key: Annotated[
        list[str] | None,
        typer.Option(
            "--listener-key",
            metavar="BASE64",
            help="Public key of a listener whose seal counts, as `ledger keys --listeners` shows it.  "
            "May be repeated.  Without it: those on record.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find out whether anything was changed, lost, put in another order, or could not have happened.

    Exit code 0: it is good; 1: it was tampered with; 2: it cannot be told.

    Example: paramedic ledger verify --anchors /mnt/checkpoints
    """
    keys = _public_keys(key)
    try:
        known = [] if anchors is None else read_anchors(anchors, keys)
        trust = _Trust(keys, known, [parse_public_key(text) for text in listener_key or ()])
        report, remediations = (
            _verify_live(trust, insist=bool(key)) if file is None else (_verify_file(file, trust), 0)
        )
    except CannotTellError as doubt:
        report = Verification(state=VerifiedState.CANNOT_TELL, size=0, root="", problem=str(doubt))
        remediations = 0
    if as_json:
        show_json({**report.model_dump(mode="json"), "remediations": remediations})
    else:
        _show_report(report, remediations)
    raise typer.Exit(report.exit_code)


def _public_keys(files: list[Path] | None) -> list[PublicKey]:
    """Return the keys in these files, or that of the sealer on this machine, if there is one.

    Raises:
        ParamedicError: a file cannot be read, or holds no such key.
    """
    if not files:
        return public_keys_in(settings().sealers_folder)
    keys = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyTextWrongError(f"{file} cannot be read: {error}") from error
        keys += [PublicKey.parse(line) for line in lines if line.strip()]
    return keys


def _verify_file(file: Path, trust: _Trust) -> Verification:
    try:
        with file.open("rb") as lines:
            is_export = lines.read(len(_EXPORT)) == _EXPORT
            lines.seek(0)
            return verify_export(lines, *trust) if is_export else verify_bundle(lines.read(), *trust)
    except OSError as error:
        raise CannotTellError(f"{file} cannot be read: {error.strerror}") from error


def _verify_live(trust: _Trust, *, insist: bool) -> tuple[Verification, int]:
    """Verify the ledger of these settings.

    Args:
        insist: somebody has named the key, so that a ledger without its signature is not good.
    """
    with open_ledger() as ledger:
        report, remediations = ledger.read_now(lambda c: _verify(c, trust))
    if insist and report.state is VerifiedState.OK and not report.sealed:
        raise CannotTellError("no checkpoint is signed by the key that was given")
    return report, remediations


@app.command("export")
def export_ledger(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where it is written to; - is standard output.")
    ],
    with_values: Annotated[
        bool,
        typer.Option(
            "--with-values", help="Also what stands behind the commitments, and messages as they came in."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the whole ledger with its checkpoints to a file that is verified without the database.

    Example: paramedic ledger export ledger-2026-03.jsonl
    """
    _refuse_two_outputs(file, as_json=as_json)
    with open_ledger() as ledger:
        written = ledger.read_now(lambda c: _write(file, export(c, with_values=with_values)))
    _tell_written(written, as_json=as_json)


@app.command("bundle")
def bundle_remediation(
    remediation: Annotated[
        str,
        typer.Argument(metavar="R-…", help="The remediation, as cards show it.", autocompletion=recent_ids),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Where it is written to; - is standard output."),
    ],
    without_values: Annotated[
        bool, typer.Option("--without-values", help="Leave out what stands behind the commitments.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write one remediation to a file that proves itself: `paramedic ledger verify FILE --key sealer.pub`.

    Example: paramedic ledger bundle R-7F3K2Q -o R-7F3K2Q.bundle
    """
    _refuse_two_outputs(output, as_json=as_json)
    with open_ledger() as ledger:
        made = ledger.read_now(lambda c: bundle(c, remediation.upper(), with_values=not without_values))
    _tell_written(_write(output, [made]), as_json=as_json)


def _refuse_two_outputs(file: Path, *, as_json: bool) -> None:
    if as_json and str(file) == "-":
        raise typer.BadParameter("standard output cannot hold both: name a file", param_hint="--json")


def _tell_written(written: Mapping[str, object], *, as_json: bool) -> None:
    """Tell people what was written on stderr, for what was written may itself stand on stdout."""
    if as_json:
        show_json(written)
    elif written["file"] != "-":
        show_err(Text(visible(f"Written: {written['file']}, {written['bytes']} bytes"), style="dim"))


@app.command("keys")
def show_keys(
    listeners: Annotated[
        bool,
        typer.Option("--listeners", help="Those of the listeners instead, under whose seal people decided."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The public keys of the sealer on this machine, as `--key` takes them; the last one is in office.

    Other tools for signed notes take a line too, up to its first space.

    Example: paramedic ledger keys > sealer.pub
    """
    keys = _listener_keys() if listeners else [str(key) for key in public_keys_in(settings().sealers_folder)]
    if not keys and not listeners:
        raise KeyTextWrongError(
            f"there is no sealer's key in {settings().sealers_folder}: it is made when the sealer runs first"
        )
    if as_json:
        show_json({"key": keys[-1] if keys else None, "keys": keys})
    else:
        show_line(*keys)


def _listener_keys() -> list[str]:
    with open_ledger() as ledger:
        kept = ledger.read_now(lambda c: after(c, -1, size(c), {RecordKind.LISTENER_KEY}))
    return [str(record.data["key"]) for record in kept]


def _write(file: Path, parts: Iterable[bytes]) -> dict[str, object]:
    """Write `parts`, in the place of what was there only when they are complete.  Return what was written.

    Raises:
        LedgerError: they cannot be written.
    """
    measured = _Measured(parts)
    if str(file) == "-":
        for part in measured:
            sys.stdout.buffer.write(part)
        return measured.facts(file)
    draft = file.with_name(f".{file.name}.part")
    try:
        with draft.open("wb") as output:
            output.writelines(measured)
        draft.replace(file)
        return measured.facts(file)
    except OSError as error:
        raise LedgerError(f"{file} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


class _Measured:
    """Bytes on their way into a file, counted and hashed."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts
        self._size = 0
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self._size += len(part)
            self._hash.update(part)
            yield part

    def facts(self, file: Path) -> dict[str, object]:
        """Return where it went, how much it was, and its hash."""
        return {"file": str(file), "bytes": self._size, "sha256": self._hash.hexdigest()}


def _verify(connection: Any, trust: _Trust) -> tuple[Verification, int]:
    """Verify first: what else is read from a ledger that is not good may be anything."""
    report = verify(connection, *trust)
    if report.state is not VerifiedState.OK:
        return report, 0
    return report, len(streams_recent(connection, report.size))


def _sealed_decisions(report: Verification) -> str:
    if not report.signatures:
        return ""
    return f"{report.signatures} under the seal of {', '.join(report.listeners)}"


def _show_report(report: Verification, remediations: int) -> None:
    looked = report.size or report.state is not VerifiedState.CANNOT_TELL
    facts = [
        ("first bad record", "" if report.seq is None else str(report.seq)),
        ("records", f"{report.size} found good" if looked else ""),
        ("remediations", str(remediations) if remediations else ""),
        ("checkpoints", f"{report.checkpoints} compared" if looked else ""),
        ("anchors", f"{report.anchors} compared" if report.anchors else ""),
        ("sealed", f"the first {report.sealed} records" if report.sealed else ""),
        ("pruned", f"{report.pruned} records, which stand in earlier exports" if report.pruned else ""),
        ("decisions", _sealed_decisions(report)),
        ("root", report.root),
    ]
    style = "bold green" if report.state is VerifiedState.OK else "bold red"
    why = f": {report.problem}" if report.problem else ""
    show_line(Text(visible(f"ledger verify: {report.state.replace('_', ' ')}{why}"), style=style))
    # A line each, however narrow the terminal: a root that is broken cannot be copied or searched for.
    facts += [("warning", warning) for warning in report.warnings]
    for name, value in facts:
        if value:
            show_line(Text.assemble((f"{name:<18}", "dim"), visible(value)))


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Make the ledger's tables, or bring them up to date, and do nothing else.

    `paramedic up`, `serve` and `worker` do so by themselves.  It is for a ledger in PostgreSQL whose tables
    belong to another user than the one they run as.

    Example: paramedic ledger migrate
    """
    Ledger.open(settings().ledger).close()
    if as_json:
        show_json({"revision": REVISION})
    else:
        show_line("The ledger's tables are up to date.")


@app.command()
def roles(as_json: AsJson = False) -> None:
    """Print the SQL that gives the bot, readers and the sealer no more than they need (PostgreSQL).

    Example: paramedic ledger roles | psql ledger
    """
    if as_json:
        show_json({"sql": render_roles()})
    else:
        typer.echo(render_roles(), nl=False)


@app.command()
def tail(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many records.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The last records, oldest first.

    Example: paramedic ledger tail -n 50
    """
    with open_ledger() as ledger:
        records = ledger.read_now(lambda connection: after(connection, size(connection) - count - 1, count))
    if as_json:
        show_json([record.model_dump(mode="json") for record in records])
        return
    if not records:
        show_line("There is no record yet.")
        return
    show_table(("seq", "time", "stream", "record", "outcome", "who"), [_as_row(each) for each in records])


def _as_row(record: Record) -> tuple[object, ...]:
    outcome = result_text(record.outcome.removeprefix("-").replace("_", " "))
    return record.seq, as_time(record.at), record.stream, record.kind.value, outcome, record.actor
