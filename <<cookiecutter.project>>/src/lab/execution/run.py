"""`lab run`: a plan queued wave by wave, worked off by DVC's workers, verified, and retried where it was disturbed.

All state is in git and in DVC's queue: a run counts as done when its experiment and its metrics exist, whatever a process
said when it ended. So `lab` may be killed at any moment, and running it again goes on from what is there.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.execution.dvc import queue, queue_tasks, repair, workers
from lab.execution.standings import MISSING, Standing, standings
from lab.records.record import FAILED, FINISHED, QUEUED, Record

if TYPE_CHECKING:
    from lab.design.plan import Run

POLL, CHECK = 1.0, 10.0  # seconds between two looks at the queue, and between two searches for what was lost
PATIENCE = 60.0  # seconds for workers to end
# How a stage's end by SIGHUP, SIGINT, SIGKILL and SIGTERM is told, by Python and by shells.
KILLED = {code for signal in (1, 2, 9, 15) for code in (-signal, 128 + signal)}
LOCKED = re.compile(r"Unable to acquire lock|LockError|FileLocked|is busy, it is being blocked|\.lock'?: File exists")

Watcher = Callable[[list[Standing]], None]


class Stopped(Exception):
    """`lab stop` was called while `lab run` watched."""


class Execution:
    """The runs of one `lab run`, as they come and go.

    `watcher` is called with all of them after each look at the queue.
    """

    def __init__(self, root: Path, jobs: int, watcher: Watcher, again: bool = False):
        self.root, self.jobs, self.watcher, self.again = root, jobs, watcher, again
        self.head = queue.ready(root)
        self.runs: list[Run] = []
        self.names: dict[str, str] = {}  # of the experiments that have to answer, where any other would not do
        self.retried: set[str] = set()
        self.began = time.time()
        self.checked = 0.0
        self.children: list[subprocess.Popen[bytes]] = []

    def standings(self) -> list[Standing]:
        """How all its runs stand now."""
        return standings(self.root, self.head, self.runs, self.names)

    def add(self, runs: list[Run]) -> list[Standing]:
        """Carry out more runs, wave by wave. Returns how all runs stand. Raises UserError and Stopped."""
        self.runs += runs
        self._repair()
        queue.named(self.root, self.head, runs, self.again)  # refuses what a later wave would be refused for
        for wave in sorted({run.wave for run in runs}):
            batch = [run for run in runs if run.wave == wave]
            names = queue.enqueue(self.root, batch, self.again)
            self.names |= names if self.again else {}
            self._watch({run.name for run in batch})
        return self.standings()

    def _watch(self, batch: set[str]) -> None:
        """Wait until the runs named in `batch` have finished or failed for good."""
        while True:
            rows = self.standings()
            self.watcher(rows)
            own = [row for row in rows if row.run.name in batch]
            again = [row for row in own if self._is_to_retry(row)]
            for row in again:
                self._retry(row)
            if again:
                continue
            active = [row for row in own if row.active]
            if not active:
                return
            if stop_mark(self.root).exists() and stop_mark(self.root).stat().st_mtime > self.began:
                raise Stopped
            if any(row.status == QUEUED for row in active):
                self.children += workers.start(self.root, min(self.jobs, len(active)))
            self.children = [child for child in self.children if child.poll() is None]
            if time.monotonic() - self.checked > CHECK:
                self._repair()
            time.sleep(POLL)

    def _repair(self) -> None:
        repair.repair(self.root)
        self.checked = time.monotonic()

    def _is_to_retry(self, row: Standing) -> bool:
        if row.run.name in self.retried:
            return False
        return row.status == MISSING or (row.record is not None and row.status == FAILED and disturbed(row.record))

    def _retry(self, row: Standing) -> None:
        self.retried.add(row.run.name)
        if row.record is not None and row.record.task is not None:
            repair.retry(self.root, row.record.task)
        elif not self.again:  # it was in the queue, and is neither there nor an experiment: somebody has removed it
            queue.enqueue(self.root, [row.run])


def disturbed(record: Record) -> bool:
    """Whether a run failed for a reason outside the experiment: killed, a lock, a lost worker; not a stage's own error."""
    if record.exit_code is not None:
        return record.exit_code in KILLED
    if record.task is None or LOCKED.search(record.log):
        return True
    code = record.task.process.get("returncode")
    return code is None or code <= 0  # never set up, killed, or finished and lost on the way back


def succeeded(rows: list[Standing]) -> bool:
    """Whether every run has an experiment with metrics."""
    return all(row.status == FINISHED for row in rows)


def stop(root: Path, now: bool) -> int:
    """Let the workers end after the experiments that they are at; `now` ends these, too. Returns how many were told."""
    stop_mark(root).parent.mkdir(parents=True, exist_ok=True)
    stop_mark(root).touch()
    stopping = workers.stop(root)
    until = time.monotonic() + PATIENCE
    while now and workers.alive(root) and time.monotonic() < until:
        for task in queue_tasks.read(root):
            if task.state == queue_tasks.RUNNING:
                workers.end(task)
        time.sleep(POLL)
    return len(stopping)


def stop_mark(root: Path) -> Path:
    """The file that `lab stop` touches."""
    return root / ".dvc" / "tmp" / "lab" / "stop"
