"""The inventory's file: the targets that there are."""

from __future__ import annotations

import pytest

from runbooks.language.findings import RunbookErrors
from runbooks.language.inventory import Job, parse_inventory

FILE = """\
targets:
  - web-1
  - target: web-2
    labels: {cluster: eu-1}
prometheus:
  - job: node
  - {job: patients, label: patient}
"""


def test_reads_targets_and_jobs() -> None:
    """A target is a name, with labels or without; a job's targets are named by a label."""
    said = parse_inventory(FILE, file="i")

    assert dict(said.written.targets) == {"web-1": {}, "web-2": {"cluster": "eu-1"}}
    assert said.written.labels_of("web-2") == {"cluster": "eu-1"}
    assert said.written.labels_of("web-9") == {}
    assert said.jobs == (Job(job="node", label="instance"), Job(job="patients", label="patient"))


def test_thousands_of_targets_may_be_written_out() -> None:
    """An inventory is longer than a runbook."""
    many = "targets:\n" + "".join(f"  - web-{number}\n" for number in range(5000))

    assert len(parse_inventory(many, file="i").written.targets) == 5000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{}",
            [
                (
                    "i:1:1: the inventory names nothing. "
                    "Add `targets:`, `prometheus:` or both; without an inventory every target is acted on."
                )
            ],
        ),
        ("targets: [web-1, web-1]", ["i:1:18: `web-1` is written twice. Keep one of them."]),
        ("targets: [7]", ["i:1:11: a target is a text. Put it in quotes."]),
        (
            "targets: [{labels: {}}]",
            ["i:1:11: a target needs `target`. Add `target:`. Its name, as the runbooks' `target:` has it."],
        ),
        ("targets: [{target: a, labels: {shard: 7}}]", ["i:1:39: `shard` is a text. Put it in quotes."]),
        (
            "targets: [{target: a, labels: [b]}]",
            ["i:1:31: `labels` is a mapping. Write names and values: {name: value}."],
        ),
        ("prometheus: [{label: a}]", ["i:1:14: a job needs `job`. Add `job:`. Its name in Prometheus."]),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_would_be_right(text: str, expected: list[str]) -> None:
    """A target that is misspelt is one that nobody acts on."""
    with pytest.raises(RunbookErrors) as caught:
        parse_inventory(text, file="i")

    assert [str(each) for each in caught.value.errors] == expected
