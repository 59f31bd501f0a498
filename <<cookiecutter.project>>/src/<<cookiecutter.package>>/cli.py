"""`lab`: from a question in designs/ to runs, records and an answer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .errors import UserError

if TYPE_CHECKING:
    from .design.plan import Plan

ROOT = Path(__file__).resolve().parents[2]

app = typer.Typer(
    help="Ask a question in designs/, and get its answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
DesignFile = Annotated[Path, typer.Argument(metavar="DESIGN", help="A file of designs/.")]


def main() -> None:
    """Run `lab`; what a user can put right is one message and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # lab plan … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def check(design: DesignFile) -> None:
    """The checklist before anything runs: what is missing, and what the design can decide."""
    from .design import preflight
    from .execution import designs, facts
    from .results.planning import Planner

    planner = Planner(ROOT, design)
    try:
        plan, problem = designs.current(planner), ""
    except UserError as error:
        plan, problem = None, str(error)
    found = preflight.checks(planner.design, plan or problem, facts.gather(ROOT, design, planner.design, plan))
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
    from .execution import designs, status
    from .results import planning

    planned = designs.current(planning.Planner(ROOT, design))
    head = planning.head(ROOT)
    states = ["new"] * len(planned.runs)
    if head:
        states = [row.status if row.record else "new" for row in status.standings(ROOT, head, planned.runs)]
    if as_json:
        print_json(planned, states)
    else:
        print_table(planned, states)


def print_json(planned: Plan, states: list[str]) -> None:
    """The plan as JSON, a run a line."""
    head = {"design": planned.design.name, "digest": planned.digest, "undecided": planned.undecided}
    runs = [{**run.asdict(), "state": state} for run, state in zip(planned.runs, states, strict=True)]
    lines = ",\n".join(json.dumps(run, ensure_ascii=False) for run in runs)
    print(f'{json.dumps(head, ensure_ascii=False)[:-1]}, "runs": [\n{lines}\n]}}')


def print_table(planned: Plan, states: list[str]) -> None:
    """The plan as a table; without the runs' names, which the arm and the seed tell, where the terminal is too narrow."""
    rows = [
        (run.arm, str(run.seed), str(run.wave), state, run.name)
        for run, state in zip(planned.runs, states, strict=True)
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
    console.print(summary(planned, states))


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
    from .execution import designs

    planned, names = designs.enqueue(ROOT, design, force, again)
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
    from .design.schema import read
    from .execution import designs, view
    from .execution.run import Stopped, succeeded

    console = view.console()
    try:
        with view.Watch(console, jobs) as watch:
            rows = designs.carry_out(ROOT, design, jobs, watch, force, again)
    except (KeyboardInterrupt, Stopped) as reason:
        told = (
            "stopped"
            if isinstance(reason, Stopped)
            else "what is queued goes on in the background: lab status, lab stop"
        )
        console.print(f"{told}. lab run {design} takes it up where it is.", soft_wrap=True)
        raise typer.Exit(130) from None
    console.print(view.results(read(design), rows), view.summary(rows), *view.logs(rows), sep="\n")
    raise typer.Exit(0 if succeeded(rows) else 1)


@app.command()
def status(
    design: Annotated[Path | None, typer.Argument(metavar="[DESIGN]", help="A file of designs/.")] = None,
) -> None:
    """How the runs of a design stand, or of all designs together."""
    from .execution import designs, status, view, workers
    from .results import planning

    console = view.console()
    head = planning.head(ROOT)
    if head is None:
        raise UserError("nothing can have run here: there is no git repository with a commit")
    if design is None:
        console.print(view.overview(ROOT))
    else:
        planner = planning.Planner(ROOT, design)
        rows = status.standings(ROOT, head, designs.current(planner).runs)
        console.print(view.results(planner.design, rows), view.summary(rows), sep="\n")
    console.print(f"{len(workers.alive(ROOT))} workers")


@app.command()
def stop(
    now: Annotated[
        bool, typer.Option("--now", help="End the running experiments, too: they start anew when taken up.")
    ] = False,
) -> None:
    """Let the workers end after the runs that they are at. The queue stays as it is: lab run takes it up again."""
    from .execution import run

    count = run.stop(ROOT, now)
    print(f"{count} workers end{'' if now else ' after the run that they are at'}; the queue stays as it is")


@app.command(name="schema")
def write_schema() -> None:
    """Write designs/schema.json, by which editors complete and check design files."""
    from .design.schema import json_schema

    path = ROOT / "designs" / "schema.json"
    path.write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)
