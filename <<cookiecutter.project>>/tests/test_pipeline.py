"""The package as a whole: every task runs, dvc.yaml names what it imports, and what you add fits in.

A task, an engine, a data source or a config file of yours is found and tested here without a line of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf

from conftest import PROJECT, STAGES, Run, examples, load
from lab import contract
from lab.contract import hooks

config = load("shared.config")
dependencies = load("shared.dependencies")
protocols = load("shared.protocols")
registry = load("shared.registry")
settings = load("shared.settings")

Pipelines = Callable[[str, str], dict[str, Run]]
EXAMPLES = [(task, engine) for task, engine, _ in examples()]
CONTRACT = contract.read(PROJECT)
GROUPS = sorted(folder.name for folder in (PROJECT / "conf").iterdir() if folder.is_dir())


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("task", "engine"), EXAMPLES)
def test_every_stage_runs_and_writes_what_dvc_yaml_declares(
    pipelines: Pipelines, task: str, engine: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = pipelines(task, engine)[stage]
    assert not run.failure, run.failure
    monkeypatch.chdir(run.root)
    for path in dependencies.outputs(stage):
        assert path.exists(), path
    metrics = json.loads((run.root / "metrics" / f"{stage}.json").read_text())
    assert metrics
    record = yaml.safe_load((run.root / "effective" / f"{stage}.yaml").read_text())[0]
    assert record["stage"] == stage and record["machine"]["python"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("task", "engine"), EXAMPLES)
def test_dvc_yaml_names_every_file_that_a_stage_imports(
    pipelines: Pipelines, task: str, engine: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a change of that file would leave results as they are, though they are no longer its results."""
    run = pipelines(task, engine)[stage]
    assert run.imported, run.failure
    monkeypatch.chdir(run.root)
    declared = dependencies.paths(stage, config.compose(run.overrides))
    missing = [path for path in run.imported if not any(path == d or d in path.parents for d in declared)]
    assert not missing, f"{stage} of {task} with {engine} imports what dvc.yaml doesn't name: {missing}"


@pytest.mark.slow
@pytest.mark.parametrize(("task", "engine"), EXAMPLES)
def test_what_a_report_says_of_test_images(pipelines: Pipelines, task: str, engine: str) -> None:
    """The per-image metrics agree with those of the whole split, and single images can be described and drawn."""
    root = pipelines(task, engine)["infer"].root
    images = pd.read_parquet(root / "results" / "infer" / "predictions.parquet")
    whole = json.loads((root / "metrics" / "infer.json").read_text())
    once = pd.DataFrame({"weight": [1.0] * len(images)}).to_numpy()
    for key, value in flat(whole).items():
        function = CONTRACT.metric(f"infer.{key}").per_item
        scorer = hooks.load(PROJECT, function)(images, f"infer.{key}") if function else None
        if scorer is not None:
            assert scorer(once)[0] == pytest.approx(value, abs=1e-6), key
    pictures = load("pictures")
    scored = pictures.score(images)
    assert scored["score"].between(0, 1).all() and scored["surety"].notna().all()
    row = scored.iloc[0]
    assert pictures.describe(row) and pictures.title(row) and pictures.legend(images)
    draw(root, row)


def flat(metrics: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Metrics by their dotted keys."""
    result: dict[str, float] = {}
    for key, value in metrics.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result


def draw(root: Path, row: Any) -> None:
    """The hook that draws an image: it has to work on what the project itself wrote."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    axes = Figure().add_subplot()
    axes.imshow(imread(root / row["path"]))
    load("pictures").draw(axes, row, "blue", "left", lambda path: (root / "data" / "prepared" / path).read_bytes())


# ---- the config ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_every_config_file_composes_and_opens_with_its_command(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each of its keys has a type in conf/schema.json, which lab and the stages hold each value against."""
    monkeypatch.chdir(PROJECT)
    untyped: dict[str, None] = {}
    for file in sorted((PROJECT / "conf" / group).glob("[!_]*.yaml")):
        content = yaml.safe_load(file.read_text())
        own = str(content.get("task", "${task}"))  # what is for any task takes the project's
        task = [f"task={own}"] if group in ("data", "model") and own != "${task}" else []
        composed = OmegaConf.to_container(config.compose([*task, f"{group}={file.stem}"]))
        assert not config.mistakes(composed), file
        untyped |= dict.fromkeys(settings.untyped(composed))
        comments = [line for line in file.read_text().splitlines()[:3] if line.startswith("#")]
        assert any("dvc exp run" in line for line in comments), f"{file} should open with the command that uses it"
    assert not untyped, f"conf/schema.json gives no type to {', '.join(untyped)}"


def test_the_file_that_training_starts_from_is_a_dependency_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    for weights in ("start.pt", "runs/a-1.5.b.pt", "/data/start.pt"):
        cfg = config.compose([f"model.weights={weights}"])
        assert Path(weights) in dependencies.paths("train", cfg)
    for weights in ("null", "pretrained"):
        _, stands_in, *_ = dependencies.paths("train", config.compose([f"model.weights={weights}"]))
        assert stands_in.is_file(), "it has to be there, and its own dependency"


# ---- what is found by its folder ----------------------------------------------------------------------------------


def test_every_data_source_has_what_prepare_asks_for() -> None:
    assert registry.sources()
    for kind in registry.sources():
        assert isinstance(registry.source(kind), protocols.Source), kind


@pytest.mark.parametrize("task", sorted({task for task, _ in EXAMPLES}))
def test_every_task_has_what_the_stages_ask_for(task: str) -> None:
    assert isinstance(registry.task(task), protocols.Task)
    assert registry.task(task).DEFAULT_ENGINE in registry.engines(task)


@pytest.mark.parametrize(("task", "engine"), EXAMPLES)
def test_every_engine_has_what_the_stages_ask_for(task: str, engine: str) -> None:
    assert isinstance(registry.network(task, engine), protocols.Network)
    assert isinstance(registry.training(task, engine), protocols.Training)


def test_every_drawing_has_what_a_report_asks_for() -> None:
    for task in registry.tasks():
        if (PROJECT / "src" / protocols.__name__.split(".")[0] / "tasks" / task / "drawing.py").exists():
            assert isinstance(load(f"tasks.{task}.drawing"), protocols.Drawing), task
