"""Runs queued: all of them or none, in order, never twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab.design.resources import UNSTATED, Resources
from lab.errors import UserError
from lab.execution.backend import Job
from lab.execution.standings import answered
from lab.execution.work_tree import ready
from lab.study import FAILED, QUEUED, REMOVED, RUNNING

if TYPE_CHECKING:
    from lab.design.plan import Run
    from lab.execution.backend import Backend
    from lab.records.project import Project


def enqueue(
    project: Project,
    backend: Backend,
    runs: Iterable[Run],
    again: bool = False,
    resources: Resources = UNSTATED,
    head: str | None = None,
) -> dict[str, str]:
    """Queue what no record answers yet, on the commit `head`; left out, HEAD, which has to be what is seen here.

    Returns the names of the newly queued experiments by the runs' names. A run that has finished, is under way, has
    failed or can't be read is not queued; `again` queues all but those under way anew, under a name with a number.
    Raises UserError, and then nothing is queued.
    """
    head = head or ready(project)
    with backend.alone():
        project.refresh()  # another lab may just have queued the same
        new = named(project, head, list(runs), again)
        if new:
            backend.put([Job(name, run.params, run.target, resources, head) for name, run in new.items()])
    project.refresh()
    return {run.name: name for name, run in new.items()}


def named(project: Project, head: str, runs: list[Run], again: bool) -> dict[str, Run]:
    """The runs to queue, by the names that their experiments get. Raises UserError where a name is taken."""
    here = [record for record in project.records() if record.baseline == head]
    taken = {record.name: record for record in here if record.status not in (FAILED, REMOVED)}
    failed = {record.name for record in here if record.status == FAILED}
    new: dict[str, Run] = {}
    for run in runs:
        record = answered(project, run, head)
        is_there = record is not None and record.status != REMOVED
        if record is not None and is_there and (not again or record.status in (QUEUED, RUNNING)):
            continue
        name = run.name
        if again:
            numbered = (f"{run.name}-{number}" for number in range(2, 10_000))
            while name in taken or name in failed or name in new:
                name = next(numbered)
        if name in taken or name in new:
            raise UserError(
                f"the name {name} is taken on this commit by an experiment with other params, which is "
                f"{taken[name].status if name in taken else 'in this plan'}: nothing was queued. Give the design "
                f"another run_name, or remove that experiment: dvc exp remove {name}"
            )
        new[name] = run
    return new
