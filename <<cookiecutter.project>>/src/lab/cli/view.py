"""What a person sees of a plan's runs when they have ended, or stand still. `watch` shows them while they go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lab.analysis import answer as answers
from lab.analysis.decisions import EQUIVALENT, INCONCLUSIVE, INVALID, REFUTED, SUPPORTED, UNDERPOWERED
from lab.analysis.estimates import arm_result
from lab.cli import terminal
from lab.cli.app import typed
from lab.cli.output import Answer
from lab.cli.terminal import Name
from lab.decimals import decimals, written
from lab.errors import UserError
from lab.execution.standings import interrupted, outdated_runs, progress
from lab.records import studies
from lab.study import (
    FAILED,
    FINISHED,
    MISSING,
    QUEUED,
    REMOVED,
    RUNNING,
    STATUSES,
    UNMEASURED,
    UNREADABLE,
    Replicate,
    Study,
    counts,
)

if TYPE_CHECKING:
    from lab.analysis.estimates import ArmResult
    from lab.analysis.statistics import Estimate
    from lab.analysis.verdict import Verdict
    from lab.contract import Contract
    from lab.design.models import Design
    from lab.records.git_record import GitRecord
    from lab.records.planning import Planner
    from lab.records.project import Project

STYLES = {FINISHED: "green", FAILED: "red", RUNNING: "cyan", QUEUED: "dim", MISSING: "dim", REMOVED: "dim"}
STYLES |= {UNMEASURED: "red", UNREADABLE: "red"}
BADGES = {
    SUPPORTED: "bold green",
    REFUTED: "bold red",
    EQUIVALENT: "bold blue",
    INCONCLUSIVE: "bold yellow",
    UNDERPOWERED: "bold yellow",
    INVALID: "bold magenta",
}
ALWAYS = (FINISHED, RUNNING, QUEUED, FAILED, MISSING)  # have a column; others where there are any
MOST = 10  # records that can't be read are told one by one
OUTDATED = "on earlier code"  # finished, and new to a plan of today


def console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough where there is none."""
    place = terminal.console()
    if not place.is_terminal:
        place.width = max(place.width, 240)
    return place


# How runs stand


def results(design: Design, contract: Contract, replicates: Sequence[Replicate], width: int | None = None) -> Table:
    """The table of a plan's runs: what came out, what failed and why, what is still to come.

    Where less than `width` is there, without their names: arm and seed tell them. What is too long is folded, never
    cut.
    """
    study = Study(design, contract, "", "", "", list(replicates))
    names = told_by(study)
    places = [decimals(replicate.value(name) for replicate in replicates) for name in names]
    notes = [_note(replicate, contract) for replicate in replicates]
    rows = []
    for replicate, note in zip(replicates, notes, strict=True):
        values = [replicate.value(name) for name in names]
        figures = ["" if value is None else written(value, of) for value, of in zip(values, places, strict=True)]
        rows.append([replicate.arm, str(replicate.seed), replicate.status, *figures, note, replicate.name])
    head = ["arm", "seed", "status", *names, "note", "run"]
    if not any(notes):
        head, rows = without(head, rows, "note")
    if width is not None and sum(max(map(len, column)) + 2 for column in zip(head, *rows, strict=True)) > width:
        head, rows = without(head, rows, "run")  # arm and seed tell it
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in head:
        is_number = column in ("seed", *names)
        justify: Literal["right", "left"] = "right" if is_number else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=is_number or column == "status")
    for replicate, row in zip(replicates, rows, strict=True):
        arm, *others = row
        table.add_row(
            Name(arm), *(Text(cell, style=STYLES[replicate.status] if i == 1 else "") for i, cell in enumerate(others))
        )
    return table


def told_by(study: Study) -> list[str]:
    """The metrics that runs are told by: of a search first the one that it goes by."""
    return list(dict.fromkeys([*filter(None, [study.searched_by]), *study.metrics]))


