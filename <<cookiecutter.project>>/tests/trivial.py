"""A project with git, DVC and stages that take no time: real queues, workers and experiments, without any training."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from project import load

PROJECT = Path(__file__).parents[1]
STAGES = """
stages:
  prepare:
    cmd: python src/stand_in.py prepare
    params: [data.source]
    outs: [data/prepared]
  train:
    cmd: python src/stand_in.py train
    deps: [data/prepared]
    params: [seed, lr]
    outs: [models/model.pt]
    metrics: [metrics/train.json: {cache: false}]
    plots: [effective/train.yaml: {cache: false}, dvclive/plots: {cache: false}]
  infer:
    cmd: python src/stand_in.py infer
    deps: [models/model.pt]
    params: [infer]
    metrics: [metrics/infer.json: {cache: false}]
    plots: [effective/infer.yaml: {cache: false}]
  quant:
    cmd: python src/stand_in.py quant
    deps: [models/model.pt]
    params: [quant]
    metrics: [metrics/quant.json: {cache: false}]
    plots: [effective/quant.yaml: {cache: false}]
"""
SCRIPT = '''
"""A stage that notes its call outside of the project, sleeps, and writes what a real one does: made of its params."""

import json, os, sys, time
from datetime import datetime, timezone
from pathlib import Path

import yaml

EPOCHS = 3


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def train(sleep):
    """The end of each epoch. Its row goes to where the mirror follows it."""
    name = f"{os.environ['DVC_EXP_BASELINE_REV'][:12]}-{os.environ['DVC_EXP_NAME']}.jsonl"
    followed = Path(os.environ["DVC_ROOT"]) / ".cache" / "epochs" / name
    write(followed, json.dumps({"started": started}) + "\\n")
    rows = []
    for epoch in range(EPOCHS):
        time.sleep(sleep / EPOCHS)
        metrics = {"val/loss": params["lr"] / (epoch + 1), "val/f1_macro": params["lr"]}
        rows.append({"epoch": epoch, "ended": now(), "metrics": metrics})
        with followed.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\\n")
    for name in metrics:
        values = "".join(f"{row['epoch']}\\t{row['metrics'][name]}\\n" for row in rows)
        write(f"dvclive/plots/metrics/{name}.tsv", f"step\\t{name.rpartition('/')[2]}\\n{values}")
    write("models/model.pt", f"{params['lr']} {params['seed']}")
    return [{"epoch": row["epoch"], "ended": row["ended"]} for row in rows]


stage, params, started = sys.argv[1], yaml.safe_load(Path("params.yaml").read_text()), now()
if stage == "prepare":
    for name in ("one", "two"):
        write(f"data/prepared/{name}.txt", name)
    sys.exit()
with open(Path(os.environ["DVC_ROOT"]).parent / "calls.txt", "a") as calls:
    calls.write(f"{stage} {params['lr']} {params['seed']}\\n")
sleep = float(os.environ.get("TRIVIAL_SLEEP", 0))
if params["lr"] < 0:
    time.sleep(sleep)
    sys.exit(f"lr={params['lr']} should be above 0")
if stage == "train":
    used = {"epochs": train(sleep)}
else:
    time.sleep(sleep)
    used = {}
trained = Path("models/model.pt").read_text().split()
value = float(trained[0]) + float(trained[1]) / 1000
write(f"metrics/{stage}.json", json.dumps({"f1_macro": value}))
keys = {"train": ["seed", "lr"], "infer": ["infer"], "quant": ["quant"]}[stage]
record = {"stage": stage, "started": started, "seconds": sleep, "config": {key: params[key] for key in keys}, "used": used}
write(f"effective/{stage}.yaml", yaml.safe_dump([record | {"machine": {"host": "here", "cores": 2, "versions": {}}}]))
'''


@dataclass
class Trivial:
    """Such a project at `root`."""

    root: Path

    def call(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it: as after `source .venv/bin/activate`."""
        done = subprocess.run(
            command, cwd=self.root, env=environ(**environment), capture_output=True, text=True, timeout=500
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def commit(self, message: str = "change") -> None:
        """Commit everything."""
        self.call("git", "add", "-A")
        self.call("git", "commit", "-q", "-m", message)

    def calls(self, stage: str) -> list[str]:
        """How often and with what a stage's command was run."""
        path = self.root.parent / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix(f"{stage} ") for line in lines if line.startswith(f"{stage} ")]

    def run(self, name: str, lr: float = 0.1, seed: int = 0, target: str = "infer", wave: int = 0, **block: Any) -> Any:
        """A run of a plan, with these params."""
        params = copy.deepcopy(yaml.safe_load((self.root / "params.yaml").read_text()))
        params["lr"] = params["training"]["lr"] = lr
        params["seed"] = seed
        quant = block.pop("quant", None)
        if quant:
            params["quant"]["name"] = quant
        kind = {"infer": "train", "quant": "quant"}[target]
        params["experiment"] = {"design": "trivial", "type": kind, "arm": f"lr={lr}", "seed": seed, **block}
        arguments = {"name": name, "arm": f"lr={lr}", "levels": {"lr": lr}, "seed": seed, "replicate": 0, "wave": wave}
        key = load("design.plan").run_key(params)
        return load("design.plan").Run(**arguments, overrides=[], params=params, target=target, key=key)

    def records(self) -> dict[str, Any]:
        """The records by name."""
        return {record.name: record for record in load("results.records").read(self.root)}

    def script(self, text: str, **environment: str) -> subprocess.Popen[str]:
        """A Python process in it, in which `load` gives the project's modules."""
        code = "import sys; sys.path[:0] = ['src', 'tests']; from project import load\n" + text
        command = [sys.executable, "-c", code]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.root, env=environ(**environment), start_new_session=True, **pipes)


