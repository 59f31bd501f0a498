"""Studies read from git: a design, and for each of its arms and seeds the record that answers it.

A study is read as the commit has it on which the design ran, so that the same records give the same study on any clone
and at any later time, whatever has become of the design file and of conf/ since.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.contract import FILE, Contract
from lab.design import design_file, search
from lab.design.expansion import arms, is_bayesian
from lab.design.models import Design, digest
from lab.design.plan import EPOCHS
from lab.design.questions import needed_metrics
from lab.design.search import Choices
from lab.errors import UserError, nearest
from lab.nested_keys import get
from lab.records import seen
from lab.records.growth import seeds_asked
from lab.records.lacking import lacking
from lab.records.model_refs import resolver
from lab.records.planned import Planned, planned_at
from lab.records.planning import Planner
from lab.records.project import answer
from lab.study import FAILED, FINISHED, ORDER, Baseline, Replicate, Study, outcomes

if TYPE_CHECKING:
    from lab.records.git_record import GitRecord
    from lab.records.project import Project


def check_measured(study: Study) -> None:
    """Raises UserError: what a run has measured is neither in git nor in DVC's cache here, or is damaged there.

    That is, what a verdict rests on: metrics, and what was said of each test item.
    """
    for replicate in study.replicates:
        has_run = replicate.finished or replicate.lacks
        if has_run and (files := replicate.record.content.metrics_elsewhere):
            raise UserError(
                f"the metrics of {replicate.name} are not here: "
                f"{', '.join(files)} is neither in git nor in DVC's cache. "
                "Where it ran they are; declared with cache: false in dvc.yaml, git keeps them"
            )
    project, said = study.project, study.contract.predictions_path(study.stage)
    wanted = {
        out["md5"]: f"{path} of {record.name}"
        for record in study.finished
        for path, out in record.outputs.items()
        if (path == said or path in record.content.pipeline.metrics_files(study.contract, record.params))
        and "md5" in out
        and project.git.object_id(record.commit, path) is None
    }
    project.store.check(wanted)


def read(project: Project, design: Path | str) -> Study:
    """The study of a design, given by its name or its file.

    Raises:
        UserError: no such design, here or in any record.
    """
    is_file = str(design).endswith(".yaml")
    name = design_file.read(design, project.contract).name if is_file else str(design)
    study = _study(project, name)
    if study is None:
        here = {path.stem: path for path in (project.root / design_file.FOLDER).glob("*.yaml")}
        if name in here and not is_file:
            return read(project, here[name])  # whose `name` may be another
        if is_file:
            raise UserError(f"{name} is not in git yet, and no run of it is: git add {design_file.FOLDER}, and commit")
        names = {*here, *_designs_that_ran(project)}
        raise UserError(f"no design {name} in a commit, and no run of it.{nearest(name, names)}")
    return study


def planner(project: Project, path: Path, tree: Path | None = None) -> Planner:
    """What plans a design file; a model of another design's is found in that one's study. Raises UserError."""
    return Planner(project, path, resolver(project, partial(read, project)), tree)


def read_all(project: Project) -> list[Study]:
    """The studies of all designs that have records, in the order of their first ones."""
    studies = (_study(project, name) for name in _designs_that_ran(project))
    return [study for study in studies if study is not None]


def answered(project: Project) -> list[Study]:
    """The studies of the designs in HEAD that nobody had to run: others' runs have answered them to the end."""
    head, ran = project.head, set(_designs_that_ran(project))
    if head is None or not any(record.status == FINISHED for record in project.records()):
        return []
    designs = [design for design in _committed(project, head) if design.name not in ran and _enough(project, design)]
    studies = (_study(project, design.name) for design in designs)
    return [study for study in studies if study and study.replicates and all(r.finished for r in study.replicates)]


def asked(project: Project) -> list[Design]:
    """The designs in HEAD."""
    return _committed(project, project.head) if project.head else []


def _designs_that_ran(project: Project) -> list[str]:
    """The names of the designs that records belong to, in their order."""
    return list(project.by_design())


