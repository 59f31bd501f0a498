"""Experiments put into DVC's queue by git's plumbing: objects, a reflog entry and a message each.

`dvc exp run --queue` stashes the user's changes, detaches HEAD and rewrites the work tree for every experiment. Here the
work tree, the index and HEAD are never touched, so that a crash cannot damage them, and an experiment costs a fortieth.
This leans on DVC's internals; `selftest` compares what comes out with what DVC makes itself.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pygit2
from omegaconf import OmegaConf

from lab.execution.dvc import queue_tasks
from lab.records import commit as checkout

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.repo.experiments.queue.base import QueueEntry

Item = tuple[str, dict[str, Any], str]  # name, params, target


def put(repo: Repo, items: Iterable[Item]) -> list[str]:
    """Queue experiments on HEAD. Returns their stash commits; after an error nothing is queued."""
    from dvc.repo.experiments.refs import CELERY_STASH
    from dvc.repo.experiments.utils import get_exp_rwlock

    entries: list[QueueEntry] = []
    try:
        with get_exp_rwlock(repo, writes=[CELERY_STASH]):
            for item in items:
                entries.append(_stash(repo, *item))
            for entry in entries:
                _announce(repo, entry)
    except BaseException:
        withdraw(repo, [entry.stash_rev for entry in entries])
        raise
    return [entry.stash_rev for entry in entries]


def _stash(repo: Repo, name: str, params: dict[str, Any], target: str) -> QueueEntry:
    """The commits of one experiment, as `git stash` would make them of a work tree with these params."""
    from dvc.env import DVC_EXP_BASELINE_REV, DVC_EXP_NAME, DVC_ROOT
    from dvc.repo.experiments.queue.base import QueueEntry
    from dvc.repo.experiments.refs import CELERY_STASH
    from dvc.repo.experiments.stash import ExpStash

    git = checkout.repository(Path(repo.root_dir))
    head = git[git.head.target].peel(pygit2.Commit)
    baseline = str(head.id)
    run_env = {DVC_EXP_BASELINE_REV: baseline, DVC_EXP_NAME: name, DVC_ROOT: repo.root_dir}
    files = {
        "params.yaml": OmegaConf.to_yaml(OmegaConf.create(params)).encode(),
        ".dvc/tmp/repro.dat": pickle.dumps({"args": (), "kwargs": {"run_env": run_env, "targets": [target]}}),
    }
    inside = checkout.prefix(Path(repo.root_dir))
    tree = head.tree
    for path, content in files.items():
        tree = git[_with(git, tree, (inside / path).parts, git.create_blob(content))].peel(pygit2.Tree)
    who = _signature(git)
    index = git.create_commit(None, who, who, "Index stash", tree.id, [head.id])
    message = ExpStash.format_message(baseline, baseline, name)
    commit = str(git.create_commit(None, who, who, message, tree.id, [head.id, index]))
    _remember(repo, commit, message)
    return QueueEntry(repo.root_dir, repo.scm.root_dir, CELERY_STASH, commit, baseline, None, name, baseline)


def _with(git: pygit2.Repository, tree: pygit2.Tree | None, parts: tuple[str, ...], blob: pygit2.Oid) -> pygit2.Oid:
    """The tree with a file at the path `parts` set to `blob`."""
    builder = git.TreeBuilder(tree) if tree else git.TreeBuilder()
    first, rest = parts[0], parts[1:]
    if rest:
        below = tree[first] if tree and first in tree else None
        below = _with(git, below if isinstance(below, pygit2.Tree) else None, rest, blob)
        builder.insert(first, below, pygit2.GIT_FILEMODE_TREE)  # type: ignore[arg-type]
    else:
        builder.insert(first, blob, pygit2.GIT_FILEMODE_BLOB)  # type: ignore[arg-type]
    return builder.write()


def _signature(git: pygit2.Repository) -> pygit2.Signature:
    """Who queues. DVC, too, goes on without a name in git's config."""
    try:
        return git.default_signature
    except (KeyError, pygit2.GitError):
        return pygit2.Signature(os.environ.get("USER", "lab"), "lab@localhost", int(time.time()), 0)


def _remember(repo: Repo, commit: str, message: str) -> None:
    """Note a stash commit in the queue's reflog, which keeps it from git's garbage collection."""
    from dvc.repo.experiments.refs import CELERY_STASH

    repo.scm.set_ref(CELERY_STASH, commit, message=f"commit: {message}")


def _announce(repo: Repo, entry: QueueEntry) -> None:
    """Send the message that lets a worker take the experiment."""
    from dvc.repo.experiments.queue.tasks import run_exp

    time.sleep(0.001)  # the messages' order is that of the milliseconds in their names
    app = repo.experiments.celery_queue.celery
    app.signature(run_exp.s(entry.asdict(), copy_paths=None, message=None)).delay()


def again(repo: Repo, entry: QueueEntry) -> None:
    """Put an experiment back into the queue, with the stash commit that it had."""
    from dvc.repo.experiments.refs import CELERY_STASH
    from dvc.repo.experiments.stash import ExpStash
    from dvc.repo.experiments.utils import get_exp_rwlock

    with get_exp_rwlock(repo, writes=[CELERY_STASH]):
        _remember(repo, entry.stash_rev, ExpStash.format_message(entry.baseline_rev, entry.baseline_rev, entry.name))
    _announce(repo, entry)


def withdraw(repo: Repo, commits: Iterable[str]) -> None:
    """Take experiments that no worker has taken yet out of the queue."""
    gone = set(commits)
    for task in queue_tasks.read(Path(repo.root_dir)):
        if task.commit in gone and task.state == queue_tasks.QUEUED:
            task.message.unlink(missing_ok=True)
    queue = repo.experiments.celery_queue
    queue.stash.remove_revs([entry for commit, entry in queue.stash.stash_revs.items() if commit in gone])
