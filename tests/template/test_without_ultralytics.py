"""A project without Ultralytics: nothing of it is left, and all designs can be asked."""

import json

import pytest
from conftest import BakedProject

DESIGNS = """
import contextlib, io, json, sys
from pathlib import Path
from typer.testing import CliRunner
from lab.cli.app import app
said = {}
for path in sorted(Path("designs").glob("detection_*.yaml")):
    done = CliRunner().invoke(app, ["check", str(path)])  # which plans them, too
    said[path.stem] = [done.exit_code, done.output]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def project(bake, environment) -> BakedProject:
    return bake(environment, ultralytics="no", tracking="mlflow+wandb")


def test_nothing_of_it_is_left(project):
    named = [name for name in project.files() if name != "LICENSE" and not name.startswith(".venv")]
    assert len(named) > 300
    assert [
        name for name in named if b"ultralytics" in (name.encode() + (project.path / name).read_bytes()).lower()
    ] == []
    assert 'DEFAULT_ENGINE = "torchvision"' in project.read("src/vision_lab/tasks/detection/__init__.py")


def test_every_design_can_be_checked(project):
    """But for those that need runs of others, which haven't been made here; classification's are the same anyway."""
    said = json.loads(project.run("python", "-c", DESIGNS, env={"PYTHONPATH": "src"}).stdout.splitlines()[-1])
    assert len(said) == 12
    later = ("ab_benchmark", "ensemble", "sweep")  # models, and the baseline that sweeps are measured beside
    failed = {name: output for name, (code, output) in said.items() if code and not name.endswith(later)}
    assert not failed, failed


def test_its_code_is_as_clean(project):
    project.run("ruff", "check", "--no-cache")
    project.run("ruff", "format", "--check", "--no-cache")
