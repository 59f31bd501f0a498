"""DVC's queue as a backend: experiments on this machine, by workers of our own or by DVC's."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from lab.design.resources import Resources
from lab.errors import UserError
from lab.execution import abandoned, garbage
from lab.execution.backend import Job
from lab.execution.dvc import compatibility, own_workers, queue_tasks, repair, task_refs
from lab.execution.dvc import workers as dvc_workers
from lab.execution.dvc.ending import kill
from lab.execution.dvc.locks import patiently
from lab.execution.dvc.queue_tasks import Task
from lab.execution.worker.devices import Devices
from lab.git import Repository
from lab.records.pending import Pending
from lab.study import QUEUED

BROKEN = 5  # workers that may end badly before it is told
CLEARING, LOOK = 10.0, 0.1  # seconds for a worker to be done with an experiment that is there, and between looks
STOPPED = 30.0  # seconds after which a worker that is stopped, or doesn't answer, is ended: another has its run


class DvcBackend:
    """DVC's queue in the project at `root`: a `lab.execution.backend.Backend`. `dvc queue` shows and stops the same.

    Workers are our own where they do as DVC's; either kind takes what the other has left.
    """

    has_own_workers = True

    name = "dvc"
    jobs = 1
    is_here = True

    def __init__(self, root: Path):
        self.root = root
        self._children: list[subprocess.Popen[bytes]] = []
        self._broken = 0
        self._stopped: dict[psutil.Process, float] = {}  # since when

    def pending(self) -> Sequence[Task]:
        """Its tasks, those among them that are experiments by now and not tidied up yet, or not any more."""
        return [task for task in queue_tasks.read(self.root) if not task.is_tidied or self._is_removed(task)]

    def alone(self) -> AbstractContextManager[Any]:
        """A lock that ends with the process."""
        path = self.root / ".dvc" / "tmp" / "lab" / "queue.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue by git's plumbing where it does what DVC would do, and by DVC's own way otherwise."""
        from dvc.repo import Repo

        from lab.execution.dvc import fast_queue, stock_queue

        own_workers.let_go_of_others(self.root)
        dvc_workers.let_go_of_others(self.root)
        common = Repository(self.root).common
        abandoned.unlock(common)
        way = fast_queue if compatibility.passed(self.root) else stock_queue
        with Repo(str(self.root)) as repo, garbage.kept_out(common):
            patiently(lambda: way.put(repo, jobs))

    def start(self, workers: int | None) -> None:
        """Start workers until there are as many, DVC's counted; none begins while `lab gc` frees data."""
        self._reap()
        abandoned.unlock(Repository(self.root).common)
        with self.alone():
            self._start(workers or self.jobs)

    def _start(self, workers: int) -> None:
        from lab.execution.dvc import worker_compatibility  # with DVC's parts, which most commands can do without

        if self.has_own_workers and os.name == "posix" and worker_compatibility.passed(self.root):
            others = sum(worker.is_able for worker in dvc_workers.judged(self.root))
            self._children += own_workers.start(self.root, workers - others)
        else:
            self._children += dvc_workers.start(self.root, workers)

    def workers(self) -> int:
        """How many workers are there, of either kind; one that does nothing, and should have ended, is none."""
        self._reap()
        own = sum(not worker.is_mute for worker in own_workers.alive(self.root))
        return own + sum(not worker.is_quiet for worker in dvc_workers.judged(self.root))

    def room(self, resources: Resources) -> int | None:
        """How many such runs this machine has GPUs and cores for."""
        return Devices(self.root / ".dvc" / "tmp" / "lab").room(resources)

    def stop(self) -> int:
        """Ask them to end after the runs that they are at."""
        own = own_workers.alive(self.root)
        own_workers.stop(own)
        return len(own) + len(dvc_workers.stop(self.root))

    def end(self) -> None:
        """End the running experiments, not their workers."""
        for task in self._running():
            if dvc_workers.runner(task) is not None:
                dvc_workers.end(task)
            else:
                own_workers.interrupt(self.root, task.id)

    def repair(self) -> None:
        """Collect or requeue what no worker is at any more, end what is over its time, keep what tasks are made of.

        A worker that is stopped for long is ended before.
        """
        self._reap()
        task_refs.settle(self.root, self.alone)
        dvc_workers.end_overdue(self._running())
        lost, silent = dvc_workers.lost(self.root, self._running())
        self._end_stopped(silent)
        if not lost:
            return
        with self.alone():
            lost, _ = dvc_workers.lost(self.root, self._running())  # once more, now that no other lab does the same
            repair.put_right(self.root, lost)

    def _end_stopped(self, silent: Iterable[psutil.Process]) -> None:
        """End workers that have not gone on for long: they would publish what another has by then.

        A run whose stage goes on, or is stopped itself, keeps its worker.
        """
        halted = [*own_workers.halted(self.root, self._running()), *dvc_workers.halted(self.root), *silent]
        now = time.monotonic()
        self._stopped = {process: self._stopped.get(process, now) for process in halted}
        for process, since in self._stopped.items():
            if now - since > STOPPED:
                kill(process)

    def retry(self, run: Pending) -> None:
        """Put a failed experiment back into the queue. Its finished stages come back from DVC's run cache."""
        assert isinstance(run, Task)
        with self.alone():
            repair.put_back(self.root, run)

    def tidy(self, names: set[str]) -> None:
        """Forget the queue's notes on finished experiments, but for the last: `dvc queue status` slows with each.

        Workers that it has started and that are at nothing are ended as well.
        """
        until = time.monotonic() + CLEARING
        while any(task.name in names and task.delivered for task in self._running()) and time.monotonic() < until:
            time.sleep(LOOK)
        repair.tidy(self.root, names)
        task_refs.settle(self.root, self.alone)
        started = {child.pid for child in self._children}
        own_workers.let_go_of_idle(self.root, started, {task.id for task in self._running()})
        dvc_workers.let_go_of_idle(self.root, started)

    def _is_removed(self, task: Task) -> bool:
        return Repository(self.root).ref(task.executor.get("result_ref") or "") is None

    def _running(self) -> list[Task]:
        return [task for task in self.pending() if task.state == queue_tasks.RUNNING]

    def _reap(self) -> None:
        """Let go of workers of our own that have ended. Raises UserError where none gets on its feet."""
        codes = [child.poll() for child in self._children]
        self._broken = self._broken + sum(bool(code) and code > 0 for code in codes) if any(codes) else self._broken
        self._children = [child for child, code in zip(self._children, codes, strict=True) if code is None]
        if self._broken > BROKEN:
            raise UserError(f"workers end as soon as they are started; {own_workers.FOLDER}/1.out says why")


class DvcWorkersBackend(DvcBackend):
    """The same queue, worked off by DVC's own workers.

    Two of them at one stage stumble over DVC's cache of runs, so that the first run on a commit goes alone.
    """

    has_own_workers = False

    def start(self, workers: int | None) -> None:
        """Start workers until there are as many; one, as long as the stages that runs share have not been run."""
        super().start(1 if self._is_first() else workers)

    def _is_first(self) -> bool:
        tasks = queue_tasks.read(self.root)
        begun = {task.baseline for task in tasks if task.state == queue_tasks.DONE}
        new = {task.baseline for task in tasks if task.state in (QUEUED, queue_tasks.RUNNING)} - begun
        return bool(new - {experiment.baseline for experiment in Repository(self.root).experiments()})
