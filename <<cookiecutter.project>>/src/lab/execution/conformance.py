"""What every backend has to do, as tests for pytest in a small repository. A backend of your own passes them so:

class TestMyBackend(BackendConformance):
    def open(self, root: Path) -> Backend:
        return MyBackend(root)

    def crash(self, root: Path) -> None:
        ...  # kill the workers, and whatever they run, as a power cut would
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.execution.backend import Backend, Job
from lab.execution.standings import disturbed
from lab.git import Repository
from lab.records.git_record import GitRecord
from lab.records.project import Project
from lab.study import FAILED, FINISHED, QUEUED, RUNNING

PATIENCE = 120.0  # seconds for workers to come to something
FILES = {
    ".dvc/config": "[core]\n    analytics = false\n    autostage = true\n",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".gitignore": "/calls.txt\n",
    "lab.yaml": "types: {work: work}\nseeds: []\nmetrics:\n  score.value: {direction: maximize}\n",
    "params.yaml": "value: 1.0\nseconds: 0.0\n",
    "dvc.yaml": """stages:
  work:
    cmd: python work.py
    deps: [work.py]
    params: [value, seconds]
    metrics: [score.json: {cache: false}]
""",
    "work.py": """import json, os, pathlib, signal, sys, time, yaml
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
settings = yaml.safe_load(pathlib.Path("params.yaml").read_text())
with open("ROOT/calls.txt", "a") as calls:
    calls.write(f"{settings['value']}\\n")
time.sleep(settings["seconds"])
if settings["value"] < 0:
    sys.exit("value should be above 0")
