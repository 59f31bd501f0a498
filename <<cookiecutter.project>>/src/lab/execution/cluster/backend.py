"""Runs on a cluster: queued in git, placed on nodes by an engine, done when the git remote has their experiments."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from lab import contract
from lab.design.pipeline import Pipeline
from lab.design.resources import Resources
from lab.errors import UserError
from lab.execution.backend import Job
from lab.execution.cluster import environment, node_archive, queue_refs
from lab.execution.cluster.engine import Engine
from lab.execution.cluster.node.report import FolderReport
from lab.execution.cluster.remote import Remote, folder_key
from lab.execution.cluster.settings import Settings
from lab.execution.cluster.tasks import Task
from lab.git import Repository, experiment_ref
from lab.records.commit import PARAMS, PIPELINE
from lab.records.pending import Pending
from lab.store import Store
from lab.study import QUEUED, RUNNING

LOOK = 10.0  # seconds for which the engine's answer is good enough: schedulers are shared by many
PAUSE = 10.0  # seconds between two tries to fetch what could not be fetched


class ClusterBackend:
    """The cluster `name`, for the project at `root`: a `lab.execution.backend.Backend`."""

    is_here = False

    def __init__(self, root: Path, name: str, settings: Settings, engine: type[Engine]):
        self.root, self.name, self.settings = root, name, settings
        self.jobs = settings.jobs
        self.git = Repository(root)
        self.remote = Remote(self.git, settings.remote)
        if settings.folder:
            self.folder = Path(settings.folder).expanduser() / folder_key(root) / name
        else:
            self.folder = root.resolve() / ".dvc" / "tmp" / "lab" / "clusters" / name
        self.engine = engine(self.folder, settings)
        self._alive: tuple[float, Mapping[str, bool]] = (-math.inf, {})
        self._fetched = -math.inf
        self._looked = False

    # What there is

    def pending(self) -> Sequence[Task]:
        """What is queued; experiments that nodes have published since the last look are fetched, and epochs brought."""
        tasks = self._tasks()
        new = [task.ref for task in tasks if task.published and not task.here]
        if new and time.monotonic() - self._fetched > PAUSE:
            if not self.remote.bring(new):
                self._fetched = time.monotonic()
            tasks = self._tasks()
        for task in tasks:
            if task.note:
                self._bring_epochs(task)
        return tasks

    def _tasks(self) -> list[Task]:
        entries = queue_refs.entries(self.git, self.name)
        baselines = {entry.commit: self.git.parents(entry.commit)[0] for entry in entries}
        return [
            Task(
                self.name,
                entry,
                baselines[entry.commit],
                self.folder / "tasks" / entry.id,
                self.git.ref(experiment_ref(baselines[entry.commit], entry.name)) is not None,
            )
            for entry in entries
        ]

    def _bring_epochs(self, task: Task) -> None:
        """Put the epochs that a node has noted where those of runs on this machine are."""
        path, source = self._contract.epoch_log_path(task.baseline, task.name), task.folder / "epochs"
        if path is None or not source.exists():
            return
        target = self.root / path
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.new")
            shutil.copyfile(source, partial)
            partial.replace(target)

    @cached_property
    def _contract(self) -> contract.Contract:
        return contract.read(self.root)

    def _engines(self, fresh: bool = False) -> Mapping[str, bool]:
        """What the engine has, as it said a moment ago."""
        if fresh or time.monotonic() - self._alive[0] > LOOK:
            self._alive = (time.monotonic(), self.engine.alive())
        return self._alive[1]

    # Queueing

    def alone(self) -> AbstractContextManager[Any]:
        """A lock that ends with the process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / "queue.lock")

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue runs by refs. Raises UserError where nodes, who see what is on the remotes, would miss something."""
        for baseline in {job.baseline or self.git.head for job in jobs}:
            assert baseline is not None
            self.remote.require(baseline)
        self._data()
        queue_refs.add(self.git, self.name, jobs)

    def retry(self, run: Pending) -> None:
        """Queue a failed run anew, last."""
        assert isinstance(run, Task)
        with self.alone():
            if run.entry in queue_refs.entries(self.git, self.name):  # else another lab did it
                queue_refs.renew(self.git, self.name, run.entry)
                shutil.rmtree(run.folder, ignore_errors=True)

    def tidy(self, names: set[str]) -> None:
        """Forget the queue's entries and what nodes have noted of them; the log of the last attempt goes, too."""
        with self.alone():
            gone = [task for task in self._tasks() if task.name in names and task.here]
            queue_refs.remove(self.git, self.name, [task.entry for task in gone])
            for task in gone:
                shutil.rmtree(task.folder, ignore_errors=True)

    # Carrying out

    def start(self, workers: int | None) -> None:
        """Submit what is queued and not submitted, at most so many at a time."""
        known = self._engines()
        if all(task.id in known for task in self._queued()):
            return
        with self.alone():
            known = self._engines(fresh=True)  # another lab may just have submitted the same
            new = [task for task in self._queued() if task.id not in known and not self._is_given_up(task)]
            if not new:
                return
            for task in new:
                self._describe(task)
            node_archive.write(self.folder)
            (self.folder / "width").write_text(str(workers or ""))
            self.engine.submit(new, workers)
            self._alive = (-math.inf, {})

    def _queued(self) -> list[Task]:
        return [task for task in self._tasks() if task.status == QUEUED and not task.delivered]

    def _is_given_up(self, task: Task) -> bool:
        """Whether it was submitted as often as it may be, and came to no end: then it has failed."""
        attempts = task.folder / "attempts"
        submitted = len(attempts.read_text()) if attempts.exists() else 0
        if submitted < self.settings.attempts:
            task.folder.mkdir(parents=True, exist_ok=True)
            attempts.write_text("x" * (submitted + 1))
            return False
        report = FolderReport(task.folder)
        now = time.time()
        report("note", {"state": "running", "node": "", "taken": now, "attempt": "none"})
        ended = f"{self.settings.engine} ended it {submitted} times before it came to an end"
        report("log", f"ERROR: {ended}; what it said: {self.folder / 'arrays'}\n")
        report("note", {"state": "over", "outcome": "lost", "taken": now, "ended": now, "attempt": "none"})
        return True

    def workers(self) -> int:
        """How many runs are on nodes or may be at a time, of those that are submitted."""
        alive, width = self._engines(), self.folder / "width"
        asked = width.read_text() if width.exists() else ""
        return min(len(alive), int(asked)) if asked else len(alive)

    def room(self, resources: Resources) -> None:
        """As much as its scheduler has."""

    def stop(self) -> int:
        """Take back what waits for a node. Returns how many runs are on nodes."""
        with self.alone():
            self.engine.drop(running=False)
            return sum(self._engines(fresh=True).values())

    def end(self) -> None:
        """End what is on nodes."""
        with self.alone():
            self.engine.drop(running=True)
            self._alive = (-math.inf, {})

    def repair(self) -> None:
        """Look at the remote for what this repository lacks, and queue anew what no node is at any more."""
        if not self._looked:  # what other drivers and earlier nodes have published on these baselines
            self._looked = True
            baselines = {task.baseline for task in self._tasks()} | {self.git.head or ""}
            self.remote.bring(experiment_ref(baseline, "*") for baseline in baselines if baseline)
        if not self._running():
            return
        with self.alone():
            running = self._running()  # before the engine is asked: what starts meanwhile is not taken for lost
            alive = self._engines(fresh=True)
            now = {task.id: task.note for task in self._running()}
            lost = [task for task in running if not alive.get(task.id) and now.get(task.id) == task.note]
            there = self.remote.there(task.ref for task in lost)
            self.remote.bring(there)
            for task in lost:
                if task.ref not in there:
                    (task.folder / "note.json").unlink(missing_ok=True)

    def _running(self) -> list[Task]:
        return [task for task in self._tasks() if task.status == RUNNING and not task.here]

    # What a node is told

    def _describe(self, task: Task) -> None:
        """Write task.json."""
        settings, asked = self.settings, queue_refs.asked(self.git, task.commit)
        store, own = Store(self.root), settings.cache is None
        told = {
            "name": task.name,
            "ref": task.ref,
            "key": f"{task.baseline[:12]}-{task.name}",
            "git": self.remote.url,
            "prefix": str(self.git.prefix),
            "stage": asked["stage"],
            "params": self.git.text(task.commit, PARAMS),
            "identity": self.git.identity,
            "scratch": settings.scratch,
            "cache": f"{settings.scratch}/cache" if own else settings.cache,
            "remotes": store.folder_remotes,
            "pull": bool(store.remote_url),
            "push": own and bool(store.remote_url),
            "python": settings.python or sys.executable,
            "versions": environment.versions(self.root),
            "gpus": settings.gpus,
            "cpus": settings.cpus,
            "memory": settings.memory,
            **asked["resources"],
            "seconds": Resources(**asked["resources"]).seconds,
            "epochs": self._contract.epoch_log_path(task.baseline, task.name),
            "checkpoints": settings.checkpoints,
            "attempt": len((task.folder / "attempts").read_text()),
        }
        task.folder.mkdir(parents=True, exist_ok=True)
        (task.folder / "task.json").write_text(json.dumps(told))

    def _data(self) -> None:
        """Raises UserError where nodes would have no way to data and models, or this machine none to theirs."""
        store, cache = Store(self.root), self.settings.cache
        if cache is not None:
            if store.cache.resolve().is_relative_to(Path(cache).resolve()):
                return
            raise UserError(
                f"conf/cluster.yaml: {self.name}.cache is {cache}, but DVC keeps its files in {store.cache.parents[1]} "
                f"here: dvc cache dir --local {cache}"
            )
        if not store.remote_url:
            pipeline = Pipeline.read(self.root / PIPELINE)
            kept = [path for stage in pipeline.stages for path in pipeline.cached(stage)]
            if kept:
                raise UserError(
                    f"DVC has no remote by which nodes could send {kept[0]}: dvc remote add --default storage URL, and "
                    "git commit. Or a cache that they share: cache in conf/cluster.yaml"
                )
        elif private := store.private_remote():
            raise UserError(private)
