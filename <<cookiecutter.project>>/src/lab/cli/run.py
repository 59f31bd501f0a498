"""`lab queue`, `lab run`, `lab status`, `lab stop`: a design carried out."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from lab.cli.app import (
    ROOT,
    AnyDesignFile,
    DesignFile,
    Experiment,
    command,
    open_backend,
    open_backends,
    open_project,
    planner_of,
    typed,
)
from lab.decimals import counted
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.cli import output
    from lab.records.project import Project

Force = Annotated[bool, typer.Option("--force", help="Although lab check objects; the runs' records say so.")]
Again = Annotated[bool, typer.Option("--again", help="Also what has finished or failed already, under new names.")]
Failed = Annotated[
    bool, typer.Option("--failed", help="What has failed or lacks its metric, under new names, and nothing else.")
]
On = Annotated[
    str | None, typer.Option("--on", metavar="NAME", help="slurm, ray, or a cluster of conf/cluster.yaml: not here.")
]


@command()
def queue(design: DesignFile, force: Force = False, again: Again = False, on: On = None) -> object:
    """Put a design's runs into DVC's queue, all or none. `dvc queue start` or `lab run` runs them."""
    from lab.cli import output
    from lab.execution import campaign
    from lab.execution.unfetched import unfetched

    planner = planner_of(design)
    if hint := unfetched(planner.project):
        print(hint)
    plan, names = campaign.enqueue(planner, open_backend(on), force, again)
    left_out = campaign.left_out(planner.project, plan)
    others = f"{left_out} are beyond the budget of {plan.design.budget}, and " if left_out else ""
    print(
        f"{len(names)} of {len(plan.runs)} runs queued; {others}the others were queued before, or have run. "
        f"Next: {_command(design, on)}"
    )
    if on is None and names and len({run.wave for run in plan.runs}) > 1:
        print("Some of them share a stage: lab run lets the first go before, dvc queue start may run it twice")
    return output.Queued(design=plan.design.name, queued=list(names.values()), runs=len(plan.runs))


@command()
def run(
    design: DesignFile,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j", "--jobs", min=1, max=1000, help="How many runs at a time: 1 here, as many as a cluster takes there."
        ),
    ] = None,
    force: Force = False,
    again: Again = False,
    failed: Failed = False,
    workers: Annotated[
        Literal["lab", "dvc"], typer.Option(help="Whose workers: lab's where they do as DVC's, or DVC's own.")
    ] = "lab",
    on: On = None,
) -> object:
    """Run a design to its end, from wherever it stands. Exit code 0: every run has finished, with metrics."""
    from lab.cli import view
    from lab.cli.standing import stand
    from lab.cli.watch import Watch
    from lab.execution import campaign
    from lab.execution.forecast import usual
    from lab.execution.run import Stopped, succeeded
    from lab.study import FAILED, UNMEASURED, metric_names
    from lab.tracking import background

    console = view.console()
    planner = planner_of(design)
    contract = planner.contract
    if on and workers == "dvc":
        raise UserError("--workers is about this machine, and --on about others: give one of them")
    if again and failed:
        raise UserError("--again is about all runs, and --failed about those that have failed: give one of them")
    backend = open_backend("dvc-workers" if workers == "dvc" else on)
    jobs = jobs or backend.jobs
    timed = [name for name in metric_names(planner.design, contract, ()) if contract.metric(name).timing]
    if on and timed:
        slower = "nodes may differ in speed, and runs that share one slow each other down"
        console.print(Text(f"{', '.join(timed)}: {slower}"), soft_wrap=True)
    elif jobs and jobs > 1 and timed:
        slower = f"with -j {jobs} runs slow each other down, and the report will say so; -j 1 measures alone"
        console.print(Text(f"{', '.join(timed)}: {slower}"), soft_wrap=True)
    mirror = background.start(ROOT)
    try:
        earlier = usual(planner.project.records(), contract, contract.types[planner.design.type])
        with Watch(console, planner.design, contract, jobs, earlier, shown_at()) as watch:
            replicates = campaign.carry_out(planner, backend, jobs, watch, force, again, watch.say, failed)
    except (KeyboardInterrupt, Stopped) as reason:
        ended = (
            "stopped"
            if isinstance(reason, Stopped)
            else typed("what is queued goes on in the background: lab status, lab stop")
        )
        console.print(f"{ended}. {_command(design, on)} takes it up where it is.", soft_wrap=True)
        raise typer.Exit(130) from None
    table = view.results(planner.design, contract, replicates, console.width)
    for part in (*view.means(planner.design, contract, replicates), table, view.summary(replicates)):
        console.print(part)
    for part in view.logs(replicates):
        console.print(part)
    if told := answered(planner.design.name):
        console.print("", view.answered(told))
    if any(replicate.status == FAILED for replicate in replicates):
        mend = (
            f"What failed is not tried again by itself. Once the cause is mended: {_command(design, on)} --failed, "
            "or without --failed where a commit of code, config or data mends it"
        )
        console.print(Text(mend), soft_wrap=True)
    if any(replicate.status == UNMEASURED for replicate in replicates):
        mend = (
            f"What is {UNMEASURED} is not run again by itself: look at the file that its note names, and at "
            f"{typed('lab logs')} RUN. Once the cause is mended: {_command(design, on)} --failed"
        )
        console.print(Text(mend), soft_wrap=True)
    if complaint := mirror.complaint():
        console.print(Text(complaint), soft_wrap=True)
    return stand(planner.design, contract, replicates, told, code=0 if succeeded(replicates) else 1)


@command()
def status(design: AnyDesignFile = None) -> object:
    """How the runs of a design stand, or of all designs together."""
    from lab.cli import output, view
    from lab.cli.standing import stand
    from lab.cli.watch import running
    from lab.execution import campaign
    from lab.execution.forecast import Forecast, usual
    from lab.execution.registry import DEFAULT
    from lab.execution.standings import standings
    from lab.study import RUNNING

    console = view.console()
    project = open_project()
    if project.head is None:
        raise UserError("nothing can have run here: there is no git repository with a commit")
    designs: dict[str, dict[str, int]] = {}
    workers: dict[str, int | None] = {}
    found = None
    if design is None:
        designs = view.statuses(project)
        console.print(view.overview(project, designs))
    else:
        planner = planner_of(design, project)
        replicates = standings(project, campaign.current(planner).runs)
        contract, forecast, now = planner.contract, None, time.time()
        console.print(Text(planner.design.title, style="bold"))
        if any(replicate.status == RUNNING for replicate in replicates):
            earlier = usual(project.records(), contract, contract.types[planner.design.type])
            forecast = Forecast(contract, None, earlier, planner.design)
            forecast.look(replicates, now)
            console.print(running(replicates, contract, forecast, now))
        for part in view.means(planner.design, contract, replicates):
            console.print(part)
        console.print(view.results(planner.design, contract, replicates, console.width))
        found = stand(planner.design, contract, replicates, answered(planner.design.name, project), forecast, now)
        to_go = f", about {timedelta(seconds=round(found.seconds))} to go" if found.seconds else ""
        more = (*view.outdated(planner, replicates), *view.taken_up(planner, replicates))
        console.print(f"{view.summary(replicates)}{to_go}", *more, sep="\n")
    for backend in open_backends():
        place = "" if backend.name == DEFAULT else f" on {backend.name}"
        try:
            workers[backend.name] = count = backend.workers()
            console.print(f"{counted(count, 'worker')}{place}")
        except UserError as error:  # a scheduler that doesn't answer
            workers[backend.name] = None
            console.print(Text(f"workers{place} unknown: {error}"), soft_wrap=True)
    return found or output.Overview(designs=designs, workers=workers)


@command()
def logs(experiment: Experiment) -> object:
    """What a run has printed, also one that has finished. Given a design's name, it tells those of its runs."""
    from lab.cli import output
    from lab.execution import logs as kept

    text = kept.read(open_project(), experiment)
    print(text, end="")
    return output.Logged(experiment=experiment, text=text)


