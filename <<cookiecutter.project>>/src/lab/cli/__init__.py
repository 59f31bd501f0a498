"""`lab`: from a question in designs/ to runs, records and an answer."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.errors import UserError, nearest

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.design.plan import Plan
    from lab.execution.standings import Standing
    from lab.records.planning import Planner
    from lab.records.study import Study
    from lab.tracking.mirror import Mirror

ROOT = Path(__file__).resolve().parents[3]

app = typer.Typer(
    help="Ask a question in designs/, and get its answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def design_file(design: Path | None) -> Path | None:
    """The file, where the design is given by its name. Raises UserError: no such name."""
    if design is None or design.exists():
        return design
    if design.suffix or len(design.parts) > 1:  # from a folder below the root, too
        return Path(os.path.relpath(ROOT / design)) if (ROOT / design).exists() else design
    named = ROOT / "designs" / f"{design}.yaml"
    if not named.is_file():
        names = sorted(path.stem for path in named.parent.glob("*.yaml"))
        raise UserError(f"designs/ has no {named.name}.{nearest(str(design), names)}")
    return Path(os.path.relpath(named))


DesignFile = Annotated[
    Path, typer.Argument(metavar="DESIGN", help="A file of designs/, or its name.", callback=design_file)
]


def main() -> None:
    """Run `lab`; what a user can put right is one message and exit code 2."""
    try:
        check_place(Path.cwd())
        app(prog_name="lab")
    except UserError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # lab plan … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def check_place(folder: Path) -> None:
    """Raises UserError in another project of this kind, such as a colleague's clone: this `lab` is about its own."""
    for place in (folder, *folder.parents):
        if (place / "dvc.yaml").is_file() and (place / "src" / "lab").is_dir():
            if place.resolve() != ROOT:
                raise UserError(
                    f"this lab belongs to {ROOT}, but you are in {place}: source {place}/.venv/bin/activate "
                    f"(make setup makes it), then lab"
                )
            return


def planner_of(design: Path) -> Planner:
    """Plans a design, with models of the tracking server where it names any."""
    from lab.records.planning import Planner
    from lab.tracking import model_refs

    return Planner(ROOT, design, tracked=partial(model_refs.find, ROOT))


@app.command()
def check(design: DesignFile) -> None:
    """The checklist before anything runs: what is missing, and what the design can decide."""
    from lab.design import preflight
    from lab.execution import campaign, preflight_inputs

    planner = planner_of(design)
    try:
        plan, problem = campaign.current(planner), ""
    except UserError as error:
        plan, problem = None, str(error)
    found = preflight.checks(
        planner.design, plan or problem, preflight_inputs.gather(ROOT, design, planner.design, plan)
    )
    table = Table.grid(padding=(0, 1))
    for item in found:
        mark = "[green]✓" if item.ok else "[red]✗" if item.blocks else "[yellow]![/yellow]"
        table.add_row(mark, item.name, Text(item.message))
    console = Console(highlight=False)
    console.print(Text(planner.design.title, style="bold"))
    console.print(table)
    if preflight.blocked(found):
        raise typer.Exit(2)


@app.command()
def plan(
    design: DesignFile,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
) -> None:
    """The exact runs of a design, and which of them are done already. Starts nothing."""
    from lab.execution import campaign as designs
    from lab.execution import standings as status
    from lab.records import planning

    planned = campaign.current(planner_of(design))
    head = planning.head(ROOT)
    rows = status.standings(ROOT, head, planned.runs) if head else [status.Standing(run, None) for run in planned.runs]
    if as_json:
        print_json(planned, rows)
    else:
        print_table(planned, rows)


def print_json(planned: Plan, rows: list[Standing]) -> None:
    """The plan as JSON, a run a line; `experiment` is what answers it, where something does."""
    head = {"design": planned.design.name, "digest": planned.digest, "undecided": planned.undecided}
    runs = [
        {**row.run.asdict(), "state": state(row), "experiment": row.record.name if row.record else None} for row in rows
    ]
    lines = ",\n".join(json.dumps(run, ensure_ascii=False) for run in runs)
    print(f'{json.dumps(head, ensure_ascii=False)[:-1]}, "runs": [\n{lines}\n]}}')


def state(row: Standing) -> str:
    """`new`, or how the run stands that answers it."""
    return row.status if row.record else "new"