def _enough(project: Project, design: Design) -> bool:
    """Whether as many runs are there as a design has, of its task, code and seeds: to plan it takes a while."""
    contract = project.contract
    is_searching = is_bayesian(design) or bool(search.metrics(design, contract))
    alike = [
        record
        for record in project.on_code_of(str(project.head), contract.types[design.type])
        if (not contract.seeds or record.content.brief.seed in design.seeds)
        and (design.task is None or record.content.brief.task == design.task)
    ]
    return len(alike) >= design.first_seeds * (1 if is_searching else len(arms(design)))


def _study(project: Project, name: str) -> Study | None:
    """The study of the design called `name`; None where neither HEAD nor the commit of its runs has its file."""
    head, git = project.head, project.git
    if head is None:
        return None
    own = project.by_design().get(name, [])
    commit = _baseline(project, head, own)
    file = _file(project, head, name) or _file(project, commit, name)
    if file is None:
        return None
    path, text, design = file
    contract = project.contract_at(commit)
    if contract is not project.contract_at(head):  # what is claimed, too, is by the contract of that time
        with suppress(UserError):
            design = design_file.parse_text(text, path, contract)
    asked = digest(design)
    own = [record for record in own if record.baseline == commit]
    found, choices = _replicates(project, commit, text, design, contract, own)
    replicates = [
        replace(each, stated=False) if each.record and not _stated(project, design.name, asked, each.record) else each
        for each in found
    ]
    replicates = seen.marked(
        project, design, contract, replicates, lambda record: _stated(project, design.name, asked, record)
    )
    if replicates and all(each.reused for each in replicates):  # HEAD goes on, and what has answered stays where it was
        baselines = {each.record.baseline for each in replicates if each.record}
        commit = max(baselines, key=lambda baseline: (git.time(baseline), baseline))
    baseline = Baseline(project.commit(commit).params, git.day(commit), git.author(commit))
    return Study(design, contract, commit, path, text, replicates, baseline, project, choices)


def _stated(project: Project, name: str, asked: str, record: GitRecord) -> bool:
    """Whether the commit that a run started from has a design as it reads now: its own runs carry its digest."""
    if record.experiment.get("design") == name:
        return record.experiment.get("digest") in (None, asked)
    start = record.baseline
    if record.commit == record.baseline:  # of git's history: its own commit has brought it
        start = next(iter(project.git.parents(start)), start)
    file = _file(project, start, name)
    return file is not None and digest(file[2]) == asked


def _baseline(project: Project, head: str, own: Sequence[GitRecord]) -> str:
    """The commit to read a design at: HEAD where it has runs, or none has; else the nearest in its history that has.

    On a branch that lacks them all it is that of the newest run.
    """
    git = project.git
    # A commit with results that no experiment brought is a starting point only where nothing else is known.
    ran = [record for record in own if record.commit != record.baseline] or own
    before = {record.baseline for record in ran if record.baseline in git}
    history = [commit for commit in before if git.is_ancestor(commit, head)]
    if history:
        return min(history, key=lambda commit: git.ahead_behind(head, commit)[0])
    return ran[-1].baseline if ran else head


def _committed(project: Project, commit: str) -> list[Design]:
    """The designs of a commit, without the files that are none."""
    key = ("designs", project.git.object_id(commit, str(design_file.FOLDER)))
    if key not in project.cache:
        with tempfile.TemporaryDirectory() as place:
            project.git.extract(commit, [str(design_file.FOLDER)], Path(place))
            designs = []
            for path in sorted((Path(place) / design_file.FOLDER).glob("*.yaml")):
                with suppress(UserError):
                    designs.append(design_file.read(path, project.contract_at(commit)))
        project.cache[key] = designs
    return project.cache[key]


def _file(project: Project, commit: str, name: str) -> tuple[str, str, Design] | None:
    """The path, the text and the content of the design called `name` in a commit."""
    git = project.git
    key = ("design", git.object_id(commit, str(design_file.FOLDER)), git.object_id(commit, FILE), name)
    if key not in project.cache:
        project.cache[key] = _find_file(project, commit, name)
    return project.cache[key]


def _find_file(project: Project, commit: str, name: str) -> tuple[str, str, Design] | None:
    names = [file for file in project.git.names(commit, str(design_file.FOLDER)) if file.endswith(".yaml")]
    for file in sorted(names, key=lambda file: Path(file).stem != name):  # the one that is called so comes first
        path = f"{design_file.FOLDER}/{file}"
        text = project.git.text(commit, path)
        try:
            design = design_file.parse_text(text, path, project.contract_at(commit))
        except UserError:
            continue
        if design.name == name:
            return path, text, design
    return None


