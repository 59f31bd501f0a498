"""What the pre-flight needs to know of git, the records, the data and the environment."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from dotenv import dotenv_values

from lab import nested_keys, yaml12
from lab.analysis import planning
from lab.analysis.estimates import BOTH, difference
from lab.contract import hooks
from lab.design import contract_check, design_file
from lab.design.contract_check import Mistake
from lab.design.plan import MEMBERSHIP
from lab.design.preflight import COUNTED, ITEMS, SEEDS, Inputs
from lab.design.promise import Spread
from lab.errors import UserError
from lab.execution.stage_imports import missing_packages
from lab.execution.standings import standings
from lab.execution.work_tree import ready
from lab.records import per_item, studies
from lab.records.commit import LOCK
from lab.study import FINISHED, Replicate, Study

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.models import Design
    from lab.design.pipeline import Pipeline
    from lab.design.plan import Plan
    from lab.records.git_record import GitRecord
    from lab.records.planning import Planner
    from lab.records.project import Project

LATEST = 20  # runs whose tables are looked for: reading what thousands have made takes seconds
OLDEST_DVC = (3, 50)  # that runs were carried out with
OLDEST_MLFLOW = (2, 9)  # a server's: aliases of models, and searches for tags that are absent
PATIENCE = 3.0  # seconds for a server to tell its version
MOST_SETTINGS = 3  # of a baseline's, told where they are not the design's


def gather(planner: Planner, plan: Plan | None, resources: str = "", jobs: int = 1, here: bool = False) -> Inputs:
    """What a design file's checklist asks for; `plan` is None where there is none, the others as in Inputs."""
    project, contract, design, path = planner.project, planner.contract, planner.design, planner.path
    head = project.head
    stage = contract.types[design.type]
    task = design.task or contract.task_of(planner.composer.compose([]))
    alike = similar(project, stage, task) if head else []
    measured = baselines(project, alike, stage, task) if head else {}
    metric = design.hypothesis.metric if design.hypothesis else ""
    replicates = standings(project, plan.runs) if plan is not None and head else []
    values, whose = noise(contract, replicates, measured, metric)
    shown, unfit = tracking(project.root)
    found = list(mismatches(planner, plan, alike)) if plan is not None and head else []
    spread = None
    try:
        spread = pairs(planner, replicates, metric)
    except UserError as error:  # of the project's own functions, at what its runs have said
        if not listed(found, blocks=True):  # a broken module is told there
            found.append(Mistake(str(error), True))
    return Inputs(
        path=str(path),
        contract=contract,
        task=task,
        git=unready(project),
        committed=bool(head) and project.git.is_committed(path),
        secrets=secrets(project) if head else "",
        tracking=shown,
        old_server=unfit,
        settings=planner.unusable(plan) if plan is not None else "",
        mismatch=listed(found, blocks=True),
        untold=listed(found, blocks=False),
        packages=missing_packages(project, plan) if plan is not None and head else "",
        here=here,
        old_dvc=old_dvc(),
        resources=resources,
        lock=old_lock(project) if head else "",
        remote=unreachable(project),
        data=missing_data(project, plan) if plan is not None and head else "",
        baseline=values,
        replicates=whose,
        measured=bool(measured),
        metrics=measured_metrics(project, alike, stage) if head else set(),
        basis=basis(design, contract),
        done=sum(replicate.finished for replicate in replicates),
        seconds=seconds(alike),
        jobs=jobs,
        pairs=spread,
        foreseen=planning.expected_seeds,
    )


# What has run


def similar(project: Project, stage: str, task: str) -> list[GitRecord]:
    """The finished runs up to a stage, of a task."""
    return [
        record
        for record in project.records()
        if record.status == FINISHED and record.reaches(stage) and record.content.brief.task == task
    ]


def baselines(project: Project, alike: list[GitRecord], stage: str, task: str) -> dict[str, list[GitRecord]]:
    """What answers a task's baselines (designs of kind single) on HEAD, up to a stage, by their names.

    Runs of an earlier commit do where config, code and data are the same, and those of any design, as for all designs.
    """
    names = {record.experiment["design"] for record in alike if record.experiment.get("kind") == "single"}
    names |= {project.contract.baseline.format(task=task)} if alike else set()  # others' runs may be all of its
    answers: dict[str, list[GitRecord]] = {}
    for path in (project.root / design_file.FOLDER / f"{name}.yaml" for name in sorted(names)):
        with suppress(UserError):  # a design that is no more, or can't be planned any more
            replicates = standings(project, studies.planner(project, path).plan().runs)
            records = [replicate.record for replicate in replicates if replicate.finished]
            answers[path.stem] = [record for record in records if record.reaches(stage)]
    return {name: records for name, records in answers.items() if records}


