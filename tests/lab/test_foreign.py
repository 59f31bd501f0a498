"""`lab` on a pipeline that isn't ours: two stages with scikit-learn, no Hydra, metrics in a YAML file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import in_process
import pytest
import tracked
import yaml

pytestmark = pytest.mark.slow

LAB = Path(__file__).parents[2] / "<<cookiecutter.project>>" / "src" / "lab"
NEVER = ("torch", "ultralytics", "openvino", "nncf", "timm", "pytorch_lightning", "hydra")
FILES = {
    "dvc.yaml": """
stages:
  split:
    cmd: python code/split.py
    deps: [code/split.py, flowers.csv]
    params: [split.share]
    outs: [made/train.csv, made/test.csv]
  fit:
    cmd: python code/fit.py
    deps: [code/fit.py, made/train.csv, made/test.csv]
    params: [forest]
    outs: [made/forest.joblib]
    metrics: [out/scores.yaml: {cache: false}]
""",
    "params.yaml": "split: {share: 0.4}\nforest: # how it grows\n  seed: 0\n  depth: 1\n  trees: 3\n",
    "code/split.py": """
import pandas as pd, yaml
share = yaml.safe_load(open("params.yaml"))["split"]["share"]
rows = pd.read_csv("flowers.csv")
test = rows.sample(frac=share, random_state=0)
import pathlib; pathlib.Path("work").mkdir(exist_ok=True)
test.to_csv("made/test.csv", index=False); rows.drop(test.index).to_csv("made/train.csv", index=False)
""",
    "code/fit.py": """
import joblib, pandas as pd, pathlib, yaml
from sklearn.ensemble import RandomForestClassifier
settings = yaml.safe_load(open("params.yaml"))["forest"]
train, test = (pd.read_csv(f"made/{name}.csv") for name in ("train", "test"))
forest = RandomForestClassifier(settings["trees"], max_depth=settings["depth"], random_state=settings["seed"])
forest.fit(train.drop(columns="kind"), train["kind"])
joblib.dump(forest, "made/forest.joblib")
pathlib.Path("out").mkdir(exist_ok=True)
score = float(forest.score(test.drop(columns="kind"), test["kind"]))
nodes = sum(t.tree_.node_count for t in forest.estimators_)
yaml.safe_dump({"accuracy": score, "size": {"nodes": nodes}}, open("out/scores.yaml", "w"))
""",
    "lab.yaml": """
types: {forest: fit}
seeds: [forest.seed]
metrics:
  scores.accuracy: {direction: maximize, bounds: [0, 1]}
  scores.size.*: {title: "{0}", direction: minimize, bounds: [0, null], exact: true}
main: [scores.accuracy]
models: [{output: made/forest.joblib, champion: forest.joblib}]
tags: {trees: forest.trees}
""",
    "designs/depth.yaml": """
kind: comparison
type: forest
title: Do deeper trees tell flowers apart better?
hypothesis:
  claim: Six levels beat one
  metric: scores.accuracy
  arm: 6
  versus: 1
  min_effect: 0.02
  expected: 0.9
  guardrails: [{metric: scores.size.nodes, max_increase: 1000}]
seeds: [0, 1, 2]
comparison: {variable: forest.depth, values: [1, 6]}
""",
    ".gitignore": """
