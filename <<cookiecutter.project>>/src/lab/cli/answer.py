"""`lab results`, `lab report`: what came out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from lab.cli.app import FILE_OR_NAME, ROOT, DesignName, app, open_project, typed
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.study import Study


@app.command()
def results(
    design: DesignName,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="METRIC", help="The best by it first: accuracy.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="All metrics and times.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All metrics and times.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table, to paste.")] = False,
) -> None:
    """The table of a design's runs. From git alone: it needs no server."""
    from lab.cli import view
    from lab.records import studies
    from lab.report import frame

    if as_csv + as_json + as_markdown > 1:
        raise UserError("expected one of --csv, --json and --markdown at most")
    study = studies.read(open_project(), design)
    if not study.records:
        print(f"lab: {typed(elsewhere(study))}", file=sys.stderr)
    if as_json:
        print(json.dumps(frame.plain(frame.arranged(study, sort)), ensure_ascii=False, indent=1))
    elif as_csv:
        print(frame.as_csv(frame.arranged(study, sort)), end="")
    elif as_markdown:
        print(frame.markdown(study, sort))
    else:
        head, lines = frame.table(study, sort)
        if study.records:
            view.console().print(view.answered(study, judge_study(study)), "")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in head:
            left = name in ("arm", "status", "run")
            table.add_column(name, justify="left" if left else "right", overflow="fold")
        for line in lines:
            table.add_row(*map(Text, line))
        view.console().print(table, *view.troubles(study.replicates), sep="\n")


@app.command()
def report(
    design: Annotated[str | None, typer.Argument(metavar="[DESIGN]", help=FILE_OR_NAME)] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Of all designs that have runs, and a page of them.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a design's report into docs/04-report: verdict, tables and figures. What you wrote into it is kept."""
    from lab.cli import view
    from lab.report import report

    if everything == (design is not None):
        raise UserError("expected a design, or --all for all of them: lab report DESIGN")
    if design is None:
        page = report_all()
    else:
        study, verdict = judge(design)
        path = report.write(study, verdict)
        view.console().print(view.answered(study, verdict))
        print(path.relative_to(ROOT))
        page = path.with_suffix(".html")
    print(page.relative_to(ROOT))
    if show:
        typer.launch(page.as_uri())


def report_all() -> Path:
    """Write the reports of all designs that have runs, and the page that leads to them."""
    from lab.records import studies
    from lab.report import index, report

    project = open_project()
    entries = []
    for study in (*studies.read_all(project), *studies.answered(project)):
        try:
            studies.check_measured(study)
        except UserError as error:
            print(f"lab: {study.design.name} is left out: {error}", file=sys.stderr)
            continue
        found = judge_study(study)
        entries.append(index.Entry.of(study, found, report.write(study, found)))
        print(f"{study.design.name}: {found.outcome}", flush=True)
    folder = ROOT / report.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return index.write(project, entries, folder)


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
