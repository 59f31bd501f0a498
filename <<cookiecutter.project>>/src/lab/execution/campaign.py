"""A design file queued or carried out: planned, approved by the pre-flight, run, and planned on where it asks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.design import preflight
from lab.design.bayesian import replay
from lab.design.expansion import Levels, is_bayesian
from lab.design.models import SweepDesign
from lab.design.plan import MEMBERSHIP, Run
from lab.errors import UserError
from lab.execution import preflight_inputs, queueing
from lab.execution.run import Execution, Watcher
from lab.execution.standings import standings, undecided
from lab.execution.work_tree import ready
from lab.study import outcomes

if TYPE_CHECKING:
    from lab.design.plan import Plan
    from lab.execution.backend import Backend
    from lab.records.planning import Planner
    from lab.study import Replicate


def current(planner: Planner) -> Plan:
    """The plan as it stands: of a bayesian sweep, up to the combinations that are open now. Raises UserError."""
    design, project = planner.design, planner.project
    if not isinstance(design, SweepDesign) or not is_bayesian(design) or not project.head:
        return planner.plan()

    def results(trials: list[Levels]) -> list[float | None] | None:
        replicates = standings(project, planner.plan(trials).runs)
        if any(map(undecided, replicates)):
            return None
        return outcomes(design, planner.contract, [replicate.record for replicate in replicates])

    return planner.plan(replay(design, results, project.remember))


def enqueue(planner: Planner, backend: Backend, force: bool, again: bool) -> tuple[Plan, dict[str, str]]:
    """Queue a design's runs, of a bayesian sweep the next ones. Returns the plan and the new experiments' names.

    Raises:
        UserError: the pre-flight found something and `force` is not set; whatever `queueing.enqueue` refuses.
    """
    plan = current(planner)
    forced = approve(planner, plan, force)
    return plan, queueing.enqueue(planner.project, backend, marked(plan.runs, forced), again)


def carry_out(
    planner: Planner, backend: Backend, jobs: int, watcher: Watcher, force: bool, again: bool
) -> list[Replicate]:
    """Run a design to its end. Returns how its runs stand then. Raises UserError and run.Stopped."""
    design = planner.design
    forced = approve(planner, current(planner), force)
    execution = Execution(planner.project, backend, jobs, watcher, again)

    def results(trials: list[Levels]) -> list[float | None]:
        new = planner.plan(trials).runs[len(execution.runs) :]
        replicates = execution.add(marked(new, forced))
        return outcomes(design, planner.contract, [replicate.record for replicate in replicates])

    if isinstance(design, SweepDesign) and is_bayesian(design):
        replay(design, results)
    else:
        execution.add(marked(planner.plan().runs, forced))
    replicates = execution.standings()
    backend.tidy({replicate.record.name for replicate in replicates if replicate.record})
    return replicates


def approve(planner: Planner, plan: Plan, force: bool) -> bool:
    """Whether the pre-flight's objections are overridden: by `force`, now or when the design's first runs were queued.

    Raises:
        UserError: they are not.
    """
    ready(planner.project)
    replicates = standings(planner.project, plan.runs)
    if all(replicate.record for replicate in replicates) and not plan.undecided:
        return False  # nothing new is going to run
    blocks = [replicate.record.experiment for replicate in replicates if replicate.record]
    force = force or any(block.get("forced") and block["digest"] == plan.digest for block in blocks)
    checks = preflight.checks(planner.design, plan, preflight_inputs.gather(planner, plan))
    objections = [check for check in checks if not check.ok and check.blocks]
    if objections and not force:
        listed = "".join(f"\n  ✗ {check.name}: {check.message}" for check in objections)
        raise UserError(f"{planner.path} is not ready, so nothing was queued (--force queues it all the same):{listed}")
    return bool(objections)


def marked(runs: Iterable[Run], forced: bool) -> list[Run]:
    """The runs; where they were forced, each says so in its own params, for whoever reads its record."""
    if not forced:
        return list(runs)
    return [replace(run, params={**run.params, MEMBERSHIP: {**run.params[MEMBERSHIP], "forced": True}}) for run in runs]
