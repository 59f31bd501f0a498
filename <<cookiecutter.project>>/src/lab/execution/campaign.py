"""A design file queued or carried out: planned, approved by the pre-flight, run, and planned on where it asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.design import preflight, search
from lab.design.models import Design
from lab.design.plan import MEMBERSHIP, Run
from lab.design.search import Choices
from lab.errors import UserError
from lab.execution import preflight_inputs, queueing
from lab.execution.budget import within
from lab.execution.run import Execution, Watcher
from lab.execution.standings import standings, undecided
from lab.execution.unfetched import unfetched
from lab.execution.work_tree import ready
from lab.records.growth import seeds_asked
from lab.study import FAILED, QUEUED, RUNNING, UNMEASURED, UNREADABLE, outcomes

if TYPE_CHECKING:
    from lab.design.plan import Plan
    from lab.execution.backend import Backend
    from lab.records.planning import Planner
    from lab.records.project import Project
    from lab.study import Replicate


def current(planner: Planner) -> Plan:
    """The plan as it stands, with what follows from what came out: the combinations of a bayesian sweep that are open
    now, the arms of a search that go on, the seeds of the next look. Raises UserError."""
    design, project = planner.design, planner.project
    if design.growth and project.head:
        return planner.plan(asked=seeds_asked_now(planner, lambda runs: standings(project, runs), project.head))
    if not project.head:
        return planner.plan()

    def results(choices: Choices) -> list[float | None] | None:
        replicates = standings(project, planner.plan(*choices).runs)
        if any(map(undecided, replicates)):
            return None
        return outcomes(design, planner.contract, [replicate.record for replicate in replicates])

    with planner.placing():
        choices = search.decided(design, planner.contract, results, project.remember, planner.epochs)
    return planner.plan(*choices)


def seeds_asked_now(planner: Planner, stand: Callable[[list[Run]], list[Replicate]], head: str) -> dict[str, int]:
    """For each arm how many of its seeds are to be run, those of the next look included, by how the runs `stand`."""
    design, project = planner.design, planner.project
    own = [record for record in project.by_design().get(design.name, []) if record.baseline == head]
    return seeds_asked(
        project, design, planner.contract, head, own, lambda asked: stand(planner.plan(asked=asked).runs)
    )


def enqueue(planner: Planner, backend: Backend, force: bool, again: bool) -> tuple[Plan, dict[str, str]]:
    """Queue a design's runs, of a bayesian sweep the next ones. Returns the plan and the new experiments' names.

    Raises:
        UserError: the pre-flight found something and `force` is not set; whatever `queueing.enqueue` refuses.
    """
    plan = current(planner)
    forced = approve(planner, plan, force, backend)
    design, project = planner.design, planner.project
    runs = within(project, design.budget, marked(plan.runs, forced), str(project.head), backend.jobs or 1)
    return plan, queueing.enqueue(project, backend, runs, again, design.resources)


def left_out(project: Project, plan: Plan) -> int:
    """How many runs of a plan a budget keeps from being queued, once all others are."""
    return sum(each.is_to_come for each in standings(project, plan.runs)) if plan.design.budget else 0


def carry_out(
    planner: Planner,
    backend: Backend,
    jobs: int | None,
    watcher: Watcher,
    force: bool,
    again: bool,
    say: Callable[[str], None] = print,
    failed: bool = False,
) -> list[Replicate]:
    """Run a design to its end; what comes before it, it says. Returns how its runs stand then.

    With `again` also what has finished or failed, under new names; with `failed` nothing but what has failed, or
    has come without the metric of the design.

    Raises:
        UserError: the pre-flight found something and `force` is not set; whatever `Execution.add` refuses.
        Stopped: by `lab stop`.
    """
    design, plan = planner.design, current(planner)
    stand = standings(planner.project, plan.runs)
    if not again and not plan.is_open and all(replicate.finished for replicate in stand):
        return stand  # also where something has changed that is not committed
    forced = approve(planner, plan, force, backend)
    for sentence in (before(planner, plan, backend), unfetched(planner.project)):
        if sentence:
            say(sentence)
    fit = fitting(backend, design, jobs)
    if jobs and fit != jobs:
        say(f"-j {jobs}: by the design's resources {fit} fit this machine at a time, and the others wait")
    execution = Execution(planner.project, backend, fit, watcher, again or failed, design.resources, design.budget)

    def added(runs: list[Run]) -> list[Replicate]:
        """How the runs stand, in their order, once those of them that are new are over."""
        known = {run.name for run in execution.runs}
        if new := [run for run in runs if run.name not in known]:
            execution.add(marked(new, forced))
        by_name = {each.run.name: each for each in execution.standings() if each.run}
        return [by_name[run.name] for run in runs]

    def results(choices: Choices) -> list[float | None] | None:
        replicates = added(fixed.plan(*choices).runs)
        if unread := next((each for each in replicates if each.status == UNREADABLE), None):
            raise UserError(f"{unread.name} is unreadable, so that nothing follows from it: {unread.trouble}")
        if any(each.is_to_come for each in replicates):
            return None  # the budget is used up
        return outcomes(design, planner.contract, [replicate.record for replicate in replicates])

    stand = standings(planner.project, plan.runs) if again or failed else []
    if again and (over := sum(replicate.finished for replicate in stand)):
        start = "run that has finished starts" if over == 1 else "runs that have finished start"
        say(f"--again: {over} {start} anew, under new names; --failed is about those that have failed")
    with planner.at(execution.head) as fixed:  # a person goes on in the work tree meanwhile
        if failed:
            lost = [each.run for each in stand if each.run and each.status in (FAILED, UNMEASURED)]
            if not lost:
                say("none of its runs has failed")
            replicates = execution.add(marked(lost, forced))
        elif design.growth:
            seeds_asked_now(fixed, added, execution.head)
            replicates = execution.standings()
        else:
            choices = search.decided(design, planner.contract, results, epochs=fixed.epochs)
            replicates = added(fixed.plan(*choices).runs)
    if design.budget and (left := sum(each.is_to_come for each in replicates)):
        say(f"the budget of {design.budget} is used up, and {left} runs did not run; a larger one goes on from here")
    backend.tidy({replicate.record.name for replicate in execution.standings() if replicate.record})
    return replicates


def fitting(backend: Backend, design: Design, jobs: int | None) -> int | None:
    """How many of a design's runs there can be at a time, up to `jobs`. Raises UserError where there can't be any."""
    if told := beyond(backend, design):
        raise UserError(f"{design.name}: {told}")
    room = backend.room(design.resources)
    return jobs if room is None or jobs is None else min(jobs, room)


def beyond(backend: Backend, design: Design) -> str:
    """Why a run can't be carried out at all: it takes more than there is; empty where it can."""
    if backend.room(design.resources) != 0:
        return ""
    stated = design.resources.model_dump(exclude_none=True, exclude={"timeout"})
    takes = " and ".join(f"{amount:g} {name}" for name, amount in stated.items())
    return f"a run takes {takes}, by resources, and this machine has fewer"


