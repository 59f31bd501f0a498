"""The runs of a design as Markdown tables: those that failed, all of them, and those that others have replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import markdown
from lab.decimals import decimals, written
from lab.study import FAILED, UNMEASURED, UNREADABLE

if TYPE_CHECKING:
    from lab.study import Replicate, Study


def failures(study: Study) -> str:
    """The runs that failed, can't be read, or lack their metric, and why; empty where none is known."""
    failed = [replicate for replicate in study.replicates if replicate.status in (FAILED, UNMEASURED, UNREADABLE)]
    if not failed:
        return "" if unfinished(study) else "None."
    lines = [[replicate.arm, replicate.seed, _why(replicate)] for replicate in failed]
    return markdown.table(["arm", "seed", "reason"], lines, texts=(0, 2))


def _why(replicate: Replicate) -> str:
    return replicate.trouble if replicate.status == FAILED else f"{replicate.status}: {replicate.trouble}"


def unfinished(study: Study) -> int:
    """How many runs have no result."""
    return sum(not replicate.finished for replicate in study.replicates)


def unknown(study: Study) -> str:
    """Where no failure is known, and yet runs are missing."""
    return f"None that this machine knows of; {unfinished(study)} of {len(study.replicates)} runs have no result."


def runs(study: Study, metric: str | None) -> str:
    """All runs as a Markdown table. Whether one failed is not told: git does not know."""
    head = ["arm", "seed", study.metric(metric).label if metric else "status", "experiment", "commit"]
    places = decimals(replicate.value(metric) if metric else None for replicate in study.replicates)
    return markdown.table(head, [_run(replicate, metric, places) for replicate in study.replicates], texts=(0, 3, 4))


def superseded(study: Study, metric: str | None) -> str:
    """The finished runs whose place later ones of the same arm and seed have taken, as a Markdown table; or empty."""
    head = ["arm", "seed", study.metric(metric).label if metric else "status", "experiment", "commit"]
    former = [(replicate, record) for replicate in study.replicates for record in replicate.superseded]
    values = [record.value(metric) if metric else None for _, record in former]
    places = decimals(values)
    rows = [
        [
            replicate.arm,
            str(replicate.seed),
            "" if value is None else written(value, places),
            record.name,
            record.commit[:12],
        ]
        for (replicate, record), value in zip(former, values, strict=True)
    ]
    return markdown.table(head, rows, texts=(0, 3, 4)) if rows else ""


def _run(replicate: Replicate, metric: str | None, places: int) -> list[str]:
    record = replicate.record if replicate.finished else None
    value = replicate.value(metric) if metric else None
    return [
        replicate.arm,
        str(replicate.seed),
        "" if value is None else written(value, places),
        f"{record.name}{' (reused)' if replicate.reused else ''}" if record else _without(replicate),
        record.commit[:12] if record else "",
    ]


def _without(replicate: Replicate) -> str:
    """What is said of a run without results, as far as any clone knows it."""
    is_in_git = replicate.record is not None and replicate.record.pending is None
    return replicate.status if is_in_git and replicate.status in (UNMEASURED, UNREADABLE) else "not finished"