def environ(**more: str) -> dict[str, str]:
    """An environment with the tests' Python first on PATH, and without what DVC and pytest set."""
    private = ("PYTEST_CURRENT_TEST", "DVC_ROOT", "DVC_EXP_NAME", "DVC_STAGE", "GIT_DIR", "GIT_INDEX_FILE")
    kept = {name: value for name, value in os.environ.items() if name not in private}
    return {**kept, "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]), **more}


def make(root: Path) -> Trivial:
    """Such a project, committed, at `root`, which is created."""
    root.mkdir(parents=True)
    for name in ("src", "conf", ".dvc", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "tmp", "cache")
        shutil.copytree(PROJECT / name, root / name, ignore=ignored)
    for name in ("params.yaml", ".dvcignore"):
        shutil.copy(PROJECT / name, root / name)
    (root / "dvc.yaml").write_text(STAGES)
    (root / "src" / "stand_in.py").write_text(SCRIPT)
    (root / "conf" / "tracking.yaml").write_text("experiment: trivial\nbackends: []\n")
    ignored = (
        "__pycache__/",
        ".cache/",
        "/models/model.pt",
        "/models/champion/checkpoints",
        "/models/champion/openvino",
    )
    (root / ".gitignore").write_text("".join(f"{path}\n" for path in ignored))
    project = Trivial(root)
    project.call("git", "init", "-q", "-b", "main")
    for key, value in {"user.name": "Test", "user.email": "test@localhost", "commit.gpgsign": "false"}.items():
        project.call("git", "config", key, value)
    project.commit("start")
    return project


def copied(project: Trivial, root: Path) -> Trivial:
    """A copy of a project in a folder of its own."""
    checkouts = project.root / ".dvc" / "tmp" / "exps"  # of experiments: a worker may still be clearing them away

    def clearing(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith("tmp")] if Path(folder) == checkouts else []

    return Trivial(Path(shutil.copytree(project.root, root, symlinks=True, ignore=clearing)))


def experiments(project: Trivial) -> list[dict[str, Any]]:
    """The experiments as `dvc exp show --json` tells them: name, params, metrics."""
    shown = json.loads(project.call("dvc", "exp", "show", "--json").stdout)
    rows = [row for state in shown for row in state.get("experiments") or []]
    return [{"name": row["name"], **row["revs"][0]["data"]} for row in rows]


def wait_until(condition: Callable[[], bool], seconds: float = 200) -> None:
    """Wait for workers."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.5)