def noise(
    contract: Contract, replicates: list[Replicate], measured: Mapping[str, list[GitRecord]], metric: str
) -> tuple[list[float], str]:
    """The metric's values over seeds that tell the noise, and whose they are.

    Those of the arm that the design's others are measured against. Before it has two, those of the baseline
    that has most.
    """
    settings = [replicate.run.params for replicate in replicates if replicate.run]
    reference = settings[0][MEMBERSHIP]["baseline"] if settings else None
    own = [replicate.record for replicate in replicates if replicate.record and replicate.arm == reference]
    values = values_of(own, metric)
    if len(values) > 1:
        return values, f"this design's arm {reference}"
    name = max(measured, key=lambda name: len(values_of(measured[name], metric)), default="")
    if not name:
        return [], ""
    return values_of(measured[name], metric), name + apart(contract, measured[name][0].params, settings)


def pairs(planner: Planner, replicates: list[Replicate], metric: str) -> Spread | None:
    """How the differences of the design's own arms from their reference spread, pooled; None before two pairs."""
    study = Study(
        planner.design, planner.contract, str(planner.project.head), "", "", replicates, project=planner.project
    )
    if study.reference is None or not metric or study.metric(metric).exact:
        return None
    examples = per_item.read(study)
    others = [arm for arm in study.arms if arm != study.reference]
    found = [difference(study, arm, study.reference, metric, examples) for arm in others]
    known = [each for each in found if each.seeds and each.seeds.deviation]
    degrees = sum(len(each.values) - 1 for each in known)
    if not degrees:
        return None
    squares = sum((len(each.values) - 1) * (each.seeds.deviation or 0.0) ** 2 for each in known if each.seeds)
    shared = max(each.shared for each in known) if all(each.basis == BOTH for each in known) else None
    return Spread(math.sqrt(squares / degrees), degrees + 1, f"{degrees + len(known)} pairs of its own runs", shared)


def values_of(records: Iterable[Any], metric: str) -> list[float]:
    """A metric's values of the runs that have it as a finite number."""
    return [value for record in records if (value := record.value(metric)) is not None and math.isfinite(value)]


def apart(contract: Contract, theirs: dict[str, Any], ours: list[dict[str, Any]]) -> str:
    """Which of a baseline's settings no run of the design has, the first few of them; empty where there are none."""
    if not ours:
        return ""
    own = [nested_keys.flat(params) for params in ours]
    settings = nested_keys.flat({key: value for key, value in theirs.items() if key != MEMBERSHIP})
    others = {
        key: value
        for key, value in contract.without_seeds(settings).items()
        if not any((key, value) in params.items() for params in own)
    }
    # Without a setting that conf/ makes of another, as ${lr}.
    shown = [f"{k}={v}" for k, v in others.items() if "." not in k or others.get(k.rpartition(".")[2]) != v]
    more = f" and {len(shown) - MOST_SETTINGS} more" if len(shown) > MOST_SETTINGS else ""
    return f" (which, unlike this design, has {', '.join(shown[:MOST_SETTINGS])}{more})" if shown else ""


def measured_metrics(project: Project, alike: list[GitRecord], stage: str) -> set[str]:
    """The metrics that runs of HEAD's code have measured."""
    head, known = project.commit(str(project.head)), set[str]()
    for record in alike:
        more = known.union(record.content.measured.names)
        if more != known and record.code_of(stage) == head.code(record.content.params_on(head.rev), stage):
            known = more
    return known


def seconds(alike: list[GitRecord]) -> float | None:
    """What a run took in the middle of those that have finished, all stages together; None where none has."""
    times = [sum(took.values()) for record in alike if (took := record.content.measured.seconds)]
    return statistics.median(times) if times else None


# What is asked


def basis(design: Design, contract: Contract) -> str:
    """What the verdict on a design is going to be decided by, as far as its metric tells: seeds, items, or a count."""
    metric = contract.metric(design.hypothesis.metric if design.hypothesis else "")
    if metric.exact:
        return COUNTED
    return ITEMS if metric.per_item and not contract.is_recipe(design.type) else SEEDS


# The world around


def unready(project: Project) -> str:
    """Why runs can't start from here; empty where they can."""
    try:
        ready(project)
    except UserError as error:
        return str(error)
    return ""


def secrets(project: Project) -> str:
    """What is wrong with .env; empty where nothing is, or there is none."""
    if project.git.says_yes("ls-files", "--error-unmatch", ".env"):
        return ".env is tracked by git: git rm --cached .env, and change the secrets that were in it"
    if not (project.root / ".env").exists() or project.git.says_yes("check-ignore", "-q", ".env"):
        return ""
    return ".env is not ignored: add it to .gitignore"


