"""The live view of `lab run`: what runs and how long it still takes, and where the arms stand so far."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lab.cli import view
from lab.cli.terminal import Name, redraws
from lab.execution.forecast import Forecast, Usual, wave_of
from lab.execution.standings import progress
from lab.study import FAILED, QUEUED, RUNNING, metric_names

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.models import Design
    from lab.study import Replicate

PAUSE = 2.0  # seconds between two pictures, where no run has begun or ended
LEAST_ROWS = 3  # of the arms' standings


class Watch:
    """The live view: the design's title, a bar for each running run, the arms so far, and when all will be over.

    Where nothing can be drawn anew, as in a log, a line for each run that is over.

    Args:
        place: the terminal.
        design, contract: what is run.
        jobs: how many run at a time; None: as many as do.
        earlier: what such runs took before.
        link: where the runs are shown; empty where nowhere.
        clock: the seconds since the epoch.
    """

    def __init__(
        self,
        place: Console,
        design: Design,
        contract: Contract,
        jobs: int | None = None,
        earlier: Usual | None = None,
        link: str = "",
        clock: Any = time.time,
    ):
        self.console, self.design, self.contract, self.link, self.clock = place, design, contract, link, clock
        self.live = Live(console=place, transient=True, auto_refresh=False)
        self.forecast = Forecast(contract, jobs, earlier or Usual(), design)
        self.began, self.drawn = clock(), 0.0
        self.before: dict[str, str] = {}
        self.arms: RenderableType | None = None  # the standings, drawn anew where a run has ended

    def __enter__(self) -> Watch:
        if redraws(self.console):
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def __call__(self, replicates: list[Replicate], lost: Sequence[Replicate] = ()) -> None:
        """Show how the runs stand now. Those that are `lost` are about to be queued again."""
        now = self.clock()
        waits = {_name(replicate): QUEUED for replicate in lost}
        statuses = {_name(replicate): replicate.status for replicate in replicates} | waits
        before, self.before = self.before, statuses
        changed = [each for each in replicates if before.get(name := _name(each)) not in (None, statuses[name])]
        is_new = statuses != before
        if is_new:
            self.forecast.look(replicates, now)
        if not redraws(self.console):
            for replicate in changed:
                name = _name(replicate)
                if name in waits or (before[name], statuses[name]) == (RUNNING, QUEUED):
                    self.say(f"{name}: waits again ({replicate.trouble or 'its worker has gone'})")
                elif replicate.is_over:
                    self._log(replicate, replicates, now)
        elif is_new or now - self.drawn >= PAUSE:
            self.drawn = now
            if is_new:
                most = max(LEAST_ROWS, self.console.height - 10 - sum(each.status == RUNNING for each in replicates))
                self.arms = view.by_arm(self.design, self.contract, replicates, most)
            self.live.update(self.picture(replicates, now), refresh=True)

    def say(self, sentence: str) -> None:
        """Print a sentence above what is shown."""
        self.console.print(Text(sentence), soft_wrap=True)

    def _log(self, replicate: Replicate, replicates: Sequence[Replicate], now: float) -> None:
        """A line on a run that is over: what it measured, how many are, and when the others will be."""
        names = metric_names(self.design, self.contract, [replicate.record])
        values = [f"{name} {value:.4g}" for name in names[:1] if (value := replicate.value(name)) is not None]
        note = replicate.trouble if replicate.status == FAILED or replicate.lacks else ""
        over = f"{sum(each.is_over for each in replicates)} of {len(replicates)}{self.remaining(replicates, now)}"
        told = ", ".join(filter(None, [*values, note]))
        self.say(f"{_name(replicate)}: {replicate.status}{f' ({told})' if told else ''}; {over}")

    def picture(self, replicates: Sequence[Replicate], now: float) -> RenderableType:
        """All that is shown on a terminal."""
        parts: list[RenderableType] = [Text(self.design.title, style="bold")]
        parts.append(running(replicates, self.contract, self.forecast, now, bar=min(16, self.console.width // 8)))
        waves: dict[int, list[Replicate]] = {}
        for replicate in replicates:
            waves.setdefault(wave_of(replicate), []).append(replicate)
        for wave in sorted(waves):
            label = f"wave {wave + 1}/{len(waves)}: " if len(waves) > 1 else ""
            parts.append(Text(label + view.summary(waves[wave])))
        elapsed = timedelta(seconds=int(now - self.began))
        parts.append(Text(f"{elapsed} so far{self.remaining(replicates, now)}", style="dim"))
        parts += [Text(self.link, style="dim", overflow="fold")] if self.link else []
        parts += [self.arms] if self.arms is not None else []  # last: what a low terminal has no room for is its end
        return Group(*parts)

    def remaining(self, replicates: Sequence[Replicate], now: float) -> str:
        """`, about 0:12:30 to go`; empty before anybody knows, and at the end."""
        seconds = self.forecast.seconds(replicates, now)
        return f", about {timedelta(seconds=round(seconds))} to go" if seconds else ""


def running(
    replicates: Iterable[Replicate], contract: Contract, forecast: Forecast, now: float, bar: int = 10
) -> Table:
    """A row for each running run: its arm and seed, a bar of its epochs, where it is, and how long it still takes."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for fixed in (False, True, True, False, True):  # where the terminal is narrow, names are folded
        table.add_column(no_wrap=fixed, overflow="fold")
    for replicate in replicates:
        if replicate.record is None or replicate.status != RUNNING:
            continue
        at = progress(replicate.record, contract)
        node = replicate.record.pending.node if replicate.record.pending else ""
        left = forecast.left(replicate.record, now, at)
        table.add_row(
            Name(replicate.arm, "cyan"),
            f"seed {replicate.seed}",
            ProgressBar(total=at.epochs or None, completed=at.epoch, width=bar) if at.epoch else Text(""),
            Text(f"{at}{f' on {node}' if node else ''}"),
            Text("" if left is None else f"{timedelta(seconds=round(left))} left", style="dim"),
        )
    return table


def _name(replicate: Replicate) -> str:
    """What a run is called in its plan, whichever record answers it."""
    return replicate.run.name if replicate.run else replicate.name
