"""No document names a command, a setting, a file or a heading that does not exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from bot.cli.main import PLACES, app, load
from bot.settings import PREFIX, Settings
from tests.docs.pages import PAGES, ROOT, code, read, table

VARIABLES = {PREFIX + name.upper() for name in Settings.model_fields}
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
COMMAND = re.compile(r"(?:^|[$;&|(] ?|\.venv/bin/|=\S+ )paramedic ([a-z][^`;|>#]*)")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
MADE = ("demo-data/",)  # by commands that the documents show


def commands(page: str) -> list[list[str]]:
    lines = [re.sub(r"\s# .*", "", text).replace("...", "X") for text in code(page)]
    return [shlex.split(found) for line in lines for found in COMMAND.findall(line)]


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets on the forges."""
    return "#" + re.sub(r"[^\w -]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def test_commands_are_found():
    """The test below looks at something: at nearly every command."""
    found = {name for page in PAGES for name, *_ in commands(page)}

    assert len(found) >= len(PLACES) - 1


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_document_exists(page):
    """The command, its sub-command and its options are those of the real one."""
    for name, *rest in commands(page):
        assert name in {place.name for place in PLACES}, name
        command = load(next(place for place in PLACES if place.name == name))
        children = getattr(command, "commands", {})
        if children and rest and not rest[0].startswith("-"):  # else it is what the set itself does
            assert rest[0] in children, f"{name} {rest[0]}"
            command = children[rest[0]]
        known = {option for each in command.params for option in each.opts} | {"--help"}
        assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= known, rest


def test_the_readme_lists_every_command_in_its_own_words():
    """Whoever reads the README knows all there is, as `paramedic --help` tells it."""
    rows = {row[0].strip("`"): row[1] for row in table("README.md", "command")}

    assert get_command(app).name == "paramedic"
    assert rows == {f"paramedic {place.name}": place.summary for place in PLACES}


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_in_a_document_exists(page):
    """Who copies a variable from a page is not refused for it; `...` stands for the rest of several."""
    for name in re.findall(r"PARAMEDIC_[A-Z_]*[A-Z](?:_\.\.\.)?", read(page)):
        prefix = name.removesuffix("...")
        assert name in VARIABLES or (prefix != name and any(each.startswith(prefix) for each in VARIABLES))


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_in_a_document_exists(page):
    """`make` knows it."""
    for text in code(page):
        for target in re.findall(r"(?:^|; )make ([a-z][a-z-]*)", text):
            assert target in TARGETS


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    """Also pictures, and the part after `#`."""
    for path, fragment in LINK.findall(read(page)):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in {anchor(heading) for heading in headings}, fragment


@pytest.mark.parametrize("page", PAGES)
def test_every_path_of_the_repository_in_a_document_exists(page):
    """A module that has moved is noticed."""
    for text in code(page):
        for word in re.findall(r"[\w./-]+", text):
            path = word.rstrip(".")
            if path.startswith(FOLDERS) and not path.startswith(MADE) and "..." not in word:
                assert (ROOT / path).exists(), path


def test_pictures_are_small_enough_for_a_page():
    """150 KB each, and none lies there unused."""
    used = {
        Path(path).name for page in PAGES for path, _ in LINK.findall(read(page)) if path.endswith(".png")
    }
    pictures = list((ROOT / "docs" / "pictures").glob("*.png"))

    assert {picture.name for picture in pictures} == used
    assert all(picture.stat().st_size < 150_000 for picture in pictures)


def test_the_changelog_has_typed_lines_and_this_version():
    """Each line says what kind it is; the newest heading is the version of the package."""
    lines = re.findall(r"^- (.*)$", read("CHANGELOG.md"), re.MULTILINE)
    newest = re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert lines
    assert all(re.match(r"\[(CHANGE|FEATURE|ENHANCEMENT|BUGFIX|SECURITY)\] ", line) for line in lines)
    assert newest is not None
    assert newest[1] == version


@pytest.mark.slow
def test_each_test_run_in_a_document_selects_tests():
    """The evidence that a page offers for a promise is there: each word of each `-k` finds a test."""
    runs = [
        shlex.split(text)[1:] for page in PAGES for text in code(page) if text.startswith(".venv/bin/pytest")
    ]
    paths = sorted({path for run in runs for path in _paths(run)})
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *paths]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()

    assert runs
    for run in runs:
        there = [each for each in listed if each.startswith(tuple(_paths(run)))]
        for word in _words(run):
            assert any(word in each.partition("::")[2] for each in there), run


def _paths(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("-k")] if "-k" in arguments else arguments


def _words(arguments: list[str]) -> list[str]:
    return arguments[arguments.index("-k") + 1].split(" or ") if "-k" in arguments else [""]
