"""`paramedic actions`."""

from __future__ import annotations

import json

from activities.actions import Registry
from tests.cli.terminal import paramedic


def test_lists_every_declared_action():
    """What is installed is what is listed, with effect and class."""
    result = paramedic("actions")

    for name, declared in Registry.installed().vocabulary.items():
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(f"{name} ")]
        assert declared.effect.value in line
        assert declared.kind.value in line


def test_parameters_that_may_be_left_out_stand_in_brackets():
    """A person sees what must be given."""
    lines = paramedic("actions").stdout.splitlines()

    below = lines[next(number for number, line in enumerate(lines) if line.startswith("ssh.run ")) + 1]

    assert below.split()[:2] == ["host", "argv"]
    assert all(name.startswith("[") for name in below.split()[2:])


def test_json_has_the_schema_of_the_parameters():
    """Programs get what may stand under `with:`."""
    described = {each["name"]: each for each in json.loads(paramedic("actions", "--json").stdout)}

    assert described["ssh.run"]["effect"] == "destructive"
    assert set(described["ssh.run"]["parameters"]["required"]) == {"host", "argv"}


def test_what_a_check_measures_is_listed():
    """Who writes `expect: result.…` finds the names without reading code."""
    declared = Registry.installed().vocabulary["http.check"]
    (told,) = [
        each for each in json.loads(paramedic("actions", "--json").stdout) if each["name"] == "http.check"
    ]

    assert told["result"] == list(declared.samples) != []
    assert f"result: {' '.join(declared.samples)}" in " ".join(paramedic("actions").stdout.split())
