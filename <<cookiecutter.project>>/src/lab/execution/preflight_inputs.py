"""What the pre-flight needs to know of git, the records, the data and the environment."""

from __future__ import annotations

import os
import statistics
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

from lab import nested_keys
from lab.analysis.estimates import COUNTED, COUNTS, IMAGES, SEEDS
from lab.analysis.per_image import is_scored
from lab.design import schema
from lab.design.models import Design
from lab.design.plan import MEMBERSHIP, Plan, metrics
from lab.design.preflight import Facts
from lab.errors import UserError
from lab.execution import standings
from lab.execution.dvc import queue
from lab.execution.standings import Standing
from lab.records import commit, planning
from lab.records import record as records
from lab.records.record import FINISHED, Record
from lab.records.study import is_share

MOST_SETTINGS = 3  # of a baseline's, told where they are not the design's


def gather(root: Path, path: Path, design: Design, plan: Plan | None, jobs: int = 1) -> Facts:
    """The facts for a design file's checklist; `plan` is None where there is none."""
    head = planning.head(root)
    known = records.read(root) if head else []
    finished = [record for record in known if record.status == FINISHED and record.reaches(design.target)]
    task = design.task or default_task(root)
    alike = [record for record in finished if record.params.get("task") == task]
    measured = baselines(root, head, alike, design.target) if head else {}
    metric = design.hypothesis.metric if design.hypothesis else ""
    rows = standings.standings(root, head, plan.runs) if plan is not None and head else []
    values, whose = replicates(rows, measured, metric)
    return Facts(
        path=str(path),
        task=task,
        git=unready(root),
        committed=bool(head) and is_committed(root, path),
        secrets=secrets(root) if head else "",
        tracking=tracking(root),
        settings=unusable(plan) if plan is not None else "",
        data=missing_data(root, head, plan) if plan is not None and head else "",
        baseline=values,
        replicates=whose,
        measured=bool(measured),
        metrics=known_metrics(root, head, alike) if head else set(),
        shares={name for name in metrics(design).values() if is_share(name)},
        basis=basis(design),
        done=sum(row.status == FINISHED for row in rows),
        seconds=seconds(alike),
        jobs=jobs,
    )


def baselines(root: Path, head: str, alike: list[Record], target: str) -> dict[str, list[Record]]:
    """What answers the baselines (designs of kind single) on this commit, up to the stage `target`, by their names.

    Runs of an earlier commit do where config, code and data are the same, as they do for any design.
    """
    names = {record.experiment["design"] for record in alike if record.experiment.get("kind") == "single"}
    found: dict[str, list[Record]] = {}
    for path in (root / schema.FOLDER / f"{name}.yaml" for name in sorted(names)):
        with suppress(UserError):  # a design that is no more, or can't be planned any more
            rows = standings.standings(root, head, planning.Planner(root, path).plan().runs)
            ended = [row.record for row in rows if row.record and row.status == FINISHED]
            found[path.stem] = [record for record in ended if record.reaches(target)]
    return {name: answers for name, answers in found.items() if answers}


def replicates(rows: list[Standing], measured: dict[str, list[Record]], metric: str) -> tuple[list[float], str]:
    """The metric's values over seeds that tell the noise, and whose they are.

    Those of the arm that the design's others are measured against. Before it has two, those of the baseline that has most.
    """
    reference = rows[0].run.params[MEMBERSHIP]["baseline"] if rows else None
    own = [row.record for row in rows if row.record and row.run.arm == reference]
    values = values_of(own, metric)
    if len(values) > 1:
        return values, f"this design's arm {reference}"
    name = max(measured, key=lambda name: len(values_of(measured[name], metric)), default="")
    if not name:
        return [], ""
    return values_of(measured[name], metric), name + apart(measured[name][0].params, [row.run.params for row in rows])


def values_of(found: list[Record], metric: str) -> list[float]:
    """A metric's values of the runs that have it."""
    return [value for record in found if (value := record.value(metric)) is not None]


