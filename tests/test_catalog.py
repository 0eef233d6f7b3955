"""The catalog: a wrong file is refused and reported, and takes nothing else away."""

from __future__ import annotations

import os

import pytest

from activities.ledger import versions
from bot.catalog import FILE_LIMIT, Catalog
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.record import RecordKind
from tests.language.declarations import VOCABULARY
from tests.way_in import WayIn, runbook


@pytest.fixture
def way(tmp_path):
    with WayIn(tmp_path) as made:
        yield made


def firing(name: str = "HostSlow", **labels: str) -> Alert:
    return Alert(status=AlertStatus.FIRING, labels={"alertname": name, **labels})


WRONG = {
    "not YAML": b"runbook: [",
    "an unknown word": runbook("wrong", "Wrong").replace("verify:", "verifying:").encode(),
    "another name than the file's": runbook("right", "Wrong").encode(),
    "not UTF-8": b"runbook: \xff",
    "too long": b"#" * (FILE_LIMIT + 1),
    "empty": b"",
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_refuses_a_wrong_file_and_keeps_the_others(way, content):
    """Each wrong file is an error that names it; the runbooks beside it work."""
    (way.catalog_folder / "wrong.yaml").write_bytes(content)
    catalog = Catalog.load(way.catalog_folder, VOCABULARY)

    assert list(catalog.runbooks) == ["host-slow"]
    assert catalog.errors
    assert {error.file for error in catalog.errors} == {"wrong.yaml"}
    assert all(error.problem and error.remedy for error in catalog.errors)


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_keeps_the_last_good_version_of_a_file_that_became_wrong(way, content):
    """An edit that breaks a file is reported, and what worked before the edit goes on working."""
    file = way.write_runbook("wrong", runbook("wrong", "Wrong"))
    good = way.catalog.reloaded()
    file.write_bytes(content)
    edited = good.reloaded()

    assert edited.runbooks["wrong"] == good.runbooks["wrong"]
    assert edited.kept == ("wrong",)
    assert edited.errors
    assert edited.match(firing("Wrong", instance="web-1"))
    assert edited.reloaded().runbooks["wrong"] == good.runbooks["wrong"]


def test_a_mended_file_comes_into_force(way):
    """A file that is right again replaces the version that was kept."""
    file = way.write_runbook("host-slow", "runbook: [")
    broken = way.catalog.reloaded()
    file.write_text(runbook("host-slow", "HostVerySlow"))
    mended = broken.reloaded()

    assert (mended.errors, mended.kept) == ((), ())
    assert not mended.match(firing(instance="web-1"))
    assert mended.match(firing("HostVerySlow", instance="web-1"))


def test_a_file_that_is_gone_takes_its_runbook_with_it(way):
    """To delete a file is to take the runbook out of force."""
    (way.catalog_folder / "host-slow.yaml").unlink()

    assert way.catalog.reloaded().runbooks == {}


def test_a_folder_that_is_gone_takes_nothing_away(way):
    """A folder that cannot be read is reported, and what was in force stays."""
    way.catalog_folder.rename(way.catalog_folder.with_name("elsewhere"))
    catalog = way.catalog.reloaded()

    assert list(catalog.runbooks) == ["host-slow"]
    assert "PARAMEDIC_RUNBOOKS" in catalog.errors[0].remedy
    assert not catalog.outdated


def test_notices_that_the_folder_has_changed(way):
    """A file that came, went or changed makes a catalog outdated; reading it anew settles that."""
    file = way.catalog_folder / "host-slow.yaml"
    assert not way.catalog.outdated

    os.utime(file, (1, 1))
    assert way.catalog.outdated
    touched = way.catalog.reloaded()
    assert not touched.outdated
    assert touched.digest == way.catalog.digest

    way.write_runbook("another", "wrong")
    assert touched.outdated


def test_matches_by_name_and_matchers(way):
    """An alert gets all runbooks that are for it, by name, each with its target."""
    way.write_runbook(
        "b-prod",
        runbook("b-prod", "HostSlow").replace(
            "- alert: HostSlow", "- alert: HostSlow\n    matchers: ['env=\"prod\"']"
        ),
    )
    catalog = way.catalog.reloaded()
    assert catalog.errors == ()

    found = [
        (match.runbook.name, match.target) for match in catalog.match(firing(instance="web-1", env="prod"))
    ]
    assert found == [("b-prod", "web-1"), ("host-slow", "web-1")]
    assert [match.runbook.name for match in catalog.match(firing(instance="web-1", env="dev"))] == [
        "host-slow"
    ]
    assert catalog.match(firing("Other")) == []


def test_a_target_that_cannot_be_rendered_is_a_match_with_an_error(way):
    """It is not passed over silently: the alert will be explained."""
    [match] = way.catalog.match(firing())

    assert match.target == ""
    assert "instance" in str(match.error)


async def test_records_a_change_once(way):
    """Each version's text is kept, and one record stands for each change, the refused files included."""
    await way.catalog.record(way.ledger)
    await way.catalog.record(way.ledger)
    first = way.catalog
    way.write_runbook("wrong", "runbook: [")
    await first.reloaded().record(way.ledger)
    (way.catalog_folder / "wrong.yaml").unlink()
    await first.reloaded().record(way.ledger)

    recorded = way.records(RecordKind.CATALOG)
    assert [len(record.data["refused"]) for record in recorded] == [0, 1, 0]
    assert recorded[1].data["refused"][0]["file"] == "wrong.yaml"
    digest = first.runbooks["host-slow"].digest
    assert recorded[0].data["runbooks"] == {"host-slow": digest}
    kept = way.ledger.read_now(lambda connection: versions.text_of(connection, digest))
    assert kept == (way.catalog_folder / "host-slow.yaml").read_text()


def test_only_yaml_files_directly_in_the_folder_are_runbooks(way):
    """The folder may be a package with a catalog in it: nothing below it is put in force by chance."""
    below = way.catalog_folder / "demo.yaml"
    below.mkdir()
    (below / "deep.yaml").write_text("runbook: deep")
    (way.catalog_folder / "reading.py").write_text("")

    catalog = way.catalog.reloaded()

    assert (sorted(catalog.runbooks), catalog.errors) == (["host-slow"], ())
