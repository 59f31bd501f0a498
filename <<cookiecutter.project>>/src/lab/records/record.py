"""Records: each run as git knows it, with its params, metrics and status.

Read from git's objects and from DVC's queue on this machine, in one pass: about 2 ms a record, where `dvc exp show` takes
120 ms. A failed run has no metrics: the files in its commit are its baseline's.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pygit2

from lab.design.models import STAGES
from lab.design.plan import run_key
from lab.execution.dvc import queue_tasks
from lab.records import commit as checkout

FINISHED, FAILED, QUEUED, RUNNING = "finished", "failed", "queued", "running"
TAIL = 20  # lines of a failed run's log that are kept in its record

_EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)")
_EXIT = re.compile(r"ERROR: failed to reproduce '([^']+)': failed to run: .*?, exited with (-?\d+)", re.DOTALL)


class Point(NamedTuple):
    """A value of a curve: after which epoch, counted from 0, and when it ended."""

    step: int
    time: datetime
    value: float


@dataclass(frozen=True)
class Record:
    """A run. `commit` is the experiment's, or that of the queue where it has not finished; `baseline` is its parent."""

    root: Path
    name: str
    commit: str
    baseline: str
    status: str
    task: queue_tasks.Task | None = None  # its place in DVC's queue, on this machine and as long as it is there

    @property
    def _content(self) -> checkout.Commit:
        return checkout.commit(self.root, self.commit)

    @property
    def params(self) -> dict[str, Any]:
        """The composed config."""
        return self._content.params

    @property
    def experiment(self) -> dict[str, Any]:
        """What the run belongs to: design, arm, levels, seed, … Empty for a run that no design asked for."""
        return self.params.get("experiment") or {}

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The content of metrics/<stem>.json by stem; empty for all that has not finished."""
        return self._content.metrics if self.status == FINISHED else {}

    @cached_property
    def key(self) -> str:
        """What makes its config the same as another's: `design.plan.run_key`."""
        return run_key(self.params)

    @property
    def code(self) -> str:
        """The code that made it, as a hash: what its stages run, and dvc.yaml."""
        return self._content.code

    @property
    def data(self) -> str | None:
        """The data it saw; None where git does not know."""
        return self._content.data(self.params)

    @property
    def effective(self) -> dict[str, dict[str, Any]]:
        """What each stage was run with, by stage: config, used, machine, started, seconds. Empty before the end."""
        return self._content.effective if self.status == FINISHED else {}

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """md5 and size of each output, by path, as dvc.lock has them. Empty before the end."""
        return self._content.outputs if self.status == FINISHED else {}

    @property
    def checkout(self) -> str:
        """The command that brings its files into the work tree: of the stages that it ran, which `dvc exp apply` wants all."""
        return f"git switch --detach {self.commit[:12]} && dvc checkout {' '.join(self._content.stages)}"

    def text(self, path: str) -> str:
        """A small result that git keeps, such as results/infer/confusion.csv; empty where the run has none."""
        return self._content.result(path) if self.status == FINISHED else ""

    @property
    def started(self) -> datetime | None:
        """When the first stage after prepare, which runs share, really ran; None in the queue.

        One that has not finished started when its training did or, where it has not come to that, when a worker took it.
        """
        if self.task is not None and self.status in (RUNNING, FAILED):
            return self._journal[0] or _time(self.task.taken)
        starts = {stage: _parsed(entry["started"]) for stage, entry in self.effective.items()}
        prepared = starts.pop("prepare", None)
        return min(starts.values(), default=prepared)

    @property
    def ended(self) -> datetime | None:
        """When its last stage ended; None while it has not."""
        if self.task is not None and self.status == FAILED:
            return _time(self.task.ended)
        ends = [_parsed(entry["started"]) + timedelta(seconds=entry["seconds"]) for entry in self.effective.values()]
        return max(ends, default=None)

    @property
    def seconds(self) -> dict[str, float]:
        """How long each stage took, when it really ran."""
        return {stage: float(entry["seconds"]) for stage, entry in self.effective.items()}

    @property
    def curves(self) -> dict[str, list[Point]]:
        """What was measured after each epoch, by metric, such as `val/loss`.

        Of a run that has not finished, as far as this machine knows: it keeps the epochs of those that ran here.
        """
        if self.status != FINISHED:
            return self._epochs()
        ended = {
            row["epoch"]: _parsed(row["ended"])
            for row in self.effective.get("train", {}).get("used", {}).get("epochs", [])
        }
        return {
            name: [Point(step, ended[step], value) for step, value in points if step in ended]
            for name, points in self._content.curves.items()
        }

    def _epochs(self) -> dict[str, list[Point]]:
        """The curves from the rows that training writes while it runs."""
        curves: dict[str, list[Point]] = defaultdict(list)
        for row in self._journal[1]:
            for name, value in row["metrics"].items():
                curves[name].append(Point(row["epoch"], _parsed(row["ended"]), value))
        return dict(curves)

    @cached_property
    def _journal(self) -> tuple[datetime | None, list[dict[str, Any]]]:
        """When the training of a run in the queue started here, and a row an epoch; the last may be half written."""
        path = self.root / ".cache" / "epochs" / f"{self.baseline[:12]}-{self.name}.jsonl"
        rows = []
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        started = _parsed(rows[0]["started"]) if rows and "started" in rows[0] else None
        if started is None or self.task is None or started.timestamp() < self.task.taken:
            return None, []  # of an earlier attempt
        return started, rows[1:]

    def value(self, metric: str) -> float | None:
        """A metric by its full name: `infer.f1_macro`, `infer_speed.batch_1.latency_ms.p50`. None where it is absent."""
        value: Any = self.metrics
        for part in metric.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return float(value) if isinstance(value, int | float) else None

    def reaches(self, target: str) -> bool:
        """Whether it ran up to the stage `target`, or is meant to."""
        if self.status == FINISHED:
            return target in self._content.stages
        return STAGES.get(self.experiment.get("type", ""), target) == target

    @cached_property
    def _log(self) -> list[str]:
        """The log's lines, each error once: DVC prints a failed stage's twice."""
        if self.task is None or not self.task.log.exists():
            return []
        lines = [line.rstrip() for line in self.task.log.read_text(errors="replace").splitlines()]
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
        if self.status != FAILED or self.task is None:
            return ""
        match = _EXIT.search("\n".join(self._log))
        if match:
            before = "\n".join(self._log)[: match.start()].splitlines()
            said = before[-1] if before and not before[-1].startswith("> ") else ""
            return f"{match[1]} ended with {match[2]}" + (f": {said}" if said else "")
        errors = [line.removeprefix("ERROR: ") for line in self._log if line.startswith("ERROR: ")]
        if errors:
            return errors[0]
        if self.task.executor.get("result_hash"):
            return "its result was lost on the way back from its temporary checkout"
        code = self.task.process.get("returncode")
        return "its worker could not set it up" if code is None else f"it was ended from outside ({code})"