def apart(theirs: dict[str, Any], ours: list[dict[str, Any]]) -> str:
    """Which of a baseline's settings no run of the design has, the first few of them; empty where there are none."""
    if not ours:
        return ""
    own = [nested_keys.flat(params) for params in ours]
    known = nested_keys.flat({key: value for key, value in theirs.items() if key not in ("seed", MEMBERSHIP)})
    others = {key: value for key, value in known.items() if not any((key, value) in params.items() for params in own)}
    # Without training.lr, which conf/ has as ${lr}.
    told = [f"{k}={v}" for k, v in others.items() if "." not in k or others.get(k.rpartition(".")[2]) != v]
    more = f" and {len(told) - MOST_SETTINGS} more" if len(told) > MOST_SETTINGS else ""
    return f" (which, unlike this design, has {', '.join(told[:MOST_SETTINGS])}{more})" if told else ""


def known_metrics(root: Path, head: str, alike: list[Record]) -> set[str]:
    """The metrics that runs of this commit's code have measured."""
    code = commit.commit(root, head).code
    return {name for record in alike if record.code == code for name in nested_keys.flat(record.metrics)}


def basis(design: Design) -> str:
    """What the verdict on a design is going to be decided by, as far as its metric tells: seeds, images, or a count."""
    metric = design.hypothesis.metric if design.hypothesis else ""
    if metric in COUNTS:
        return COUNTED
    return IMAGES if design.type != "train" and is_scored(metric) else SEEDS


def unusable(plan: Plan) -> str:
    """Which of the plan's arms has settings that the stages would refuse, and why; empty where they would take all."""
    for run in plan.runs:
        try:
            pass  # the contract's own check comes here
        except UserError as error:
            return f"{run.arm}: {error}"
    return ""


def default_task(root: Path) -> str:
    """The task of the config as it stands."""
    return str(planning.Composer(root / "conf").compose([])["task"])


def unready(root: Path) -> str:
    """Why runs can't start from here; empty where they can."""
    try:
        queue.ready(root)
    except UserError as error:
        return str(error)
    return ""


def is_committed(root: Path, path: Path) -> bool:
    """Whether HEAD has the file as it stands."""
    known = git(root, "ls-files", "--error-unmatch", str(path.resolve()))
    return known and git(root, "diff", "--quiet", "HEAD", "--", str(path.resolve()))


def secrets(root: Path) -> str:
    """What is wrong with .env; empty where nothing is."""
    if git(root, "ls-files", "--error-unmatch", ".env"):
        return ".env is tracked by git: git rm --cached .env, and change the secrets that were in it"
    return "" if git(root, "check-ignore", "-q", ".env") else ".env is not ignored: add it to .gitignore"


def git(root: Path, *arguments: str) -> bool:
    """Whether a git command says yes."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True).returncode == 0


def tracking(root: Path) -> str:
    """Where runs are shown, without the credentials that an address may hold."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or dotenv_values(root / ".env").get("MLFLOW_TRACKING_URI")
    if not uri:
        return "MLflow, in a file here until MLFLOW_TRACKING_URI names a server"
    parts = urlsplit(uri)
    return f"MLflow, {parts.scheme}://{parts.hostname}" if parts.hostname else f"MLflow, {uri}"


def missing_data(root: Path, head: str, plan: Plan) -> str:
    """Which of the plan's data are not there, and what to do; empty where all are."""
    for params in {run.params["data"]["source"]["path"]: run.params for run in plan.runs}.values():
        path = params["data"]["source"]["path"]
        if not (root / path).exists():
            return f"{path} is not there: dvc pull, or set data.source.path"
        if commit.commit(root, head).data(params) is None:
            return (
                f"{path} is known to neither git nor DVC, so that queued runs would miss it: dvc add {path}, git commit"
            )
    return ""


def seconds(alike: list[Record]) -> float | None:
    """What a run took in the middle of those that have finished, all stages together; None where none has."""
    times = [sum(record.seconds.values()) for record in alike if record.seconds]
    return statistics.median(times) if times else None
