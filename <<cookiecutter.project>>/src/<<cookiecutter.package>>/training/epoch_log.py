"""One row an epoch: on the terminal, in DVCLive, and in the history that a resumed run starts from.

An experiment's rows also go to `.cache/epochs/` of the main project, where others follow them while it runs, and where
those of a failed one stay: its temporary checkout is gone. Before them stand two lines: when the stage started and,
after all that it has to load, when the first epoch began.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..shared.environment import project_root
from ..shared.terminal import console

DIRECTORY = Path("dvclive")


class EpochLog:
    """What training reports while it runs.

    `history` is the list of rows so far, each {"epoch", "ended", "metrics"}; a resumed run passes the rows that it
    already has, so that the curves are those of an undisturbed run.
    """

    def __init__(self, epochs: int, batches: int, history: Iterable[dict[str, Any]] = ()):
        from dvclive import Live

        self.epochs, self.batches = epochs, batches
        self.history: list[dict[str, Any]] = []
        self.followed = followed_file()
        self.live = Live(str(DIRECTORY), save_dvc_exp=False, dvcyaml=None, report=None)
        self._follow({"began": now()})
        for row in history:
            self._record(row)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            transient=True,
            console=console(),
        )
        self.bar = self.progress.add_task("training", total=epochs * batches, completed=len(self.history) * batches)
        self.progress.start()

    def batch(self) -> None:
        """One batch is done."""
        self.progress.advance(self.bar)

    def epoch(self, metrics: dict[str, float]) -> None:
        """One epoch is done; `metrics` by name, such as {"train/loss": 0.3, "val/f1_macro": 0.9}."""
        row = {
            "epoch": len(self.history),
            "ended": now(),
            "metrics": metrics,
        }
        self._record(row)
        number = row["epoch"] + 1
        hidden = [name for name in metrics if name == "lr" or (name.startswith("val/") and name.endswith("loss"))]
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name not in hidden)
        self.progress.update(self.bar, description=f"epoch {number}/{self.epochs}", completed=number * self.batches)
        self.progress.console.print(f"epoch {number}/{self.epochs}  {shown}", soft_wrap=True)

    def close(self) -> None:
        """Stop the bar and finish DVCLive's files."""
        self.progress.stop()
        self.live.end()

    def _record(self, row: dict[str, Any]) -> None:
        self.history.append(row)
        self._follow(row)
        for name, value in row["metrics"].items():
            self.live.log_metric(name, value)
        self.live.next_step()

    def _follow(self, row: dict[str, Any]) -> None:
        if self.followed:
            with self.followed.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def now() -> str:
    """The time as rows note it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def begin(started: datetime) -> None:
    """A new file for the rows of the experiment that DVC runs here; its first line says when training started."""
    path = followed_file()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"started": started.isoformat(timespec="milliseconds")}) + "\n")


def followed_file() -> Path | None:
    """The file for the rows of the experiment that DVC runs here; None outside of an experiment."""
    name, baseline = os.environ.get("DVC_EXP_NAME"), os.environ.get("DVC_EXP_BASELINE_REV")
    if not name or not baseline:
        return None
    return project_root() / ".cache" / "epochs" / f"{baseline[:12]}-{name}.jsonl"
