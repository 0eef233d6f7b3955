"""docs/alertmanager.md and docs/operations.md: their files are accepted by the real programs, their lists are complete."""

from __future__ import annotations

import io
import re
import subprocess

import pytest
from ruamel.yaml import YAML

from bot.http.application import ALERTS
from bot.metrics import ANSWERS, Metrics
from runbooks.model.decision import Refusal
from runbooks.model.record import RecordKind
from tests.components import require
from tests.docs.pages import ROOT, blocks, named_block, read, table
from tests.ledgers import new_ledger

ALERTMANAGER, OPERATIONS, ARCHITECTURE = "docs/alertmanager.md", "docs/operations.md", "docs/architecture.md"


def metrics(tmp_path) -> dict[str, set[str]]:
    """Return the labels of each metric of a fresh registry, by the name that Prometheus sees."""
    ledger = new_ledger(tmp_path / "ledger.db")
    registry = Metrics(ledger, actions=[], freeze_file=tmp_path / "FREEZE").registry
    ledger.close()
    return {
        collector._name + ("_total" if collector._type == "counter" else ""): set(collector._labelnames)
        for collector in registry._collector_to_names
    }


def test_every_metric_stands_on_the_page_with_its_labels_and_nothing_else(tmp_path):
    """Who builds a dashboard from the page finds each metric."""
    rows = table(OPERATIONS, "metric")
    listed = {row[0].strip("`"): set(filter(None, row[1].split(", "))) for row in rows}

    assert listed == metrics(tmp_path)
    assert len(rows) == len(listed)


@pytest.mark.parametrize("page", [ALERTMANAGER, OPERATIONS])
def test_every_metric_that_a_page_mentions_exists(tmp_path, page):
    """No rule asks for a metric that is gone."""
    assert set(re.findall(r"\bparamedic_\w+", read(page))) <= set(metrics(tmp_path))


@pytest.mark.parametrize("page", [ALERTMANAGER, OPERATIONS])
def test_the_rules_on_a_page_are_accepted_by_prometheus(tmp_path, page):
    """promtool has nothing against them."""
    rules = [block for block in blocks(page, "yaml") if block.file.endswith("-rules.yml")]
    for block in rules:
        (tmp_path / block.file).write_text(block.text)
    files = [str(tmp_path / block.file) for block in rules]
    answer = subprocess.run(
        [require("promtool"), "check", "rules", *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert rules
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_receiver_on_the_page_is_accepted_by_alertmanager(tmp_path):
    """amtool has nothing against it."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(named_block(ALERTMANAGER, "alertmanager.yml"))
    answer = subprocess.run(
        [require("amtool"), "check-config", str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_receiver_on_the_page_is_what_the_text_says_of_it():
    """The address is ours, nothing is cut off, resolved alerts are sent, redirects are not followed."""
    config = YAML(typ="safe").load(io.StringIO(named_block(ALERTMANAGER, "alertmanager.yml")))
    (webhook,) = next(each for each in config["receivers"] if each["name"] == "paramedic")["webhook_configs"]

    assert webhook["url"].endswith(f":8700{ALERTS}")
    assert (webhook["max_alerts"], webhook["send_resolved"]) == (0, True)
    assert webhook["http_config"]["follow_redirects"] is False


def test_every_answer_of_the_receiver_is_explained():
    """The table of status codes has those that the receiver can give, and 404 for another path."""
    shown = {int(code) for row in table(ALERTMANAGER, "status") for code in row[0].split(", ")}

    assert shown == {*ANSWERS, 404}


def test_every_reason_why_an_answer_does_not_count_is_explained():
    """Whoever sees one rise finds what it means."""
    shown = [row[0].strip("`") for row in table(OPERATIONS, "reason")]

    assert shown == [refusal.value for refusal in Refusal]


def test_every_kind_of_record_is_explained():
    """Whoever reads the ledger finds each kind on the page."""
    shown = [kind for row in table(ARCHITECTURE, "kind") for kind in re.findall(r"`([\w.]+)`", row[0])]

    assert sorted(shown) == sorted(kind.value for kind in RecordKind)


def test_log_lines_that_the_page_names_are_logged():
    """Who searches the log for them finds them."""
    paragraph = read(OPERATIONS).partition("Worth knowing: ")[2].partition("\n\n")[0]
    modules = (module for folder in ("bot", "activities") for module in (ROOT / folder).rglob("*.py"))
    sources = "".join(module.read_text() for module in modules)

    for sentence in re.findall(r"`([^`]+)`", paragraph):
        assert f'"{sentence}"' in sources
