"""A study: a design, and for each of its arms and seeds the record that answers it.

It is read as the commit has it on which the design ran, so that the same records give the same study on any clone and at
any later time, whatever has become of the design file and of conf/ since.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from statistics import mean
from typing import Any

import pygit2

from lab.design import schema
from lab.design.bayesian import replay
from lab.design.expansion import Levels, arms, is_bayesian
from lab.design.models import Design, SweepDesign, digest
from lab.errors import UserError, nearest
from lab.records import commit as checkout
from lab.records import planning
from lab.records import record as records
from lab.records.record import FAILED, FINISHED, QUEUED, RUNNING, Record

MISSING = "not queued"
MAIN_METRICS = ("mAP50_95", "mAP50", "f1_macro")  # the first that a run has, where the design names none
SHARES = ("f1", "f1_macro", "accuracy", "precision", "recall", "AP50", "AP50_95", "mAP50", "mAP50_95")
SMALLER_IS_BETTER = ("loss", "latency", "size", "seconds", "drop")
ORDER = (MISSING, FAILED, QUEUED, RUNNING, FINISHED)  # a record further on answers better


@dataclass(frozen=True)
class Row:
    """An arm with one of its seeds, and the record that answers it.

    `reused` tells that the record is another design's, with the same config, code and data. `stated` tells that the design
    as it reads was there before: it is in the commit that the run started from.
    """

    arm: str
    levels: Levels
    seed: int
    record: Record | None
    reused: bool = False
    stated: bool = True

    @property
    def status(self) -> str:
        """FINISHED, FAILED, RUNNING, QUEUED or MISSING."""
        return self.record.status if self.record else MISSING

    def value(self, metric: str) -> float | None:
        """A metric of a finished run."""
        return self.record.value(metric) if self.record else None


@dataclass(frozen=True)
class Study:
    """A design with its rows, by arm and then seed, in the design's order.

    `commit` is the baseline: the commit that the runs started from, the last of them where all are other designs'. `path` and `text` are the design's file as HEAD has it,
    so that a design that was changed after its runs shows (`digest` is not theirs); where HEAD has none, as the baseline has.
    """

    root: Path
    design: Design
    commit: str
    path: str
    text: str
    rows: list[Row]

    @property
    def digest(self) -> str:
        """The design's hash, as its runs carry it."""
        return digest(self.design)

    @cached_property
    def arms(self) -> dict[str, list[Row]]:
        """The rows by arm."""
        return {arm: [row for row in self.rows if row.arm == arm] for arm in dict.fromkeys(r.arm for r in self.rows)}

    @property
    def reference(self) -> str | None:
        """The arm that the others are measured against: the one that the design names, or a comparison's first."""
        return self.design.reference or (next(iter(self.arms), None) if self.design.kind == "comparison" else None)

    @property
    def records(self) -> list[Record]:
        """The records that there are."""
        return [row.record for row in self.rows if row.record]

    @property
    def finished(self) -> list[Record]:
        """The records with results."""
        return [record for record in self.records if record.status == FINISHED]

    @property
    def metrics(self) -> list[str]:
        """The metrics that the design is about."""
        return metric_names(self.design, self.records)


def read(root: Path, design: Path | str) -> Study:
    """The study of a design, given by its name or its file.

    Raises:
        UserError: no such design, here or in any record.
    """
    known = records.read(root) if planning.head(root) else []
    name = schema.read(design).name if str(design).endswith(".yaml") else str(design)
    found = _study(root, known, name)
    if found is None:
        here = {path.stem for path in (root / schema.FOLDER).glob("*.yaml")}
        if name in here or str(design).endswith(".yaml"):
            raise UserError(f"{name} is not in git yet, and no run of it is: git add {schema.FOLDER}, and commit")
        names = here | {record.experiment["design"] for record in known if record.experiment}
        raise UserError(f"no design {name} in a commit, and no run of it.{nearest(name, names)}")
    return found


def read_all(root: Path) -> list[Study]:
    """The studies of all designs that have records, in the order of their first ones."""
    known = records.read(root) if planning.head(root) else []
    names = dict.fromkeys(record.experiment["design"] for record in known if record.experiment)
    studies = [_study(root, known, name) for name in names]
    return [study for study in studies if study is not None]