pathlib.Path("score.json").write_text(json.dumps({"value": settings["value"]}))
""",
}


class BackendConformance(ABC):
    """The suite. `open` gives the backend of a repository; `crash` ends its workers without any notice."""

    @abstractmethod
    def open(self, root: Path) -> Backend: ...

    @abstractmethod
    def crash(self, root: Path) -> None: ...

    def prepare(self, root: Path) -> None:  # noqa: B027, most have nothing to do
        """What the backend needs in a repository before it is used; nothing, as a rule."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """A repository with a pipeline of one stage, which notes each of its calls in calls.txt.

        Asked to end, it ends as if it were done, as programs do that handle the signal themselves.
        """
        root = tmp_path / "repository"
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text.replace("ROOT", str(root)))  # nodes of clusters have it elsewhere
        git = Repository.create(root)
        git.run("add", "-A")
        git.run("-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "a pipeline")
        self.prepare(root)
        return root

    # Queueing

    def test_what_is_put_is_queued_in_order_and_seen_by_others(self, root: Path) -> None:
        jobs = [job(f"run-{number}", number) for number in range(1, 6)]
        put(self.open(root), jobs)
        pending = self.open(root).pending()
        head = Repository(root).head
        assert [(run.name, run.status, run.baseline) for run in pending] == [(j.name, QUEUED, head) for j in jobs]
        project = Project(root)
        assert [project.commit(run.commit).params for run in pending] == [j.params for j in jobs]
        assert not any(run.delivered for run in pending)
        assert self.open(root).workers() == 0

    def test_putting_leaves_the_work_tree_alone(self, root: Path) -> None:
        (root / "params.yaml").write_text("value: 7.0\nseconds: 0.0\n")  # as DVC leaves it
        (root / "notes.txt").write_text("mine")
        git = Repository(root)

        def state() -> tuple[object, ...]:
            return git.run("status", "--porcelain"), git.head, git.branch, (root / ".git" / "index").read_bytes()

        before = state()
        put(self.open(root), [job("run", 2.0)])
        assert state() == before
        assert (root / "params.yaml").read_text() == "value: 7.0\nseconds: 0.0\n"

    def test_all_or_none(self, root: Path) -> None:
        backend = self.open(root)
        put(backend, [job("before", 1.0)])
        with pytest.raises(Exception):  # noqa: B017, each backend has its own way to refuse what is no setting
            put(backend, [job("one", 2.0), Job("two", {"value": object()}, "work")])
        assert [run.name for run in self.open(root).pending()] == ["before"]

    def test_one_at_a_time_changes_the_queue(self, root: Path) -> None:
        order = []

        def second() -> None:
            with self.open(root).alone():
                order.append("second")

        with self.open(root).alone():
            thread = threading.Thread(target=second)
            thread.start()
            time.sleep(0.5)
            order.append("first")
        thread.join(PATIENCE)
        assert order == ["first", "second"]

    # Carrying out

    def test_runs_become_experiments_and_workers_end(self, root: Path) -> None:
        backend = self.open(root)
        put(backend, [job(f"run-{number}", number) for number in range(1, 4)])
        backend.start(2)
        assert 1 <= backend.workers() <= 2
        backend.start(2)
        assert backend.workers() <= 2
        wait(lambda: self.statuses(root) == {"run-1": FINISHED, "run-2": FINISHED, "run-3": FINISHED})
        assert {name: record.value("score.value") for name, record in self.records(root).items()} == {
            "run-1": 1.0,
            "run-2": 2.0,
            "run-3": 3.0,
        }
        assert sorted(calls(root)) == ["1.0", "2.0", "3.0"]
        backend.tidy({"run-1", "run-2", "run-3"})
        wait(lambda: self.open(root).workers() == 0)
        assert list(self.open(root).pending()) == []
        assert set(self.statuses(root).values()) == {FINISHED}

    def test_a_failed_run_tells_why_and_can_be_retried(self, root: Path) -> None:
        backend = self.open(root)
        put(backend, [job("bad", -1.0)])
        for attempt in (1, 2):
            backend.start(1)
            wait(lambda: self.statuses(root) == {"bad": FAILED} and self.open(root).workers() == 0)
            record = self.records(root)["bad"]
            assert record.exit_code == 1 and not disturbed(record)
            assert "value should be above 0" in record.reason and "value should be above 0" in record.log
            assert record.ended is not None and record.started is not None
            assert calls(root) == ["-1.0"] * attempt
            assert record.pending is not None
            if attempt == 1:
                backend.retry(record.pending)
                assert self.statuses(root) == {"bad": QUEUED}
        backend.tidy({"bad"})
        assert self.statuses(root) == {"bad": FAILED}, "it is no experiment, and all that is known of it stays"

    def test_workers_stop_after_the_run_that_they_are_at(self, root: Path) -> None:
        backend = self.open(root)
        put(backend, [job("first", 1.0, seconds=10.0), job("second", 2.0)])
        backend.start(1)
        wait(lambda: bool(calls(root)))
        assert self.open(root).stop() == 1
        wait(lambda: self.open(root).workers() == 0)
        assert self.statuses(root) == {"first": FINISHED, "second": QUEUED}, self.statuses(root)

    def test_runs_are_ended_from_outside(self, root: Path) -> None:
        backend = self.open(root)
        put(backend, [job("long", 1.0, seconds=600.0)])
        backend.start(1)
        wait(lambda: bool(calls(root)) and self.statuses(root) == {"long": RUNNING})
        backend.stop()

        def ended() -> bool:
            backend.end()
            return backend.workers() == 0

        wait(ended)
        backend.repair()  # a worker may not have come to note the end
        record = self.records(root)["long"]
        assert record.status == QUEUED or (record.status == FAILED and disturbed(record))

    def test_what_a_crash_left_is_put_right(self, root: Path) -> None:
        backend = self.open(root)
        put(backend, [job("first", 1.0, seconds=600.0), job("second", 2.0)])
        backend.start(1)
        wait(lambda: bool(calls(root)))
        self.crash(root)
        backend = self.open(root)
        wait(lambda: backend.workers() == 0)

        def is_right() -> bool:
            backend.repair()  # again and again, as lab run does
            return self.statuses(root) == {"first": QUEUED, "second": QUEUED}

        wait(is_right)
        assert Repository(root).run("status", "--porcelain") == ""

    # Looking

    def records(self, root: Path) -> dict[str, GitRecord]:
        """All records by name, as another process would read them."""
        backend = self.open(root)
        project = Project(root, pending=lambda: list(backend.pending()))
        return {record.name: record for record in project.records()}

    def statuses(self, root: Path) -> dict[str, str]:
        """How they stand."""
        return {name: record.status for name, record in self.records(root).items()}


def job(name: str, value: float, seconds: float = 0.0) -> Job:
    """A run that takes so long and measures `value`, or fails where that is below 0."""
    return Job(name, {"value": float(value), "seconds": seconds}, "work")


def put(backend: Backend, jobs: list[Job]) -> None:
    """Queue jobs, as `lab` does."""
    with backend.alone():
        backend.put(jobs)


def calls(root: Path) -> list[str]:
    """The values that the stage was called with."""
    path = root / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


def wait(condition: Callable[[], bool]) -> None:
    """Wait for workers."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"not within {PATIENCE:.0f} s"
        time.sleep(0.3)
