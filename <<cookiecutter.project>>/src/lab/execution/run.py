"""`lab run`: a plan queued wave by wave, worked off by a backend, verified, and retried where it was disturbed.

All state is in git and in the backend's queue: a run counts as done when its experiment and its metrics exist, whatever
a process said when it ended. So `lab` may be killed at any moment, and running it again goes on from what is there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.design.resources import UNSTATED
from lab.errors import UserError
from lab.execution.budget import within
from lab.execution.queueing import enqueue, named
from lab.execution.standings import interrupted, standings
from lab.execution.work_tree import ready
from lab.study import QUEUED

if TYPE_CHECKING:
    from lab.design.plan import Run
    from lab.design.resources import Budget, Resources
    from lab.execution.backend import Backend
    from lab.records.project import Project
    from lab.study import Replicate

POLL, CHECK = 1.0, 10.0  # seconds between two looks at the queue, and between two searches for what was lost
PATIENCE = 60.0  # seconds for workers to end

Watcher = Callable[[list["Replicate"], list["Replicate"]], None]


class Stopped(Exception):
    """`lab stop` was called while `lab run` watched."""


class Execution:
    """The runs of one `lab run`, as they come and go. All start from the commit that is HEAD when it is made.

    `watcher` is called after each look at the queue: with all of them, and with those that are queued again next.
    """

    def __init__(
        self,
        project: Project,
        backend: Backend,
        jobs: int | None,
        watcher: Watcher,
        again: bool = False,
        resources: Resources = UNSTATED,
        budget: Budget | None = None,
    ):
        self.project, self.backend = project, backend
        self.jobs, self.watcher, self.again, self.resources = jobs, watcher, again, resources
        self.budget = budget
        self.head = ready(project)
        self.runs: list[Run] = []
        self.names: dict[str, str] = {}  # of the experiments that have to answer, where any other would not do
        self.retried: set[str] = set()
        self.began = time.time()
        self.checked = 0.0
        self.changed = True  # since the look before
        self.known: list[Replicate] = []  # how the runs stood when something had changed last

    def standings(self) -> list[Replicate]:
        """How all its runs stand now."""
        self.project.refresh()
        return self._look()

    def _look(self) -> list[Replicate]:
        """The same, worked out where something has changed."""
        self.changed = self.project.look()
        if self.changed:
            self.known = standings(self.project, self.runs, self.head, self.names)
        return self.known

    def add(self, runs: list[Run]) -> list[Replicate]:
        """Carry out more runs, wave by wave, as far as the budget goes. Returns how all runs stand.

        Raises UserError and Stopped.
        """
        self.runs += runs
        self._repair()
        named(self.project, self.head, runs, self.again)  # refuses what a later wave would be refused for
        self._refuse_elsewhere()
        for wave in sorted({run.wave for run in runs}):
            waiting = [run for run in runs if run.wave == wave]
            while batch := within(self.project, self.budget, waiting, self.head, self.jobs or 1, self.again):
                names = enqueue(self.project, self.backend, batch, self.again, self.resources, self.head)
                self.names |= names if self.again else {}
                self._watch({run.name for run in batch})
                waiting = [run for run in waiting if run not in batch]
        return self.standings()

    def _refuse_elsewhere(self) -> None:
        """Raises UserError where runs wait in another backend's queue, which this `lab run` would wait for in vain."""
        pending = [each.record.pending for each in self.standings() if each.record and each.status == QUEUED]
        others = Counter(run.backend for run in pending if run and run.backend != self.backend.name)
        for other, number in others.items():
            raise UserError(
                f"{number} of these runs {'is' if number == 1 else 'are'} queued already, to be run on {other}: "
                f"lab run with --on {other} does that"
            )

    def _watch(self, batch: set[str]) -> None:
        """Wait until the runs named in `batch` have finished or failed for good."""
        while True:
            replicates = self._look()
            own = [replicate for replicate in replicates if replicate.run and replicate.run.name in batch]
            lost = [replicate for replicate in own if self._is_to_retry(replicate)]
            self.watcher(replicates, lost)
            for replicate in lost:
                self._retry(replicate)
            if lost:
                continue
            active = [replicate for replicate in own if replicate.active]
            if not active:
                return
            self._heed_stop()
            due = time.monotonic() - self.checked > CHECK
            if due:
                self._repair()
            # Also where nothing changes: a worker that does nothing is no worker.
            if (self.changed or due) and any(replicate.status == QUEUED for replicate in active):
                self.backend.start(min(self.jobs, len(active)) if self.jobs else None)
                self._heed_stop()
            time.sleep(POLL)

    def _heed_stop(self) -> None:
        """Raises Stopped after `lab stop`, which could not reach workers that have been started since."""
        mark = stop_mark(self.project.root)
        if mark.exists() and mark.stat().st_mtime > self.began:
            self.backend.stop()
            raise Stopped

    def _repair(self) -> None:
        self.backend.repair()
        self.project.refresh()
        self.checked = time.monotonic()

    def _is_to_retry(self, replicate: Replicate) -> bool:
        assert replicate.run is not None
        pending = replicate.record.pending if replicate.record else None
        if replicate.run.name in self.retried or (pending and pending.backend != self.backend.name):
            return False
        return replicate.is_to_come or interrupted(replicate)

    def _retry(self, replicate: Replicate) -> None:
        assert replicate.run is not None
        self.retried.add(replicate.run.name)
        if replicate.record is not None and replicate.record.pending is not None:
            self.backend.retry(replicate.record.pending)
        elif not self.again:  # it was in the queue, and is neither there nor an experiment: somebody has removed it
            enqueue(self.project, self.backend, [replicate.run], resources=self.resources, head=self.head)


def succeeded(replicates: list[Replicate]) -> bool:
    """Whether every run has an experiment with metrics."""
    return all(replicate.finished for replicate in replicates)


def stop(root: Path, backend: Backend, now: bool) -> int:
    """Let the workers end after the experiments that they are at; `now` ends these, too. Returns how many were told."""
    stop_mark(root).parent.mkdir(parents=True, exist_ok=True)
    stop_mark(root).touch()
    count = backend.stop()
    until = time.monotonic() + PATIENCE
    while now and backend.workers() and time.monotonic() < until:
        backend.end()
        time.sleep(POLL)
    return count


def stop_mark(root: Path) -> Path:
    """The file that `lab stop` touches."""
    return root / ".dvc" / "tmp" / "lab" / "stop"