def answered(root: Path) -> list[Study]:
    """The studies of the designs in HEAD that nobody had to run: others' runs have answered them to the end."""
    head = planning.head(root)
    known = records.read(root) if head else []
    own = {record.experiment.get("design") for record in known}
    if head is None or not any(own):
        return []
    code = checkout.commit(root, head).code
    finished = [record for record in known if record.status == FINISHED and record.code == code]
    names = [design.name for design in _committed(root, head) if design.name not in own and _enough(design, finished)]
    studies = [_study(root, known, name) for name in names]
    return [found for found in studies if found and found.rows and all(row.status == FINISHED for row in found.rows)]


def _enough(design: Design, finished: list[Record]) -> bool:
    """Whether as many runs are there as a design has, of its task and with its seeds: to plan it takes a while."""
    alike = [
        record
        for record in finished
        if record.params.get("seed") in design.seeds
        and (design.task is None or record.params.get("task") == design.task)
        and record.reaches(design.target)
    ]
    return len(alike) >= len(design.seeds) * (1 if is_bayesian(design) else len(arms(design)))


def metric_names(design: Design, found: Iterable[Record | None]) -> list[str]:
    """The hypothesis' metric and its guardrails', or where there is none the main one of the stage."""
    if design.hypothesis:
        names = [design.hypothesis.metric, *(guard.metric for guard in design.hypothesis.guardrails)]
        return list(dict.fromkeys(names))
    there = [record for record in found if record]
    names = [f"{design.target}.{name}" for name in MAIN_METRICS]
    return next(([name] for name in names if any(record.value(name) is not None for record in there)), [])


def is_share(metric: str) -> bool:
    """Whether a metric is F1 or its like: between 0 and 1, and the more the better."""
    return metric.rpartition(".")[2].removeprefix("val_") in SHARES and ".drop." not in metric


def minimized(design: Design, metric: str) -> bool:
    """Whether less of a metric makes the better model.

    Never of F1 and its like, also where a design claims that something lowers them. Of others the hypothesis and its
    guardrails tell it; otherwise their name.
    """
    if is_share(metric):
        return False
    if design.hypothesis and design.hypothesis.metric == metric:
        return design.hypothesis.direction == "minimize"
    for guardrail in design.hypothesis.guardrails if design.hypothesis else ():
        if guardrail.metric == metric:
            return guardrail.max_increase is not None
    return any(word in metric for word in SMALLER_IS_BETTER)


def merit(design: Design, metric: str) -> int:
    """1 where more of a metric makes the better model, -1 where less does."""
    return -1 if minimized(design, metric) else 1


def outcomes(design: Design, found: Sequence[Record | None]) -> list[float | None]:
    """The metric of each combination, averaged over its seeds; None where one of them failed.

    `found` are the records of each combination's seeds, one combination after the other.
    """
    names = metric_names(design, found)
    size = len(design.seeds)
    values = [record.value(names[0]) if record and record.status == FINISHED and names else None for record in found]
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    return [mean(value for value in group if value is not None) if None not in group else None for group in groups]


def _study(root: Path, known: list[Record], name: str) -> Study | None:
    """The study of the design called `name`; None where neither HEAD nor the commit of its runs has its file."""
    head = planning.head(root)
    own = [record for record in known if record.experiment.get("design") == name]
    commit = _baseline(root, head, own) if head else None
    if head is None or commit is None:
        return None
    found = _file(root, head, name) or _file(root, commit, name)
    if found is None:
        return None
    path, text, design = found
    own = [record for record in own if record.baseline == commit]
    rows = [
        replace(row, stated=_stated(root, design, row.record)) if row.record else row
        for row in _rows(root, commit, text, design, own, known)
    ]
    if rows and all(row.reused for row in rows):  # HEAD goes on, and what has answered stays where it was
        git = checkout.repository(root)
        commit = max(
            (row.record.baseline for row in rows if row.record),
            key=lambda each: (git[each].peel(pygit2.Commit).commit_time, each),
        )
    return Study(root, design, commit, path, text, rows)


def _stated(root: Path, design: Design, record: Record) -> bool:
    """Whether the commit that a run started from has the design as it reads now: its own runs carry its digest."""
    if record.experiment.get("design") == design.name:
        return record.experiment.get("digest") in (None, digest(design))
    start = checkout.repository(root)[record.baseline].peel(pygit2.Commit)
    if record.commit == record.baseline and start.parents:  # of git's history: its own commit has brought it
        start = start.parents[0]
    found = _file(root, str(start.id), design.name)
    return found is not None and digest(found[2]) == digest(design)


