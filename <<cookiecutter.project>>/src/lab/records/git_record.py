"""Records: each run as git knows it, with its params, metrics and status.

Read from git's objects and from the backend on this machine, in one pass: about 2 ms a record, where `dvc exp show`
takes 120 ms. A failed run has no metrics: the files in its commit are its baseline's.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from lab import secrets
from lab.design.plan import UNTIL
from lab.errors import UserError
from lab.nested_keys import as_float, get
from lab.study import FAILED, FINISHED, KILLED, OVER_TIME, RUNNING, Point

if TYPE_CHECKING:
    from lab.records.commit import Commit
    from lab.records.pending import Pending
    from lab.records.project import Project

TAIL = 20  # lines of a failed run's log that are kept in its record

_EXIT = re.compile(r"ERROR: failed to reproduce '([^']+)': failed to run: .*?, exited with (-?\d+)", re.DOTALL)


class EpochLog(NamedTuple):
    """What a training has noted so far: when its stage started, when its first epoch began, a row an epoch."""

    started: datetime | None = None
    began: datetime | None = None
    rows: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class GitRecord:
    """A run. `commit` is the experiment's, or that of the queue where it has not finished; `baseline` is its parent.

    `pending` is what the backend says of it, on this machine and as long as it knows it.
    """

    project: Project = field(repr=False, compare=False)
    name: str
    commit: str
    baseline: str
    status: str
    pending: Pending | None = None

    @property
    def content(self) -> Commit:
        """What its commit says."""
        return self.project.commit(self.commit)

    @property
    def params(self) -> dict[str, Any]:
        """The composed config."""
        return self.content.params

    @property
    def experiment(self) -> dict[str, Any]:
        """What the run belongs to: design, arm, levels, seed, … Empty for a run that no design asked for."""
        return self.content.brief.experiment

    @property
    def key(self) -> str:
        """What makes its config the same as another's: `design.plan.run_key`."""
        return self.content.brief.key

    @property
    def stage(self) -> str:
        """The stage that it runs up to: its design's, or the last one that has run."""
        return self._asked or next(reversed(self.content.stages or self.content.pipeline.stages))

    @property
    def _asked(self) -> str | None:
        """The stage that its design has it end with; None for a run that no design asked for."""
        block = self.experiment
        return block.get(UNTIL) or self.project.contract.types.get(block.get("type", ""))

    @property
    def code(self) -> str:
        """The code that made it, as a hash."""
        return self.code_of(self.stage)

    def code_of(self, stage: str) -> str:
        """What made it up to a stage, as a hash. Raises UserError where its dvc.yaml has none."""
        known = self.content.brief.code.get(stage)
        return self.content.code(self.params, stage) if known is None else known

    def made_by(self, stage: str) -> str | None:
        """The same; None where its dvc.yaml has no such stage."""
        try:
            return self.code_of(stage)
        except UserError:
            return None

    @property
    def data(self) -> str | None:
        """The data it saw; None where git does not know."""
        return self.content.brief.data

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The content of each metrics file by its name; empty for all that has not finished."""
        return self.content.metrics if self.status == FINISHED else {}

    @property
    def effective(self) -> dict[str, dict[str, Any]]:
        """What each stage was run with, by stage: config, used, machine, started, seconds. Empty before the end."""
        return self.content.effective if self.status == FINISHED else {}

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """md5 and size of each output, by path, as dvc.lock has them. Empty before the end."""
        return self.content.outputs if self.status == FINISHED else {}

    @property
    def checkout(self) -> str:
        """What brings its files into the work tree: `dvc exp apply` wants those of all stages, also if not run."""
        return f"git switch --detach {self.commit[:12]} && dvc checkout {' '.join(self.content.stages)}"

    def text(self, path: str) -> str:
        """A small result, such as a table; empty where the run has none."""
        return self.content.result(path) if self.status == FINISHED else ""

    def value(self, metric: str) -> float | None:
        """A metric by its full name, such as `evaluate.accuracy`; None where it is absent."""
        for name in self.metrics:
            if metric.startswith(f"{name}."):
                value = get(self.metrics[name], metric.removeprefix(f"{name}."))
                if isinstance(value, int | float):
                    return as_float(value)
        return None

    def reaches(self, stage: str) -> bool:
        """Whether it ran up to a stage, or is meant to."""
        if self.status == FINISHED:
            return stage in self.content.brief.stages
        return self._asked in (None, stage)

    # Times

    @property
    def started(self) -> datetime | None:
        """When the first stage that runs don't share really ran; None in the queue.

        One that has not finished started when its training did or, where it has not come to that, when a worker took
        it.
        """
        if self.pending is not None and self.status in (RUNNING, FAILED):
            return self._epoch_log.started or _time(self.pending.taken)
        if self.status == FINISHED and not self.effective:
            return _time(self.project.git.time(self.commit))
        starts = {stage: _parsed(entry["started"]) for stage, entry in self.effective.items()}
        own = [time for stage, time in starts.items() if stage not in self.content.first_stages]
        return min(own or starts.values(), default=None)

    @property
    def ended(self) -> datetime | None:
        """When its last stage ended; None while it has not."""
        if self.pending is not None and self.status == FAILED:
            return _time(self.pending.ended)
        if self.status == FINISHED and not self.effective:
            return _time(self.project.git.time(self.commit))
        ends = [_parsed(entry["started"]) + timedelta(seconds=entry["seconds"]) for entry in self.effective.values()]
        return max(ends, default=None)

    @property
    def seconds(self) -> dict[str, float]:
        """How long each stage took, when it really ran."""
        return {stage: float(entry["seconds"]) for stage, entry in self.effective.items()}

    # Curves

    @property
    def curves(self) -> dict[str, list[Point]]:
        """What was measured after each epoch, by metric, such as `val/loss`.

        Of a run that has not finished, as far as this machine knows: it keeps the epochs of those that ran here.
        """
        if self.status != FINISHED:
            return self._epochs()
        curves = self.project.contract.curves
        note = self.effective.get(curves.stage, {}) if curves else {}
        ends = {row["epoch"]: _parsed(row["ended"]) for row in (note.get("used") or {}).get("epochs", [])}
        if not note:
            time = self.ended or datetime.fromtimestamp(0, UTC)
            return {
                name: [Point(step, time, value) for step, value in points]
                for name, points in self.content.curves.items()
            }
        return {
            name: [Point(step, ends[step], value) for step, value in points if step in ends]
            for name, points in self.content.curves.items()
        }

    def _epochs(self) -> dict[str, list[Point]]:
        """The curves from the rows that a stage writes while it runs."""
        curves: dict[str, list[Point]] = defaultdict(list)
        for row in self._epoch_log.rows:
            for name, value in row["metrics"].items():
                curves[name].append(Point(row["epoch"], _parsed(row["ended"]), value))
        return dict(curves)

    @property
    def epochs_began(self) -> datetime | None:
        """When a running training's first epoch began, after all that is loaded; None where it does not say."""
        return self._epoch_log.began

    @cached_property
    def _epoch_log(self) -> EpochLog:
        """What the training of a run in the queue has noted so far here; the last row may be half written."""
        log = self.project.contract.epoch_log_path(self.baseline, self.name)
        path = self.project.root / log if log else None
        rows, times = [], dict[str, datetime]()
        for line in path.read_text().splitlines() if path and path.exists() else []:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                break
            if "epoch" in row:
                rows.append(row)
            else:
                times |= {name: _parsed(time) for name, time in row.items()}
        started = times.get("started")
        if started is None or self.pending is None or started.timestamp() < self.pending.taken:
            return EpochLog()  # of an earlier attempt
        return EpochLog(started, times.get("began"), rows)

    def forget_logs(self) -> None:
        """Read what it writes anew when it is asked for the next time."""
        for name in ("_epoch_log", "_log"):
            vars(self).pop(name, None)

    # Failures

    @cached_property
    def _log(self) -> list[str]:
        """The log's lines without secrets, each error once: DVC prints a failed stage's twice."""
        if self.pending is None or not self.pending.log.exists():
            return []
        text = secrets.hide(self.pending.log.read_text(errors="replace"), secrets.known(self.project.root))
        lines = [line.rstrip() for line in text.splitlines()]
        return [line for i, line in enumerate(lines) if line and line not in lines[i + 1 : i + 2]]

    @property
    def log(self) -> str:
        """The last lines that the run printed."""
        return "\n".join(self._log[-TAIL:])

    @property
    def exit_code(self) -> int | None:
        """What the failed stage ended with, negative for a signal; None where no stage failed."""
        match = _EXIT.search("\n".join(self._log))
        return int(match[2]) if match else None

    @property
    def reason(self) -> str:
        """Why it failed, in a line."""
        if self.status != FAILED or self.pending is None:
            return ""
        match = _EXIT.search("\n".join(self._log))
        if match:
            before = "\n".join(self._log)[: match.start()].splitlines()
            said = before[-1] if before and not before[-1].startswith("> ") else ""
            if int(match[2]) in KILLED:
                over_time = (line.removeprefix("ERROR: ") for line in self._log if OVER_TIME in line)
                return f"{match[1]} was {next(over_time, f'ended from outside ({match[2]})')}"
            return f"{match[1]} ended with {match[2]}" + (f": {said}" if said else "")
        errors = [line.removeprefix("ERROR: ") for line in self._log if line.startswith("ERROR: ")]
        if errors:
            return errors[0]
        if self.pending.delivered:
            return "its result was lost on the way back from its temporary checkout"
        code = self.pending.returncode
        return "its worker could not set it up" if code is None else f"it was ended from outside ({code})"


def _parsed(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)


def _time(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if math.isfinite(seconds) else None
