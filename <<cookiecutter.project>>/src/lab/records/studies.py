"""Studies read from git: a design, and for each of its arms and seeds the record that answers it.

A study is read as the commit has it on which the design ran, so that the same records give the same study on any clone
and at any later time, whatever has become of the design file and of conf/ since.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.contract import FILE, Contract
from lab.design import design_file
from lab.design.bayesian import replay
from lab.design.compose import config_folder
from lab.design.expansion import Levels, arms, is_bayesian
from lab.design.models import Design, SweepDesign, digest
from lab.design.plan import run_key
from lab.design.questions import needed_metrics
from lab.errors import UserError, nearest
from lab.records import seen
from lab.records.growth import seeds_asked
from lab.records.lacking import lacking
from lab.records.model_refs import resolver
from lab.records.planning import Planner
from lab.records.project import answer
from lab.study import FAILED, FINISHED, ORDER, Baseline, Replicate, Study, outcomes

if TYPE_CHECKING:
    from lab.design.model_refs import Resolve
    from lab.records.git_record import GitRecord
    from lab.records.project import Project


def pipeline_files(project: Project) -> tuple[str, ...]:
    """What a plan is made of, beside its design."""
    return (config_folder(project.root), ".dvc/config", "dvc.yaml", "params.yaml", FILE)


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
        here = {path.stem for path in (project.root / design_file.FOLDER).glob("*.yaml")}
        if name in here or is_file:
            raise UserError(f"{name} is not in git yet, and no run of it is: git add {design_file.FOLDER}, and commit")
        names = here | set(_designs_that_ran(project))
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
    alike = [
        record
        for record in project.on_code_of(str(project.head), contract.types[design.type])
        if (not contract.seeds or record.content.brief.seed in design.seeds)
        and (design.task is None or record.content.brief.task == design.task)
    ]
    return len(alike) >= design.first_seeds * (1 if is_bayesian(design) else len(arms(design)))


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
    replicates = [
        replace(each, stated=False) if each.record and not _stated(project, design.name, asked, each.record) else each
        for each in _replicates(project, commit, text, design, contract, own)
    ]
    replicates = seen.marked(
        project, design, contract, replicates, lambda record: _stated(project, design.name, asked, record)
    )
    if replicates and all(each.reused for each in replicates):  # HEAD goes on, and what has answered stays where it was
        baselines = {each.record.baseline for each in replicates if each.record}
        commit = max(baselines, key=lambda baseline: (git.time(baseline), baseline))
    baseline = Baseline(project.commit(commit).params, git.day(commit), git.author(commit))
    return Study(design, contract, commit, path, text, replicates, baseline, project)


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
) -> list[Replicate]:
    """Each arm and seed with the design's own best record, or where it has none with another's that is the same run."""
    needs = needed_metrics(design, contract)
    best: dict[tuple[Any, Any], GitRecord] = {}
    for record in sorted(own, key=lambda record: ORDER.index(record.status)):
        best[record.experiment.get("arm"), record.experiment.get("seed")] = record

    def of(trials: list[Levels], asked: Mapping[str, int] | None = None) -> list[Replicate]:
        replicates = [
            Replicate(arm.name, arm.levels, seed, best.get((arm.name, seed)))
            for arm in arms(design, trials)
            for seed in design.seeds[: (asked or {}).get(arm.name, design.first_seeds)]
        ]
        if any(each.is_to_come for each in replicates):
            others = _others(project, commit, design.name, text, trials)
            replicates = [replace(each, **others(each)) if each.is_to_come else each for each in replicates]
        return [replace(each, lacks=lacking(each.record, needs)) for each in replicates]

    if design.growth:
        return of([], seeds_asked(project, design, contract, commit, own, partial(of, [])))
    if not isinstance(design, SweepDesign) or not is_bayesian(design):
        return of([])

    def results(trials: list[Levels]) -> list[float | None] | None:
        records = [each.record for each in of(trials)]
        undecided = any(record is None or record.status not in (FINISHED, FAILED) for record in records)
        return None if undecided else outcomes(design, contract, records)

    return of(replay(design, contract, results, project.remember))


def _others(
    project: Project, commit: str, name: str, text: str, trials: list[Levels]
) -> Callable[[Replicate], dict[str, Any]]:
    """A function that finds the record of another design that is the same run as a replicate's.

    Where there is none it finds the design's own, called so, of which no more can be read than its name.
    """
    finished = project.finished_by_key()
    nameless = {record.name: record for record in project.unread() if record.baseline == commit and not record.block}
    runs = _planned(project, commit, name, text, trials) if finished or nameless else {}

    def find(replicate: Replicate) -> dict[str, Any]:
        run = runs.get((replicate.arm, replicate.seed))
        if run is None:
            return {}
        record = answer(project, finished, run_key(run.params), run.params, run.stage, commit)
        return {"record": record or nameless.get(run.name) or replicate.record, "reused": record is not None}

    return find


def planned(study: Study) -> dict[tuple[str, int], dict[str, Any]]:
    """The params of each run by arm and seed, as the design was planned on the study's commit: by its text there.

    Empty where nobody can plan it any more, such as one that was written after its runs.
    """
    project, name = study.project, study.design.name
    file = _file(project, study.commit, name)
    text = file[1] if file else study.text
    trials = [replicates[0].levels for replicates in study.arms.values()] if is_bayesian(study.design) else []
    runs = _planned(project, study.commit, name, text, trials)
    return {key: run.params for key, run in runs.items()}


class Planned(NamedTuple):
    """A run as it was planned: its params, the stage that it ends with, and what its experiment is called."""

    params: dict[str, Any]
    stage: str
    name: str


def _planned(
    project: Project, commit: str, name: str, text: str, trials: list[Levels]
) -> dict[tuple[str, int], Planned]:
    """Each run that a design has as planned at the commit, by arm and seed; empty where it can't be."""
    files = pipeline_files(project)
    ids = [project.git.object_id(commit, path) for path in files]
    key = json.dumps(["planned", ids, name, text, trials])
    if key not in project.cache:
        resolve, known = resolver(project, partial(read, project)), project.kept.get("planned", key)
        if known is None or any(_resolved(resolve, model, seed) != rev for model, seed, rev in known["models"]):
            known = _plan(project, commit, name, text, trials, resolve)
            project.kept.put("planned", key, known)
        project.cache[key] = {(arm, seed): Planned(*run) for arm, seed, *run in known["runs"]}
    return project.cache[key]


def _plan(
    project: Project, commit: str, name: str, text: str, trials: list[Levels], resolve: Resolve
) -> dict[str, Any]:
    """The arm, seed, params and stage of each run, and which commits were taken for the models that it names."""
    models: list[tuple[str, int, str | None]] = []

    def noted(model: str, seed: int) -> str:
        models.append((model, seed, _resolved(resolve, model, seed)))
        return resolve(model, seed)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        project.git.extract(commit, pipeline_files(project), place)
        file = place / f"{name}.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            planner = Planner(project, file, noted, place)
            written = _file(project, commit, name)
            day = project.git.last_change(project.root / written[0], commit) if written else ""
            planner.date = day or planner.date
            runs = planner.plan(trials, planner.all_seeds(trials)).runs
        except UserError:  # such as a model that it names and that nobody has any more
            runs = []
    return {
        "runs": [[run.arm, run.seed, run.params, run.target, run.name] for run in runs],
        "models": [list(model) for model in models],
    }


def _resolved(resolve: Resolve, model: str, seed: int) -> str | None:
    """The commit that a model's name stands for now; None where it stands for none."""
    try:
        return resolve(model, seed)
    except UserError:
        return None
