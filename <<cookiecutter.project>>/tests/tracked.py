"""Runs to mirror without any experiment behind them, MLflow servers to mirror them to, and what is in a store in the end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from project import load

START = 1_700_000_000_000


@dataclass(frozen=True)
class Experiment:
    """What the mirror takes for an experiment; `run` is read when it is to be sent."""

    made: Any
    revision: str = ""

    @property
    def key(self) -> str:
        return self.made.key

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self.made).encode()).hexdigest()

    def run(self) -> Any:
        return self.made


@dataclass(frozen=True)
class Question:
    """What the mirror takes for a design."""

    key: str
    members: list[Experiment] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr([self.key, [member.digest for member in self.members]]).encode()).hexdigest()

    @property
    def start(self) -> int:
        return min(member.made.start for member in self.members)

    def parent(self, ids: Mapping[str, str]) -> Any:
        run = load("tracking.projection").Run
        tags = {"design.id": self.key, "best.run_id": ids[self.members[0].key], "best.arm": "arm-1"}
        shown = {"metrics": ["val/m0"], "factors": ["p0"]}
        return run(
            self.key, self.key, "FINISHED", self.start, self.start + 1000, tags=tags, note="**Best: it**", **shown
        )


def run(key: str, curves: Mapping[str, list[float]] | None = None, **more: Any) -> Any:
    """A run; `curves` are values by name, a step each, a second apart."""
    projection = load("tracking.projection")
    start = more.pop("start", START)
    named = load("tracking.text").names(curves or {})
    points = [
        projection.Point(named[name], values[step], start + 1000 * (step + 1), step)
        for step in range(max((len(values) for values in (curves or {}).values()), default=0))
        for name, values in (curves or {}).items()
        if step < len(values)
    ]
    tags = {"dvc.exp.id": key, "dvc.exp.name": key.partition("/")[2], **more.pop("tags", {})}
    defaults = {"status": "FINISHED", "end": start + 60_000, "params": {"lr": "0.1"}}
    return projection.Run(
        key=key, name=tags["dvc.exp.name"], start=start, points=points, tags=tags, **(defaults | more)
    )


def question(key: str, number: int, steps: int, metrics: int = 2, params: int = 3) -> Question:
    """A design of so many runs, with so many params and curves of so many steps each."""
    return Question(
        key,
        [
            Experiment(
                run(
                    f"0123456789ab/{key}-{i}",
                    {f"val/m{k}": [i + k + step / 7 for step in range(steps)] for k in range(metrics)},
                    start=START + 1000 * i,
                    params={f"p{k}": str(i + k) for k in range(params)},
                    tags={"design": key, "arm": f"arm-{i % 2}", "seed": str(i)},
                )
            )
            for i in range(number)
        ],
    )


def one(design: Question, **changes: Any) -> Question:
    """The design with its first run changed."""
    first, *rest = design.members
    return replace(design, members=[replace(first, made=replace(first.made, **changes)), *rest])


@cache
def empty() -> bytes:
    """The file of a store with nothing in it: MLflow takes seconds to make one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mlflow.db")
        sink(f"sqlite:///{path}").client.search_experiments()
        return path.read_bytes()


def store(folder: Path, name: str = "mlflow.db") -> str:
    """The address of a new store in a folder, with nothing in it."""
    path = folder / name
    path.write_bytes(empty())
    return f"sqlite:///{path}"


def sink(uri: str, artifacts: Path | None = None) -> Any:
    """The mirror's end at a store."""
    load("tracking.settings").environment(Path("/nonexistent"))
    return load("tracking.mlflow_sink").MlflowSink(uri, "tests", artifacts)


def send(uri: str, *designs: Question, artifacts: Path | None = None) -> Any:
    """One pass."""
    target, report = sink(uri, artifacts), load("tracking.mlflow_sink").Report()
    target.begin()
    for design in designs:
        if not target.has(design):
            report += target.send(design)
    return report


def export(uri: str, experiment: str = "tests") -> dict[str, Any]:
    """All that a store has, by the keys of its runs, without the ids that MLflow gives and the mirror's own notes."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = list(client.search_runs([found.experiment_id], max_results=1000))
    keys = {run.info.run_id: run.data.tags.get("dvc.exp.id") or run.data.tags["design.id"] for run in runs}
    assert len(set(keys.values())) == len(keys), "two runs of one key"
    content: dict[str, Any] = {"views": {k: v for k, v in found.tags.items() if k.startswith("mlflow.sharedViewState")}}
    for stored in runs:
        tags = {k: keys.get(v, v) for k, v in stored.data.tags.items() if not k.startswith("mirror.")}
        inputs = stored.inputs.dataset_inputs if stored.inputs else []
        history = {name: client.get_metric_history(stored.info.run_id, name) for name in stored.data.metrics}
        content[keys[stored.info.run_id]] = {
            "info": [stored.info.run_name, stored.info.status, stored.info.start_time, stored.info.end_time],
            "params": stored.data.params,
            "tags": tags,
            "metrics": {name: sorted([p.step, p.timestamp, repr(p.value)] for p in h) for name, h in history.items()},
            "inputs": [[e.dataset.name, e.dataset.digest, e.dataset.source] for e in inputs],
            "artifacts": sorted(files(client, stored.info.run_id)),
        }
    return content


def files(client: Any, run_id: str, path: str | None = None) -> Iterator[str]:
    """The paths of a run's artifacts."""
    for entry in client.list_artifacts(run_id, path):
        if entry.is_dir:
            yield from files(client, run_id, entry.path)
        else:
            yield entry.path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(folder: Path, store: str, port: int, *options: str, **environment: str) -> Iterator[str]:
    """A real `mlflow server` on 127.0.0.1; its address."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "-w", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts"), *options]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**kept, **quiet, **environment}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 200
    while True:
        assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server and what it started."""
    import psutil

    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait(30)


def postgres() -> Path | None:
    """The folder of PostgreSQL's programs, which Debian keeps off PATH; None where it is not installed."""
    folders = [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    folders += [Path(found).parent for found in [shutil.which("initdb")] if found]
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def database(port: int) -> Iterator[str]:
    """A real PostgreSQL on 127.0.0.1 with empty databases, mlflow and postgres; its address. Root becomes nobody for it."""
    import psycopg2

    programs = postgres()
    assert programs is not None
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if user:
            shutil.chown(folder, "nobody", "nogroup")
        initdb = [programs / "initdb", "-D", f"{folder}/data", "-U", "mlflow", "--auth=trust", "--no-sync"]
        made = subprocess.run(initdb, cwd=folder, capture_output=True, text=True, **user)
        assert made.returncode == 0, made.stderr
        command = [programs / "postgres", "-D", f"{folder}/data", "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*command, "-c", "fsync=off"], cwd=folder, **quiet, **user)
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    connection = psycopg2.connect(host="127.0.0.1", port=port, user="mlflow", dbname="postgres")
                    break
                except psycopg2.OperationalError:
                    assert time.monotonic() < until and process.poll() is None, "PostgreSQL does not start"
                    time.sleep(0.2)
            connection.autocommit = True
            connection.cursor().execute("CREATE DATABASE mlflow")
            connection.close()
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def planted(folder: Path, secret: str) -> list[str]:
    """The files below a folder that hold a text."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def dump(content: Any) -> str:
    """To compare: a difference is shown line by line."""
    return json.dumps(content, indent=1, sort_keys=True)
