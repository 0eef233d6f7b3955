"""`paramedic runbook`: lint, list, show, plan, schema."""

from __future__ import annotations

import json

import pytest

from activities.actions import Registry
from bot.catalog import Catalog
from tests.cli.terminal import paramedic

GOOD = """\
runbook: disk-full
summary: Free space on a host.
owner: storage
autonomy: automatic
when:
  - alert: HostDiskFull
    matchers: ['env=~"prod|staging"']
target: "{{ labels.instance }}"
limits:
  cooldown: 30m
check:
  - name: Disk
    uses: prometheus.query
    with: {query: 'disk_used_ratio{instance="{{ target }}"}'}
    expect: result.value > 0.9
gate:
  if: labels.env == "prod"
  approvers: [sre-oncall]
do:
  - name: Delete old logs
    uses: ssh.run
    with: {host: "{{ target }}", argv: [clean, "{{ checks.disk.result.value }}"]}
    undo: none
verify:
  - name: Disk is fine
    uses: prometheus.query
    with: {query: 'disk_used_ratio{instance="{{ target }}"}'}
    expect: result.value < 0.8
    within: 5m
otherwise:
  - uses: slack.escalate
    with: {to: sre-oncall}
"""

BAD = GOOD.replace("expect: result.value > 0.9", "expct: result.value > 0.9")


@pytest.fixture
def folder(tmp_path):
    """A folder with one good runbook."""
    (tmp_path / "disk-full.yaml").write_text(GOOD)
    return tmp_path


def test_a_good_runbook_is_not_complained_about(folder):
    """Lint ends with 0 where nothing is wrong."""
    result = paramedic("runbook", "lint", runbooks=folder)

    assert (result.exit_code, result.output) == (0, "1 runbook: nothing wrong\n")


def test_a_problem_is_shown_with_its_line_and_remedy(folder):
    """Where, what, the line itself with a mark under the place, and what would be right."""
    bad = folder / "disk-full.yaml"
    bad.write_text(BAD)

    result = paramedic("runbook", "lint", bad)

    assert result.exit_code == 1
    first, line, mark, *_ = result.stdout.splitlines()
    assert first.startswith(f"{bad}:15:5: ")
    assert line == "   15 |     expct: result.value > 0.9"
    assert mark == "      |     ^"
    assert "you mean `expect`" in result.stdout


def test_json_has_the_same_problems(folder):
    """Editors get line, column, problem and remedy."""
    (folder / "disk-full.yaml").write_text(BAD)

    result = paramedic("runbook", "lint", "--json", runbooks=folder)

    assert result.exit_code == 1
    (file,) = json.loads(result.stdout)
    assert (file["problems"][0]["line"], file["problems"][0]["column"]) == (15, 5)


def test_lint_refuses_what_the_catalog_refuses(folder):
    """A runbook that lint lets through is one that will be in force, and the other way round."""
    files = {
        "disk-full": BAD,
        "misnamed": GOOD,
        "not-yaml": "a: [",
        "fine": GOOD.replace("disk-full", "fine"),
    }
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "latin.yaml").write_bytes(b"\xe9")

    linted = json.loads(paramedic("runbook", "lint", folder, "--json").stdout)
    catalog = Catalog.load(folder, Registry.installed().vocabulary)

    passed = {file["file"].rpartition("/")[2] for file in linted if not file["problems"]}
    assert passed == {f"{name}.yaml" for name in catalog.runbooks} == {"fine.yaml"}
    assert sum(len(file["problems"]) for file in linted) == len(catalog.errors)


def test_control_characters_in_a_file_stay_in_the_file(folder):
    """A runbook cannot repaint the terminal of the person who lints it."""
    (folder / "disk-full.yaml").write_text(GOOD.replace("expect", "ex\x1bpect"))

    assert "\x1b" not in paramedic("runbook", "lint", folder).stdout


def test_a_folder_without_runbooks_is_a_mistake(tmp_path):
    """Linting nothing is not success."""
    result = paramedic("runbook", "lint", tmp_path)

    assert result.exit_code == 2
    assert (
        result.stderr == f"There is no runbook at {tmp_path}. Name a YAML file, or a folder that has some.\n"
    )


def test_the_list_has_the_refused_ones_too(folder):
    """A runbook that is not in force does not vanish silently."""
    (folder / "broken.yaml").write_text("a: [")

    lines = paramedic("runbook", "list", runbooks=folder).stdout.splitlines()

    assert lines[1].split()[:2] == ["broken", "refused,"]
    assert lines[2].split() == ["disk-full", "automatic", "HostDiskFull", "Free", "space", "on", "a", "host."]


def test_the_list_as_json_tells_which_are_in_force(folder):
    """Programs get name, digest and the number of problems."""
    (folder / "broken.yaml").write_text("a: [")

    broken, good = json.loads(paramedic("runbook", "list", "--json", runbooks=folder).stdout)

    assert (broken["name"], good["name"], good["problems"]) == ("broken", "disk-full", 0)
    assert broken["problems"] > 0
    assert len(good["digest"]) == 64


def test_a_runbook_can_be_had_as_json(folder):
    """Programs get the runbook as it was understood."""
    shown = json.loads(paramedic("runbook", "show", "disk-full", "--json", runbooks=folder).stdout)

    assert (shown["name"], shown["actions"][0]["uses"]) == ("disk-full", "ssh.run")


