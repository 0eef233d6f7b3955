"""`paramedic policy`: show, check, test and explain who may do what where.

None of it asks Slack or a running Paramedic: `explain` believes what it is told of a person, and
knows the groups of people at a terminal from the connections file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from activities.actions import Registry
from bot.catalog import Catalog
from bot.cli.runbook_files import problem_text
from bot.cli.tables import show_pairs
from bot.cli.terminal import (
    AsJson,
    Labels,
    counted,
    new_commands,
    parse_pairs,
    settings,
    show_json,
    show_line,
)
from bot.connections_file import read_connections
from bot.policy.cases import Case, Result, no_table, parse_cases, run_case
from bot.policy.doorkeeper import LocalMembers, needs_login, not_logged_in
from bot.policy.policy import SCHEMA, Policy, groups_of
from bot.policy.policy_file import read_policy
from bot.policy.questions import BRAKING, Person, Question, Ruling, RunbookFacts, TargetFacts, Verb
from bot.policy.subjects import facts_of, pose
from bot.visible import visible
from runbooks.language.findings import RunbookErrors

app = new_commands("Who may do what where: show, check, test and explain the policy.")

File = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="The policy; that of the settings, if left out.")
]


@app.command("show")
def show_policy(
    schema: Annotated[
        bool, typer.Option("--schema", help="The words that a policy may use, instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The policy in force, as it stands in its file.

    Example: paramedic policy show > policy.cedar
    """
    if schema:
        if as_json:
            show_json({"schema": SCHEMA})
        else:
            show_line(Text(_printable(SCHEMA)))
        return
    policy = _policy(None)
    if as_json:
        rules = [{"id": rule.id, "reason": rule.reason, "permits": rule.permits} for rule in policy.rules]
        show_json({"policy": policy.name, "rules": rules, "groups": policy.groups, "text": policy.text})
        return
    show_line(Text(_printable(policy.text)))


@app.command()
def check(file: File = None, as_json: AsJson = False) -> None:
    """Find all that is wrong with a policy.

    Exit code 0: nothing is wrong; 1: something is.

    Example: paramedic policy check policy.cedar
    """
    try:
        policy = _policy(file)
    except RunbookErrors as wrong:
        _tell_wrong(wrong, as_json=as_json)
        raise typer.Exit(1) from None
    if as_json:
        show_json({"policy": policy.name, "rules": len(policy.rules), "problems": []})
        return
    show_line(f"{visible(policy.name)}: {counted(len(policy.rules), 'rule')}, nothing wrong")


def _tell_wrong(wrong: RunbookErrors, *, as_json: bool) -> None:
    if as_json:
        names = ("file", "line", "column", "problem", "remedy")
        show_json({"problems": [{name: getattr(each, name) for name in names} for each in wrong.errors]})
        return
    for problem in wrong.errors:
        show_line(problem_text(problem, _text_of(Path(problem.file))), "")
    show_line(counted(len(wrong.errors), "problem"))


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""  # the problem says so


