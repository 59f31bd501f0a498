"""Locks of experiments' refs: what a killed process has left stops nobody, what somebody holds stays."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import trivial
from trivial import Trivial

from lab.execution import abandoned
from lab.execution.backend import Job
from lab.execution.dvc.backend import DvcBackend

AGE = 0.5
HOLD = "import sys, time; file = open(sys.argv[1], 'x'); print(flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "AGE", AGE)


def holder(lock: Path) -> subprocess.Popen[bytes]:
    """A process that has made a lock and has it open."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize("ref", ["exps/celery/stash", "exps/ab/cd/a name", "lab/tasks/a"])
def test_what_a_killed_process_has_left_goes_and_what_somebody_holds_stays(tmp_path: Path, ref: str) -> None:
    lock = tmp_path / "refs" / f"{ref}.lock"
    process = holder(lock)
    try:
        os.utime(lock, (1, 1))
        assert abandoned.unlock(tmp_path) == [] and lock.exists()
    finally:
        process.kill()
        process.wait()
    assert abandoned.unlock(tmp_path) == [lock] and not lock.exists()


def test_a_young_one_is_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "refs" / "exps" / "a.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    threading.Timer(AGE / 3, lock.unlink).start()
    assert abandoned.unlock(tmp_path) == [] and not lock.exists()


def test_the_clock_does_not_matter(tmp_path: Path) -> None:
    lock = tmp_path / "refs" / "exps" / "a.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (time.time() + 1e6,) * 2)
    assert abandoned.unlock(tmp_path) == [lock]


def test_others_locks_are_git_s(tmp_path: Path) -> None:
    """Such as that of a branch, at whose commit a person's editor may be open."""
    for name in ("index.lock", "packed-refs.lock", "refs/heads/main.lock", "refs/exps/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))
    assert abandoned.unlock(tmp_path) == []
    assert (tmp_path / "refs" / "heads" / "main.lock").exists()


def test_queueing_goes_on_behind_it(template: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(template, tmp_path / "project")
    process = holder(project.root / ".git" / "refs" / "exps" / "celery" / "stash.lock")
    process.kill()
    process.wait()
    run = project.run("behind", lr=0.25)
    backend = DvcBackend(project.root)
    backend.put([Job(run.name, run.params, run.target)])
    assert [task.name for task in backend.pending()] == ["behind"]
