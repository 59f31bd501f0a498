"""`lab results`, `lab report`: what came out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from lab.cli.app import FILE_OR_NAME, ROOT, DesignName, command, designs, open_project, typed
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.cli.output import Report
    from lab.study import Study


@command()
def results(
    design: DesignName,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="METRIC", help="The best by it first: accuracy.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="All metrics and times.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table, to paste.")] = False,
) -> object:
    """The table of a design's runs. From git alone: it needs no server."""
    from lab.cli import view
    from lab.cli.output import Results
    from lab.records import studies
    from lab.report import frame

    if as_csv and as_markdown:
        raise UserError("expected one of --csv and --markdown at most")
    study = studies.read(open_project(), design)
    if not study.records:
        print(f"lab: {typed(elsewhere(study))}", file=sys.stderr)
    for_people = not (as_csv or as_markdown)
    answer = view.answer_of(study, judge_study(study)) if study.records and for_people else None
    rows = frame.arranged(study, sort)
    if as_csv:
        print(frame.as_csv(rows), end="")
    elif as_markdown:
        print(frame.markdown(study, sort))
    else:
        head, lines = frame.table(study, sort)
        if answer:
            view.console().print(view.answered(answer), "")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in head:
            left = name in ("arm", "status", "run")
            table.add_column(name, justify="left" if left else "right", overflow="fold")
        for line in lines:
            table.add_row(*map(Text, line))
        view.console().print(table, *view.troubles(study.replicates), sep="\n")
    return Results(design=study.design.name, answer=answer, runs=rows)


@command()
def report(
    design: Annotated[str | None, typer.Argument(metavar="[DESIGN]", help=FILE_OR_NAME, autocompletion=designs)] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Of all designs that have runs, and a page of them.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> object:
    """Write a design's report: its answer, tables and figures.

    It goes to docs/04-report; what you wrote into it is kept.
    """
    from lab.cli import view
    from lab.cli.output import Reported
    from lab.report import report
    from lab.tracking import background
    from lab.tracking.mlflow.links import links

    if everything == (design is not None):
        raise UserError("expected a design, or --all for all of them: lab report DESIGN")
    if design is None:
        page, reports = report_all()
    else:
        study, verdict = judge(design)
        path = report.write(study, verdict, links=links(ROOT, study.design.name))
        view.console().print(view.answered(view.answer_of(study, verdict)))
        print(path.relative_to(ROOT))
        reports = [written(study, verdict, path)]
        page = path.with_suffix(".html")
    background.send(ROOT, [each.design for each in reports])
    print(page.relative_to(ROOT))
    if show:
        typer.launch(page.as_uri())
    return Reported(reports=reports, page=page.relative_to(ROOT).as_posix())


def written(study: Study, verdict: Verdict, path: Path) -> Report:
    """What programs are told of a report."""
    from lab.cli.output import Report

    return Report(design=study.design.name, outcome=verdict.outcome, path=path.relative_to(ROOT).as_posix())


def report_all() -> tuple[Path, list[Report]]:
    """Write the reports of all designs that have runs, and the page that leads to them, which is returned with them."""
    from lab.records import studies
    from lab.report import index, report
    from lab.tracking.mlflow.links import links

    project = open_project()
    entries, reports = [], []
    for study in (*studies.read_all(project), *studies.answered(project)):
        try:
            studies.check_measured(study)
        except UserError as error:
            print(f"lab: {study.design.name} is left out: {error}", file=sys.stderr)
            continue
        found = judge_study(study)
        path = report.write(study, found, links=links(ROOT, study.design.name))
        entries.append(index.Entry.of(study, found, path))
        reports.append(written(study, found, path))
        print(f"{study.design.name}: {found.outcome}", flush=True)
    folder = ROOT / report.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return index.write(project, entries, folder), reports


def judge(design: str) -> tuple[Study, Verdict]:
    """A design's study and its verdict, with what was said of each test item, from wherever that can be had."""
    from lab.records import studies
    from lab.report import report
    from lab.review import evidence

    study = studies.read(open_project(), design)
    if (ROOT / study.path).is_file() and not study.project.git.is_committed(ROOT / study.path):
        changed = f"lab: {study.path} has changes that are not committed: this is about what HEAD has"
        print(changed, file=sys.stderr)
    if not study.records:
        raise UserError(elsewhere(study))
    studies.check_measured(study)
    if not evidence.bring(study, ROOT / report.FOLDER / report.name(study)):
        print(
            f"lab: what was said of each test {study.contract.item} is neither in DVC's cache nor on its remote "
            "(lab gc frees what no verdict of now is made of): the intervals that follow from it are left out",
            file=sys.stderr,
        )
    return study, judge_study(study)


def judge_study(study: Study) -> Verdict:
    """A study's verdict, with what DVC's cache here has of each test item."""
    from lab.analysis import verdict
    from lab.records import per_item

    return verdict.judge(study, per_item.read(study))


def elsewhere(study: Study) -> str:
    """What to do where a design has no run."""
    return (
        f"no run of {study.design.name} is here: lab run {study.path}, "
        "or git fetch origin 'refs/exps/*:refs/exps/*' for what has run elsewhere"
    )
