"""Each task's pipeline, run once on tiny data in a copy of this project, for all tests."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
PACKAGE = next(PROJECT.glob("src/*/shared/stage.py")).parents[1].name
STAGES = ("prepare", "train", "infer", "quant")
SMALL_MODELS = ("tiny", "yolo11t", "fcos18", "multilabel_tiny", "yolo11t_seg")  # else the first of task and engine
SMALL = {  # what makes a task's embedded data small; a task of yours may have a line here, too
    "classification": ["data.image_size=32", "data.batch_size=128"],
    "detection": ["data.source.scenes={train:40,val:16,test:16}"],
    "segmentation": ["data.source.scenes={train:40,val:16,test:16}"],
    "multilabel": ["data.source.scenes={train:40,val:16,test:16}", "data.image_size=32"],
}
QUICK = [
    "training.max_epochs=1",
    "quant.calibration_images=16",
    "infer.latency.warmup=1",
    "infer.latency.repeats=3",
    "infer.latency.rounds=1",
    "quant.warmup=1",
    "quant.repeats=3",
    "quant.rounds=1",
]
RECORDED = """
import json, runpy, sys
from pathlib import Path
sys.path.insert(0, "src")
script, modules = sys.argv[1:3]
del sys.argv[1:3]
runpy.run_path(script, run_name="__main__")
files = {getattr(module, "__file__", None) for module in list(sys.modules.values())} | {str(Path(script).resolve())}
Path(modules).write_text(json.dumps(sorted(filter(None, files))))
"""


def load(name: str) -> ModuleType:
    """A module of the project's package: `load("shared.config")`."""
    return importlib.import_module(f"{PACKAGE}.{name}")


@dataclass
class Run:
    """One stage that has run: where, how, which files of src/ it imported, and what it said."""

    root: Path
    overrides: list[str]
    imported: list[Path]
    failure: str


def copy(root: Path) -> Path:
    """The project's code and config in a new folder."""
    root.mkdir(parents=True)
    for name in ("src", "conf"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(PROJECT / name, root / name)
    return root


def run(root: Path, stage: str, overrides: list[str]) -> Run:
    """A stage, in a process of its own."""
    modules = root / f"{stage}.json"
    private = ("PYTEST_CURRENT_TEST", "DVC_ROOT", "OMP_NUM_THREADS")  # engines behave differently in a test
    environment = {name: value for name, value in os.environ.items() if name not in private}
    command = [sys.executable, "-c", RECORDED, f"src/{stage}.py", modules.name, *overrides]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    files = map(Path, json.loads(modules.read_text())) if modules.exists() else []
    inside = sorted(path.relative_to(root) for path in files if path.is_relative_to(root / "src"))
    return Run(root, overrides, inside, "" if done.returncode == 0 else done.stdout + done.stderr)


def pipeline(root: Path, overrides: list[str]) -> dict[str, Run]:
    """All stages one after the other."""
    copy(root)
    return {stage: run(root, stage, overrides) for stage in STAGES}


@pytest.fixture(scope="session")
def pipelines(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], dict[str, Run]]]:
    """The pipeline of a task and an engine; all that the selected tests need start at once, two at a time."""
    folder = tmp_path_factory.mktemp("pipelines")
    tests: list[Any] = [item for item in request.session.items if "pipelines" in getattr(item, "fixturenames", ())]
    needed = {(test.callspec.params["task"], test.callspec.params["engine"]) for test in tests}
    with ThreadPoolExecutor(2) as pool:
        running: dict[tuple[str, str], Future[dict[str, Run]]] = {
            (task, engine): pool.submit(pipeline, folder / f"{task}-{engine}", overrides)
            for task, engine, overrides in examples()
            if (task, engine) in needed
        }
        yield lambda task, engine: running[task, engine].result()


def examples() -> list[tuple[str, str, list[str]]]:
    """Every task with each of its engines, and overrides for a small run of both."""
    registry = load("shared.registry")
    return [
        (task, engine, [f"task={task}", f"model={a_model(task, engine)}", *SMALL.get(task, []), *QUICK])
        for task in registry.tasks()
        for engine in registry.engines(task)
    ]


def a_model(task: str, engine: str) -> str:
    """A model of conf/model for a task and an engine, a small one where there is one."""
    contents = {file.stem: yaml.safe_load(file.read_text()) for file in (PROJECT / "conf" / "model").glob("[!_]*.yaml")}
    models = [name for name, content in contents.items() if (content["task"], content["engine"]) == (task, engine)]
    assert models, f"conf/model/ has no model for the task {task} with the engine {engine}"
    return min(models, key=lambda name: (name not in SMALL_MODELS, name))
