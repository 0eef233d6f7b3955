"""docs/settings.md says what the settings are: every one of them, and nothing else."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr
from ruamel.yaml import YAML

from activities.connections import Connections
from bot.cli.settings import default_of
from bot.settings import PREFIX, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
ROWS = {
    row["variable"]: row
    for row in (
        match.groupdict()
        for match in re.finditer(
            r"^\| `(?P<variable>PARAMEDIC_\w+)` \| (?P<default>.*?) \| (?P<meaning>.*) \|$",
            PAGE,
            re.MULTILINE,
        )
    )
}
EXAMPLE = re.search(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FIELDS = {PREFIX + name.upper(): field for name, field in Settings.model_fields.items()}


def test_every_setting_stands_on_the_page_and_nothing_else():
    """A variable on the page exists, and each that exists is on the page, once."""
    mentioned = re.findall(r"^\| `(PARAMEDIC_\w+)`", PAGE, re.MULTILINE)

    assert sorted(mentioned) == sorted(FIELDS)


def test_every_variable_that_the_text_mentions_exists():
    """The prose does not speak of settings that are gone."""
    assert set(re.findall(r"PARAMEDIC_[A-Z_]*[A-Z]", PAGE)) <= set(FIELDS)


@pytest.mark.parametrize("variable", FIELDS)
def test_the_default_on_the_page_is_the_one_in_the_code(variable):
    """Who reads the page knows what holds when the variable is not set."""
    default = default_of(FIELDS[variable])

    assert ROWS[variable]["default"] == (f"`{default}`" if default else "-")


@pytest.mark.parametrize("variable", FIELDS)
def test_the_page_says_which_settings_are_secret_and_which_are_lists(variable):
    """A secret is marked as one, and a list as well."""
    annotation, meaning = str(FIELDS[variable].annotation), ROWS[variable]["meaning"]

    assert meaning.startswith("Secret. ") == (SecretStr.__name__ in annotation)
    assert ("a list" in meaning) == ("tuple" in annotation)


def example() -> dict:
    """The example of a connections file."""
    assert EXAMPLE is not None
    return YAML(typ="safe").load(io.StringIO(EXAMPLE.group(1)))


def test_the_example_is_a_valid_connections_file():
    """The example can be copied: it is what the product accepts."""
    connections = Connections.model_validate(example())

    assert connections.hosts["web-1"].address == "10.0.0.11"


def test_the_example_shows_every_name_of_a_connection():
    """No name that a connection may have is missing in the example."""
    connections = Connections.model_validate(example())
    one_of_each = [
        connections,
        connections.prometheus,
        *(next(iter(named.values())) for named in (connections.endpoints, connections.hosts)),
        *(next(iter(named.values())) for named in (connections.supervisors, connections.groups)),
    ]

    for each in one_of_each:
        assert isinstance(each, BaseModel)
        assert each.model_fields_set == set(type(each).model_fields)