def tracking(root: Path) -> tuple[str, str]:
    """Where runs are shown, without the credentials that an address may hold; and what is wrong with its version.

    A server that is down has none: runs are shown when it is there.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or dotenv_values(root / ".env").get("MLFLOW_TRACKING_URI")
    if not uri:
        return "MLflow, in a file here until MLFLOW_TRACKING_URI names a server", ""
    parts = urlsplit(uri)
    if not parts.hostname:
        return f"MLflow, {uri}", ""
    place, found = f"{parts.scheme}://{parts.hostname}", server_version(uri)
    if found is None:
        return f"MLflow, {place}", ""
    said = ".".join(map(str, found))
    if found < OLDEST_MLFLOW:
        return "", f"{place} has MLflow {said}, and lab needs {'.'.join(map(str, OLDEST_MLFLOW))} or newer there"
    return f"MLflow {said}, {place}", ""


def server_version(uri: str) -> tuple[int, ...] | None:
    """Of the MLflow server at an address; None where it does not say."""
    from http.client import HTTPException
    from urllib.request import urlopen

    with suppress(OSError, ValueError, HTTPException), urlopen(f"{uri.rstrip('/')}/version", timeout=PATIENCE) as page:
        return tuple(int(part) for part in page.read(40).decode().strip().split(".")[:3])
    return None


def mismatches(planner: Planner, plan: Plan, alike: list[GitRecord]) -> Iterator[Mistake]:
    """What lab.yaml names and the project has not."""
    project, contract, source = planner.project, planner.contract, planner.composer.source
    runs = list({json.dumps(run.levels, default=str): run.params for run in plan.runs}.values())
    if runs:
        yield from contract_check.mistakes(contract, planner.pipeline, runs, source.groups)
    if contract.task:
        yield from contract_check.task_mistakes(contract, source.options(contract.task.key))
    if columns := columns_said(project, alike, contract.types[planner.design.type]):
        yield from contract_check.column_mistakes(contract, columns)
    pictures = contract.item_pictures.model_dump().values() if contract.item_pictures else ()
    broken: dict[str, list[str]] = {}  # one module may have all of them
    named = dict.fromkeys([*(entry.per_item for entry in contract.metrics.values()), *pictures])
    for hook in filter(None, named):
        try:
            hooks.load(project.root, hook)
        except UserError as error:
            broken.setdefault(str(error).removeprefix(f"lab.yaml: {hook}: "), []).append(hook)
    yield from (Mistake(f"lab.yaml: {', '.join(each)}: {problem}", True) for problem, each in broken.items())


def columns_said(project: Project, alike: list[GitRecord], stage: str) -> list[str]:
    """The columns of the latest table of what was said of the test items that is here; empty where none is."""
    path = project.contract.predictions_path(stage)
    hashes = (record.outputs.get(path or "", {}).get("md5") for record in alike[: -LATEST - 1 : -1])
    file = next((file for md5 in hashes if (file := project.store.file(md5))), None)
    return per_item.columns(file, path) if file and path else []


def listed(found: Iterable[Mistake], blocks: bool) -> str:
    """Those that block, or those that don't, a line each."""
    return "\n".join(mistake.text for mistake in found if mistake.blocks == blocks)


def old_dvc() -> str:
    """What is wrong with the version of DVC; empty where nothing is."""
    installed = version("dvc")
    if tuple(int(part) for part in installed.split(".")[:2]) >= OLDEST_DVC:
        return ""
    return f"DVC {installed} is installed, and lab needs {'.'.join(map(str, OLDEST_DVC))} or newer: pip install -U dvc"


def old_lock(project: Project) -> str:
    """What is wrong with the form of dvc.lock; empty where nothing is, or there is none."""
    text = project.git.text(str(project.head), LOCK) if project.git.object_id(str(project.head), LOCK) else ""
    try:
        content = yaml12.mapping(text)
    except yaml.YAMLError as error:
        return f"{LOCK} is not YAML: {' '.join(str(error).split())}"
    if not content or "schema" in content:
        return ""
    mend = f"sed -i -e 's/^/  /' -e '1i schema: \"2.0\"\\nstages:' {LOCK}, and git commit it"
    return f"{LOCK} is as DVC 1 wrote it, and DVC refuses it now: {mend}"


def unreachable(project: Project) -> str:
    """Which package DVC's remote wants that is not installed; empty where none is lacking."""
    url = project.store.remote_url
    package = project.store.package_lacking(url)
    return f"{url} wants {package}, which is not installed: pip install {package}" if package else ""


def missing_data(project: Project, plan: Plan) -> str:
    """Which file or folder that the plan's runs depend on is not there, and what to do; empty where all are."""
    commit, raw_data = project.commit(str(project.head)), project.contract.raw_data
    named = [nested_keys.get(run.params, raw_data) for run in plan.runs] if raw_data else []
    raw = {str(path) for path in named if path is not None}  # that there is no such setting, the contract's line says
    for path in (*sorted(raw), *sorted(inputs_of(commit.pipeline, plan) - raw)):
        if "://" in path:  # whether an address answers is DVC's to tell
            if package := project.store.package_lacking(path):
                return f"{path} wants {package}, which is not installed: pip install {package}"
            continue
        if not (project.root / path).exists():
            return f"{path} is not there: dvc pull{f', or set {raw_data}' if path in raw else ''}"
        if not Path(path).is_absolute() and commit.version(path) is None:
            return (
                f"{path} is known to neither git nor DVC, so that queued runs would miss it: dvc add {path}, git commit"
            )
    return ""


def inputs_of(pipeline: Pipeline, plan: Plan) -> set[str]:
    """What the stages of the plan's runs depend on, but for what other stages write."""
    runs = [(stage, run.params) for run in plan.runs for stage in pipeline.chain(run.target)]
    deps = {dep for stage, params in runs for dep in pipeline.deps(stage, params)}
    return {dep for dep in deps if pipeline.maker(dep, runs[0][1]) is None}
