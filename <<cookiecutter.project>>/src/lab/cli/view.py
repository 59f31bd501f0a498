"""What a person sees of a plan's runs: while they go on, and when they have ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from statistics import mean
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab.analysis import answer as answers
from lab.analysis.decisions import EQUIVALENT, INCONCLUSIVE, INVALID, REFUTED, SUPPORTED, UNDERPOWERED
from lab.cli import terminal
from lab.cli.app import typed
from lab.cli.output import Answer, Run
from lab.decimals import decimals, written
from lab.design import search
from lab.errors import UserError
from lab.execution.standings import outdated_runs, progress
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
    counts,
    metric_names,
)

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract import Contract
    from lab.design.models import Design
    from lab.records.git_record import GitRecord
    from lab.records.planning import Planner
    from lab.records.project import Project
    from lab.study import Study

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


def results(design: Design, contract: Contract, replicates: Sequence[Replicate]) -> Table:
    """The table of a plan's runs: what came out, what failed and why, what is still to come."""
    names = metric_names(design, contract, [replicate.record for replicate in replicates])
    names = [*dict.fromkeys([*search.metrics(design, contract), *names])]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("arm", "seed", "status", *names, "note", "run"):
        table.add_column(column, justify="right" if column in ("seed", *names) else "left", overflow="fold")
    places = [decimals(replicate.value(name) for replicate in replicates) for name in names]
    for replicate in replicates:
        values = [replicate.value(name) for name in names]
        table.add_row(
            Text(replicate.arm),
            str(replicate.seed),
            Text(replicate.status, style=STYLES[replicate.status]),
            *("" if value is None else written(value, of) for value, of in zip(values, places, strict=True)),
            Text(_note(replicate, contract)),
            Text(replicate.name),
        )
    return table


def run_of(replicate: Replicate, metrics: Iterable[str]) -> Run:
    """The same of one run, for programs."""
    return Run(
        arm=replicate.arm,
        seed=replicate.seed,
        status=replicate.status,
        experiment=replicate.record.name if replicate.record else None,
        reused=replicate.reused,
        metrics={name: replicate.value(name) for name in metrics},
        trouble=replicate.trouble,
    )


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
    said = {name: getattr(found, name) for name in ("outcome", "best", "decisive")}
    step = f"{found.step.text}{found.step.time}"
    return Answer(**said, sentence=answers.ended(found.sentence), next=step, next_command=typed(found.step.command))


def answered(answer: Answer) -> RenderableType:
    """The answer first: the outcome as a badge, the sentence, and what to do next."""
    first = Text.assemble((answer.outcome, BADGES[answer.outcome.partition(" ")[0]]), f": {answer.sentence}")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for heading, line in (("Best", answer.best), ("Decisive", answer.decisive), ("Next", answer.next)):
        if line:
            table.add_row(heading, Text(line))
    if answer.next_command:
        table.add_row("", Text(answer.next_command, style="cyan"))
    return Group(first, table)


# While they go on


class Watch:
    """The live view of `lab run`: a table of what is running on a terminal, a line for each change elsewhere."""

    def __init__(self, place: Console, contract: Contract, jobs: int | None):
        self.console, self.contract, self.jobs = place, contract, jobs
        self.live = Live(console=place, transient=True, auto_refresh=False)
        self.began = time.monotonic()
        self.before: dict[str, str] = {}
        self.at_first = 0  # how many were finished when the watch began

    def __enter__(self) -> Watch:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def __call__(self, replicates: list[Replicate]) -> None:
        """Show how the runs stand now."""
        now = {_name(replicate): replicate for replicate in replicates}
        if not self.before:
            self.at_first = sum(not replicate.active for replicate in replicates)
        changed = [name for name, replicate in now.items() if self.before.get(name) not in (None, replicate.status)]
        self.before = {name: replicate.status for name, replicate in now.items()}
        if self.console.is_terminal:
            self.live.update(Group(*self._lines(replicates)), refresh=True)
            return
        for name in changed:
            note = now[name].trouble
            self.console.print(Text(f"{name}: {now[name].status}{f' ({note})' if note else ''}"), soft_wrap=True)

    def say(self, sentence: str) -> None:
        """Print a sentence above what is shown."""
        self.console.print(Text(sentence), soft_wrap=True)

    def _lines(self, replicates: list[Replicate]) -> Iterable[RenderableType]:
        """The running experiments, then how many runs stand how, wave by wave, and when it will be over."""
        table = Table(box=None, show_header=False)
        for fixed in (False, True, True):  # where the terminal is narrow, the arm's name alone is wrapped
            table.add_column(no_wrap=fixed)
        for replicate in replicates:
            if replicate.record is not None and replicate.status == RUNNING:
                arm = Text(replicate.arm, style="cyan", overflow="fold")
                table.add_row(arm, f"seed {replicate.seed}", Text(_at(replicate.record, self.contract)))
        yield table
        waves: dict[int, list[Replicate]] = {}
        for replicate in replicates:
            waves.setdefault(replicate.run.wave if replicate.run else 0, []).append(replicate)
        for wave in sorted(waves):
            label = f"wave {wave + 1}/{len(waves)}: " if len(waves) > 1 else ""
            yield Text(label + summary(waves[wave]))
        yield Text(f"{self._elapsed()} so far{self._remaining(replicates)}", style="dim")

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=int(time.monotonic() - self.began))

    def _remaining(self, replicates: list[Replicate]) -> str:
        """By the pace of this session, or before its first result by how long such runs took."""
        over = sum(not replicate.active for replicate in replicates)
        left = len(replicates) - over
        if over > self.at_first:
            seconds = (time.monotonic() - self.began) / (over - self.at_first) * left
        else:
            known = [sum(each.record.seconds.values()) for each in replicates if each.record and each.finished]
            if not known:
                return ""
            at_once = self.jobs or max(1, sum(each.status == RUNNING for each in replicates))
            seconds = mean(known) * left / at_once
        return f", about {timedelta(seconds=int(seconds))} to go"


def _name(replicate: Replicate) -> str:
    """What a run is called in its plan, whichever record answers it."""
    return replicate.run.name if replicate.run else replicate.name