@app.command("test")
def run_cases(
    file: File = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            "--cases", metavar="FILE", help="The table; NAME.cases.yaml beside NAME.cedar, if left out."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the policy all cases of its table.

    Exit code 0: all as expected; 1: one is not.

    Example: paramedic policy test docs/policy/payments.cedar
    """
    policy, table = _policy(file), _table(cases, file or settings().policy)
    results = [run_case(policy, case) for case in table]
    failed = [result for result in results if result.difference]
    if as_json:
        show_json([_as_data(result) for result in results])
    else:
        _show_results(results, failed)
    if failed:
        raise typer.Exit(1)


def _table(cases: Path | None, policy: Path | None) -> tuple[Case, ...]:
    """Read the table that was named, or the one beside the policy."""
    file = cases or (policy.with_suffix(".cases.yaml") if policy else None)
    if file is None or not file.is_file():
        raise RunbookErrors([no_table(str(file) if file else "the default policy")])
    return parse_cases(file.read_text(encoding="utf-8"), file=str(file), catalog=_runbooks())


def _show_results(results: Sequence[Result], failed: Sequence[Result]) -> None:
    for result in failed:
        case = result.case
        words = f"line {case.place.line}: {case.who}, {case.question.words}: {result.difference}."
        show_line(Text(visible(words), style="red"))
    passed = counted(len(results), "case")
    show_line(f"{passed}: {counted(len(failed), 'failure') if failed else 'all as expected'}")


def _as_data(result: Result) -> dict[str, Any]:
    case = result.case
    asked = {"line": case.place.line, "who": case.who, "what": case.question.words, "expect": case.expect}
    return {**asked, **_ruling_data(result.ruling), "difference": result.difference}


@app.command()
def explain(
    who: Annotated[str, typer.Argument(metavar="WHO", help="slack:T0123/U0456 or local:alice.")],
    what: Annotated[
        Verb,
        typer.Argument(
            metavar="WHAT",
            help="read, run, approve, stop, freeze, thaw, release, redact.",
        ),
    ],
    where: Annotated[
        str,
        typer.Argument(metavar="WHERE", help="A runbook; a scope for freeze and thaw; a target for release."),
    ] = "",
    groups: Annotated[
        list[str],
        typer.Option("--group", "-g", metavar="GROUP", help="A group that they are in; may be repeated."),
    ] = [],  # noqa: B006 - typer reads the default and never changes it
    labels: Labels = [],  # noqa: B006 - the same
    target: Annotated[str, typer.Option("--target", help="The target's name.")] = "",
    guest: Annotated[bool, typer.Option("--guest", help="They are a guest of the workspace.")] = False,
    external: Annotated[bool, typer.Option("--external", help="They are of another workspace.")] = False,
    logged_in: Annotated[
        bool, typer.Option("--logged-in", help="They ask at a command line, and are logged in there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """May this person do that there, which rule says so, and who may if not.

    Exit code 0: allowed; 1: refused.

    Example: paramedic policy explain local:alice approve disk-full -l env=prod
    """
    if not who.startswith(("slack:", "local:")):
        raise typer.BadParameter(f"{who!r} is nobody: slack:T0123/U0456 or local:alice", param_hint="WHO")
    policy = _policy(None)
    place = TargetFacts(name=target, labels=parse_pairs(labels, "--label"))
    question = _completed(pose(what, where, place, _runbooks()))
    memberships = _groups(who, groups, question, policy)
    person = Person(key=who, groups=memberships, guest=guest, external=external, logged_in=logged_in)
    ruling = _ruling(policy, person, question)
    if as_json:
        show_json(_ruling_data(ruling))
    else:
        _show_ruling(person, ruling)
    if not ruling.allowed:
        raise typer.Exit(1)


def _ruling(policy: Policy, person: Person, question: Question) -> Ruling:
    """What the running installation would say."""
    local_people = settings().local_people_decide
    if needs_login(person.key, question, local_people=local_people):
        return not_logged_in(question)
    return policy.judge(person, question, local_people=local_people)


def _completed(question: Question) -> Question:
    group = settings().thaw_group
    thawers = (group,) if group and question.verb in BRAKING else ()
    return question.model_copy(update={"thawers": thawers})


def _groups(who: str, told: Sequence[str], question: Question, policy: Policy) -> tuple[str, ...]:
    """The groups that were told, and those whose members the connections file lists."""
    listed = LocalMembers(read_connections(settings().connections).groups)
    known = asyncio.run(listed.know(who, (*groups_of(question), *policy.groups)))
    return tuple(dict.fromkeys((*told, *known.groups)))


def _show_ruling(person: Person, ruling: Ruling) -> None:
    verdict = Text("allowed", style="green") if ruling.allowed else Text("refused", style="red")
    rows: list[tuple[str, object]] = [
        ("who", f"{person.key}, in {', '.join(person.groups) or 'no group that matters'}"),
        ("what", ruling.words),
        ("answer", verdict),
        ("rule", ", ".join(ruling.rules) or "none permits it"),
        ("why", ruling.why),
    ]
    if not ruling.allowed:
        whom = " or ".join(ruling.ask) or "whoever keeps the policy"
        rows.append(("then", ruling.remedy) if ruling.remedy else ("ask", whom))
    show_pairs([*rows, ("policy", ruling.policy)])


def _ruling_data(ruling: Ruling) -> dict[str, Any]:
    return {**ruling.model_dump(mode="json"), "sentence": ruling.sentence}


def _policy(file: Path | None) -> Policy:
    named = file or settings().policy
    return read_policy(named) if named else Policy.default()


def _runbooks() -> Mapping[str, RunbookFacts]:
    vocabulary = Registry.installed().vocabulary
    catalog = Catalog.load(settings().runbooks, vocabulary)
    return {name: facts_of(runbook, vocabulary) for name, runbook in catalog.runbooks.items()}


def _printable(text: str) -> str:
    """Return a text as it stands, but for characters that a terminal would obey."""
    signs = (sign if sign.isprintable() or sign in "\n\t" else visible(sign) for sign in text)
    return "".join(signs).rstrip("\n")
