"""What a crash left behind, put right: finished experiments are collected, dead ones go back into the queue."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from lab.execution import logs
from lab.execution.dvc import fast_queue, queue_tasks
from lab.execution.dvc.locks import patiently
from lab.execution.dvc.queue_tasks import Task
from lab.git import Repository

if TYPE_CHECKING:
    from dvc.repo import Repo

KNOWN_TO_DVC = 20  # finished runs that `dvc queue logs` and `status` tell of; its time grows with their square


def put_right(root: Path, tasks: list[Task]) -> None:
    """Collect or requeue these, which no worker is at any more."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        for task in tasks:
            if not _collect(repo, task):
                _put_back(repo, task)


def put_back(root: Path, task: Task) -> None:
    """Put a failed experiment back into the queue."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        _put_back(repo, task)


def _collect(repo: Repo, task: Task) -> bool:
    """Fetch the experiment of a run that finished without its worker. Returns whether there was one to fetch."""
    from dvc.repo.experiments.executor.base import ExecutorInfo
    from dvc.repo.experiments.executor.local import TempDirExecutor
    from dvc.repo.experiments.queue.base import BaseStashQueue

    ref, place = task.executor.get("result_ref"), Path(task.executor.get("root_dir", ""))
    if not ref:
        return False
    queue, git = repo.experiments.celery_queue, Repository(Path(repo.root_dir))
    if git.ref(ref) is None and (place / ".git").exists():
        info = ExecutorInfo.load_json(queue.get_infofile_path(task.commit))
        executor, result = TempDirExecutor.from_info(info), info.result
        assert result is not None
        patiently(lambda: BaseStashQueue.collect_executor(repo.experiments, executor, result))
    if git.ref(ref) is None:
        return False
    if place.name.startswith(queue_tasks.TEMPORARY):
        shutil.rmtree(place, ignore_errors=True)
    queue.celery.backend.mark_as_done(task.id, None)  # type: ignore[attr-defined]
    return True


def _put_back(repo: Repo, task: Task) -> None:
    """Queue the same stash commit anew, in place of the task that came to nothing."""
    from dvc.repo.experiments.queue.base import QueueEntry
    from dvc.repo.experiments.refs import CELERY_STASH

    try:
        task.message.unlink()
    except FileNotFoundError:
        return  # another lab did it
    _sweep(task)
    entry = QueueEntry(
        repo.root_dir, repo.scm.root_dir, CELERY_STASH, task.commit, task.baseline, None, task.name, task.baseline
    )
    patiently(lambda: fast_queue.again(repo, entry, task.resources))


def _sweep(task: Task) -> None:
    """Remove a task's traces: processes that still run in its temporary checkout, the checkout, log and result."""
    place = task.executor.get("root_dir")
    if place and Path(place).name.startswith(queue_tasks.TEMPORARY):
        for process in psutil.process_iter(["cwd"]):
            if (process.info["cwd"] or "").startswith(place):
                process.kill()
        shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(task.folder, ignore_errors=True)
    task.result.unlink(missing_ok=True)


def tidy(root: Path, names: set[str]) -> None:
    """Keep the logs of experiments that are records now, and forget the queue's notes on all but the last of them."""
    git = Repository(root)
    tidied = []
    for task in queue_tasks.read(root):
        ref = task.executor.get("result_ref")
        if task.state != queue_tasks.DONE or not ref or git.ref(ref) is None:
            continue
        if not task.is_tidied:
            if task.name not in names:
                continue
            logs.keep(root, task)
            (task.folder / queue_tasks.TIDIED).touch()
        tidied.append(task)
    for task in tidied[:-KNOWN_TO_DVC]:
        shutil.rmtree(task.folder, ignore_errors=True)
        task.result.unlink(missing_ok=True)
        task.message.unlink(missing_ok=True)
