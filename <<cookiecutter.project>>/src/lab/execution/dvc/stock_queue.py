"""Experiments put into DVC's queue as DVC does it itself: where `fast_queue` doesn't fit DVC's version."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from lab.errors import UserError
from lab.execution.backend import Job
from lab.execution.dvc import queue_tasks
from lab.execution.dvc.fast_queue import withdraw
from lab.git import Repository
from lab.records.commit import PARAMS

if TYPE_CHECKING:
    from dvc.repo import Repo


def put(repo: Repo, jobs: Sequence[Job]) -> list[str]:
    """Queue experiments. Returns their stash commits; after an error nothing is queued. Raises UserError.

    DVC takes params.yaml from the work tree, so that each is written there in turn, and the user's put back at last.
    """
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
        with chdir(root), redirect_stdout(io.StringIO()):
            for job in jobs:
                path.write_text(OmegaConf.to_yaml(OmegaConf.create(job.params)), encoding="utf-8")
                with queue_tasks.announcing(job.resources):
                    repo.experiments.run(queue=True, targets=[job.stage], name=job.name, no_hydra=True)
    except BaseException:
        withdraw(repo, _new(root, before))
        raise
    finally:
        path.write_bytes(own)
    return _new(root, before)


def _new(root: Path, before: set[str]) -> list[str]:
    return [task.commit for task in queue_tasks.read(root) if task.commit not in before]
