"""Experiments put into DVC's queue by git's plumbing: objects, a reflog entry and a message each.

`dvc exp run --queue` stashes the user's changes, detaches HEAD and rewrites the work tree for every experiment. Here
the work tree, the index and HEAD are never touched, so that a crash cannot damage them, and an experiment costs a
fortieth.
This leans on DVC's internals; `compatibility` compares what comes out with what DVC makes itself.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.design.resources import Resources
from lab.execution.backend import Job
from lab.execution.dvc import queue_tasks, task_refs
from lab.git import Repository
from lab.records.commit import PARAMS

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.repo.experiments.queue.base import QueueEntry


def put(repo: Repo, jobs: Iterable[Job]) -> list[str]:
    """Queue experiments. Returns their stash commits; after an error nothing is queued."""
    from dvc.repo.experiments.refs import CELERY_STASH
    from dvc.repo.experiments.utils import get_exp_rwlock

    entries: list[QueueEntry] = []
    jobs = list(jobs)
    try:
        with get_exp_rwlock(repo, writes=[CELERY_STASH]):
            for job in jobs:
                entries.append(_stash(repo, job))
            task_refs.keep(Repository(Path(repo.root_dir)), [entry.stash_rev for entry in entries])
            for entry, job in zip(entries, jobs, strict=True):
                _announce(repo, entry, job.resources)
    except BaseException:
        withdraw(repo, [entry.stash_rev for entry in entries])
        raise
    return [entry.stash_rev for entry in entries]


def _stash(repo: Repo, job: Job) -> QueueEntry:
    """The commits of one experiment, as `git stash` would make them of a work tree with these params."""
    from dvc.env import DVC_EXP_BASELINE_REV, DVC_EXP_NAME, DVC_ROOT
    from dvc.repo.experiments.queue.base import QueueEntry
    from dvc.repo.experiments.refs import CELERY_STASH
    from dvc.repo.experiments.stash import ExpStash
    from omegaconf import OmegaConf

    git = Repository(Path(repo.root_dir))
    baseline = job.baseline or git.head
    assert baseline is not None
    run_env = {DVC_EXP_BASELINE_REV: baseline, DVC_EXP_NAME: job.name, DVC_ROOT: repo.root_dir}
    files = {
        PARAMS: OmegaConf.to_yaml(OmegaConf.create(job.params)).encode(),
        ".dvc/tmp/repro.dat": pickle.dumps({"args": (), "kwargs": {"run_env": run_env, "targets": [job.stage]}}),
    }
    tree = git.with_changes(git.tree(baseline), files)
    index = git.create_commit(tree, [baseline], "Index stash", anonymous=True)
    message = ExpStash.format_message(baseline, baseline, job.name)
    commit = git.create_commit(tree, [baseline, index], message, anonymous=True)
    _remember(repo, commit, message)
    return QueueEntry(repo.root_dir, repo.scm.root_dir, CELERY_STASH, commit, baseline, None, job.name, baseline)


def _remember(repo: Repo, commit: str, message: str) -> None:
    """Note a stash commit in the queue's reflog, where DVC looks for it."""
    from dvc.repo.experiments.refs import CELERY_STASH

    repo.scm.set_ref(CELERY_STASH, commit, message=f"commit: {message}")


def _announce(repo: Repo, entry: QueueEntry, resources: Resources) -> None:
    """Send the message that lets a worker take the experiment."""
    from dvc.repo.experiments.queue.tasks import run_exp

    time.sleep(0.001)  # the messages' order is that of the milliseconds in their names
    app = repo.experiments.celery_queue.celery
    with queue_tasks.announcing(resources):
        app.signature(run_exp.s(entry.asdict(), copy_paths=None, message=None)).delay()


def again(repo: Repo, entry: QueueEntry, resources: Resources) -> None:
    """Put an experiment back into the queue, with the stash commit that it had."""
    from dvc.repo.experiments.refs import CELERY_STASH
    from dvc.repo.experiments.stash import ExpStash
    from dvc.repo.experiments.utils import get_exp_rwlock

    with get_exp_rwlock(repo, writes=[CELERY_STASH]):
        _remember(repo, entry.stash_rev, ExpStash.format_message(entry.baseline_rev, entry.baseline_rev, entry.name))
    _announce(repo, entry, resources)


def withdraw(repo: Repo, commits: Iterable[str]) -> None:
    """Take experiments that no worker has taken yet out of the queue."""
    gone = set(commits)
    for task in queue_tasks.read(Path(repo.root_dir)):
        if task.commit in gone and task.state == queue_tasks.QUEUED:
            task.message.unlink(missing_ok=True)
    queue = repo.experiments.celery_queue
    queue.stash.remove_revs([entry for commit, entry in queue.stash.stash_revs.items() if commit in gone])
    task_refs.let_go(Repository(Path(repo.root_dir)), gone)