/made/
__pycache__/
/mlflow.db*
/mlartifacts/
/models/champion/forest.joblib
/docs/04-report/*.html
""",
}


NAMES = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "T", "EMAIL": "t@localhost"}.items()
}


@dataclass(frozen=True)
class Repository:
    """A DVC repository of somebody else's, that has taken src/lab and a lab.yaml."""

    root: Path

    def call(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in it."""
        private = ("PYTEST", "DVC_", "GIT_", "MLFLOW_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        environment = {**kept, **NAMES, "PATH": path, "PYTHONPATH": "src", "DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=300)
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done

    def lab(self, *arguments: str, check: bool = True) -> str:
        """What `lab` prints: in this process, but for `check` and `run`, which are typed as its owner would."""
        if arguments[0] in ("check", "run"):
            done = self.call(sys.executable, "-m", "lab", *arguments, check=check)
        else:
            done = in_process.lab(self.root, *arguments, **NAMES)
            assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + ("" if check else done.stderr)

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.call("git", "add", "-A")
        self.call("git", "commit", "-q", "-m", message)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The repository, with its design carried out."""
    from sklearn.datasets import load_iris

    root = tmp_path_factory.mktemp("foreign") / "flowers"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text.lstrip("\n"))
    rows = load_iris(as_frame=True).frame.rename(columns={"target": "kind"})
    rows.to_csv(root / "flowers.csv", index=False)
    shutil.copytree(LAB, root / "src" / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    made = Repository(root)
    made.call("git", "init", "-q", "-b", "main")
    made.call("dvc", "init", "-q")
    made.commit("a pipeline")
    tracked.store(root)  # MLflow takes ten seconds to make one
    return made


def test_it_takes_thirty_lines() -> None:
    assert len(FILES["lab.yaml"].strip().splitlines()) <= 30


def test_the_checklist_and_the_plan(repository: Repository) -> None:
    assert "✗" not in repository.lab("check", "depth")
    runs = json.loads(repository.lab("plan", "depth", "--json"))["runs"]
    assert [(run["arm"], run["seed"], run["params"]["forest"]["seed"]) for run in runs] == [
        (arm, seed, seed) for arm in ("1", "6") for seed in (0, 1, 2)
    ]
    assert {run["params"]["forest"]["depth"] for run in runs} == {1, 6}
    assert {run["params"]["split"]["share"] for run in runs} == {0.4}


def test_from_the_run_to_the_champion(repository: Repository) -> None:
    """One after the other, as a user would: each command reads what the one before has left."""
    assert "6 finished" in repository.lab("run", "depth", "-j", "2")
    assert "6" in next(line for line in repository.lab("status").splitlines() if line.startswith("depth"))
    rows = json.loads(repository.lab("results", "depth", "--json"))["runs"]
    assert len(rows) == 6 and all(0 < row["scores.accuracy"] <= 1 and row["scores.size.nodes"] > 0 for row in rows)

    said = repository.lab("report", "depth")
    assert said.split(":")[0] in ("SUPPORTED", "UNDERPOWERED", "INCONCLUSIVE", "REFUTED", "EQUIVALENT")
    (report,) = (repository.root / "docs" / "04-report").glob("*_depth.md")
    text = report.read_text()
    assert "Do deeper trees tell flowers apart better?" in text and re.search(r"^\| 6 (★ )?\|", text, re.M)

    assert "6 runs new" in repository.lab("mirror", "depth") or "0 runs new" in repository.lab("mirror", "depth")
    assert "0 runs new, 0 brought up to date" in repository.lab("mirror", "depth")

    assert "exp/depth" in repository.lab("review", "depth", "--best")
    clone = Repository(repository.root.parent / "clone")
    repository.call("git", "clone", "-q", "--branch", "exp/depth", str(repository.root), str(clone.root))
    assert "every number of the report agrees" in clone.lab("review", "--check")

    assert "is the champion" in repository.lab("promote", "depth", "--force", "a test")
    champion = yaml.safe_load((repository.root / "models" / "champion" / "champion.yaml").read_text())
    assert champion["design"] == "depth"
    assert (repository.root / "models" / "champion" / "forest.joblib").is_file()
    runs = json.loads(repository.lab("plan", "depth", "--json"))["runs"]
    assert {run["state"] for run in runs} == {"finished"}, "a second run has nothing to do"


def test_no_command_imports_what_only_stages_need(repository: Repository) -> None:
    """One after the other in a process: it says after which one something is there that should not be."""
    script = f"""
import sys
from lab.cli import main
for command in ("check depth", "plan depth", "results depth", "report depth", "status"):
    sys.argv = ["lab", *command.split()]
    try:
        main()
    except SystemExit:
        print("ended", command, [name for name in {NEVER!r} if name in sys.modules])
"""
    said = repository.call(sys.executable, "-c", script, check=False).stdout
    ended = [line.partition(" ")[2] for line in said.splitlines() if line.startswith("ended ")]
    assert ended == [f"{each} []" for each in ("check depth", "plan depth", "results depth", "report depth", "status")]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "dvc.yaml",
            ("  fit:\n    cmd", "  fit:\n    foreach: [a]\n    do:\n      cmd"),
            "fit is several stages by foreach",
        ),
        ("lab.yaml", ("{forest: fit}", "{forest: sub/dvc.yaml:fit}"), "a dvc.yaml in a folder"),
        ("lab.yaml", ("seeds: [forest.seed]", "seeds: [forest.sead]"), "forest.seed"),
        ("lab.yaml", ("direction: maximize", "direction: up"), "lab.yaml"),
    ],
)
def test_what_it_does_not_take_is_one_sentence(
    repository: Repository, tmp_path: Path, file: str, change: tuple[str, str], message: str
) -> None:
    copy = Repository(Path(shutil.copytree(repository.root, tmp_path / "copy", symlinks=True)))
    path = copy.root / file
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    said = copy.lab("plan", "depth", check=False)
    assert "Traceback" not in said and message in said, said


def test_what_is_wrong_with_its_functions_is_said_once_in_the_checklist(repository: Repository, tmp_path: Path) -> None:
    copy = Repository(Path(shutil.copytree(repository.root, tmp_path / "copy", symlinks=True)))
    (copy.root / "helpers.py").write_text("raise RuntimeError('no helpers today')\n")
    contract = yaml.safe_load((copy.root / "lab.yaml").read_text())
    contract |= {"check": "helpers:check", "predictions": {"output": "made/test.csv", "item": "kind"}}
    for number, metric in enumerate(contract["metrics"].values()):
        metric["per_item"] = f"helpers:score_{number}"
    (copy.root / "lab.yaml").write_text(yaml.safe_dump(contract))
    copy.commit("functions of our own")
    said = " ".join(copy.lab("check", "depth", check=False).split())
    assert "✓ data" in said and "✗ configs" in said and "✗ contract" in said, said
    assert said.count("no helpers today") == 2, "by check, and by all of the metrics"
    assert "helpers:score_0, helpers:score_1" in said
