"""The brake: a file first, and a record as soon as there is somewhere to write it.

The file works with Slack, Temporal and the ledger down, and that is when the brake is needed
most.  So to freeze is to write the file; the ledger learns of it now or later.  To thaw is to take
it out of the file and to record that, or, where it cannot be recorded, to leave it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import structlog

from activities.freeze_file import add_freeze, forget_freezes, read_freezes, remove_freeze, written_at
from activities.ledger import freezes
from activities.ledger.store import Ledger, Transaction
from runbooks.errors import LedgerError, ParamedicError
from runbooks.model.freeze import SCOPES, Freeze, is_scope

log = structlog.get_logger(__name__)


class BrakeError(ParamedicError):
    """The brake could not be pulled or released.  The message says what stands now."""

    code = "brake_failed"


class Brake:
    """Freezes and thaws.

    Args:
        ledger: None where it cannot be opened: freezing works all the same.
        freeze_file: where the file is, or will be.
    """

    def __init__(self, ledger: Ledger | None, *, freeze_file: Path) -> None:
        self._ledger = ledger
        self._file = freeze_file

    async def freeze(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        """Stop everybody in `scope` from acting.  Return whether that is on record already.

        Raises:
            BrakeError: there is no such scope, or neither file nor ledger could be written.
        """
        freeze = Freeze(scope=_checked(scope), actor=actor, reason=reason, at=datetime.now(UTC))
        in_file = self._write_file(freeze)
        try:
            await self._record(freeze, source)
        except LedgerError as error:
            if not in_file:
                raise BrakeError(
                    f"NOT frozen: neither {self._file} nor the ledger can be written ({error}); stop the bot"
                ) from error
            log.warning("frozen by file; it will be recorded later", scope=scope, error=str(error))
            return False
        return True

    def _write_file(self, freeze: Freeze) -> bool:
        try:
            add_freeze(self._file, freeze)
        except OSError as error:
            log.error("the freeze file cannot be written", file=str(self._file), error=str(error))  # noqa: TRY400 - the trace says no more
            return False
        return True

    async def _record(self, freeze: Freeze, source: str) -> None:
        await self._writable().write(
            lambda transaction: freezes.freeze(
                transaction,
                freeze.scope,
                actor=freeze.actor,
                source=source,
                reason=freeze.reason,
                at=freeze.at,
            )
        )

    async def thaw(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        """Let `scope` act again.  Return whether it was frozen.

        Raises:
            BrakeError: there is no such scope, or it could not be recorded; then it stays frozen.
        """
        scope = _checked(scope)
        try:
            taken_out = remove_freeze(self._file, scope)
        except OSError as error:
            raise BrakeError(f"still frozen: {self._file} cannot be written ({error.strerror})") from error
        try:
            released = await self._writable().write(
                lambda t: freezes.thaw(t, scope, actor=actor, source=source, reason=reason)
            )
        except LedgerError as error:
            for freeze in taken_out:
                self._write_file(freeze)
            raise BrakeError(f"still frozen: this could not be recorded ({error})") from error
        return bool(taken_out) or released is not None

    async def settle(self) -> None:
        """Record what stands in the file and not yet in the ledger: a freeze while it was down, or by hand.

        Raises:
            LedgerError: it still cannot be written.
        """
        if not read_freezes(self._file):
            return
        released = await self._writable().write(self._settle)
        if not released:
            return
        try:
            forget_freezes(self._file, released)
        except OSError as error:
            log.warning("a freeze that was lifted stays in the file", file=str(self._file), error=str(error))

    def _settle(self, transaction: Transaction) -> list[Freeze]:
        """Record what is not on record, and return what was lifted since, by a process with another file.

        The file is read again inside the transaction: a thaw comes wholly before it or wholly after.
        """
        released = []
        for freeze in read_freezes(self._file):
            if self._is_released(transaction, freeze):
                released.append(freeze)
                continue
            freezes.freeze(
                transaction,
                freeze.scope,
                actor=freeze.actor,
                source=str(self._file),
                reason=freeze.reason,
                at=freeze.at,
            )
        return released

    def _is_released(self, transaction: Transaction, freeze: Freeze) -> bool:
        """Return whether it was lifted after it was pulled, and after anybody last touched the file."""
        released_at = freezes.released_at(transaction.connection, freeze.scope)
        return released_at is not None and released_at > max(freeze.at, written_at(self._file))

    async def freezes(self) -> tuple[Freeze, ...]:
        """Return all brakes that are pulled, each scope once.

        Raises:
            LedgerError: it cannot be read.
        """
        recorded = await self._writable().read(freezes.current)
        by_scope = {freeze.scope: freeze for freeze in (*recorded, *read_freezes(self._file))}
        return tuple(sorted(by_scope.values(), key=lambda freeze: (freeze.at, freeze.scope)))

    def _writable(self) -> Ledger:
        if self._ledger is None:
            raise LedgerError("the ledger is not open")
        return self._ledger


def _checked(scope: str) -> str:
    if not is_scope(scope):
        raise BrakeError(f"a freeze is on {SCOPES}, not on {scope!r}")
    return scope