def without(head: list[str], rows: list[list[str]], column: str) -> tuple[list[str], list[list[str]]]:
    """A table without one of its columns."""
    at = head.index(column)
    return head[:at] + head[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]


def arms_so_far(
    design: Design, contract: Contract, replicates: Sequence[Replicate]
) -> tuple[str, list[tuple[ArmResult, Estimate]]]:
    """What the arms are told by, and those of which something is known with their means, the best first."""
    study = Study(design, contract, "", "", "", list(replicates))
    metric = next(iter(told_by(study)), None)
    if metric is None:
        return "", []
    found = [arm_result(study, arm, metric) for arm in study.arms]
    measured = [(arm, arm.mean) for arm in found if arm.mean]
    return study.metric(metric).label, sorted(measured, key=lambda pair: -study.merit(metric) * pair[1].value)


def by_arm(
    design: Design, contract: Contract, replicates: Sequence[Replicate], most: int | None = None
) -> Table | None:
    """Where the arms stand so far: their means with intervals, the best first; None before the second has a result."""
    metric, measured = arms_so_far(design, contract, replicates)
    if len(measured) < 2:
        return None
    seeds = Counter(replicate.arm for replicate in replicates if not replicate.stopped)
    shown = measured[:most]
    places = decimals(end for _, mean in shown for end in (mean.value, mean.low, mean.high))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("arm so far", overflow="fold")
    table.add_column("seeds", no_wrap=True)
    table.add_column(metric, overflow="fold")
    for arm, mean in shown:
        ends = [] if mean.low is None or mean.high is None else [written(end, places) for end in (mean.low, mean.high)]
        told = written(mean.value, places) + (f" [{', '.join(ends)}]" if len(set(ends)) > 1 else "")
        table.add_row(Name(arm.arm), f"{len(arm.values)}/{seeds[arm.arm]}", told)
    if len(shown) < len(measured):
        table.add_row(Text(f"and {len(measured) - len(shown)} more", style="dim"))
    return table


def means(design: Design, contract: Contract, replicates: Sequence[Replicate]) -> Iterable[RenderableType]:
    """The arms' means above the table of their runs; nothing where that has it all."""
    if len(design.seeds) > 1 and (table := by_arm(design, contract, replicates)) is not None:
        yield table
        yield ""


def _note(replicate: Replicate, contract: Contract) -> str:
    """What is worth knowing of a run beyond its metrics."""
    if replicate.record is None:
        return ""
    if replicate.trouble:
        return replicate.trouble
    if replicate.status == RUNNING:
        return _at(replicate.record, contract)
    return "reused" if replicate.reused else ""


def _at(record: Any, contract: Contract) -> str:
    """What a running experiment is at, and where."""
    node = record.pending.node if record.pending else ""
    return f"{progress(record, contract)}{f' on {node}' if node else ''}"


def logs(replicates: Iterable[Replicate]) -> Iterable[RenderableType]:
    """The last lines of what failed."""
    for replicate in replicates:
        if replicate.record is not None and replicate.status == FAILED and replicate.record.log:
            yield Text(f"\n{replicate.record.name}: the last lines of its log", style="bold")
            yield Text(replicate.record.log)


def troubles(replicates: Iterable[Replicate]) -> Iterable[Text]:
    """A line for each run that came to its end, and has no result all the same."""
    for replicate in replicates:
        if replicate.status in (UNMEASURED, UNREADABLE):
            yield Text(f"{replicate.name}: {replicate.status}: {replicate.trouble}")


def unread(records: Sequence[GitRecord]) -> Iterable[str]:
    """A line for each of the records that can't be read, and of how many more."""
    for record in records[:MOST]:
        yield f"{record.name}: {UNREADABLE}: {record.reason}"
    if len(records) > MOST:
        yield f"and {len(records) - MOST} more that can't be read"


def summary(replicates: Sequence[Replicate]) -> str:
    """`11 finished, 1 failed`."""
    return ", ".join(f"{number} {status}" for status, number in counts(replicates).items())


