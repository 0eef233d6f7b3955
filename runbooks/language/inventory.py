"""The inventory's file: targets that are written out, or where Prometheus knows them from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runbooks.language.findings import Findings, shown
from runbooks.language.reading import Section, text_of
from runbooks.language.source import MapNode, Node, read_yaml
from runbooks.language.words import WordList
from runbooks.model.base import Value
from runbooks.model.inventory import Inventory

TIMES = 10
"""How many times the size of a runbook an inventory may have: some thousands of targets."""

FILE = WordList(
    "an inventory",
    {
        "targets": "A list of targets: a name, or `target` and `labels`.",
        "prometheus": "A list of jobs whose targets are ours.",
    },
)
TARGET = WordList(
    "a target",
    {
        "target": "Its name, as the runbooks' `target:` has it.",
        "labels": "What is known of it: {cluster: eu-1}.",
    },
    required=("target",),
)
JOB = WordList(
    "a job",
    {"job": "Its name in Prometheus.", "label": "The label that names the target; `instance`, if left out."},
    required=("job",),
)


class Job(Value):
    """The targets that one job of Prometheus scrapes.

    Attributes:
        label: the one whose value is the target's name.
    """

    job: str
    label: str = "instance"


class InventoryFile(Value):
    """What an inventory's file says.

    Attributes:
        written: the targets that are written out.
        jobs: where further ones are known from.
    """

    written: Inventory
    jobs: tuple[Job, ...] = ()


def parse_inventory(text: str, *, file: str) -> InventoryFile:
    """Return what `text` says.

    Raises:
        RunbookErrors: holds everything that is wrong with it.
    """
    findings = Findings(file, "an inventory", "`targets:` and a list")
    section = Section(read_yaml(text, findings, times=TIMES), FILE, findings)
    if "targets" not in section and "prometheus" not in section:
        remedy = "Add `targets:`, `prometheus:` or both; without an inventory every target is acted on"
        findings.add("the inventory names nothing", remedy, section.place)
    targets: dict[str, Mapping[str, str]] = {}
    for item in section.items("targets"):
        for name, labels in _target(item, findings):
            if name in targets:
                findings.add(f"{shown(name)} is written twice", "Keep one of them", item.place)
            targets[name] = labels
    jobs = tuple(_job(Section(item, JOB, findings)) for item in section.items("prometheus"))
    findings.settle()
    return InventoryFile(written=Inventory(targets=targets), jobs=jobs)


def _target(node: Node, findings: Findings) -> Iterator[tuple[str, Mapping[str, str]]]:
    if not isinstance(node, MapNode):
        if (name := text_of(node, "a target", findings)) is not None:
            yield name, {}
        return
    section = Section(node, TARGET, findings)
    labels = section.mapping("labels")
    entries = labels.entries if labels else {}
    values = {label: text_of(value, f"`{label}`", findings) for label, value in entries.items()}
    if (name := section.plain_text("target")) is not None:
        yield name, {label: value for label, value in values.items() if value is not None}


def _job(section: Section) -> Job:
    label = section.plain_text("label") or "instance"
    return Job(job=section.plain_text("job") or "", label=label)
