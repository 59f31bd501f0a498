"""What a person sees of a plan's runs: while they go on, and when they have ended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab.execution.standings import MISSING, Standing, counts, progress
from lab.records import record as records
from lab.records import study
from lab.records.record import FAILED, FINISHED, QUEUED, RUNNING
from lab.records.study import metric_names

if TYPE_CHECKING:
    from lab.design.models import Design

STYLES = {FINISHED: "green", FAILED: "red", RUNNING: "cyan", QUEUED: "dim", MISSING: "dim"}
STATUSES = (FINISHED, RUNNING, QUEUED, FAILED, MISSING)


def console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough where there is none."""
    found = Console(highlight=False)
    if not found.is_terminal:
        found.width = max(found.width, 240)
    return found


def results(design: Design, rows: list[Standing]) -> Table:
    """The table of a plan's runs: what came out, what failed and why, what is still to come."""
    names = metric_names(design, [row.record for row in rows])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("arm", "seed", "status", *names, "note", "run"):
        table.add_column(column, justify="right" if column in ("seed", *names) else "left", overflow="fold")
    for row in rows:
        values = [row.record.value(name) if row.record else None for name in names]
        table.add_row(
            Text(row.run.arm),
            str(row.run.seed),
            Text(row.status, style=STYLES[row.status]),
            *("" if value is None else f"{value:.4g}" for value in values),
            Text(_note(row)),
            Text(row.record.name if row.record else row.run.name),
        )
    return table


def _note(row: Standing) -> str:
    """What is worth knowing of a run beyond its metrics."""
    if row.record is None:
        return ""
    if row.status == RUNNING:
        return str(progress(row.record))
    if row.status == FAILED:
        return row.record.reason
    return "reused" if row.reused else ""


def logs(rows: Iterable[Standing]) -> Iterable[RenderableType]:
    """The last lines of what failed."""
    for row in rows:
        if row.record is not None and row.status == FAILED and row.record.log:
            yield Text(f"\n{row.record.name}: the last lines of its log", style="bold")
            yield Text(row.record.log)


def summary(rows: Iterable[Standing]) -> str:
    """`11 finished, 1 failed`."""
    return ", ".join(f"{number} {status}" for status, number in counts(rows).items())


def overview(root: Path) -> Table:
    """How many runs of each design stand how, those of others that it reuses among them, and what is running."""
    table = Table("design", *STATUSES, box=None, pad_edge=False, header_style="bold")
    queued = [record for record in records.read(root) if record.task]
    statuses = {
        study.design.name: [row.status for row in study.rows]
        for study in (*study.read_all(root), *study.answered(root))
    }
    statuses["(no design)"] = [record.status for record in queued if not record.experiment]
    for design, found in statuses.items():
        if found:
            table.add_row(Text(design), *(str(found.count(status) or "") for status in STATUSES))
    for record in queued:
        if record.status == RUNNING:
            table.add_row(Text(f"  {record.name}"), Text(str(progress(record))))
    return table


class Watch:
    """The live view of `lab run`: a table of what is running on a terminal, a line for each change elsewhere."""

    def __init__(self, place: Console, jobs: int):
        self.console, self.jobs = place, jobs
        self.live = Live(console=place, transient=True, auto_refresh=False)
        self.began = time.monotonic()
        self.before: dict[str, str] = {}
        self.at_first = 0  # how many were finished when the watch began

    def __enter__(self) -> Watch:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def __call__(self, rows: list[Standing]) -> None:
        """Show how the runs stand now."""
        if not self.before:
            self.at_first = sum(not row.active for row in rows)
        changed = [row for row in rows if self.before.get(row.run.name) not in (None, row.status)]
        self.before = {row.run.name: row.status for row in rows}
        if self.console.is_terminal:
            self.live.update(Group(*self._lines(rows)), refresh=True)
            return
        for row in changed:
            note = _note(row) if row.status == FAILED else ""
            self.console.print(Text(f"{row.run.name}: {row.status}{f' ({note})' if note else ''}"), soft_wrap=True)

    def _lines(self, rows: list[Standing]) -> Iterable[RenderableType]:
        """The running experiments, then how many runs stand how, wave by wave, and when it will be over."""
        table = Table(box=None, show_header=False)
        for fixed in (False, True, True):  # where the terminal is narrow, the arm's name alone is wrapped
            table.add_column(no_wrap=fixed)
        for row in rows:
            if row.record is not None and row.status == RUNNING:
                arm, seed = Text(row.run.arm, style="cyan", overflow="fold"), f"seed {row.run.seed}"
                table.add_row(arm, seed, Text(str(progress(row.record))))
        yield table
        waves = sorted({row.run.wave for row in rows})
        for wave in waves:
            own = [row for row in rows if row.run.wave == wave]
            label = f"wave {wave + 1}/{len(waves)}: " if len(waves) > 1 else ""
            yield Text(label + summary(own))
        yield Text(f"{self._elapsed()} so far{self._remaining(rows)}", style="dim")

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=int(time.monotonic() - self.began))

    def _remaining(self, rows: list[Standing]) -> str:
        """By the pace of this session, or before its first result by how long such runs took."""
        over = sum(not row.active for row in rows)
        left = len(rows) - over
        if over > self.at_first:
            seconds = (time.monotonic() - self.began) / (over - self.at_first) * left
        else:
            known = [sum(row.record.seconds.values()) for row in rows if row.record and row.status == FINISHED]
            if not known:
                return ""
            seconds = mean(known) * left / self.jobs
        return f", about {timedelta(seconds=int(seconds))} to go"
