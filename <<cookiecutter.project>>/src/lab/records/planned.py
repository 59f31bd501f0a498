"""A design's runs as they were planned on a commit: by the config, the pipeline and the contract that this has."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.design.plan import run_key
from lab.errors import UserError
from lab.records.planning import Planner, pipeline_files

if TYPE_CHECKING:
    from lab.design.model_refs import Resolve
    from lab.design.plan import Run
    from lab.design.search import Choices
    from lab.records.kept import Kept
    from lab.records.project import Project


PART = "planned"  # of what is kept on disk
HELD = 3  # plans that are held in memory: a status of a hundred designs needs each for a moment


@dataclass(frozen=True)
class Planned:
    """A run as it was planned: its key and its params, the stage that it ends with, and what its experiment is called.

    The params are read where they are asked for: most runs are told by their key.
    """

    key: str
    stage: str
    name: str
    read: Callable[[], dict[str, Any]] = field(repr=False, compare=False)

    @cached_property
    def params(self) -> dict[str, Any]:
        """The composed config."""
        return self.read()


Runs = dict[tuple[str, int], Planned]


def planned_at(
    project: Project, commit: str, name: str, text: str, path: str | None, resolve: Resolve, choices: Choices
) -> Runs:
    """Each run of the design with this text, by arm and seed; empty where it can't be planned. Kept on disk.

    With all seeds that an arm may come to. `path` is where the commit has the design's file, None where it has none.
    """
    ids = [project.git.object_id(commit, path) for path in pipeline_files(project)]
    key = json.dumps(["planned", ids, name, text, *choices[:3]])
    plans: dict[str, Runs] = project.cache.setdefault("plans", {})
    if key not in plans:
        for earlier in [*plans][: 1 - HELD]:
            del plans[earlier]
        plan = partial(_plan, project, commit, name, text, path, resolve, choices)
        plans[key] = _known(project.kept, key, resolve, plan) or _kept(project.kept, key, *plan())
    return plans[key]


def _known(kept: Kept, key: str, resolve: Resolve, plan: Callable[[], tuple[list[Run], Any]]) -> Runs | None:
    """The runs that are kept, whose params are read one by one; None where none are, or a model is another now."""
    known = kept.get(PART, key)
    if known is None or any(_resolved(resolve, model, seed) != rev for model, seed, rev in known["models"]):
        return None

    @cache
    def anew() -> dict[tuple[str, int], dict[str, Any]]:
        return {(run.arm, run.seed): run.params for run in plan()[0]}

    def params(arm: str, seed: int) -> dict[str, Any]:
        found = kept.get(f"{PART} params", _of_run(key, arm, seed))
        return anew()[arm, seed] if found is None else found  # a row may be lost

    return {
        (arm, seed): Planned(own, stage, name, partial(params, arm, seed))
        for arm, seed, own, stage, name in known["runs"]
    }


def _kept(kept: Kept, key: str, runs: list[Run], models: list[tuple[str, int, str | None]]) -> Runs:
    """The runs of a plan, kept with the commits that were taken for models; their params each in a row of its own."""
    found = {
        (run.arm, run.seed): Planned(run_key(run.params), run.target, run.name, partial(dict, run.params))
        for run in runs
    }
    rows = [[arm, seed, run.key, run.stage, run.name] for (arm, seed), run in found.items()]
    kept.put(PART, key, {"runs": rows, "models": [list(model) for model in models]})
    for (arm, seed), run in found.items():
        kept.put(f"{PART} params", _of_run(key, arm, seed), run.params)
    return found


def _of_run(key: str, arm: str, seed: int) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()} {arm} {seed}"


def _plan(
    project: Project, commit: str, name: str, text: str, path: str | None, resolve: Resolve, choices: Choices
) -> tuple[list[Run], list[tuple[str, int, str | None]]]:
    """The runs, none where it can't be planned, and which commits were taken for the models that it names."""
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
            return planner.plan(*choices._replace(asked=planner.all_seeds(choices.trials))).runs, models
        except UserError:  # such as a model that it names and that nobody has any more
            return [], models


def _resolved(resolve: Resolve, model: str, seed: int) -> str | None:
    """The commit that a model's name stands for now; None where it stands for none."""
    try:
        return resolve(model, seed)
    except UserError:
        return None
