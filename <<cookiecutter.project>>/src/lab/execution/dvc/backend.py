"""DVC's own queue and workers as a backend: experiments on this machine, each in a temporary checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock

from lab.execution.backend import Job
from lab.execution.dvc import compatibility, queue_tasks, repair
from lab.execution.dvc import workers as worker_processes
from lab.execution.dvc.locks import patiently
from lab.execution.dvc.queue_tasks import Task
from lab.records.pending import Pending


class DvcBackend:
    """DVC's queue in the project at `root`: a `lab.execution.backend.Backend`. `dvc queue` shows and stops the same."""

    name = "dvc"
    jobs = 1

    def __init__(self, root: Path):
        self.root = root
        self._children: list[subprocess.Popen[bytes]] = []

    def pending(self) -> Sequence[Task]:
        """Its tasks, those among them that are experiments by now and not tidied up yet."""
        return queue_tasks.read(self.root)

    def alone(self) -> AbstractContextManager[Any]:
        """A lock that ends with the process."""
        path = self.root / ".dvc" / "tmp" / "lab" / "queue.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue by git's plumbing where it does what DVC would do, and by DVC's own way otherwise."""
        from dvc.repo import Repo

        from lab.execution.dvc import fast_queue, stock_queue

        way = fast_queue if compatibility.passed(self.root) else stock_queue
        with Repo(str(self.root)) as repo:
            patiently(lambda: way.put(repo, jobs))

    def start(self, workers: int) -> None:
        """Start DVC's queue workers until there are as many."""
        self._reap()
        self._children += worker_processes.start(self.root, workers)

    def workers(self) -> int:
        """How many of DVC's queue workers are there."""
        self._reap()
        return len(worker_processes.alive(self.root))

    def stop(self) -> int:
        """Ask them to end after the runs that they are at."""
        return len(worker_processes.stop(self.root))

    def end(self) -> None:
        """End the running experiments, not their workers."""
        for task in self.pending():
            if task.state == queue_tasks.RUNNING:
                worker_processes.end(task)

    def repair(self) -> None:
        """Collect or requeue what no worker is at any more."""
        self._reap()
        lost = worker_processes.lost(self.root, self._running())
        if not lost:
            return
        with self.alone():
            lost = worker_processes.lost(self.root, self._running())  # once more, now that no other lab does the same
            repair.put_right(self.root, lost)

    def retry(self, run: Pending) -> None:
        """Put a failed experiment back into the queue. Its finished stages come back from DVC's run cache."""
        assert isinstance(run, Task)
        with self.alone():
            repair.put_back(self.root, run)

    def tidy(self, names: set[str]) -> None:
        """Forget the queue's notes on finished experiments: `dvc queue status` slows with each."""
        repair.tidy(self.root, names)

    def _running(self) -> list[Task]:
        return [task for task in self.pending() if task.state == queue_tasks.RUNNING]

    def _reap(self) -> None:
        """Let go of workers of our own that have ended."""
        self._children = [child for child in self._children if child.poll() is None]
