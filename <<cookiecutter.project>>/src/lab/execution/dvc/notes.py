"""What a worker writes for `dvc queue` to read: that it took a task, what runs it, what came of it, what it printed.

DVC's own workers write the same, so that `dvc queue status`, `logs`, `kill` and `remove`, and `dvc exp show`, tell of
our runs as of theirs. Every file is complete whenever it is there. `compatibility` compares them with DVC's.
"""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from lab.execution.dvc.queue_tasks import Task

NUMBERS = count()  # of temporary files: a signal may come while one is written
FAILED_CODE = 255  # what `dvc exp exec-run` ends with where a stage failed


class Order(NamedTuple):
    """What a message asks for: DVC's queue entry, paths to copy along, and a message for the commit."""

    entry: dict[str, Any]
    copy_paths: list[str] | None
    message: str | None


def take(task: Task) -> Order | None:
    """Take a queued task, as one of all that may try at the same time. None where another was first."""
    taken = task.message.parents[1] / "processed" / task.message.name
    try:
        os.rename(task.message, taken)
    except FileNotFoundError:
        return None
    arguments, named, _ = json.loads(base64.b64decode(json.loads(taken.read_bytes())["body"]))
    entry = named.get("entry_dict") or arguments[0]
    return Order(entry, named.get("copy_paths"), named.get("message"))


class RunNotes:
    """The folder of one run, below .dvc/tmp/exps/run."""

    def __init__(self, task: Task, root: Path, prefix: str, checkout: Path):
        self.task = task
        self.facts: dict[str, Any] = {
            "git_url": f"file://{checkout}",
            "baseline_rev": task.baseline,
            "location": "dvc-task",
            "root_dir": str(checkout),
            "dvc_dir": os.path.join(prefix, ".dvc"),
            "name": task.name,
            "wdir": prefix or ".",
            "result_hash": None,
            "result_ref": None,
            "result_force": False,
        }

    def running(self, pid: int) -> None:
        """That it runs, in this process."""
        from dvc.repo.experiments.executor.base import TaskStatus

        self._facts(TaskStatus.RUNNING)
        self.process(pid)

    def process(self, pid: int, returncode: int | None = None) -> None:
        """The process that is at it now: `dvc queue kill` sends its signals there."""
        known = {"pid": pid, "stdin": None, "stdout": str(self.task.log), "stderr": None, "returncode": returncode}
        write(self.task.folder / f"{self.task.commit}.json", known)

    def finished(self, commit_hash: str, ref: str) -> None:
        """That it became an experiment."""
        from dvc.repo.experiments.executor.base import TaskStatus

        self.facts |= {"result_hash": commit_hash, "result_ref": ref}
        self._facts(TaskStatus.FINISHED)
        self.process(os.getpid(), 0)
        self._done()

    def failed(self) -> None:
        """That it came to nothing; the log says why."""
        from dvc.repo.experiments.executor.base import TaskStatus

        self._facts(TaskStatus.FAILED)
        self.process(os.getpid(), FAILED_CODE)
        self._done()

    def _facts(self, status: int) -> None:
        write(self.task.folder / f"{self.task.commit}.run", {**self.facts, "status": int(status)})

    def _done(self) -> None:
        now = datetime.now(UTC).isoformat()
        result = {"status": "SUCCESS", "result": None, "traceback": None, "children": [], "date_done": now}
        write(self.task.result, {**result, "task_id": self.task.id})


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file as a whole."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{next(NUMBERS)}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_text(json.dumps(content))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