@command()
def stop(
    design: AnyDesignFile = None,
    now: Annotated[
        bool, typer.Option("--now", help="End the running experiments, too: they start anew when taken up.")
    ] = False,
) -> object:
    """Let the workers end after the runs that they are at. The queue stays as it is: lab run takes it up again.

    With a DESIGN, only where no other's runs wait or run.
    """
    from lab.cli import output
    from lab.execution import campaign, run
    from lab.execution.registry import DEFAULT

    if design is not None and (others := campaign.others_at_work(planner_of(design))):
        end = f"workers are of all designs, and {others} would stop, too: {typed('lab stop')} ends them"
        raise UserError(end)
    workers = {}
    for backend in open_backends():
        count, place = run.stop(ROOT, backend, now), "" if backend.name == DEFAULT else f" on {backend.name}"
        ending = "end" if count != 1 else "ends"
        if count and not now:
            ending += f" after the run that {'they are' if count > 1 else 'it is'} at"
        print(f"{counted(count, 'worker')}{place} {ending}; the queue stays as it is")
        workers[backend.name] = count
    return output.Stopped(workers=workers)


def shown_at() -> str:
    """Where the runs are seen while they go on; empty where they are shown nowhere."""
    from dotenv import dotenv_values

    from lab import secrets
    from lab.tracking import settings

    name = "MLFLOW_TRACKING_URI"
    with suppress(UserError):
        if "mlflow" in settings.read(ROOT).backends:
            address = os.environ.get(name) or dotenv_values(ROOT / ".env").get(name)
            return f"in MLflow: {secrets.hide(address) if address else typed('lab ui')}"
    return ""


def answered(design: str, project: Project | None = None) -> output.Answer | None:
    """The answer that the runs give; None where they give none, such as of a design that no commit has."""
    from lab.cli import view
    from lab.cli.answer import judge_study
    from lab.records import studies

    try:
        study = studies.read(project or open_project(), design)
        return view.answer_of(study, judge_study(study)) if study.records else None
    except UserError:
        return None


def _command(design: Path, on: str | None) -> str:
    """What carries out a design there."""
    return f"{typed('lab run')} {design}" + (f" --on {on}" if on else "")
