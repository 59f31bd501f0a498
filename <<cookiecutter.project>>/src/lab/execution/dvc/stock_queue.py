"""Experiments put into DVC's queue as DVC does it itself: where `fast_queue` doesn't fit DVC's version."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import chdir, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from lab import yaml12
from lab.errors import UserError
from lab.execution.backend import Job
from lab.execution.dvc import queue_tasks
from lab.execution.dvc.fast_queue import withdraw
from lab.git import Repository
from lab.records.commit import PARAMS

if TYPE_CHECKING:
    from dvc.repo import Repo

COMPOSED = {"hydra": {"enabled": False}}  # the params are; DVC before 3.65 has no other way to be told so


def put(repo: Repo, jobs: Sequence[Job]) -> list[str]:
    """Queue experiments. Returns their stash commits; after an error nothing is queued.

    DVC takes params.yaml from the work tree, so that each is written there in turn, and the user's put back at last.

    Raises:
        UserError: one is to start elsewhere than on HEAD, or this DVC queues other params than it is given.
    """
    from dvc.repo import Repo

    root = Path(repo.root_dir)
    head = Repository(root).head
    for job in jobs:
        if job.baseline not in (None, head):
            raise UserError(
                f"{job.name} starts from {str(job.baseline)[:7]}, and this version of DVC queues on HEAD alone, "
                f"which is {str(head)[:7]} by now: lab run once more, or git switch back before"
            )
    path = root / PARAMS
    own = path.read_bytes()
    before = {task.commit for task in queue_tasks.read(root)}
    try:
        with chdir(root), redirect_stdout(io.StringIO()), Repo(str(root), config=COMPOSED) as plain:
            for job in jobs:
                path.write_text(_text(job), encoding="utf-8")
                with queue_tasks.announcing(job.resources):
                    plain.experiments.run(queue=True, targets=[job.stage], name=job.name)
        _compare(root, before, jobs)
    except BaseException:
        withdraw(repo, _new(root, before))
        raise
    finally:
        path.write_bytes(own)
    return _new(root, before)


def _compare(root: Path, before: set[str], jobs: Sequence[Job]) -> None:
    """Raises UserError where what is queued is not what was asked for."""
    git = Repository(root)
    tasks = [task for task in queue_tasks.read(root) if task.commit not in before]
    queued = {task.name: yaml12.mapping(git.text(task.commit, PARAMS)) for task in tasks}
    if queued != {job.name: yaml12.mapping(_text(job)) for job in jobs}:
        raise UserError(
            f"DVC {version('dvc')} queues other params than it is given, so nothing was queued: lab goes with DVC 3.50 "
            "and newer, and is tested with the one that requirements-lab.txt names"
        )


def _text(job: Job) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(job.params))


def _new(root: Path, before: set[str]) -> list[str]:
    return [task.commit for task in queue_tasks.read(root) if task.commit not in before]
