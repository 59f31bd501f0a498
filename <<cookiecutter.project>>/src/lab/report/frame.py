"""A design's runs as a table: in Python a pandas frame, elsewhere CSV, JSON or Markdown. From git alone.

import sys; sys.path.append("src")
from pathlib import Path
from project import load
study = load("results.study").read(Path("."), "detection_baseline")
load("results.frame").frame(study).groupby("arm")["infer.mAP50"].agg(["mean", "std"])
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lab.errors import UserError, nearest
from lab.records.record import Record
from lab.records.study import Row, Study, merit

if TYPE_CHECKING:
    import pandas as pd

FIRST = ("arm", "seed", "status")


def frame(study: Study) -> pd.DataFrame:
    """A row a run: its levels, its metrics by their full names, its times, and the experiment it is."""
    import pandas as pd

    found = rows(study)
    return pd.DataFrame(found, columns=columns(found))


def rows(study: Study) -> list[dict[str, Any]]:
    """The runs in the design's order. Metrics that a run has not are absent."""
    return [_row(row) for row in study.rows]


def _row(row: Row) -> dict[str, Any]:
    levels = {name: level for name, level in row.levels.items() if name not in FIRST}
    found: dict[str, Any] = {"arm": row.arm, "seed": row.seed, "status": row.status, **levels}
    record = row.record
    if record is None:
        return found
    found |= metrics(record)
    found |= {f"seconds.{stage}": seconds for stage, seconds in record.seconds.items()}
    times = {"started": record.started, "ended": record.ended}
    found |= {name: time.isoformat(timespec="milliseconds") for name, time in times.items() if time}
    found |= {"run": record.name, "revision": record.commit, "baseline": record.baseline, "reused": row.reused}
    return found | ({"failure": record.reason} if record.reason else {})


def metrics(record: Record) -> dict[str, float]:
    """The numbers among a run's metrics, by their full names: `infer.f1_macro`."""
    return dict(_numbers(record.metrics, ""))


def _numbers(content: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, float]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


def columns(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of such rows: what they are first, which run it is last."""
    names = dict.fromkeys(name for row in found for name in row)
    last = ("run", "revision", "baseline", "reused", "failure")
    return [name for name in names if name not in last] + [name for name in last if name in names]


def as_csv(found: list[dict[str, Any]]) -> str:
    """Such rows as a CSV file."""
    place = io.StringIO()
    writer = csv.DictWriter(place, fieldnames=columns(found), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return place.getvalue()


def table(study: Study, sort: str | None = None) -> tuple[list[str], list[list[str]]]:
    """The head and the lines of what a person looks at: arms, seeds, the design's metrics. Raises UserError."""
    found = arranged(study, sort)
    sorted_by = [metric(study, sort)] if sort else []
    shown: list[str] = [*sorted_by, *(name for name in study.metrics if name not in sorted_by)]
    lines = [
        [str(row["arm"]), str(row["seed"]), row["status"] + (" (reused)" if row.get("reused") else "")]
        + [f"{row[name]:.4g}" if name in row else "" for name in shown]
        + [row.get("run", "")]
        for row in found
    ]
    return [*FIRST, *shown, "run"], lines


def arranged(study: Study, sort: str | None = None) -> list[dict[str, Any]]:
    """The rows, the best by the metric `sort` first; those without it come last. Raises UserError."""
    found = rows(study)
    if sort is None:
        return found
    name = metric(study, sort)
    sign = -merit(study.design, name)
    return sorted(found, key=lambda row: (name not in row, sign * row.get(name, 0)))


def metric(study: Study, name: str) -> str:
    """The full name of a metric that may be given by its end: `f1_macro`. Raises UserError."""
    target = f"{study.design.target}."
    measured = dict.fromkeys(name for record in study.records for name in metrics(record))
    # The design's own metrics first, then those of the stage that it ends with.
    known = sorted(measured, key=lambda full: (full not in study.metrics, not full.startswith(target)))
    found = [full for full in known if full == name] or [full for full in known if full.endswith(f".{name}")]
    own = [full for full in found if full.startswith(target)]
    if not found:
        begun = [full for full in known if full.rpartition(".")[2].casefold().startswith(name.casefold())][:2]
        meant = f" Did you mean {' or '.join(map(repr, begun))}?" if begun else nearest(name, known)
        hint = meant or (f" There are {', '.join(known[:8])}, …" if known else "")
        raise UserError(f"no run of {study.design.name} has a metric {name}.{hint}")
    return (own or found)[0]


def markdown(study: Study, sort: str | None = None) -> str:
    """The table in Markdown. Raises UserError."""
    head, lines = table(study, sort)
    rule = ["---", "---:", "---", *["---:"] * (len(head) - 4), "---"]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in (head, rule, *lines))
