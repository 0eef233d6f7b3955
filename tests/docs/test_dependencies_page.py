"""docs/dependencies.md has each dependency of pyproject.toml, its reason and its licence."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import files, metadata

import pytest

from tests.docs.pages import ROOT, read

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SECTIONS = {
    "To run": PROJECT["project"]["dependencies"],
    "For the demo": PROJECT["project"]["optional-dependencies"]["demo"],
    "To develop": PROJECT["dependency-groups"]["dev"],
}


def names(requirements: Iterable[str]) -> list[str]:
    return sorted(re.split(r"[<>=;\[ ]", each, maxsplit=1)[0] for each in requirements)


def rows(section: str) -> list[list[str]]:
    part = read("docs/dependencies.md").partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def licence_file(name: str) -> str:
    """The licence's own text, of a package that declares it in no other way."""
    return "".join(file.read_text() for file in files(name) or () if "licenses" in file.parts)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_dependency_has_a_row_and_no_row_is_stale(section):
    """Nothing comes in without its reason, and nothing stays on the page that is gone."""
    assert sorted(row[0] for row in rows(section)) == names(SECTIONS[section])


def test_every_row_is_filled():
    """Reason, licence and health: each says something."""
    for section in SECTIONS:
        for row in rows(section):
            assert len(row) == 4
            assert all(row), row


def test_the_licences_are_those_that_the_packages_declare():
    """Where a package declares its licence as an expression, the page has that one; else one of its words, or of its text."""
    for section in SECTIONS:
        for name, _, licence, _ in rows(section):
            declared = metadata(name)
            words = " ".join([declared.get("License") or "", *(declared.get_all("Classifier") or [])])
            expression = declared.get("License-Expression")
            word = licence.split("-")[0]
            assert licence == expression or (
                not expression and (word in words or word in licence_file(name))
            ), name
