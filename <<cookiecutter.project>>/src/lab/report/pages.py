"""What tracking servers show beside numbers: a module that is a `lab.tracking.pages.Pages`, plugged in by lab.cli."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.report import frame, tables
from lab.report import report as reports
from lab.report.drawn import drawn

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.study import Record, Replicate, Study


def table(study: Study) -> str:
    """The runs of a design, a row each, in Markdown."""
    return frame.markdown(study)


def csv(study: Study) -> str:
    """The same for programs, with all metrics."""
    return frame.as_csv(frame.rows(study))


def run(study: Study, replicate: Replicate) -> str:
    """A page on one run, in Markdown."""
    return reports.fragment(study, replicate)


def plots(study: Study, record: Record) -> dict[str, bytes]:
    """Pictures of a finished run's own tables, as PNG by their names."""
    from lab.report.figures import pictures_of_run

    return pictures_of_run(record, study.contract)


def report(study: Study, verdict: Verdict) -> dict[str, bytes]:
    """The report of a design that has ended: `report.md`, and its figures with their data below `report/`.

    `report.html` is the same as a page of its own.
    """
    figures = drawn(study, verdict)
    text = reports.markdown(study, verdict, figures).replace(f"({reports.name(study)}/", "(report/")
    files = {
        "report.md": text,
        "report.html": reports.page(study, text, figures),
        "report/table.csv": tables.as_csv(tables.table(study, verdict)),
    }
    contents = {path: content.encode() for path, content in files.items()}
    for picture in figures:
        if picture.png is not None and picture.csv is not None:
            contents[f"report/{picture.name}.png"] = picture.png
            contents[f"report/{picture.name}.csv"] = picture.csv.encode()
    return contents