def _baseline(root: Path, head: str, own: list[Record]) -> str:
    """The commit to read a design at: HEAD where it has runs, or none has; else the nearest in its history that has.

    On a branch that lacks them all it is that of the newest run.
    """
    git = checkout.repository(root)
    # A commit with results that no experiment brought is a starting point only where nothing else is known.
    ran = [record for record in own if record.commit != record.baseline] or own
    before = {record.baseline for record in ran if record.baseline in git}
    history = [commit for commit in before if commit == head or git.descendant_of(head, commit)]
    if history:
        return min(history, key=lambda commit: git.ahead_behind(head, commit)[0])
    return ran[-1].baseline if ran else head


@lru_cache(maxsize=10)
def _committed(root: Path, commit: str) -> list[Design]:
    """The designs of a commit, without the files that are none."""
    with tempfile.TemporaryDirectory() as place:
        checkout.commit(root, commit).extract([str(schema.FOLDER)], Path(place))
        found = []
        for path in sorted((Path(place) / schema.FOLDER).glob("*.yaml")):
            with suppress(UserError):
                found.append(schema.read(path))
        return found


@lru_cache(maxsize=1000)
def _file(root: Path, commit: str, name: str) -> tuple[str, str, Design] | None:
    """The path, the text and the content of the design called `name` in a commit."""
    content = checkout.commit(root, commit)
    folder = content.object(str(schema.FOLDER))
    names = [str(entry.name) for entry in folder] if isinstance(folder, pygit2.Tree) else []
    files = sorted((file for file in names if Path(file).suffix == ".yaml"), key=lambda file: Path(file).stem != name)
    for path in (f"{schema.FOLDER}/{file}" for file in files):  # the one that is called so comes first
        with tempfile.TemporaryDirectory() as place:
            content.extract([path], Path(place))
            try:
                design = schema.read(Path(place) / path)
            except UserError:
                continue
        if design.name == name:
            return path, content.text(path), design
    return None


def _rows(root: Path, commit: str, text: str, design: Design, own: list[Record], known: list[Record]) -> list[Row]:
    """Each arm and seed with the design's own best record, or where it has none with another's that is the same run."""
    best: dict[tuple[str, int], Record] = {}
    for record in sorted(own, key=lambda record: ORDER.index(record.status)):
        best[record.experiment["arm"], record.experiment["seed"]] = record

    def rows(trials: list[Levels]) -> list[Row]:
        found = [
            Row(arm.name, arm.levels, seed, best.get((arm.name, seed)))
            for arm in arms(design, trials)
            for seed in design.seeds
        ]
        if all(row.record for row in found):
            return found
        answers = _others(root, commit, design.name, text, trials, known)
        return [row if row.record else Row(row.arm, row.levels, row.seed, *answers(row)) for row in found]

    if not isinstance(design, SweepDesign) or not is_bayesian(design):
        return rows([])

    def results(trials: list[Levels]) -> list[float | None] | None:
        found = [row.record for row in rows(trials)]
        undecided = any(record is None or record.status in (QUEUED, RUNNING) for record in found)
        return None if undecided else outcomes(design, found)

    return rows(replay(design, results))


def _others(
    root: Path, commit: str, name: str, text: str, trials: list[Levels], known: list[Record]
) -> Callable[[Row], tuple[Record | None, bool]]:
    """A function that finds the record of another design that is the same run as a row's."""
    groups = records.by_key([record for record in known if record.status == FINISHED])
    runs = _planned(root, commit, name, text, json.dumps(trials)) if groups else {}

    def answer(row: Row) -> tuple[Record | None, bool]:
        params, target = runs.get((row.arm, row.seed), ({}, ""))
        found = records.answer(groups, root, commit, params, target) if params else None
        return found, found is not None

    return answer


@lru_cache(maxsize=100)
def _planned(
    root: Path, commit: str, name: str, text: str, trials: str
) -> dict[tuple[str, int], tuple[dict[str, Any], str]]:
    """The params and the target of each run that a design has as planned at the commit; empty where it can't be."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        checkout.commit(root, commit).extract(["conf", "dvc.yaml"], place)
        file = place / f"{name}.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            runs = planning.Planner(root, file, place).plan(json.loads(trials)).runs
        except UserError:  # such as a model that it names and that nobody has any more
            return {}
    return {(run.arm, run.seed): (run.params, run.target) for run in runs}