def before(planner: Planner, plan: Plan, backend: Backend) -> str:
    """Which runs of other designs are in the queue, before those of this one unless some of them wait already."""
    project = planner.project
    replicates = standings(project, plan.runs)
    if not plan.is_open and all(replicate.finished for replicate in replicates):
        return ""
    answers = {id(replicate.record) for replicate in replicates}  # another design's run may be this one's, too
    pending = [record for record in project.records() if record.pending and record.pending.backend == backend.name]
    own = {run.name for run in plan.runs}  # by which one is known that can't be read
    known = (each for each in pending if each.experiment or each.name not in own)
    waiting = [each for each in known if each.status in (QUEUED, RUNNING) and id(each) not in answers]
    names = [record.experiment.get("design") or "no design" for record in waiting]
    others = Counter(name for name in names if name != planner.design.name)
    listed = ", ".join(f"{name} {count}" for name, count in others.items())
    number, designs = others.total(), f"{len(others)} other{'s' if len(others) > 1 else ''}"
    runs = "run is" if number == 1 else "runs are"
    where = "beside" if any(replicate.status == QUEUED for replicate in replicates) else "before"
    return f"{number} {runs} in the queue {where} those of this design, of {designs}: {listed}" if others else ""


def others_at_work(planner: Planner) -> str:
    """Which runs there are of other designs that wait or run; empty where there are none."""
    pending = [record for record in planner.project.records() if record.pending and record.status in (QUEUED, RUNNING)]
    names = [record.experiment.get("design") or "no design" for record in pending]
    counts = Counter(name for name in names if name != planner.design.name)
    return ", ".join(f"{count} of {name}" for name, count in counts.items())


def approve(planner: Planner, plan: Plan, force: bool, backend: Backend) -> bool:
    """Whether the pre-flight's objections are overridden: by `force`, now or when the design's first runs were queued.

    Raises:
        UserError: they are not, or a stage would refuse the settings, which nothing overrides.
    """
    replicates = standings(planner.project, plan.runs)
    if not any(replicate.is_to_come for replicate in replicates) and not plan.is_open:
        return False  # nothing new is going to run
    ready(planner.project)
    blocks = [replicate.record.experiment for replicate in replicates if replicate.record]
    force = force or any(block.get("forced") and block.get("digest") == plan.digest for block in blocks)
    inputs = preflight_inputs.gather(planner, plan, beyond(backend, planner.design), here=backend.is_here)
    checks = preflight.checks(planner.design, plan, inputs)
    objections = [check for check in checks if not check.ok and check.blocks]
    final = any(check.final for check in objections)
    if objections and (final or not force):
        listed = "".join(f"\n  ✗ {check.name}: {check.message}" for check in objections)
        way = "" if final else " (--force queues it all the same)"
        raise UserError(f"{planner.path} is not ready, so nothing was queued{way}:{listed}")
    return bool(objections)


def refuse_unusable(planner: Planner, plan: Plan) -> None:
    """Raises UserError: settings that no stage could use, each with the line that sets it."""
    if unusable := planner.unusable(plan):
        raise UserError(unusable)


def marked(runs: Iterable[Run], forced: bool) -> list[Run]:
    """The runs; where they were forced, each says so in its own params, for whoever reads its record."""
    if not forced:
        return list(runs)
    return [replace(run, params={**run.params, MEMBERSHIP: {**run.params[MEMBERSHIP], "forced": True}}) for run in runs]
