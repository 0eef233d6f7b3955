"""The keeping of cases: admission, measurements, plan, ending; all of it in the ledger before the engine knows."""

from __future__ import annotations

from activities.ledger import records
from runbooks.model.alert import AlertStatus
from runbooks.model.record import SYSTEM, RecordKind
from runbooks.model.remediation import CallIn, Closing, Ending, Order
from runbooks.model.verdict import Verdict
from runbooks.ports.case import GateSettlement, Joining, SecondLook, Verification
from tests.ledger.material import entry


async def test_admits_measures_and_plans(surgery):
    """One examination leaves admission, alert, checks and plan on record."""
    found = await surgery.examine()

    assert found.remediation.startswith("R-")
    assert [check.verdict for check in found.checks] == [Verdict.PASSED]
    assert (await surgery.plans.get(found.remediation, found.plan.digest)).actions[0].arguments == {
        "word": "it"
    }
    assert await surgery.kinds() == ["admission", "alert.joined", "check", "plan"]


async def test_the_same_run_is_the_same_remediation(surgery):
    """After a crash, or a reset, the case goes on under the same id."""
    first = await surgery.examine()
    record = (await surgery.records(RecordKind.ADMISSION))[0]
    order = Order(runbook="heal", runbook_digest=record.data["runbook_digest"], target="web")
    call = CallIn(order=order, workflow_id="remediation/heal/web", first_run="run-1", entries=())

    again = await surgery.case.examine(call)

    assert (again.remediation, again.plan) == (first.remediation, first.plan)
    assert len(await surgery.records(RecordKind.ADMISSION)) == 1


async def test_makes_no_plan_unless_the_checks_passed(surgery):
    """A failing check is on record, and no plan is."""
    surgery.world.value = -1

    found = await surgery.examine()

    assert found.plan is None
    assert [check.verdict for check in found.checks] == [Verdict.FAILED]
    assert RecordKind.PLAN not in {record.kind for record in await surgery.records()}


async def test_withholds_while_frozen_by_the_file(surgery):
    """The brake that needs no database stops new remediations too."""
    surgery.freeze_file.touch()

    found = await surgery.examine()

    assert found.withheld.reason == "frozen"
    assert found.checks == ()


async def test_withholds_what_cannot_be_rendered(surgery):
    """A label that the plan needs and the alert does not carry is an error that stops."""
    found = await surgery.examine(labels={"word": "\x00"})
    assert found.withheld is None  # data stays data

    await surgery.case.close(
        Closing(remediation=found.remediation, ending=Ending.MITIGATED, reason="verified", sentence="ok")
    )


async def test_explains_an_unknown_version_of_a_runbook(surgery):
    """What was never loaded here is not run, and its alerts say why."""
    entry = await surgery.receive(digest="f" * 64)
    call = CallIn(
        order=Order(runbook="heal", runbook_digest="f" * 64, target="web"), workflow_id="w", first_run="r", entries=(entry,)
    )  # fmt: skip

    found = await surgery.case.examine(call)

    system = await surgery.ledger.read(lambda c: records.stream_of(c, SYSTEM))
    assert found.remediation == ""
    assert (system[-1].kind, system[-1].data["reason"]) == (RecordKind.ALERT_EXPLAINED, "unknown_runbook")


async def test_one_target_has_one_remediation_at_a_time(surgery):
    """A second runbook's remediation is withheld while the first holds the lease."""
    await surgery.examine(run="run-1")

    second = await surgery.examine(run="run-2")

    assert second.withheld.reason == "leased"


async def test_looks_again_and_sees_a_freeze(surgery):
    """The second look asks admission before the checks."""
    found = await surgery.examine()
    look = SecondLook(remediation=found.remediation, fencing=found.fencing)
    assert [c.verdict for c in (await surgery.case.examine_again(look)).checks] == [Verdict.PASSED]

    surgery.freeze_file.touch()

    assert (await surgery.case.examine_again(look)).withheld.reason == "frozen"


async def test_records_the_first_and_the_deciding_look(surgery):
    """A verification that takes a hundred looks leaves two measurements, not a hundred."""
    found = await surgery.examine()
    surgery.world.value = -1
    for look in (1, 2, 3):
        await surgery.case.verify(
            Verification(remediation=found.remediation, plan_digest=found.plan.digest, look=look, final=False)
        )
    surgery.world.value = 1
    await surgery.case.verify(
        Verification(remediation=found.remediation, plan_digest=found.plan.digest, look=4, final=False)
    )

    assert (await surgery.kinds())[-1] == "ending"
    looks = [r.data["look"] for r in await surgery.records(RecordKind.CHECK) if r.data["round"] == "verify"]
    assert looks == [1, 4]


async def test_joins_and_closes(surgery):
    """Alerts that join and the ending are on record, and the lease is given back."""
    found = await surgery.examine()
    entry = await surgery.receive(status=AlertStatus.RESOLVED)
    await surgery.case.join(Joining(remediation=found.remediation, entries=(entry,)))
    await surgery.case.close_gate(
        GateSettlement(
            remediation=found.remediation, gate=f"{found.remediation}/gate-1", outcome="denied", sentence="no"
        )
    )
    closing = Closing(remediation=found.remediation, ending=Ending.DENIED, reason="denied", sentence="no")
    await surgery.case.close(closing)
    await surgery.case.close(closing)

    assert (await surgery.kinds())[-3:] == ["alert.joined", "gate.closed", "ending"]
    assert (await surgery.examine(run="run-2")).withheld is None


async def test_an_attempt_that_was_given_up_has_an_end_on_record(surgery):
    """Its worker was lost and it was the last one: the ending does not leave its intent without an end."""
    found = await surgery.examine()
    key = {
        "key": f"{found.remediation}/do/act/0",
        "step": "act",
        "name": "Act",
        "uses": "test.keyed",
        "attempt": 1,
    }
    intent = entry(f"{key['key']}/intent/1", found.remediation, kind=RecordKind.ACTION_INTENT, data=key)
    await surgery.ledger.append(intent)
    closing = Closing(
        remediation=found.remediation, ending=Ending.FAILED, reason="lost", sentence="?", keep_lease=True
    )

    await surgery.case.close(closing)
    await surgery.case.close(closing)

    assert (await surgery.kinds())[-3:] == ["action.intent", "action.unknown", "ending"]
