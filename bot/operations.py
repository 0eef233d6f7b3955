"""Operations: what people can ask for, the same from Slack and from the command line.

Nothing is decided here.  A request goes through the inbox like an alert, and meets the same
admission, checks and gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from activities.ledger import inbox, leases, records, remediations, stops
from activities.ledger.inbox import Delivery
from activities.ledger.leases import KeptTarget
from activities.ledger.logins import Login, LoginEnding
from activities.ledger.store import Ledger
from activities.windows import WindowsError, WindowsFile
from bot.brake import Brake
from bot.catalog import Catalog, aim
from bot.intake import Intake
from bot.logins import Logins
from bot.open_gates import name_of
from bot.policy.doorkeeper import Doorkeeper
from bot.policy.questions import Question, TargetFacts, Verb
from bot.policy.rulings import admit_on_record
from bot.policy.subjects import question_of_run, question_of_stop
from runbooks.errors import ParamedicError, RefusedError
from runbooks.language.facts import Facts
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.base import Value
from runbooks.model.decision import Answer
from runbooks.model.freeze import Freeze
from runbooks.model.record import Record
from runbooks.model.runbook import Autonomy, Runbook
from runbooks.policy.story import GateStory, Phase, Story, StoryError, read_story


class RequestError(ParamedicError):
    """What a person asked for cannot be begun.  The message says why and what would be right."""

    code = "request_wrong"


class RunbookLine(Value):
    """One runbook, or one file that should be one.

    Attributes:
        autonomy: None where the file was refused and no earlier version is in force.
        error: what is wrong with the file; empty where nothing is.
    """

    name: str
    summary: str = ""
    autonomy: Autonomy | None = None
    error: str = ""


class RunRequested(Value):
    """A request that is in the inbox.

    Attributes:
        entry: the inbox entry's id.
    """

    entry: str
    runbook: str
    target: str


class Stopped(Value):
    """A remediation that does nothing more, from now on."""

    remediation: str
    runbook: str
    target: str


class StatusLine(Value):
    """One remediation in progress.

    Attributes:
        phase: `unreadable` where its records do not tell.
    """

    remediation: str
    runbook: str
    target: str
    phase: Phase | Literal["unreadable"]
    since: datetime


class GateLine(Value):
    """One gate that waits for people.

    Attributes:
        gate: its name, `gate-1`, `step-2`, `verdict-1`; it need be said only where several wait.
        approvers: the groups that are asked by now.
        need: how many people must approve; `given` of them did.
        expires_at: when it ends, whoever is asked by then.
        asked_until: when others are asked too, or it ends.
        then: the groups that are asked too after that; empty where it ends.
        step: the step, where it is about that one alone.
        doubt: the action, where the question is what became of it.  Neither: a plan is to be approved.
    """

    remediation: str
    runbook: str
    target: str
    gate: str = ""
    approvers: tuple[str, ...]
    need: int = 1
    given: int = 0
    expires_at: datetime
    asked_until: datetime | None = None
    then: tuple[str, ...] = ()
    step: str = ""
    doubt: str = ""

    @property
    def until(self) -> datetime:
        """When those who are asked now have had their time."""
        return self.asked_until or self.expires_at


class OpenWindow(Value):
    """A maintenance window that is open.

    Attributes:
        scope: what nobody acts on meanwhile, as of a freeze.
        until: when it closes.
    """

    name: str
    scope: str
    reason: str
    until: datetime


class Status(Value):
    """What is going on.

    Attributes:
        windows: the maintenance windows that are open.
        windows_problem: why they cannot be read, and therefore nobody acts; empty where they can.
        kept: targets that a person must look at and give back, because an outcome is unknown.
    """

    frozen: tuple[Freeze, ...]
    running: tuple[StatusLine, ...]
    gates: tuple[GateLine, ...]
    kept: tuple[KeptTarget, ...] = ()
    windows: tuple[OpenWindow, ...] = ()
    windows_problem: str = ""


class Operations:
    """What people can ask for.

    Args:
        intake: knows the catalog in force and whom to wake.
        freeze_file: the brake's file.
        windows: None where the installation has no maintenance windows.
        doorkeeper: says whether the person who asks may do that.
        logins: None where nobody can log in from here.
    """

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        *,
        freeze_file: Path,
        doorkeeper: Doorkeeper,
        windows: WindowsFile | None = None,
        logins: Logins | None = None,
    ) -> None:
        self._ledger = ledger
        self._windows = windows or WindowsFile(None)
        self._logins = logins
        self.doorkeeper = doorkeeper
        self._intake = intake
        self.brake = Brake(ledger, freeze_file=freeze_file)

    async def list_runbooks(self) -> list[RunbookLine]:
        """Return all runbooks by name, and the files that were refused."""
        catalog = self._intake.catalog
        wrong: dict[str, list[str]] = {}
        for error in catalog.errors:
            wrong.setdefault(Path(error.file).stem, []).append(str(error))
        lines = []
        for name in sorted({*catalog.runbooks, *wrong}):
            runbook = catalog.runbooks.get(name)
            lines.append(
                RunbookLine(
                    name=name,
                    summary=runbook.summary if runbook else "",
                    autonomy=runbook.autonomy if runbook else None,
                    error="\n".join(wrong.get(name, ())),
                )
            )
        return lines

    async def run(self, name: str, labels: Mapping[str, str], *, actor: str, source: str) -> RunRequested:
        """Ask for a runbook by hand, as if an alert with these labels had come.

        `alertname` defaults to the one that the runbook is first for.

        Raises:
            RequestError: there is no such runbook, or its target needs other labels.
            NotPermittedError: the policy does not let them.
            LedgerError: it could not be written down; nothing was begun.
        """
        runbook = self.find(name)
        at = datetime.now(UTC)
        alert = Alert(
            status=AlertStatus.FIRING,
            labels={"alertname": runbook.when[0].alert, **labels} if runbook.when else dict(labels),
            annotations={"summary": f"Asked for by {actor}"},
            starts_at=at,  # to ask twice is two requests
        )
        match = aim(runbook, Facts(labels=alert.labels, annotations=alert.annotations))
        if match.error is not None:
            raise RequestError(f"{name} cannot be run with these labels: {match.error}")
        target = TargetFacts(name=match.target, labels=alert.labels)
        vocabulary = self._intake.catalog.vocabulary
        await self._admit(question_of_run(runbook, vocabulary, target), actor=actor, source=source)
        delivery = Delivery(
            delivery=alert.delivery,
            runbook=runbook.name,
            runbook_digest=runbook.digest,
            target=match.target,
            alert=alert,
            sender=source,
            requested_by=actor,
        )
        window = self._intake.duplicate_window
        acceptance = await self._ledger.write(
            lambda transaction: inbox.accept(transaction, [delivery], at=at, duplicate_window=window)
        )
        self._intake.wake(acceptance.entries)
        return RunRequested(entry=acceptance.entries[0].entry, runbook=runbook.name, target=match.target)

    @property
    def catalog(self) -> Catalog:
        """The runbooks in force."""
        return self._intake.catalog

    def find(self, name: str) -> Runbook:
        """Return a runbook in force.

        Raises:
            RequestError: there is none of that name; the message has the nearest.
        """
        catalog = self._intake.catalog
        if name in catalog.runbooks:
            return catalog.runbooks[name]
        if wrong := [str(error) for error in catalog.errors if Path(error.file).stem == name]:
            raise RequestError(f"the runbook {name} cannot be used: {wrong[0]}")
        near = get_close_matches(name, catalog.runbooks, n=3)
        known = (
            f"did you mean {' or '.join(near)}?"
            if near
            else f"there are: {', '.join(sorted(catalog.runbooks))}"
        )
        raise RequestError(f"there is no runbook {name!r}; {known if catalog.runbooks else 'there are none'}")

    async def status(self) -> Status:
        """Return what is frozen, what is running, which gates wait and which targets are kept.

        Raises:
            LedgerError: it cannot be read.
        """
        frozen = await self.brake.freezes()
        opened = await self._ledger.read(
            lambda c: [(row, records.stream_of(c, row.id)) for row in remediations.open_remediations(c)]
        )
        kept = await self._ledger.read(leases.kept_targets)
        running, gates = [], []
        for row, stream in opened:
            story = _story(stream)
            place = {"remediation": row.id, "runbook": row.runbook, "target": row.target}
            phase = story.phase if story else "unreadable"
            running.append(StatusLine(**place, phase=phase, since=row.opened_at))
            gates += [GateLine(**place, **_asked(gate)) for gate in (story.open_gates if story else ())]
        windows, problem = self._open_windows()
        return Status(
            frozen=frozen,
            running=tuple(running),
            gates=tuple(gates),
            kept=tuple(kept),
            windows=windows,
            windows_problem=problem,
        )

    def _open_windows(self) -> tuple[tuple[OpenWindow, ...], str]:
        now = datetime.now(UTC)
        try:
            ends = [(window, window.end_at(now)) for window in self._windows.read()]
        except WindowsError as error:
            return (), str(error)
        return tuple(
            OpenWindow(name=window.name, scope=window.scope, reason=window.reason, until=until)
            for window, until in ends
            if until is not None
        ), ""

    async def freeze(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        """Pull the brake.  Return whether that is on record already; see `Brake.freeze`."""
        await self._admit(Question(verb=Verb.FREEZE, scope=scope), actor=actor, source=source)
        return await self.brake.freeze(scope, reason, actor=actor, source=source)

    async def thaw(self, scope: str, reason: str, *, actor: str, source: str) -> bool:
        """Release the brake.  Return whether it was pulled; see `Brake.thaw`."""
        await self._admit(Question(verb=Verb.THAW, scope=scope), actor=actor, source=source)
        return await self.brake.thaw(scope, reason, actor=actor, source=source)

    async def stop(self, remediation: str, reason: str, *, actor: str, source: str) -> Stopped:
        """Let one remediation do nothing more.  It is on record when this returns, and holds from then on.

        Raises:
            RequestError: there is no such remediation, or it has ended.
            NotPermittedError: the policy does not let them.
            LedgerError: it could not be recorded; the remediation goes on.
        """
        name = remediation.upper()
        story = _story(await self._ledger.read(lambda c: records.stream_of(c, name)))
        if story is None:
            raise RequestError(f"there is no remediation {name}; status shows those in progress")
        await self._admit(question_of_stop(story), actor=actor, source=source)
        try:
            await self._ledger.write(
                lambda t: stops.ask_to_stop(t, name, actor=actor, source=source, reason=reason)
            )
        except RefusedError as error:
            raise RequestError(str(error)) from error
        return Stopped(remediation=name, runbook=story.runbook, target=story.target)

    async def release(self, target: str, reason: str, *, actor: str, source: str) -> KeptTarget | None:
        """Give back a target that is kept because of an unknown outcome.  Return it; None: it was not kept.

        Raises:
            NotPermittedError: the policy does not let them.
            LedgerError: it could not be recorded; the target stays as it was.
        """
        question = Question(verb=Verb.RELEASE, target=TargetFacts(name=target))
        await self._admit(question, actor=actor, source=source)
        return await self._ledger.write(
            lambda t: leases.give_back(t, target, actor=actor, source=source, reason=reason)
        )

    async def log_in(self, code: str, *, actor: str, source: str) -> Login:
        """Let the command line that shows this code speak for `actor`, who has typed it in Slack.

        Raises:
            LoginError: no such code waits, or they have tried too many.
            LedgerError: it could not be recorded; nobody is logged in by it.
        """
        if self._logins is None:
            raise RequestError("nobody can log in through this process")
        return await self._logins.confirm(code, actor, source)

    async def log_out(self, login: str, *, actor: str, source: str) -> list[Login]:
        """End a login of this person, or with an empty name all of theirs.  Return those that counted.

        Raises:
            LedgerError: it could not be recorded; they go on counting.
        """
        if self._logins is None:
            raise RequestError("nobody can log in through this process")
        theirs = [each.id for each in await self._logins.current() if each.person == actor]
        named = [each for each in theirs if login.upper() in {"", each}]
        return await self._logins.end(named, LoginEnding.REVOKED, actor=actor, source=source)

    async def _admit(self, question: Question, *, actor: str, source: str) -> None:
        await admit_on_record(self.doorkeeper, question, ledger=self._ledger, actor=actor, source=source)


def _asked(gate: GateStory) -> dict[str, Any]:
    """Return what a line says of a gate: who is asked now, what is still missing, and who is next."""
    answer = Answer.AGAIN if gate.doubt else Answer.APPROVED
    return {
        "gate": name_of(gate),
        **gate.model_dump(include={"approvers", "need", "expires_at", "asked_until"}),
        "given": len(gate.given(answer)),
        "then": gate.otherwise[0].approvers if gate.otherwise else (),
        "step": gate.gated.name if gate.gated else "",
        "doubt": gate.doubt.name if gate.doubt else "",
    }


def _story(stream: Sequence[Record]) -> Story | None:
    try:
        return read_story(stream)
    except StoryError:
        return None
