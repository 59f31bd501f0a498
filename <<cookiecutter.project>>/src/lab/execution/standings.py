"""How a plan's runs stand: each with the record that answers it, and with what it is at where it is running."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.records import record as records
from lab.records.record import FAILED, FINISHED, QUEUED, RUNNING, Record

if TYPE_CHECKING:
    from lab.design.plan import Run

MISSING = "not queued"
_STAGE = re.compile(r"(?:Running stage|Stage) '([^']+)'")


@dataclass(frozen=True)
class Standing:
    """A run of a plan and the record that answers it, of whatever design; None where there is none."""

    run: Run
    record: Record | None

    @property
    def status(self) -> str:
        """FINISHED, FAILED, RUNNING, QUEUED or MISSING."""
        return self.record.status if self.record else MISSING

    @property
    def reused(self) -> bool:
        """Whether the record is of another name: another design's, or of another day."""
        return self.record is not None and self.record.name != self.run.name

    @property
    def active(self) -> bool:
        """Whether it is queued or running."""
        return self.status in (QUEUED, RUNNING)


def standings(root: Path, head: str, runs: Iterable[Run], names: Mapping[str, str] | None = None) -> list[Standing]:
    """How `runs` stand on the commit `head`.

    `names` are the experiments that have to answer, by the runs' names: those that were queued anew on purpose. Other
    runs are answered by any record of the same config, code and data.
    """
    known = records.read(root)
    groups = records.by_key(known)
    named = {(record.baseline, record.name): record for record in known}  # the later of two of the same name
    found = []
    for run in runs:
        own = (names or {}).get(run.name)
        record = named.get((head, own)) if own else records.answer(groups, root, head, run.params, run.target)
        found.append(Standing(run, record))
    return found


@dataclass(frozen=True)
class Progress:
    """Where a running experiment is: its stage and, while it trains, its epochs and its metrics by name."""

    stage: str = ""
    epoch: int = 0
    epochs: int = 0
    metrics: Mapping[str, float] | None = None

    def __str__(self) -> str:
        metric = next((f"  {name} {value:.4g}" for name, value in (self.metrics or {}).items()), "")
        return f"{self.stage} {self.epoch}/{self.epochs}{metric}" if self.epoch else self.stage


def progress(record: Record) -> Progress:
    """Where a running experiment is, from its log and from the epochs that it has noted."""
    if record.task is None or not record.task.log.exists():
        return Progress("starting" if record.status == RUNNING else "")
    stages = _STAGE.findall(record.task.log.read_text(errors="replace"))
    stage = stages[-1] if stages else "starting"
    latest = {name: points[-1] for name, points in record.curves.items()} if stage == "train" else {}
    if not latest:
        return Progress(stage)
    shown = {name: point.value for name, point in latest.items() if name.startswith("val/") and name != "val/loss"}
    epochs = record.params.get("training", {}).get("max_epochs", 0)
    return Progress(stage, 1 + max(point.step for point in latest.values()), epochs, shown)


def counts(rows: Iterable[Standing]) -> dict[str, int]:
    """How many runs stand how, without the zeros."""
    statuses = [row.status for row in rows]
    order = (FINISHED, RUNNING, QUEUED, FAILED, MISSING)
    return {status: statuses.count(status) for status in order if status in statuses}
