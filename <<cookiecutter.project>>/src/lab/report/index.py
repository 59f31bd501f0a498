"""A page of all questions of a project: what was asked, what came out, what is open, and who is the champion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lab.analysis.answer import answer, ended
from lab.records import champion, studies
from lab.report.html import page
from lab.study import counts

if TYPE_CHECKING:
    from lab.analysis.answer import Answer
    from lab.analysis.verdict import Verdict
    from lab.design.models import Design
    from lab.records.project import Project
    from lab.study import Study

NAME = "index.html"


@dataclass(frozen=True)
class Entry:
    """A question that runs have answered, as far as they have: what it came to, and its report beside the page."""

    study: Study
    verdict: Verdict
    answer: Answer
    report: Path

    @classmethod
    def of(cls, study: Study, verdict: Verdict, report: Path) -> Entry:
        """The entry of a design whose report lies at `report`."""
        return cls(study, verdict, answer(study, verdict), report)


def write(project: Project, entries: Sequence[Entry], folder: Path) -> Path:
    """Write the page of all questions into the reports' folder."""
    answered = {entry.study.design.name for entry in entries}
    still_open = [design for design in studies.asked(project) if design.name not in answered]
    parts = [
        "<h1>What was asked, and what came out</h1>",
        f"<p>{escape(summary(entries, still_open))}</p>",
        table(
            ("question", "outcome", "answer", "runs", "asked by", "since"),
            map(row, reversed(entries)),
            "No question has a run.",
        ),
        "<h2>Not yet run</h2>",
        table(("question", "to run it"), map(to_run, still_open), "None is open."),
        "<h2>Champions</h2>",
        table(
            ("experiment", "since", "why", "of the design"), history(project), "There is none yet: lab promote DESIGN."
        ),
    ]
    path = folder / NAME
    path.write_text(page("What was asked, and what came out", f"<main>{''.join(parts)}</main>"), encoding="utf-8")
    return path


def summary(entries: Sequence[Entry], still_open: Sequence[Design]) -> str:
    """How many questions there are, and how often the test data were looked at for them."""
    runs = {record.commit for entry in entries for record in entry.study.finished if on_test(entry.study)}
    looks = sum(on_test(entry.study) for entry in entries)
    return (
        f"{len(entries)} questions have runs, {len(still_open)} have none. {looks} of them looked at the test data, "
        f"with {len(runs)} runs: the more looks there are, the luckier is the best of them."
    )


def on_test(study: Study) -> bool:
    """Whether a design is decided by what was measured on the test data."""
    return any(study.metric(name).split != "validation" for name in study.metrics[:1])


def row(entry: Entry) -> list[str]:
    """A question with its answer, as cells."""
    study, outcome = entry.study, entry.verdict.outcome
    name = escape(entry.report.with_suffix(".html").name)
    title, asked = escape(study.design.title), escape(study.design.name)
    standing = ", ".join(f"{number} {status}" for status, number in counts(study.replicates).items())
    return [
        f'<a class="sentence" href="{name}">{title}</a><br><code>{asked}</code>',
        f'<strong class="badge {outcome}">{escape(entry.answer.outcome)}</strong>',
        f'<span class="sentence">{escape(ended(entry.answer.sentence))}</span>',
        escape(standing),
        escape(study.baseline.author),
        f'<span class="whole">{escape(study.baseline.day)}</span>',
    ]


def to_run(design: Design) -> list[str]:
    """A question that nobody has run."""
    return [escape(design.title), f"<code>lab run designs/{escape(design.name)}.yaml</code>"]


def history(project: Project) -> Iterator[list[str]]:
    """The champions, the latest first."""
    for each in champion.history(project):
        why = f"{each.why}; forced: {each.forced.reason}" if each.forced else each.why
        yield [escape(text) for text in (each.experiment, f"{each.promoted:%Y-%m-%d}", why, each.design)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], otherwise: str) -> str:
    """A table of cells that are HTML already; where there are no rows, a sentence."""
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for cells in rows)
    if not lines:
        return f"<p>{escape(otherwise)}</p>"
    heads = "".join(f"<th>{text}</th>" for text in head)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"
