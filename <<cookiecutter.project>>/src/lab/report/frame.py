"""A design's runs as a table: in Python a pandas frame, elsewhere CSV, JSON or Markdown. From git alone.

from pathlib import Path
from lab.records import studies
from lab.records.project import Project
from lab.report.frame import frame
frame(studies.read(Project(Path(".")), "depth")).groupby("arm")["evaluate.score"].agg(["mean", "std"])
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lab import markdown as in_markdown
from lab.decimals import decimals, written
from lab.errors import UserError, nearest
from lab.nested_keys import as_float, flat

if TYPE_CHECKING:
    import pandas as pd

    from lab.study import Record, Replicate, Study

FIRST = ("arm", "seed", "status")
LAST = ("run", "revision", "baseline", "reused", "failure")


def frame(study: Study) -> pd.DataFrame:
    """A row a run: its levels, its metrics by their full names, its times, and the experiment it is."""
    import pandas as pd

    runs = rows(study)
    return pd.DataFrame(runs, columns=columns(runs))


def rows(study: Study) -> list[dict[str, Any]]:
    """The runs in the design's order. Metrics that a run has not are absent."""
    return [_row(replicate) for replicate in study.replicates]


def _row(replicate: Replicate) -> dict[str, Any]:
    levels = {name: level for name, level in replicate.levels.items() if name not in FIRST}
    row: dict[str, Any] = {"arm": replicate.arm, "seed": replicate.seed, "status": replicate.status, **levels}
    record = replicate.record
    if record is None:
        return row
    row |= metrics(record)
    row |= {f"seconds.{stage}": seconds for stage, seconds in record.seconds.items()}
    times = {"started": record.started, "ended": record.ended}
    row |= {name: time.isoformat(timespec="milliseconds") for name, time in times.items() if time}
    row |= {"run": record.name, "revision": record.commit, "baseline": record.baseline, "reused": replicate.reused}
    return row | ({"failure": replicate.trouble} if replicate.trouble else {})


def metrics(record: Record) -> dict[str, float]:
    """The numbers among a run's metrics, by their full names: `evaluate.score`."""
    values = flat(record.metrics).items()
    numbers = {name: value for name, value in values if isinstance(value, int | float) and not isinstance(value, bool)}
    return {name: value if math.isfinite(number := as_float(value)) else number for name, value in numbers.items()}


def columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of such rows: what they are first, which run it is last."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if name not in LAST] + [name for name in LAST if name in names]


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Such rows as a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def table(study: Study, sort: str | None = None) -> tuple[list[str], list[list[str]]]:
    """The head and the lines of what a person looks at: arms, seeds, the design's metrics. Raises UserError."""
    runs = arranged(study, sort)
    sorted_by = [metric(study, sort)] if sort else []
    shown: list[str] = [*sorted_by, *(name for name in study.metrics if name not in sorted_by)]
    places = {name: decimals(run.get(name) for run in runs) for name in shown}
    lines = [
        [str(run["arm"]), str(run["seed"]), run["status"] + (" (reused)" if run.get("reused") else "")]
        + [written(run[name], places[name]) if name in run else "" for name in shown]
        + [run.get("run", "")]
        for run in runs
    ]
    return [*FIRST, *shown, "run"], lines


def arranged(study: Study, sort: str | None = None) -> list[dict[str, Any]]:
    """The rows, the best by the metric `sort` first; those without it come last. Raises UserError."""
    runs = rows(study)
    if sort is None:
        return runs
    name = metric(study, sort)
    sign = -study.merit(name)
    return sorted(runs, key=lambda run: (name not in run, sign * run.get(name, 0)))


def metric(study: Study, name: str) -> str:
    """The full name of a metric that may be given by its end: `score`. Raises UserError."""
    prefix = f"{study.stage}."
    measured = dict.fromkeys(full for record in study.records for full in metrics(record))
    # The design's own metrics first, then those of the stage that it ends with.
    known = sorted(measured, key=lambda full: (full not in study.metrics, not full.startswith(prefix)))
    meant = [full for full in known if full == name] or [full for full in known if full.endswith(f".{name}")]
    of_stage = [full for full in meant if full.startswith(prefix)]
    if meant:
        return (of_stage or meant)[0]
    begun = [full for full in known if full.rpartition(".")[2].casefold().startswith(name.casefold())][:2]
    suggestion = f" Did you mean {' or '.join(map(repr, begun))}?" if begun else nearest(name, known)
    hint = suggestion or (f" There are {', '.join(known[:8])}, …" if known else "")
    raise UserError(f"no run of {study.design.name} has a metric {name}.{hint}")


def markdown(study: Study, sort: str | None = None) -> str:
    """The table in Markdown. Raises UserError."""
    head, lines = table(study, sort)
    return in_markdown.table(head, lines, texts=(0, 2, len(head) - 1))
