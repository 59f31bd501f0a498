"""A design file queued or carried out: planned, approved by the pre-flight, run, and where it asks for it, planned on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.design import preflight
from lab.design.bayesian import replay
from lab.design.expansion import Levels, is_bayesian
from lab.design.models import SweepDesign
from lab.design.plan import Run
from lab.errors import UserError
from lab.execution import preflight_inputs
from lab.execution.dvc import queue, repair
from lab.execution.run import Execution, Watcher, disturbed
from lab.execution.standings import Standing, standings
from lab.records import planning
from lab.records.planning import Planner
from lab.records.record import FAILED
from lab.records.study import outcomes

if TYPE_CHECKING:
    from lab.design.plan import Plan


def current(planner: Planner) -> Plan:
    """The plan as it stands: of a bayesian sweep, up to the combinations that are open now. Raises UserError."""
    design = planner.design
    if not isinstance(design, SweepDesign) or not is_bayesian(design):
        return planner.plan()
    head = planning.head(planner.root)
    if head is None:
        return planner.plan()

    def results(trials: list[Levels]) -> list[float | None] | None:
        rows = standings(planner.root, head, planner.plan(trials).runs)
        return None if any(map(undecided, rows)) else outcomes(design, [row.record for row in rows])

    return planner.plan(replay(design, results))


def enqueue(planner: Planner, force: bool, again: bool) -> tuple[Plan, dict[str, str]]:
    """Queue a design's runs, of a bayesian sweep the next ones. Returns the plan and the new experiments' names.

    Raises:
        UserError: the pre-flight found something and `force` is not set; whatever `queue.enqueue` refuses.
    """
    plan = current(planner)
    forced = approve(planner, plan, force)
    return plan, queue.enqueue(planner.root, marked(plan.runs, forced), again)


def carry_out(planner: Planner, jobs: int, watcher: Watcher, force: bool, again: bool) -> list[Standing]:
    """Run a design to its end. Returns how its runs stand then. Raises UserError and run.Stopped."""
    root, design = planner.root, planner.design
    forced = approve(planner, current(planner), force)
    execution = Execution(root, jobs, watcher, again)

    def results(trials: list[Levels]) -> list[float | None]:
        new = planner.plan(trials).runs[len(execution.runs) :]
        return outcomes(design, [row.record for row in execution.add(marked(new, forced))])

    if isinstance(design, SweepDesign) and is_bayesian(design):
        replay(design, results)
    else:
        execution.add(marked(planner.plan().runs, forced))
    rows = execution.standings()
    repair.tidy(root, {row.record.name for row in rows if row.record})
    return rows


def approve(planner: Planner, plan: Plan, force: bool) -> bool:
    """Whether the pre-flight's objections are overridden: by `force`, now or when the design's first runs were queued.

    Raises:
        UserError: they are not.
    """
    rows = standings(planner.root, queue.ready(planner.root), plan.runs)
    if all(row.record for row in rows) and not plan.undecided:
        return False  # nothing new is going to run
    own = [row.record.experiment for row in rows if row.record]
    force = force or any(block.get("forced") and block["digest"] == plan.digest for block in own)
    known = preflight_inputs.gather(planner.root, planner.path, planner.design, plan)
    objections = [item for item in preflight.checks(planner.design, plan, known) if not item.ok and item.blocks]
    if objections and not force:
        listed = "".join(f"\n  ✗ {item.name}: {item.message}" for item in objections)
        raise UserError(f"{planner.path} is not ready, so nothing was queued (--force queues it all the same):{listed}")
    return bool(objections)


def marked(runs: Iterable[Run], forced: bool) -> list[Run]:
    """The runs; where they were forced, each says so in its own params, for whoever reads its record."""
    if not forced:
        return list(runs)
    return [
        replace(run, params={**run.params, "experiment": {**run.params["experiment"], "forced": True}}) for run in runs
    ]


def undecided(row: Standing) -> bool:
    """Whether a run has neither finished nor failed for good."""
    return row.active or row.record is None or (row.status == FAILED and disturbed(row.record))
