"""A study's plain types: a design, and for each of its arms and seeds the record that answers it. No git, no files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lab.contract import Contract, Metric
from lab.design import search
from lab.design.models import Design, digest
from lab.design.questions import question_of
from lab.design.search import Choices

if TYPE_CHECKING:
    from lab.contract.reports import Question
    from lab.design.expansion import Levels
    from lab.design.plan import Run

FINISHED, FAILED, QUEUED, RUNNING, MISSING = "finished", "failed", "queued", "running", "not queued"
UNMEASURED, UNREADABLE, REMOVED = "without metric", "unreadable", "removed"
ORDER = (MISSING, REMOVED, FAILED, UNREADABLE, QUEUED, RUNNING, FINISHED)  # a record further on answers better
STATUSES = (FINISHED, UNMEASURED, RUNNING, QUEUED, FAILED, UNREADABLE, REMOVED, MISSING)  # as people are told

OVER_TIME = "ended by the time limit of its design"  # in the log of a run
# A stage's exit codes by SIGHUP, SIGINT, SIGKILL and SIGTERM, as Python and shells tell them.
KILLED = {code for signal in (1, 2, 9, 15) for code in (-signal, 128 + signal)}


class Point(NamedTuple):
    """A value of a curve: after which epoch, counted from 0, and when it ended."""

    step: int
    time: datetime
    value: float


class Record(Protocol):
    """A run as git knows it, or as the backend does before it has finished."""

    @property
    def name(self) -> str: ...
    @property
    def commit(self) -> str: ...
    @property
    def baseline(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def params(self) -> dict[str, Any]: ...
    @property
    def experiment(self) -> dict[str, Any]: ...
    @property
    def key(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def data(self) -> str | None: ...
    @property
    def metrics(self) -> dict[str, dict[str, Any]]: ...
    @property
    def effective(self) -> dict[str, dict[str, Any]]: ...
    @property
    def outputs(self) -> dict[str, dict[str, Any]]: ...
    @property
    def curves(self) -> dict[str, list[Point]]: ...
    @property
    def seconds(self) -> dict[str, float]: ...
    @property
    def started(self) -> datetime | None: ...
    @property
    def ended(self) -> datetime | None: ...
    @property
    def reason(self) -> str: ...
    def value(self, metric: str) -> float | None: ...
    def reaches(self, stage: str) -> bool: ...
    def text(self, path: str) -> str: ...


@dataclass(frozen=True)
class Replicate:
    """An arm with one of its seeds, and the record that answers it; None where nothing does.

    Attributes:
        reused: the record is another design's, or of another day, with the same config, code and data.
        stated: the design as it reads was there before: it is in the commit that the run started from.
        seen: a run that came to the same, or had to, before the design was there as it reads; empty without one.
        superseded: finished runs of the design with this arm and seed, whose place this one has taken.
        run: what the plan says of it, where there is a plan.
        lacks: what a finished run should have measured and has not, and where to look; empty where it has all.
        stopped: it was ended early, since others did better by then: it is no result of its arm.
    """

    arm: str
    levels: Levels
    seed: int
    record: Any = None  # a Record, typed loosely: a test's own have what it needs
    reused: bool = False
    stated: bool = True
    seen: str = ""
    superseded: tuple[Any, ...] = ()
    run: Run | None = None
    lacks: str = ""
    stopped: bool = False

    @property
    def status(self) -> str:
        """One of STATUSES."""
        if self.record is None:
            return MISSING
        return UNMEASURED if self.lacks and self.record.status == FINISHED else self.record.status

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it by itself: it has results, failed, or has not measured what it should."""
        return self.status in (FINISHED, UNMEASURED, FAILED)

    @property
    def is_to_come(self) -> bool:
        """Whether nothing is there of it, so that the next `lab run` carries it out."""
        return self.status in (MISSING, REMOVED)

    @property
    def trouble(self) -> str:
        """Why it has no result, in a line; empty where it has one, or is still to come."""
        return self.lacks or (self.record.reason if self.record else "")

    @property
    def finished(self) -> bool:
        """Whether it has results."""
        return self.status == FINISHED

    @property
    def active(self) -> bool:
        """Whether it is queued or running."""
        return self.status in (QUEUED, RUNNING)

    @property
    def name(self) -> str:
        """What its experiment is called, or will be."""
        return self.record.name if self.record else self.run.name if self.run else ""

    def value(self, metric: str) -> float | None:
        """A metric of a finished run."""
        return self.record.value(metric) if self.record else None


