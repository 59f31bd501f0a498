"""A design's budget kept: no run starts that it has no room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis.budget import affordable
from lab.design.plan import MEMBERSHIP
from lab.execution.standings import standings
from lab.study import QUEUED, RUNNING

if TYPE_CHECKING:
    from lab.design.plan import Run
    from lab.design.resources import Budget
    from lab.records.project import Project


def within(
    project: Project, budget: Budget | None, runs: list[Run], head: str, at_a_time: int = 1, again: bool = False
) -> list[Run]:
    """Those of some runs that may be started now, the first ones before the later: all where there is no budget.

    Runs that something answers cost nothing, unless they are run `again`. Before one has told how long it takes, a
    budget of hours has `at_a_time` of them started.
    """
    if budget is None or not runs:
        return runs
    design = runs[0].params[MEMBERSHIP]["design"]
    own = [record for record in project.by_design().get(design, []) if record.baseline == head]
    room = affordable(budget, own)
    if budget.hours is not None and not any(sum(record.seconds.values()) for record in own):
        under_way = sum(record.status in (QUEUED, RUNNING) for record in own)
        room = min(room, max(0, at_a_time - under_way))
    costly = [each.run for each in standings(project, runs, head) if each.is_to_come or (again and not each.active)]
    left_out = costly if room < 1 else costly[int(min(room, len(costly))) :]
    return [run for run in runs if run not in left_out]
