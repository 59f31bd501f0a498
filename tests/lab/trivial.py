"""A project with git, DVC and stages that take no time, made from the template as it lies here: nothing is baked.

Its queues, workers and experiments are real. A test that only needs records has `experiment` and `failure` write what
workers would have left.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import contracts
import pygit2
import yaml
from filelock import FileLock
from omegaconf import OmegaConf
from pygit2.enums import FileMode

from lab.design.plan import Run, run_key
from lab.execution.dvc import compatibility, queue_tasks, worker_compatibility
from lab.execution.dvc.backend import DvcBackend
from lab.execution.queueing import enqueue
from lab.execution.run import Execution, Watcher
from lab.records.project import Project

if TYPE_CHECKING:
    import pytest

    from lab.records.git_record import GitRecord

HERE = Path(__file__).resolve().parent
LAB = contracts.TEMPLATE / "<<cookiecutter.project>>" / "src" / "lab"
EPOCHS = 3
STAGES = """
stages:
  prepare:
    cmd: python src/stand_in.py prepare
    deps: [src/stand_in.py]
    params: [data.source]
    outs: [data/prepared]
  train:
    cmd: python src/stand_in.py train
    deps: [data/prepared, src/stand_in.py]
    params: [seed, lr]
    outs: [models/model.pt]
    metrics: [metrics/train.json: {cache: false}]
    plots: [effective/train.yaml: {cache: false}, dvclive/plots: {cache: false}]
  infer:
    cmd: python src/stand_in.py infer
    deps: [models/model.pt, src/stand_in.py]
    params: [infer]
    metrics: [metrics/infer.json: {cache: false}]
    plots: [effective/infer.yaml: {cache: false}]
  quant:
    cmd: python src/stand_in.py quant
    deps: [models/model.pt, src/stand_in.py]
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