def read(root: Path) -> list[Record]:
    """All records of the project at `root`: finished experiments, HEAD's history, and what is in DVC's queue.

    Within each kind the older come first. Raises pygit2.GitError where there is no repository.
    """
    repository = checkout.repository(root)
    queue = queue_tasks.read(
        root
    )  # first: what leaves the queue in this moment is an experiment when we look for those
    finished = _experiments(root, repository)
    return [*_history(root, repository, finished), *finished, *_queue(root, queue, finished)]


def _experiments(root: Path, repository: pygit2.Repository) -> list[Record]:
    """The finished experiments, by time."""
    found = []
    for ref in repository.listall_references():
        match = _EXPERIMENT.fullmatch(ref)
        if match:
            commit = repository.references[ref].peel(pygit2.Commit)
            record = Record(root, match[3], str(commit.id), match[1] + match[2], FINISHED)
            found.append((commit.commit_time, record.name, record))
    return [record for _, _, record in sorted(found, key=lambda item: item[:2])]


def _history(root: Path, repository: pygit2.Repository, finished: Iterable[Record]) -> list[Record]:
    """The results in HEAD's history, without those that an experiment brought."""
    if repository.is_empty or repository.head_is_unborn:
        return []
    seen = {_outcome(root, record.commit) for record in finished}
    commits = _results_in_history(root, str(repository.head.target))
    return [Record(root, commit[:7], commit, commit, FINISHED) for commit, outcome in commits if outcome not in seen]


@lru_cache(maxsize=8)
def _results_in_history(root: Path, head: str) -> list[tuple[str, tuple[str | None, str | None]]]:
    """The commits up to `head` that brought new metrics, the oldest first, with their outcomes."""
    found = []
    walker = checkout.repository(root).walk(head, pygit2.GIT_SORT_TOPOLOGICAL)  # type: ignore[arg-type]
    walker.simplify_first_parent()
    for commit in walker:
        outcome = _outcome(root, str(commit.id))
        before = _outcome(root, str(commit.parents[0].id)) if commit.parents else (None, None)
        if outcome[1] and outcome[1] != before[1]:
            found.append((str(commit.id), outcome))
    return found[::-1]


def _outcome(root: Path, rev: str) -> tuple[str | None, str | None]:
    """What tells two results apart without reading them: the ids of params.yaml and metrics/."""
    entries = (checkout.commit(root, rev).object(path) for path in ("params.yaml", "metrics"))
    params, metrics = (str(entry.id) if entry else None for entry in entries)
    return params, metrics


def _queue(root: Path, queue: Iterable[queue_tasks.Task], finished: Iterable[Record]) -> list[Record]:
    """What is in DVC's queue and has not become an experiment."""
    names = {(record.baseline, record.name) for record in finished}
    statuses = {queue_tasks.QUEUED: QUEUED, queue_tasks.RUNNING: RUNNING, queue_tasks.DONE: FAILED}
    return [
        Record(root, task.name, task.commit, task.baseline, statuses[task.state], task)
        for task in queue
        if not (task.executor.get("result_hash") and (task.baseline, task.name) in names)
    ]


def _parsed(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)


def _time(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if math.isfinite(seconds) else None


def by_key(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records by what makes their params the same."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.key].append(record)
    return groups


def answer(
    groups: dict[str, list[Record]], root: Path, head: str, params: dict[str, Any], target: str
) -> Record | None:
    """The record of a run with `params` up to the stage `target` on the commit `head`, of any design.

    It has the same config, code and data. A finished one answers best, then one that is running, queued or failed; of
    two that are alike, the later. Data that git does not know is only taken for the same on the same commit.
    """
    commit = checkout.commit(root, head)
    data = commit.data(params)
    same = [
        record
        for record in groups.get(run_key(params), [])
        if record.code == commit.code
        and record.data == data
        and (data is not None or record.baseline == head)
        and record.reaches(target)
    ]
    order = (FAILED, QUEUED, RUNNING, FINISHED)
    return max(same, key=lambda record: (order.index(record.status), same.index(record)), default=None)
