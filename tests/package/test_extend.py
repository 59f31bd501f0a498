"""docs/extend.md is true: its blocks, written where it says, add a model, a metric, a data source and a task."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from workspace import PACKAGE, PROJECT, QUICK, Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("extend")]
Get = Callable[[str], Workspace]

PAGE = (PROJECT / "docs" / "extend.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^`([^`\n]+)`\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TINY = ["data.image_size=32", "data.batch_size=128", "training.max_epochs=1"]


def blocks(section: str) -> list[tuple[str, str, str]]:
    """The blocks below a heading that name a file: the file, the language and the text."""
    return BLOCK.findall(PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0])


def write(root: Path, section: str) -> list[str]:
    """Do what a section says. Returns the files that it touches, but for designs, which only ask."""
    for name, language, text in blocks(section):
        path = root / name
        if language == "diff":
            lines = text.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if not line.startswith("+"))
            new = "".join(line[1:] for line in lines if not line.startswith("-"))
            before = path.read_text(encoding="utf-8")
            assert before.count(old) == 1, f"{name} should have once:\n{old}"
            path.write_text(before.replace(old, new), encoding="utf-8")
        else:
            assert not path.exists(), path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return sorted({name for name, _, _ in blocks(section) if not name.startswith("designs/")})


def run(root: Path, *arguments: str) -> str:
    """Python in the extended project, as its user has it. It must succeed; what it printed."""
    environment = Workspace(root).environment() | {"PYTHONPATH": "src"}
    done = subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository of the project with all that the page adds."""
    root = tmp_path_factory.mktemp("extended") / "project"
    root.mkdir()
    for name in ("src", "conf", "designs", "tests", ".dvc"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "tmp", "cache"))
    for name in ("lab.yaml", "dvc.yaml", "params.yaml", "pyproject.toml", ".gitignore"):
        shutil.copy(PROJECT / name, root / name)
    for section in ("A model", "A metric", "A data source", "A task"):
        write(root, section)
    data = root / "conf" / "data" / "digits_value.yaml"
    small = data.read_text().replace("image_size: 64", "image_size: 32").replace("batch_size: 32", "batch_size: 128")
    data.write_text(small.replace("[A, B]", "[A]"))
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "what the page adds"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    return Workspace(root)


def test_the_page_says_how_many_files_each_of_them_takes(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "src" / PACKAGE, tmp_path / "src" / PACKAGE)
    shutil.copy(PROJECT / "lab.yaml", tmp_path)
    for section in ("A model", "A metric", "A data source", "A task"):
        known = [name for name, _, _ in blocks(section) if (tmp_path / name).exists()]
        row = re.search(rf"^\| \[{section.lower()}.*\| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
        assert row, section
        assert (len(write(tmp_path, section)), len(set(known))) == (int(row[1]), int(row[2])), section


def test_a_model_trains_and_a_metric_is_measured_known_and_told_by_the_images(
    extended: Workspace, prepared: Get
) -> None:
    shutil.copytree(prepared("classification").root / "data" / "prepared", extended.root / "data" / "prepared")
    for stage in ("train", "infer"):
        extended.run(stage, "task=classification", "model=mobilenet", *TINY, *QUICK)
    measured = json.loads((extended.root / "metrics" / "infer.json").read_text())["balanced_accuracy"]
    known = metric(extended.root, "infer.balanced_accuracy", "results/infer/predictions.parquet")
    assert (known["title"], known["direction"]) == ("balanced accuracy", "maximize")
    assert known["value"] == pytest.approx(measured)
    assert 0 < measured < 1


def metric(root: Path, name: str, predictions: str) -> dict[str, Any]:
    """What lab knows of a metric, and what its function makes of the images."""
    script = f"""
import json, numpy, pandas
from pathlib import Path
from lab import contract
from lab.contract import hooks
metric = contract.read(Path()).metric({name!r})
images = pandas.read_parquet({predictions!r})
value = hooks.load(Path().resolve(), metric.per_item)(images, {name!r})(numpy.ones((len(images), 1)))[0]
print(json.dumps({{"title": metric.title, "direction": metric.direction, "value": value}}))
"""
    return json.loads(run(root, "-c", script))


def test_a_data_source_is_read(extended: Workspace, tmp_path: Path) -> None:
    workspace = extended.copy(tmp_path / "project")
    folder = workspace.root / "datasets" / "named"
    folder.mkdir(parents=True)
    for number in range(24):
        grey = (8 * number,) * 3
        Image.new("RGB", (8, 8), grey).save(folder / f"{('dark', 'light')[number % 2]}_{number}.png")
    workspace.run("prepare", "task=classification", "data=named")
    manifest = json.loads((workspace.root / "data" / "prepared" / "manifest.json").read_text())
    assert manifest["classes"] == ["dark", "light"]
    assert manifest["splits"] == {"main": {"train": 16, "val": 4, "test": 4}}


def test_the_projects_own_tests_find_a_task(extended: Workspace, owned: Path) -> None:
    """They run all of its stages; what a variant loses is how much its error grows."""
    quant = json.loads((owned / "metrics" / "quant.json").read_text())
    assert quant["drop"]["mae"] == pytest.approx(quant["mae"] - quant["torch"]["mae"])
    for stage in ("infer", "quant"):
        measured = json.loads((owned / "metrics" / f"{stage}.json").read_text())["mae"]
        known = metric(extended.root, f"{stage}.mae", str(owned / "results" / stage / "predictions.parquet"))
        assert known == {"title": "mean absolute error", "direction": "minimize", "value": pytest.approx(measured)}


def test_the_best_epoch_is_the_one_with_the_least_error(extended: Workspace, owned: Path, tmp_path: Path) -> None:
    workspace = extended.copy(tmp_path / "project")
    shutil.copytree(owned / "data", workspace.root / "data", dirs_exist_ok=True)
    workspace.run("train", "task=value", "training.max_epochs=3", "training.patience=2", "data.batch_size=32")
    rows = (workspace.root / "dvclive" / "plots" / "metrics" / "val" / "mae.tsv").read_text().splitlines()[1:]
    errors = [float(row.split("\t")[1]) for row in rows]
    trained = json.loads((workspace.root / "metrics" / "train.json").read_text())
    assert trained["best_epoch"] == 1 + errors.index(min(errors)) > 1
    assert trained["val_mae"] == pytest.approx(min(errors))


@pytest.fixture(scope="module")
def owned(extended: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the project's own tests have run the new task, after they have passed."""
    base = tmp_path_factory.mktemp("owned") / "base"
    options = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", f"--basetemp={base}"]
    selection = ["-k", "value or config_file or source or drawing"]
    said = run(extended.root, "-m", "pytest", *options, *selection, "tests/test_pipeline.py")
    # Of the task: four stages that run, four whose imports are declared, a report, and what task and engine have.
    assert int(re.search(r"(\d+) passed", said)[1]) >= 11, said  # type: ignore[index]
    (folder,) = (base / "pipelines0").iterdir()
    assert folder.name == "value-lightning", "the task that was asked for, and no other"
    return folder


@pytest.mark.parametrize("name", ["balanced", "value"])
def test_a_design_may_claim_something_of_the_new_metrics(extended: Workspace, name: str) -> None:
    plan = json.loads(run(extended.root, "-m", "lab", "plan", f"designs/{name}.yaml", "--json"))
    assert len(plan["runs"]) == 6
