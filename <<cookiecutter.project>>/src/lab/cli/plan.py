"""`lab check`, `lab plan`, `lab schema`: before anything runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lab.cli.app import ROOT, DesignFile, command, open_backend, open_project, planner_of
from lab.cli.terminal import console
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.design.plan import Plan
    from lab.study import Replicate


@command()
def check(design: DesignFile) -> object:
    """What is missing before a design can run, and what it can decide."""
    from lab.cli import output
    from lab.design import preflight
    from lab.execution import campaign, preflight_inputs

    planner = planner_of(design)
    try:
        plan, problem = campaign.current(planner), ""
    except UserError as error:
        plan, problem = None, str(error)
    inputs = preflight_inputs.gather(planner, plan, campaign.beyond(open_backend(), planner.design))
    checks = preflight.checks(planner.design, plan or problem, inputs)
    table = Table.grid(padding=(0, 1))
    for item in checks:
        mark = Text("✓", "green") if item.ok else Text("✗", "red") if item.blocks else Text("!", "yellow")
        table.add_row(mark, item.name, Text(item.message))
    place = console()
    place.print(Text(planner.design.title, style="bold"))
    place.print(table)
    ready = not preflight.blocked(checks)
    lines = [output.Line(name=each.name, ok=each.ok, blocks=each.blocks, message=each.message) for each in checks]
    code = 0 if ready else 2
    return output.Checked(design=planner.design.name, ready=ready, checks=lines, exit_code=code)


@command()
def plan(design: DesignFile) -> object:
    """The exact runs of a design, and which of them are done. Starts nothing."""
    from lab.cli import output
    from lab.design import design_file
    from lab.execution import campaign
    from lab.execution.standings import standings
    from lab.study import Replicate

    planner = planner_of(design)
    plan = campaign.current(planner)
    campaign.refuse_unusable(planner, plan)
    if planner.project.head:
        replicates = standings(planner.project, plan.runs)
    else:
        replicates = [Replicate(run.arm, run.levels, run.seed, run=run) for run in plan.runs]
    for sentence in design_file.words_used(design, planner.contract):
        print(sentence)
    print_table(plan, replicates)
    runs = [
        output.PlannedRun(
            **replicate.run.asdict(),
            state=state(replicate),
            experiment=replicate.record.name if replicate.record else None,
        )
        for replicate in replicates
        if replicate.run
    ]
    return output.Planned(design=plan.design.name, digest=plan.digest, undecided=plan.undecided, runs=runs)


def state(replicate: Replicate) -> str:
    """`new`, or how the run stands that answers it."""
    return replicate.status if replicate.record else "new"


def print_table(plan: Plan, replicates: list[Replicate]) -> None:
    """The plan as a table; in a narrow terminal without the runs' names, which the arm and the seed tell.

    Below it the effects that its arms can't tell from one another.
    """
    from lab.design.factorial import laid_out, told_apart
    from lab.design.levels import short_names
    from lab.design.plan import model_of

    rows = [
        (
            replicate.arm,
            str(replicate.seed),
            str(replicate.run.wave if replicate.run else 0),
            state(replicate) + (" (reused)" if replicate.reused else ""),
            replicate.name,
        )
        for replicate in replicates
    ]
    needed = sum(max(map(len, column)) + 2 for column in zip(("", "seed", "wave", "", ""), *rows, strict=True))
    place = console()
    if not place.is_terminal:
        place.width = max(place.width, needed)
    names_fit = place.width >= needed
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
        place.print(table)
    if not names_fit:
        place.print(f"The first is called {rows[0][-1]}: a wider terminal, or --json, shows all names.", soft_wrap=True)
    place.print(summary(plan, [state(replicate) for replicate in replicates]))
    if crossed := plan.design.crossed():
        found = model_of(plan)
        for sentence in told_apart(found, short_names(list(crossed))) if laid_out(found, crossed) else ():
            place.print(Text(sentence), soft_wrap=True)


def summary(plan: Plan, states: list[str]) -> str:
    """How many runs, in how many waves, and how many are left."""
    waves = len({run.wave for run in plan.runs})
    done = states.count("finished")
    text = f"{len(states)} runs in {waves} {'wave' if waves == 1 else 'waves'}, {done} done" if states else "no run yet"
    if growth := plan.design.growth:
        text += f"; up to {growth.last} seeds an arm, added one by one by what comes out"
    if plan.undecided:
        text += f"; {plan.undecided} more combinations are chosen by what comes out"
    if plan.searched and plan.is_open:
        text += f"; they end with {plan.searched}, and the best go on when all are over"
    return text


@command("schema")
def write_schema() -> object:
    """Write designs/schema.json, by which editors complete designs."""
    from lab.cli import output
    from lab.design.compose import composer_of
    from lab.design.editor_schema import json_schema

    path = ROOT / "designs" / "schema.json"
    content = json_schema(open_project().contract, composer_of(ROOT).settable())
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)
    return output.Written(path=path.relative_to(ROOT).as_posix())