def print_table(planned: Plan, standings: list[Standing]) -> None:
    """The plan as a table; without the runs' names, which the arm and the seed tell, where the terminal is too narrow."""
    rows = [
        (
            row.run.arm,
            str(row.run.seed),
            str(row.run.wave),
            state(row) + (" (reused)" if row.reused else ""),
            row.record.name if row.record else row.run.name,
        )
        for row in standings
    ]
    needed = sum(max(map(len, column)) + 2 for column in zip(("", "seed", "wave", "", ""), *rows, strict=True))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, needed)
    names_fit = console.width >= needed
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("arm", overflow="fold")
    table.add_column("seed", justify="right")
    table.add_column("wave", justify="right")
    table.add_column("state")
    if names_fit:
        table.add_column("run", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row if names_fit else row[:-1]))
    if rows:
        console.print(table)
    if not names_fit:
        console.print(
            f"The first is called {rows[0][-1]}: a wider terminal, or --json, shows all names.", soft_wrap=True
        )
    console.print(summary(planned, [state(row) for row in standings]))


def summary(planned: Plan, states: list[str]) -> str:
    """How many runs, in how many waves, and how many are left."""
    waves = len({run.wave for run in planned.runs})
    done = states.count("finished")
    text = f"{len(states)} runs in {waves} {'wave' if waves == 1 else 'waves'}, {done} done" if states else "no run yet"
    if planned.undecided:
        text += f"; {planned.undecided} more combinations are chosen by what comes out"
    return text


Force = Annotated[bool, typer.Option("--force", help="Although lab check objects; the runs' records say so.")]
Again = Annotated[bool, typer.Option("--again", help="Also what has finished or failed already, under new names.")]


@app.command()
def queue(design: DesignFile, force: Force = False, again: Again = False) -> None:
    """Put the runs of a design into DVC's queue: all of them or none. `dvc queue start` or `lab run` runs them."""
    from lab.execution import campaign as designs

    planned, names = campaign.enqueue(planner_of(design), force, again)
    print(
        f"{len(names)} of {len(planned.runs)} runs queued; the others were queued before, or have run. Next: lab run {design}"
    )


@app.command()
def run(
    design: DesignFile,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="How many runs at a time.")] = 1,
    force: Force = False,
    again: Again = False,
) -> None:
    """Run a design to its end, from wherever it stands. Exit code 0: every run has finished; 1: some have failed."""
    from lab.cli import view
    from lab.design.schema import read
    from lab.execution import campaign as designs
    from lab.execution.run import Stopped, succeeded
    from lab.records.record import FAILED
    from lab.records.study import metric_names
    from lab.tracking import background

    console = view.console()
    planner = planner_of(design)
    timed = [name for name in metric_names(planner.design, ()) if "_speed." in name]
    if jobs > 1 and timed:
        told = f"{', '.join(timed)}: with -j {jobs} runs slow each other down, and the report will say so; -j 1 measures alone"
        console.print(Text(told), soft_wrap=True)
    mirror = background.start(ROOT)
    try:
        with view.Watch(console, jobs) as watch:
            rows = campaign.carry_out(planner, jobs, watch, force, again)
    except (KeyboardInterrupt, Stopped) as reason:
        told = (
            "stopped"
            if isinstance(reason, Stopped)
            else "what is queued goes on in the background: lab status, lab stop"
        )
        console.print(f"{told}. lab run {design} takes it up where it is.", soft_wrap=True)
        raise typer.Exit(130) from None
    console.print(view.results(read(design), rows), view.summary(rows), *view.logs(rows), sep="\n")
    if any(row.status == FAILED for row in rows):
        told = (
            f"What failed is not tried again by itself. Once the cause is mended: lab run {design} --again, "
            "or without --again where a commit of code, config or data mends it"
        )
        console.print(Text(told), soft_wrap=True)
    if mirror.told():
        console.print(Text(mirror.told()), soft_wrap=True)
    raise typer.Exit(0 if succeeded(rows) else 1)


Designs = Annotated[list[str] | None, typer.Argument(metavar="[DESIGN]...", help="Files of designs/, or their names.")]


@app.command()
def mirror(
    design: Designs = None,
    everything: Annotated[bool, typer.Option("--all", help="All designs that have runs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on while experiments run, until Ctrl-C.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Show the runs whose experiments are gone; delete them.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: don't ask.")] = False,
    owner: Annotated[int | None, typer.Option("--follow", hidden=True)] = None,
) -> None:
    """Show designs and their runs in MLflow, or where conf/tracking.yaml says. As often as you like: it sends what is new."""
    from lab.execution.dvc import workers
    from lab.tracking import background, registry
    from lab.tracking.mirror import Mirror, Trouble
    from lab.tracking.mirror import watch as go_on

    def say(line: str) -> None:
        print(line, flush=True)

    if owner is not None:
        background.follow(ROOT, owner, lambda: bool(workers.alive(ROOT)), say)
        return
    if not design and not everything and not prune:
        raise UserError("which design? lab mirror DESIGN, or lab mirror --all")
    found = Mirror(ROOT)
    try:
        if prune:
            remove(found, yes)
            return
        if watch:
            say(f"watching; {found.places}. Ctrl-C ends it")
            go_on(found, design or (), say)
        report = found.once(design or ())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except Trouble as trouble:
        raise UserError(str(trouble)) from trouble
    for sentence in report.said:
        say(sentence)
    if report.created and (told := registry.register(ROOT)):  # a store that was made anew knows no champion
        say(told)
    say(f"{report.created} runs new, {report.updated} brought up to date: {found.places}")


