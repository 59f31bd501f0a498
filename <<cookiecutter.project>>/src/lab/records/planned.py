"""A design's runs as they were planned on a commit: by the config, the pipeline and the contract that this has."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.errors import UserError
from lab.records.planning import Planner, pipeline_files

if TYPE_CHECKING:
    from lab.design.model_refs import Resolve
    from lab.design.search import Choices
    from lab.records.project import Project


HELD = 3  # plans that are held in memory: a status of a hundred designs needs each for a moment


class Planned(NamedTuple):
    """A run as it was planned: its params, the stage that it ends with, and what its experiment is called."""

    params: dict[str, Any]
    stage: str
    name: str


def planned_at(
    project: Project, commit: str, name: str, text: str, path: str | None, resolve: Resolve, choices: Choices
) -> dict[tuple[str, int], Planned]:
    """Each run of the design with this text, by arm and seed; empty where it can't be planned. Kept on disk.

    With all seeds that an arm may come to. `path` is where the commit has the design's file, None where it has none.
    """
    ids = [project.git.object_id(commit, path) for path in pipeline_files(project)]
    key = json.dumps(["planned", ids, name, text, *choices[:3]])
    plans: dict[str, dict[tuple[str, int], Planned]] = project.cache.setdefault("plans", {})
    if key not in plans:
        known = project.kept.get("planned", key)
        if known is None or any(_resolved(resolve, model, seed) != rev for model, seed, rev in known["models"]):
            known = _plan(project, commit, name, text, path, resolve, choices)
            project.kept.put("planned", key, known)
        for earlier in [*plans][: 1 - HELD]:
            del plans[earlier]
        plans[key] = {(arm, seed): Planned(*run) for arm, seed, *run in known["runs"]}
    return plans[key]


def _plan(
    project: Project, commit: str, name: str, text: str, path: str | None, resolve: Resolve, choices: Choices
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
            planner.date = (project.git.last_change(project.root / path, commit) if path else "") or planner.date
            runs = planner.plan(*choices._replace(asked=planner.all_seeds(choices.trials))).runs
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