def test_a_runbook_that_is_wrong_is_not_shown(folder):
    """What is wrong with it is said instead."""
    (folder / "disk-full.yaml").write_text(BAD)

    result = paramedic("runbook", "show", "disk-full", runbooks=folder)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "disk-full.yaml:15:5: a check has no word `expct`" in result.stderr


def test_a_result_can_be_text_or_json(folder):
    """A value that is no JSON is taken as text."""
    arguments = ("runbook", "plan", "disk-full", "-l", "instance=a", "-l", "env=prod", "-r")

    assert "argv=[clean, lots of]" in paramedic(*arguments, "disk.value=lots of", runbooks=folder).stdout
    assert "argv=[clean, 5]" in paramedic(*arguments, "disk.value=5", runbooks=folder).stdout


def test_the_card_reads_from_top_to_bottom(folder):
    """The card has the seven words in their order, with limits, effect, class and undo."""
    card = paramedic("runbook", "show", "disk-full", runbooks=folder).stdout

    words = [line.split()[0] for line in card.splitlines()[3:] if line and not line.startswith(" ")]
    assert words[3:] == ["when", "target", "limits", "check", "gate", "do", "verify", "otherwise"]
    for text in ('HostDiskFull{env=~"prod|staging"}', "cooldown 30m", "undo: none", "destructive, keyed"):
        assert text in card
    lines = [line.strip() for line in card.splitlines()]
    asked = next(number for number, line in enumerate(lines) if line.startswith("gate"))
    assert lines[asked].endswith("1 of sre-oncall must approve within 15m")
    assert lines[asked + 1] == 'if labels.env == "prod"'


def test_a_runbook_that_is_not_there_is_met_with_those_that_are(folder):
    """A typing error is answered with what there is."""
    result = paramedic("runbook", "show", "disk-ful", runbooks=folder)

    assert result.exit_code == 2
    assert "There is no runbook disk-ful" in result.stderr
    assert "There are: disk-full." in result.stderr


def test_the_plan_has_every_parameter_filled_in(folder):
    """Labels and given results are rendered, escaped as their parameters want it."""
    result = paramedic(
        "runbook",
        "plan",
        "disk-full",
        "-l",
        'instance=web"1',
        "-l",
        "env=prod",
        "-r",
        "disk.value=0.93",
        runbooks=folder,
    )

    assert result.exit_code == 0, result.output
    assert 'disk_used_ratio{instance="web\\"1"}' in result.stdout
    assert 'ssh.run host=web"1, argv=[clean, 0.93]' in result.stdout
    assert "1 of sre-oncall must approve within 15m" in result.stdout


def test_the_digest_is_that_of_the_plan_in_json(folder):
    """The digest that is shown is the one that people would approve."""
    arguments = ("runbook", "plan", "disk-full", "-l", "instance=a", "-l", "env=prod", "-r", "disk.value=1")

    data = json.loads(paramedic(*arguments, "--json", runbooks=folder).stdout)

    assert data["digest"] in paramedic(*arguments, runbooks=folder).stdout
    assert data["plan"]["actions"][0]["arguments"]["argv"] == ["clean", "1"]


def test_a_plan_that_needs_a_result_says_how_to_give_it(folder):
    """What a check would have measured can be given, and the command says so."""
    result = paramedic("runbook", "plan", "disk-full", "-l", "instance=a", "-l", "env=prod", runbooks=folder)

    assert result.exit_code == 2
    assert "say it with --result" in result.stderr


def test_a_label_that_is_missing_is_named(folder):
    """A template without its label is one sentence with its place."""
    result = paramedic("runbook", "plan", "disk-full", "-l", "env=prod", runbooks=folder)

    assert result.exit_code == 2
    assert "disk-full.yaml:8:9: " in result.stderr
    assert "instance" in result.stderr


def test_labels_that_would_not_start_it_are_remarked_upon(folder):
    """Trying out a runbook with the wrong labels works, but is said."""
    result = paramedic(
        "runbook",
        "plan",
        "disk-full",
        "-l",
        "instance=a",
        "-l",
        "env=dev",
        "-r",
        "disk.value=1",
        runbooks=folder,
    )

    assert "these labels would not start disk-full" in result.stderr


@pytest.mark.parametrize("whole", [False, True], ids=["one alert", "a webhook's body"])
def test_an_alert_can_be_given_as_a_file(folder, whole):
    """A body that Alertmanager sent can be tried out as it is."""
    alert = {"labels": {"alertname": "HostDiskFull", "instance": "db-1", "env": "prod"}}
    file = folder / "alert.json"
    file.write_text(json.dumps({"version": "4", "alerts": [alert]} if whole else alert))

    result = paramedic("runbook", "plan", "disk-full", "--alert", file, "-r", "disk.value=1", runbooks=folder)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "host=db-1" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--label", "instance"], "is not NAME=VALUE"),
        (["--result", "disk=1"], "is not CHECK.NAME"),
        (["--alert", "/nowhere.json"], "is not an alert as JSON"),
    ],
    ids=["label", "result", "alert"],
)
def test_wrong_arguments_are_explained(folder, arguments, complaint):
    """Wrong usage ends with code 2 and says what is wrong."""
    result = paramedic("runbook", "plan", "disk-full", *arguments, runbooks=folder)

    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())


def test_the_schema_is_a_json_schema():
    """Editors can complete and check runbooks."""
    schema = json.loads(paramedic("runbook", "schema").stdout)

    assert {"runbook", "when", "do", "verify"} <= set(schema["properties"])