def remove(found: Mirror, yes: bool) -> None:
    """Show the runs whose experiments are gone, and delete them when that is wanted."""
    for sink, runs in found.gone():
        for name in runs.values():
            print(name)
        if not runs:
            print(f"{sink.place}: nothing to prune")
        elif yes or typer.confirm(f"Delete these {len(runs)} runs from {sink.place}?"):
            sink.delete(runs)
            print(f"{len(runs)} runs deleted")


@app.command()
def ui(
    port: Annotated[int, typer.Option("--port", help="Of 127.0.0.1.")] = 5000,
) -> None:
    """MLflow's pages, with what lab mirror put there, on this machine; or the address of the server that is used."""
    from lab.tracking.ui import serve

    serve(ROOT, port, lambda line: print(line, flush=True))


@app.command()
def results(
    design: Annotated[str, typer.Argument(metavar="DESIGN", help="A file of designs/, or its name.")],
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="METRIC", help="The best by it first: f1_macro.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="All metrics and times.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All metrics and times.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table, to paste.")] = False,
) -> None:
    """The table of a design's runs. From git alone: it needs no server."""
    from lab.cli import view
    from lab.records import study
    from lab.report import frame

    if as_csv + as_json + as_markdown > 1:
        raise UserError("expected one of --csv, --json and --markdown at most")
    found = study.read(ROOT, design)
    if not found.records:
        print(f"lab: {elsewhere(found)}", file=sys.stderr)
    if as_json:
        print(json.dumps(frame.arranged(found, sort), ensure_ascii=False, indent=1))
    elif as_csv:
        print(frame.as_csv(frame.arranged(found, sort)), end="")
    elif as_markdown:
        print(frame.markdown(found, sort))
    else:
        head, lines = frame.table(found, sort)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in head:
            left = name in ("arm", "status", "run")
            table.add_column(name, justify="left" if left else "right", overflow="fold")
        for line in lines:
            table.add_row(*map(Text, line))
        view.console().print(table)


def judge(design: str) -> tuple[Study, Verdict]:
    """A design's study and its verdict, with what was said of each test image, from wherever that can be had."""
    from lab.analysis import per_image, verdict
    from lab.execution.preflight_inputs import is_committed
    from lab.records import study
    from lab.report import report
    from lab.review import evidence

    found = study.read(ROOT, design)
    if (ROOT / found.path).is_file() and not is_committed(ROOT, ROOT / found.path):
        told = f"lab: {found.path} has changes that are not committed: this is about what HEAD has"
        print(told, file=sys.stderr)
    if not found.records:
        raise UserError(elsewhere(found))
    if not evidence.bring(found, ROOT / report.FOLDER / report.name(found)):
        print(
            "lab: what was said of each test image is neither in DVC's cache nor on its remote: the intervals that follow "
            "from it are left out",
            file=sys.stderr,
        )
    return found, verdict.judge(found, per_image.read(found))


def elsewhere(found: Study) -> str:
    """What to do where a design has no run."""
    return (
        f"no run of {found.design.name} is here: lab run {found.path}, "
        "or git fetch origin 'refs/exps/*:refs/exps/*' for what has run elsewhere"
    )


@app.command()
def report(
    design: Annotated[str, typer.Argument(metavar="DESIGN", help="A file of designs/, or its name.")],
) -> None:
    """Write a design's report into docs/04-report: verdict, tables and figures. What you wrote into it is kept."""
    from lab.report import report

    found, judged = judge(design)
    path = report.write(found, judged)
    print(f"{judged.outcome}{' (exploratory)' if judged.exploratory else ''}", *judged.reasons, sep="\n  ")
    for file in (path, path.with_suffix(".html")):
        print(file.relative_to(ROOT))


@app.command()
def status(
    design: Annotated[
        Path | None, typer.Argument(metavar="[DESIGN]", help="A file of designs/, or its name.", callback=design_file)
    ] = None,
) -> None:
    """How the runs of a design stand, or of all designs together."""
    from lab.cli import view
    from lab.execution import campaign as designs
    from lab.execution import standings as status
    from lab.execution.dvc import workers
    from lab.records import planning

    console = view.console()
    head = planning.head(ROOT)
    if head is None:
        raise UserError("nothing can have run here: there is no git repository with a commit")
    if design is None:
        console.print(view.overview(ROOT))
    else:
        planner = planner_of(design)
        rows = status.standings(ROOT, head, campaign.current(planner).runs)
        console.print(view.results(planner.design, rows), view.summary(rows), sep="\n")
    console.print(f"{len(workers.alive(ROOT))} workers")


