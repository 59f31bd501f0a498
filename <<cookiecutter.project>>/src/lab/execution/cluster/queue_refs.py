"""The queue: a ref of the project's repository for each run, changed all together or not at all.

A ref's commit holds the run's params.yaml on its baseline, as an experiment's would, and what else it takes in its
message. Refs outlive whatever process made them, and keep what they name from git's garbage collection.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lab.execution.backend import Job
from lab.git import Repository
from lab.records.commit import PARAMS

PREFIX = "refs/lab/queue/"


class Entry(NamedTuple):
    """A queued run: its id, which is new with each retry, and the commit that holds its params."""

    id: str
    commit: str

    @property
    def name(self) -> str:
        """The name of its experiment."""
        return self.id.partition("-")[2]


def clusters(git: Repository) -> list[str]:
    """The clusters that have something in their queues."""
    return sorted({ref.removeprefix(PREFIX).partition("/")[0] for ref in git.refs(PREFIX)})


def entries(git: Repository, cluster: str) -> list[Entry]:
    """What is queued for a cluster, in that order."""
    prefix = f"{PREFIX}{cluster}/"
    return [Entry(ref.removeprefix(prefix), commit) for ref, commit in git.refs(prefix).items()]


def add(git: Repository, cluster: str, jobs: Sequence[Job]) -> None:
    """Queue runs. Raises UserError."""
    commits = [_commit(git, job) for job in jobs]
    git.change_refs(create=dict(zip(_new(cluster, [job.name for job in jobs]), commits, strict=True)))


def renew(git: Repository, cluster: str, entry: Entry) -> None:
    """Queue a run anew, last, with an id of its own."""
    (ref,) = _new(cluster, [entry.name])
    git.change_refs(create={ref: entry.commit}, delete=[f"{PREFIX}{cluster}/{entry.id}"])


def remove(git: Repository, cluster: str, gone: Iterable[Entry]) -> None:
    """Forget runs."""
    git.change_refs(delete=[f"{PREFIX}{cluster}/{entry.id}" for entry in gone])


def asked(git: Repository, commit: str) -> dict[str, Any]:
    """What a run takes beside its params: stage, and the resources that its design states."""
    return json.loads(git.message(commit).partition("\n\n")[2])


def _new(cluster: str, names: list[str]) -> list[str]:
    now = time.time_ns()
    return [f"{PREFIX}{cluster}/{now + number:020d}-{name}" for number, name in enumerate(names)]


def _commit(git: Repository, job: Job) -> str:
    from omegaconf import OmegaConf

    baseline = job.baseline or git.head
    assert baseline is not None
    params = OmegaConf.to_yaml(OmegaConf.create(job.params)).encode()
    tree = git.with_changes(git.tree(baseline), {PARAMS: params})
    asked = {"stage": job.stage, "resources": job.resources.model_dump(exclude_none=True)}
    message = f"lab: {job.name} is queued\n\n{json.dumps(asked)}"
    return git.create_commit(tree, [baseline], message, anonymous=True)
