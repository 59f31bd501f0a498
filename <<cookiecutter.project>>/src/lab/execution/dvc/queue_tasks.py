"""The tasks of DVC's queue, read from its files in one pass.

`dvc queue status` reads every finished task again for each other one, so its time grows with the square of what is
done; here each file is read once. The files are DVC's own: .dvc/tmp/exps/celery holds Celery's messages and results,
and .dvc/tmp/exps/run a folder for each task that was started, with its process, its log and its temporary checkout.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from lab.design.resources import UNSTATED, Resources
from lab.study import FAILED, QUEUED, REMOVED, RUNNING

DONE = "done"
TIDIED = "tidied"  # a file in the folder of a run that is an experiment, and was told
TEMPORARY = "tmp"  # how a checkout's name begins that is one run's alone, as DVC's are: a worker of our own keeps its
RESOURCES = "lab_resources"  # the header of a message that says what its run takes; DVC leaves it as it is


@dataclass(frozen=True)
class Task:
    """An experiment in DVC's queue: a `lab.records.pending.Pending`.

    `commit` is the stash commit that holds its params, `baseline` the commit it was queued on, and `state` one of
    QUEUED, RUNNING (a worker has taken it, dead or alive) and DONE (a worker has finished with it, well or not).
    `queued` is the time of queueing, in seconds since the epoch.
    """

    id: str
    name: str
    commit: str
    baseline: str
    state: str
    queued: float
    message: Path
    folder: Path
    result: Path
    resources: Resources = UNSTATED
    backend = "dvc"
    node = ""

    @property
    def status(self) -> str:
        """QUEUED, RUNNING, FAILED or, of what is done and was brought home, REMOVED: it has been an experiment."""
        if self.state != DONE:
            return self.state
        return REMOVED if self.delivered and not self.is_on_its_way else FAILED

    @property
    def delivered(self) -> bool:
        """Whether its stages came to their end, so that an experiment should be there."""
        return bool(self.executor.get("result_hash"))

    @property
    def is_on_its_way(self) -> bool:
        """Whether its result is still in its temporary checkout, which DVC removes once it is home."""
        place = Path(self.executor.get("root_dir") or "")
        return place.name.startswith(TEMPORARY) and (place / ".git").exists()

    @property
    def returncode(self) -> int | None:
        """What its process ended with; None while it runs, or where it never came to that."""
        return self.process.get("returncode")

    @property
    def log(self) -> Path:
        """What the experiment's stages printed."""
        return self.folder / f"{self.commit}.out"

    @cached_property
    def executor(self) -> dict[str, Any]:
        """DVC's notes on the run: `root_dir` (the temporary checkout), `result_ref`, … Empty before it is set up."""
        return _json(self.folder / f"{self.commit}.run")

    @cached_property
    def process(self) -> dict[str, Any]:
        """`pid` and `returncode` of the process that runs the experiment. Empty before it is started."""
        return _json(self.folder / f"{self.commit}.json")

    @property
    def is_tidied(self) -> bool:
        """Whether it is there for its log alone."""
        return self.state == DONE and (self.folder / TIDIED).exists()

    @property
    def taken(self) -> float:
        """When a worker took it, in seconds since the epoch: moving a file leaves its mtime and sets its ctime.

        Infinite for a task that is no longer there.
        """
        try:
            return self.message.stat().st_ctime
        except FileNotFoundError:
            return math.inf

    @property
    def ended(self) -> float:
        """When the worker was done with it, in seconds since the epoch. Infinite while it is not."""
        try:
            return self.result.stat().st_mtime
        except FileNotFoundError:
            return math.inf


def read(root: Path) -> list[Task]:
    """The tasks in the queue of the project at `root`, in the order in which they were queued."""
    exps = root / ".dvc" / "tmp" / "exps"
    broker, results = exps / "celery" / "broker", exps / "celery" / "result"
    taken = broker / "processed"
    # A worker takes a task by moving its message from the one folder to the other, also while we read.
    names = sorted({path.name for folder in (broker / "in", taken) for path in _files(folder)})
    done = {path.name for path in _files(results)}
    tasks = []
    for name in names:
        for path in (broker / "in" / name, taken / name):
            try:
                entry, queued = _entry(path), path.stat().st_mtime
                break
            except FileNotFoundError:
                continue
            except json.JSONDecodeError:
                continue  # half written in this moment: the next reading has it
        else:
            continue
        if entry is None:
            continue
        result = results / f"celery-task-meta-{entry['id']}"
        state = QUEUED if path.parent.name == "in" else DONE if result.name in done else RUNNING
        tasks.append(
            Task(
                id=entry["id"],
                name=entry["name"] or entry["stash_rev"][:7],
                commit=entry["stash_rev"],
                baseline=entry["baseline_rev"],
                state=state,
                queued=queued,
                message=path,
                folder=exps / "run" / entry["stash_rev"],
                result=result,
                resources=entry["resources"],
            )
        )
    return sorted(tasks, key=lambda task: (task.queued, task.message.name))


@lru_cache(maxsize=100_000)
def _entry(path: Path) -> dict[str, Any] | None:
    """The queue entry of a message, with the task's id; None for a message of another kind. A message never changes."""
    message = json.loads(path.read_bytes())
    if not message["headers"].get("task", "").endswith(".run_exp"):
        return None
    arguments, named, _ = json.loads(base64.b64decode(message["body"]))
    resources = Resources(**message["headers"].get(RESOURCES) or {})
    return {**(named.get("entry_dict") or arguments[0]), "id": message["headers"]["id"], "resources": resources}


@contextmanager
def announcing(resources: Resources) -> Iterator[None]:
    """Messages that are sent meanwhile say that their runs take so much."""
    from celery.signals import before_task_publish

    def say(headers: dict[str, Any], **_: Any) -> None:
        headers[RESOURCES] = resources.model_dump(exclude_unset=True)

    if resources == UNSTATED:
        yield
        return
    before_task_publish.connect(say, weak=False)
    try:
        yield
    finally:
        before_task_publish.disconnect(say)


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _json(path: Path) -> dict[str, Any]:
    """The content of a file that may be absent, or half written in this moment."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