@app.command()
def stop(
    now: Annotated[
        bool, typer.Option("--now", help="End the running experiments, too: they start anew when taken up.")
    ] = False,
) -> None:
    """Let the workers end after the runs that they are at. The queue stays as it is: lab run takes it up again."""
    from lab.execution import run

    count = run.stop(ROOT, now)
    print(f"{count} workers end{'' if now else ' after the run that they are at'}; the queue stays as it is")


@app.command()
def review(
    design: Annotated[
        str | None,
        typer.Argument(metavar="[DESIGN]", help="A file of designs/, or its name; for --check the branch's."),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Apply the best arm, whatever the verdict.")] = False,
    arm: Annotated[str | None, typer.Option("--arm", metavar="ARM", help="Apply this arm.")] = None,
    push: Annotated[bool, typer.Option("--push", help="Push data, experiments and branch.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="On such a branch: recompute the report. Exit code 1: it disagrees.")
    ] = False,
) -> None:
    """Make exp/DESIGN: the winner's results and the report, in a commit on the baseline. The work tree stays as it is."""
    if check:
        verify(design)
        return
    from lab.review import branch as branches
    from lab.review import push as sharing

    if design is None or (best and arm is not None):
        raise UserError("expected a design, and one of --best and --arm at most: lab review DESIGN")
    found, result = judge(design)
    branch = branches.make(found, result, branches.chosen(found, result, arm, best))
    record = branch.row.record if branch.row else None
    print(f"{result.outcome}: {found.design.title}")
    print(
        f"{branch.name} is {'now' if branch.changed else 'still'} at {branch.commit[:7]}, with the report and", end=" "
    )
    print(f"{record.name} applied" if record else "no run applied: the baseline stays as it is")
    if record and (left := branches.left(ROOT, branch.commit)):
        print(
            f"It ended before {' and '.join(left)}: their results there are the baseline's, until dvc exp run makes them anew"
        )
    if push:
        files, experiments = sharing.push(found, branch)
        print(f"Pushed {files} new files of data, {experiments} experiments, and the branch")
        if told := sharing.private(ROOT):
            print(f"lab: {told}", file=sys.stderr)
    for line in branches.commands(ROOT, branch)[push:]:
        print(f"  {line}")


def recheck(design: str | None) -> None:
    """Print the summary of a check as Markdown, and what disagrees as errors."""
    from lab.review import verify

    found = verify.check(ROOT, design)
    print(found.summary)
    for problem in found.problems[: verify.MOST]:
        print(f"lab: {problem}", file=sys.stderr)
    raise typer.Exit(1 if found.problems else 0)


@app.command()
def promote(
    name: Annotated[
        str | None, typer.Argument(metavar="DESIGN|EXPERIMENT", help="A file of designs/, its name, or a run's.")
    ] = None,
    force: Annotated[
        str,
        typer.Option("--force", metavar="REASON", help="Although the gate objects; champion.yaml keeps the reason."),
    ] = "",
    rollback: Annotated[bool, typer.Option("--rollback", help="Back to the champion before this one.")] = False,
) -> None:
    """Make a run the champion, in a commit: if it beats the one that is, by its design's own rule. `git push` is yours."""
    from lab.review import champion
    from lab.tracking import registry

    if rollback == (name is not None):
        raise UserError("expected a design or an experiment to promote, or --rollback alone")
    found, overridden = (champion.rollback(ROOT), []) if name is None else champion.promote(ROOT, name, force)
    for objection in overridden:
        print(f"overridden: {objection}")
    print(
        f"{found.experiment} is the champion{f', before it was {found.replaces}' if found.replaces and name else ''}."
    )
    for metric, each in found.metrics.items():
        ends = "" if each.low is None else f", 95 % interval {each.low:.4g} to {each.high:.4g}"
        print(f"  {metric}: {each.value:.4g}; over {each.seeds} seeds {each.mean:.4g}{ends}")
    registered = registry.register(ROOT)
    if registered:
        print(registered)
    print(f"Committed in {champion.FOLDER}. Next: dvc push && git push -u origin HEAD")


@app.command(name="schema")
def write_schema() -> None:
    """Write designs/schema.json, by which editors complete and check design files."""
    from lab.design.schema import json_schema

    path = ROOT / "designs" / "schema.json"
    path.write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)