@dataclass(frozen=True)
class Examples:
    """What was said of each test item: a table a run, by arm and seed, and what makes a metric of such a table.

    `scorer` takes a table (a row an item) and a metric's name, and gives a function of weights (items, b), how often
    each item counts, to the metric's values (b,); None for a metric that the items don't tell.
    """

    frames: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    scorer: Callable[[Any, str], Callable[[Any], Any] | None] = lambda frame, metric: None


@dataclass(frozen=True)
class Baseline:
    """What is known of the commit that runs started from: its params, its day (YYYY-MM-DD) and its author."""

    params: dict[str, Any] = field(default_factory=dict)
    day: str = ""
    author: str = ""


@dataclass(frozen=True)
class Study:
    """A design with its replicates, by arm and then seed, in the design's order.

    Attributes:
        design: the question.
        contract: that of the commit which the runs started from: what a metric means is not changed afterwards.
        commit: the baseline: the commit that the runs started from, the last of them where all are other designs'.
        path, text: the design's file as HEAD has it, so that a design that was changed after its runs shows (`digest`
            is not theirs); where HEAD has none, as the baseline has.
        replicates: each arm with each seed.
        baseline: what is known of the baseline.
        project: where the records come from; for those who need their files.
        choices: what its records have decided so far, of a sweep that goes by what comes out.
    """

    design: Design
    contract: Contract
    commit: str
    path: str
    text: str
    replicates: list[Replicate]
    baseline: Baseline = Baseline()
    project: Any = None
    choices: Choices = Choices()

    @property
    def digest(self) -> str:
        """The design's hash, as its runs carry it."""
        return digest(self.design)

    @property
    def seeds(self) -> list[int]:
        """The seeds that any arm has been asked for, in the design's order."""
        asked = {replicate.seed for replicate in self.replicates}
        return [seed for seed in self.design.seeds if seed in asked]

    @property
    def over_seeds(self) -> str:
        """How many seeds the arms have finished with: `3 seeds`, `9 to 10 seeds`; empty where none has two."""
        counts = {sum(replicate.finished for replicate in replicates) for replicates in self.arms.values()} - {0}
        least, most = min(counts, default=0), max(counts, default=0)
        if most < 2:
            return ""
        return f"{most} seeds" if least == most else f"{least} to {most} seeds"

    @property
    def stage(self) -> str:
        """The stage of dvc.yaml that answers the question."""
        return self.contract.types[self.design.type]

    @cached_property
    def arms(self) -> dict[str, list[Replicate]]:
        """The replicates by arm: of a search that is over, those of the arms that are compared."""
        went_on = self.finalists or ()
        return {arm: replicates for arm, replicates in self.searched.items() if not went_on or arm in went_on}

    @cached_property
    def searched(self) -> dict[str, list[Replicate]]:
        """The replicates by arm, of a search also those of the arms that are not compared; none that was stopped."""
        arms: dict[str, list[Replicate]] = {}
        for replicate in self.replicates:
            if not replicate.stopped:
                arms.setdefault(replicate.arm, []).append(replicate)
        return arms

    @property
    def finalists(self) -> Sequence[str] | None:
        """Of a search that is over, the arms that went on to the stage that answers; None of all others."""
        return self.choices.finalists

    @property
    def searched_by(self) -> str | None:
        """The metric that a search goes by, the first that was measured; None for a design that is none."""
        names = search.metrics(self.design, self.contract)
        return next((name for name in names if any(record.value(name) is not None for record in self.finished)), None)

    @property
    def reference(self) -> str | None:
        """The arm that the others are measured against: the one that the design names, or a comparison's first."""
        return self.design.reference or (next(iter(self.arms), None) if self.design.kind == "comparison" else None)

    @property
    def records(self) -> list[Any]:
        """The records that there are."""
        return [replicate.record for replicate in self.replicates if replicate.record]

    @property
    def ended(self) -> list[Any]:
        """The records of runs that came to their end: those with results, and those that are without metric."""
        return [each.record for each in self.replicates if each.record and each.record.status == FINISHED]

    @property
    def finished(self) -> list[Any]:
        """The records with results."""
        return [replicate.record for replicate in self.replicates if replicate.finished]

    @property
    def metrics(self) -> list[str]:
        """The metrics that the design is about."""
        return metric_names(self.design, self.contract, self.records)

    @property
    def question(self) -> Question:
        """What is asked, as the contract sees it, and by which figures and metrics it is answered."""
        return question_of(self.design, self.contract)

    def metric(self, name: str) -> Metric:
        """What the contract says of a metric."""
        return self.contract.metric(name)

    def minimized(self, metric: str) -> bool:
        """Whether less of a metric makes the better model."""
        return minimized(self.design, self.contract, metric)

    def merit(self, metric: str) -> int:
        """1 where more of a metric makes the better model, -1 where less does."""
        return -1 if self.minimized(metric) else 1

    def values(self, arm: str | None, metric: str | None) -> dict[int, float]:
        """A metric of an arm's finished runs by seed, where it is a number."""
        return measured(self.arms.get(arm or "", []), metric)