def measured(lr, seed):
    """The metrics that a training with this rate and seed comes to, in whichever stage."""
    return {"f1_macro": lr + seed / 1000}


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
lr, seed = map(float, Path("models/model.pt").read_text().split())
metrics = measured(lr, seed)
validation = {"val_f1_macro": metrics["f1_macro"]} if stage == "train" else {}
write(f"metrics/{stage}.json", json.dumps(metrics | validation))
keys = {"train": ["seed", "lr"], "infer": ["infer"], "quant": ["quant"]}[stage]
record = {"stage": stage, "started": started, "seconds": sleep, "config": {key: params[key] for key in keys}}
record |= {"used": used}
write(f"effective/{stage}.yaml", yaml.safe_dump([record | {"machine": {"host": "here", "cores": 2, "versions": {}}}]))
'''
IGNORED = ("__pycache__/", ".cache/", "/models/model.pt", "/models/champion/checkpoints", "/models/champion/openvino")


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

    def lab(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a `lab` command in it."""
        return self.call(sys.executable, "-m", "lab", *arguments, check=check, **environment)

    def commit(self, message: str = "change") -> None:
        """Commit everything."""
        self.call("git", "add", "-A")
        self.call("git", "commit", "-q", "-m", message)

    def calls(self, stage: str) -> list[str]:
        """How often and with what a stage's command was run."""
        path = self.root.parent / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix(f"{stage} ") for line in lines if line.startswith(f"{stage} ")]

    def run(self, name: str, lr: float = 0.1, seed: int = 0, target: str = "infer", wave: int = 0, **block: Any) -> Run:
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
        return Run(**arguments, overrides=[], params=params, target=target, key=run_key(params))

    def project(self) -> Project:
        """It as `lab` sees it, read anew."""
        return Project(self.root, pending=partial(queue_tasks.read, self.root))

    def backend(self) -> DvcBackend:
        """What carries its runs out."""
        return DvcBackend(self.root)

    def execution(
        self, jobs: int = 2, again: bool = False, watcher: Watcher = lambda replicates, lost: None
    ) -> Execution:
        """A `lab run` in this process, for runs that are given to its `add`."""
        return Execution(self.project(), self.backend(), jobs, watcher, again)

    def enqueue(self, *runs: Run, again: bool = False) -> dict[str, str]:
        """Queue runs, and do no more. Returns the new experiments' names by the runs'."""
        return enqueue(self.project(), self.backend(), runs, again)

    def records(self) -> dict[str, GitRecord]:
        """The records by name."""
        return {record.name: record for record in self.project().records()}

    def script(self, text: str, **environment: str) -> subprocess.Popen[str]:
        """A Python process in it, which imports `lab` from it and the tests' helpers."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        variables = environ(PYTHONPATH=os.pathsep.join(["src", str(HERE)]), **environment)
        return subprocess.Popen(
            [sys.executable, "-c", text], cwd=self.root, env=variables, start_new_session=True, **pipes
        )


def environ(**more: str) -> dict[str, str]:
    """An environment with the tests' Python first on PATH, src/ on its path, and without what DVC and pytest set."""
    private = ("PYTEST_CURRENT_TEST", "DVC_ROOT", "DVC_EXP_NAME", "DVC_STAGE", "GIT_DIR", "GIT_INDEX_FILE")
    kept = {name: value for name, value in os.environ.items() if name not in private}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "PYTHONPATH": "src", **more}


def make(root: Path) -> Trivial:
    """Such a project, committed, at `root`, which is created."""
    contracts.render(root, ("conf", ".dvc/config", "params.yaml", ".dvcignore"), task="classification")
    shutil.copytree(LAB, root / "src" / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    files = {
        "dvc.yaml": STAGES,
        "lab.yaml": contracts.STAND_IN_TEXT,
        "src/stand_in.py": SCRIPT,
        "conf/tracking.yaml": "experiment: trivial\nbackends: []\n",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
        ".gitignore": "".join(f"{path}\n" for path in IGNORED),
    }
    files[yaml.safe_load((root / "params.yaml").read_text())["data"]["source"]["path"]] = "the raw data\n"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    project = Trivial(root)
    project.call("git", "init", "-q", "-b", "main")
    for key, value in {"user.name": "Test", "user.email": "test@localhost", "commit.gpgsign": "false"}.items():
        project.call("git", "config", key, value)
    for path, content in compatible().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    project.commit("start")
    return project


@cache
def compatible() -> dict[Path, bytes]:
    """What is noted of a project once it is known that `lab` fits this version of DVC, which takes seconds to find out.

    Kept for the next session of tests, as long as neither `lab` nor DVC changes.
    """
    code = b"".join(path.read_bytes() for path in sorted((LAB / "execution").rglob("*.py")))
    folder = Path(tempfile.gettempdir()) / f"lab-compatible-{md5(code + version('dvc').encode())}"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            python_first = mock.patch.dict(os.environ, {"PATH": environ()["PATH"]})
            with python_first, tempfile.TemporaryDirectory(dir=folder.parent) as place:
                fits = compatibility.passed(Path(place)) and worker_compatibility.passed(Path(place))
                assert fits, "lab does not do what DVC does"
                shutil.copytree(place, folder)
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.json")}


def entered(template: Trivial, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Trivial:
    """A copy of a project, and its environment in this process, so that workers are started from here."""
    for name, value in environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    return copied(template, folder)


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


# Records without workers


def measured(lr: float, seed: int) -> dict[str, Any]:
    """As the script has it."""
    return {"f1_macro": lr + seed / 1000}


def experiment(project: Trivial, run: Run, metrics: Callable[[float, int], dict[str, Any]] = measured) -> str:
    """Write what a finished experiment of `run` on HEAD leaves: its commit, its ref, and its files in DVC's cache.

    A test proves the record equal to that of an experiment which DVC has made. Returns the commit.
    """
    git = pygit2.Repository(str(project.root))
    head = git.head.peel(pygit2.Commit)
    stages = yaml.safe_load((project.root / "dvc.yaml").read_text())["stages"]
    lock = yaml.safe_load(head.tree["dvc.lock"].data) if "dvc.lock" in head.tree else {"schema": "2.0", "stages": {}}
    chain = ["prepare", "train"] + ([run.target] if run.target != "train" else [])
    files: dict[str, bytes] = {"src/stand_in.py": head.tree["src/stand_in.py"].data}  # the stages' code
    changed = {"params.yaml": OmegaConf.to_yaml(OmegaConf.create(run.params)).encode()}
    for stage in chain:
        written = dict(results(stage, run.params, metrics))
        files |= written
        lock["stages"][stage] = locked(stage, stages[stage], files, run.params)
        cached = tuple(stages[stage].get("outs", []))
        for path, content in written.items():
            if path.startswith(cached):
                keep(project, content)
            else:
                changed[path] = content
    keep(project, listing(files, "data/prepared"), ".dir")
    changed |= {"dvc.lock": yaml.safe_dump(lock, sort_keys=False).encode(), "data/.gitignore": b"/prepared\n"}
    index = pygit2.Index()
    index.read_tree(head.tree)
    for path, content in changed.items():
        index.add(pygit2.IndexEntry(path, git.create_blob(content), FileMode.BLOB))
    who = git.default_signature
    message = f"dvc: commit experiment {run.key}"
    commit = git.create_commit(None, who, who, message, index.write_tree(git), [head.id])
    baseline = str(head.id)
    git.references.create(f"refs/exps/{baseline[:2]}/{baseline[2:]}/{run.name}", commit, force=True)
    rows = [{"started": now()}, *epochs(run.params)]
    note(project, baseline, run.name, rows)
    return str(commit)


def results(
    stage: str, params: dict[str, Any], metrics: Callable[[float, int], dict[str, Any]]
) -> Iterator[tuple[str, bytes]]:
    """The path and the content of each file that a stage writes."""
    lr, seed, started = params["lr"], params["seed"], now()
    if stage == "prepare":
        yield from ((f"data/prepared/{name}.txt", name.encode()) for name in ("one", "two"))
        return
    rows = epochs(params) if stage == "train" else []
    if stage == "train":
        yield "models/model.pt", f"{lr} {seed}".encode()
        for name in rows[0]["metrics"]:
            lines = "".join(f"{row['epoch']}\t{row['metrics'][name]}\n" for row in rows)
            yield (
                f"dvclive/plots/metrics/{name}.tsv",
                f"step\t{name.rpartition('/')[2]}\n{lines}".encode(),
            )
    values = metrics(lr, seed)
    validation = {"val_f1_macro": values["f1_macro"]} if stage == "train" else {}
    yield f"metrics/{stage}.json", json.dumps({**values, **validation, **values}).encode()
    keys = {"train": ["seed", "lr"], "infer": ["infer"], "quant": ["quant"]}[stage]
    used = {"epochs": [{"epoch": row["epoch"], "ended": row["ended"]} for row in rows]} if rows else {}
    record = {"stage": stage, "started": started, "seconds": 0.0, "config": {key: params[key] for key in keys}}
    machine = {"host": "here", "cores": 2, "versions": {}}
    yield f"effective/{stage}.yaml", yaml.safe_dump([record | {"used": used, "machine": machine}]).encode()


def epochs(params: dict[str, Any]) -> list[dict[str, Any]]:
    """What a training notes at the end of each epoch."""
    lr = params["lr"]
    values = [{"val/loss": lr / (epoch + 1), "val/f1_macro": lr} for epoch in range(EPOCHS)]
    return [{"epoch": epoch, "ended": now(), "metrics": metrics} for epoch, metrics in enumerate(values)]


def now() -> str:
    """The time as stages note it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def locked(stage: str, entry: dict[str, Any], files: Mapping[str, bytes], params: dict[str, Any]) -> dict[str, Any]:
    """A stage's entry in dvc.lock."""

    def value(key: str) -> Any:
        found: Any = params
        for part in key.split("."):
            found = found[part]
        return found

    outs = [
        next(iter(out)) if isinstance(out, dict) else out
        for kind in ("outs", "metrics", "plots")
        for out in entry.get(kind, [])
    ]
    return {
        "cmd": entry["cmd"],
        "deps": [hashed(files, path) for path in sorted(entry["deps"])],
        "params": {"params.yaml": {key: value(key) for key in sorted(entry["params"])}},
        "outs": [hashed(files, path) for path in sorted(outs)],
    }


def hashed(files: Mapping[str, bytes], path: str) -> dict[str, Any]:
    """What dvc.lock says of a file or a folder."""
    if path in files:
        return {"path": path, "hash": "md5", "md5": md5(files[path]), "size": len(files[path])}
    inside = [content for name, content in files.items() if name.startswith(f"{path}/")]
    digest = f"{md5(listing(files, path))}.dir"
    return {"path": path, "hash": "md5", "md5": digest, "size": sum(map(len, inside)), "nfiles": len(inside)}


def listing(files: Mapping[str, bytes], folder: str) -> bytes:
    """How DVC writes down a folder."""
    names = sorted(name.removeprefix(f"{folder}/") for name in files if name.startswith(f"{folder}/"))
    entries = [{"md5": md5(files[f"{folder}/{name}"]), "relpath": name} for name in names]
    return json.dumps(entries, sort_keys=True).encode()


def md5(content: bytes) -> str:
    """A hash, as DVC names files by it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def keep(project: Trivial, content: bytes, suffix: str = "") -> None:
    """Put a file into DVC's cache."""
    digest = md5(content)
    path = project.root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / f"{digest[2:]}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(content)
        path.chmod(0o444)


def note(project: Trivial, baseline: str, name: str, rows: list[dict[str, Any]]) -> None:
    """Write the rows that a training leaves for those who follow it."""
    path = project.root / ".cache" / "epochs" / f"{baseline[:12]}-{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def failure(project: Trivial, run: Run, reason: str, stage: str = "train", code: int = 1) -> None:
    """Queue a run, and write what is left of it once a stage has failed with `reason`."""
    project.enqueue(run)
    task = next(task for task in queue_tasks.read(project.root) if task.name == run.name)
    taken = task.message.parents[1] / "processed" / task.message.name
    taken.parent.mkdir(parents=True, exist_ok=True)
    task.message.rename(taken)
    note(project, task.baseline, run.name, [{"started": now()}])
    task.folder.mkdir(parents=True, exist_ok=True)
    task.log.write_text(
        f"Running stage '{stage}':\n> python src/stand_in.py {stage}\n{reason}\n"
        f"ERROR: failed to reproduce '{stage}': failed to run: python src/stand_in.py {stage}, exited with {code}\n"
    )
    place = task.folder.parents[1] / "tmpgone"
    executor = {"git_url": f"file://{place}", "root_dir": str(place), "dvc_dir": ".dvc", "wdir": ".", "name": run.name}
    executor |= {"baseline_rev": task.baseline, "location": "dvc-task", "result_force": False, "status": 4}
    process = {"pid": 2**22, "stdin": None, "stdout": str(task.log), "stderr": None, "returncode": 255}
    result = {"status": "SUCCESS", "result": None, "traceback": None, "children": [], "task_id": task.id}
    (task.folder / f"{task.commit}.run").write_text(json.dumps(executor | {"result_hash": None, "result_ref": None}))
    (task.folder / f"{task.commit}.json").write_text(json.dumps(process))
    task.result.parent.mkdir(parents=True, exist_ok=True)
    task.result.write_text(json.dumps(result))
    move_to_failed(project, task.commit)


def move_to_failed(project: Trivial, commit: str) -> None:
    """Move the newest of the queue's stash commits to those of failed runs."""
    queued, failed = "refs/exps/celery/stash", "refs/exps/celery/failed"
    message = project.call("git", "log", "-1", "--format=%B", commit).stdout.strip()
    project.call("git", "update-ref", "--create-reflog", "-m", f"commit: {message}", failed, commit)
    project.call("git", "reflog", "delete", "--updateref", "--rewrite", f"{queued}@{{0}}")
    if not project.call("git", "reflog", "show", queued, check=False).stdout:
        project.call("git", "update-ref", "-d", queued)


def carry_out(
    project: Trivial, design: str, metrics: Callable[[float, int], dict[str, Any]] = measured
) -> list[GitRecord]:
    """What `lab run` of a design leaves, without workers. Rates below 0 fail. Returns the records of its runs."""
    from lab.execution import campaign
    from lab.records import studies

    known = project.project()
    planner = studies.planner(known, project.root / "designs" / f"{design}.yaml")
    while runs := [run for run in campaign.current(planner).runs if known.answer(run.params, run.target) is None]:
        for run in runs:
            if run.params["lr"] < 0:
                failure(project, run, f"lr={run.params['lr']} should be above 0")
            else:
                experiment(project, run, metrics)
        known.refresh()
    runs = campaign.current(planner).runs
    return [record for run in runs if (record := known.answer(run.params, run.target))]