def _replicates(
    project: Project, commit: str, text: str, design: Design, contract: Contract, own: Sequence[GitRecord]
) -> tuple[list[Replicate], Choices]:
    """Each arm and seed with the design's own best record, or where it has none with another's that is the same run.

    Of a search that is over those of the arms that went on have gone to the end; and what was decided.
    """
    stage, is_search = contract.types[design.type], bool(search.metrics(design, contract))
    best: dict[tuple[Any, ...], GitRecord] = {}
    for record in sorted(own, key=lambda record: ORDER.index(record.status)):
        block = record.experiment
        for to_the_end in {False, is_search and record.reaches(stage)}:
            best[block.get("arm"), block.get("seed"), block.get(EPOCHS), to_the_end] = record

    def of(choices: Choices) -> list[Replicate]:
        went_on, stopped, asked = choices.finalists or (), choices.stopped or {}, choices.asked or {}
        replicates = [
            Replicate(
                arm.name,
                arm.levels,
                seed,
                best.get((arm.name, seed, stopped.get(arm.name), arm.name in went_on)),
                stopped=choices.finalists is not None and arm.name in stopped,
            )
            for arm in arms(design, choices.trials)
            for seed in design.seeds[: asked.get(arm.name, design.first_seeds)]
        ]
        if any(each.is_to_come for each in replicates):
            others = _others(project, commit, design.name, text, choices)
            replicates = [replace(each, **others(each)) if each.is_to_come else each for each in replicates]
        needs = {goes_on: needed_metrics(design, contract, is_search and not goes_on) for goes_on in (True, False)}
        return [replace(each, lacks=lacking(each.record, needs[each.arm in went_on])) for each in replicates]

    if design.growth:
        grown = seeds_asked(project, design, contract, commit, own, lambda asked: of(Choices(asked=asked)))
        return of(choices := Choices(asked=grown)), choices

    def results(choices: Choices) -> list[float | None] | None:
        records = [each.record for each in of(choices)]
        undecided = any(record is None or record.status not in (FINISHED, FAILED) for record in records)
        return None if undecided else outcomes(design, contract, records)

    def epochs() -> int:
        runs, key = (
            _planned(project, commit, design.name, text, Choices()),
            contract.curves and contract.curves.epochs,
        )
        return next((known for run in runs.values() if key and isinstance(known := get(run.params, key), int)), 1)

    choices = search.decided(design, contract, results, project.remember, epochs)
    return of(choices), choices


def _others(
    project: Project, commit: str, name: str, text: str, choices: Choices
) -> Callable[[Replicate], dict[str, Any]]:
    """A function that finds the record of another design that is the same run as a replicate's.

    Where there is none it finds the design's own, called so, of which no more can be read than its name.
    """
    finished = project.finished_by_key()
    nameless = {record.name: record for record in project.unread() if record.baseline == commit and not record.block}
    runs = _planned(project, commit, name, text, choices) if finished or nameless else {}

    def find(replicate: Replicate) -> dict[str, Any]:
        run = runs.get((replicate.arm, replicate.seed))
        if run is None:
            return {}
        record = answer(project, finished, run.key, run.params, run.stage, commit) if run.key in finished else None
        return {"record": record or nameless.get(run.name) or replicate.record, "reused": record is not None}

    return find


def planned(study: Study) -> dict[tuple[str, int], dict[str, Any]]:
    """The params of each run by arm and seed, as the design was planned on the study's commit: by its text there.

    Empty where nobody can plan it any more, such as one that was written after its runs.
    """
    project, name = study.project, study.design.name
    file = _file(project, study.commit, name)
    text = file[1] if file else study.text
    runs = _planned(project, study.commit, name, text, study.choices)
    return {key: run.params for key, run in runs.items()}


def _planned(project: Project, commit: str, name: str, text: str, choices: Choices) -> dict[tuple[str, int], Planned]:
    """Each run that a design has as planned at the commit, by arm and seed; empty where it can't be."""
    written = _file(project, commit, name)
    resolve = resolver(project, partial(read, project))
    return planned_at(project, commit, name, text, written[0] if written else None, resolve, choices)