def outdated(planner: Planner, replicates: Sequence[Replicate]) -> Iterable[str]:
    """A sentence on the runs that have finished on what HEAD has no longer, where there are any."""
    try:
        study = studies.read(planner.project, planner.design.name)
    except UserError:  # the design is not committed, and nothing of it has run
        return
    new = {(replicate.arm, replicate.seed) for replicate in replicates if not replicate.finished}
    number = sum(each.finished and (each.arm, each.seed) in new for each in study.replicates)
    if number:
        yield (
            f"{number} of them have finished {OUTDATED}, config or data, which HEAD has no longer: "
            f"{typed('lab results')} {planner.design.name} shows those"
        )


def taken_up(planner: Planner, replicates: Sequence[Replicate]) -> Iterable[str]:
    """A sentence on the failed runs that another `lab run` takes up, where there are any."""
    number = sum(map(interrupted, replicates))
    if number:
        again = f"{typed('lab run')} {planner.design.name} takes {'it' if number == 1 else 'them'} up"
        yield f"{number} of them failed for a reason outside, such as lab stop --now: {again}"


def statuses(project: Project) -> dict[str, dict[str, int]]:
    """How many runs of each design stand how, those of others that it reuses among them."""
    project.contract  # noqa: B018, first: without one nothing can have run
    found: dict[str, Counter[str]] = {}
    for study in (*studies.read_all(project), *studies.answered(project)):
        past = outdated_runs(study)
        found[study.design.name] = Counter(
            each.status if (each.arm, each.seed) not in past else OUTDATED if each.finished else MISSING
            for each in study.replicates
        )
    others = [record.status for record in project.records() if record.pending and not record.experiment]
    found["(no design)"] = Counter(others)
    return {design: dict(own) for design, own in found.items() if own}


def overview(project: Project, designs: Mapping[str, Mapping[str, int]]) -> RenderableType:
    """These, and what is running."""
    unreadable = [Text(line) for line in unread(project.unread())]
    if not designs:
        hint = "lab run DESIGN starts those of a design, lab plan DESIGN shows which they are"
        if others := sum(record.status == FINISHED for record in project.records()):
            hint = f"lab plan DESIGN shows which of its runs the {others} finished here answer"
        return Group(Text(typed(f"no run of a design yet: {hint}")), *unreadable)
    known = {status for own in designs.values() for status in own}
    columns = [status for status in (*STATUSES, OUTDATED) if status in ALWAYS or status in known]
    table = Table("design", *columns, box=None, pad_edge=False, header_style="bold")
    for design, own in designs.items():
        table.add_row(Text(design), *(str(own.get(status, "") or "") for status in columns))
    for record in project.records():
        if record.pending and record.status == RUNNING:
            table.add_row(Text(f"  {record.name}"), Text(_at(record, project.contract)))
    return Group(table, *unreadable) if unreadable else table


def answer_of(study: Study, verdict: Verdict) -> Answer:
    """The answer as people and programs are told it."""
    found = answers.answer(study, verdict)
    said = {name: getattr(found, name) for name in ("outcome", "best", "decisive", "caveat")}
    step = f"{found.step.text}{found.step.time}"
    return Answer(**said, sentence=answers.ended(found.sentence), next=step, next_command=typed(found.step.command))


def answered(answer: Answer) -> RenderableType:
    """The answer first: the outcome as a badge, the sentence, and what to do next."""
    first = Text.assemble((answer.outcome, BADGES[answer.outcome.partition(" ")[0]]), f": {answer.sentence}")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    lines = {"Best": answer.best, "Decisive": answer.decisive, "But": answer.caveat, "Next": answer.next}
    for heading, line in lines.items():
        if line:
            table.add_row(heading, Text(line))
    if answer.next_command:
        table.add_row("", Text(answer.next_command, style="cyan"))
    return Group(first, table)