def measured(replicates: Sequence[Replicate], metric: str | None) -> dict[int, float]:
    """A metric of the finished runs by seed, where it is a finite number."""
    values = {each.seed: each.value(metric) for each in replicates if metric and each.finished}
    return {seed: value for seed, value in values.items() if value is not None and math.isfinite(value)}


def metric_names(design: Design, contract: Contract, records: Sequence[Any]) -> list[str]:
    """The hypothesis' metric and its guardrails', or where there is none the main one that was measured."""
    if design.hypothesis:
        names = [design.hypothesis.metric, *(guard.metric for guard in design.hypothesis.guardrails)]
        return list(dict.fromkeys(names))
    known = [record for record in records if record]
    names = contract.main_metrics(contract.types[design.type])
    return next(([name] for name in names if any(record.value(name) is not None for record in known)), [])


def minimized(design: Design, contract: Contract, metric: str) -> bool:
    """Whether less of a metric makes the better model: as the contract says, also where a design claims otherwise.

    Of a metric that the contract doesn't know the hypothesis or its guardrail tells; nothing is guessed from a name.
    """
    direction = contract.metric(metric).direction
    if direction is not None:
        return direction == "minimize"
    hypothesis = design.hypothesis
    if hypothesis and hypothesis.metric == metric:
        return hypothesis.direction == "minimize"
    for guardrail in hypothesis.guardrails if hypothesis else ():
        if guardrail.metric == metric:
            return guardrail.max_increase is not None
    return False


def outcomes(design: Design, contract: Contract, records: Sequence[Any]) -> list[float | None]:
    """What a sweep goes by of each combination, averaged over its seeds; None where one of them failed.

    `records` are those of each combination's seeds, one combination after the other.
    """
    there = [record for record in records if record]
    twins = search.metrics(design, contract)
    names = [name for name in twins if any(record.value(name) is not None for record in there)]
    names = names or ([] if twins else metric_names(design, contract, records))
    size = len(design.seeds)
    finished = (record if record and record.status == FINISHED else None for record in records)
    measured = (record.value(names[0]) if record and names else None for record in finished)
    values = [value if value is not None and math.isfinite(value) else None for value in measured]
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    return [sum(v for v in group if v is not None) / size if None not in group else None for group in groups]


def counts(replicates: Sequence[Replicate]) -> Mapping[str, int]:
    """How many runs stand how, without the zeros."""
    statuses = [replicate.status for replicate in replicates]
    return {status: statuses.count(status) for status in STATUSES if status in statuses}
