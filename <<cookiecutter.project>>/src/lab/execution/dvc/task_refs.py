"""Refs that keep the commits of the queue's tasks from git's garbage collection, until the queue forgets the task.

DVC's own, refs/exps/celery/…, protect their tip; whatever else they had is in their reflogs, which expire, and what
runs is in none; and `dvc queue status` ends in an error where one is gone, be it of a finished task. These are a
namespace of their own, so that no command of DVC's pushes, shows or removes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from lab.execution.dvc import queue_tasks
from lab.git import Repository

PREFIX = "refs/lab/tasks/"


class Change(NamedTuple):
    """Refs to create and to delete."""

    create: dict[str, str]
    delete: list[str]


def keep(git: Repository, commits: Iterable[str]) -> None:
    """Keep these commits, before a task names them."""
    refs = {PREFIX + commit: commit for commit in commits}
    there = git.refs(PREFIX)
    git.change_refs(create={ref: commit for ref, commit in refs.items() if ref not in there})


def let_go(git: Repository, commits: Iterable[str]) -> None:
    """Keep these commits no longer."""
    there = git.refs(PREFIX)
    git.change_refs(delete=[PREFIX + commit for commit in commits if PREFIX + commit in there])


def settle(root: Path, alone: Callable[[], AbstractContextManager[Any]]) -> None:
    """Keep the commits of the tasks that there are, and let go of all others.

    Nothing is changed but `alone`: while others queue, commits are kept that no task names yet.
    """
    git = Repository(root)
    if any(_change(git, root)):
        with alone():
            change = _change(git, root)
            git.change_refs(change.create, change.delete)


def _change(git: Repository, root: Path) -> Change:
    tasks = queue_tasks.read(root)
    wanted = {PREFIX + task.commit: task.commit for task in tasks if git.kind(task.commit) == "commit"}
    there = git.refs(PREFIX)
    create = {ref: commit for ref, commit in wanted.items() if ref not in there}
    return Change(create, [ref for ref in there if ref not in wanted])
