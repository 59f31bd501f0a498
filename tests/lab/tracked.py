"""Stores and servers of MLflow to mirror made-up runs to, and what is in them in the end."""

from __future__ import annotations

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from lab.tracking import settings
from lab.tracking.background import SOURCES
from lab.tracking.conformance import Question
from lab.tracking.mlflow.sink import MlflowSink
from lab.tracking.sink import Report


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


def sink(uri: str, artifacts: Path | None = None) -> MlflowSink:
    """The mirror's end at a store."""
    settings.environment(Path("/nonexistent"))
    return MlflowSink(uri, "tests", artifacts)


def send(uri: str, *designs: Question, artifacts: Path | None = None) -> Report:
    """One pass."""
    target, report = sink(uri, artifacts), Report()
    target.begin()
    for design in designs:
        if not target.has(design):
            report += target.send(design)
    return report


def environment() -> dict[str, str]:
    """One in which Python finds `lab` and the tests' helpers."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCES), str(Path(__file__).parent)])}


def script(code: str, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
    """A Python process in it."""
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment(), **options)


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
        tags = {k: keys.get(v, v) for k, v in stored.data.tags.items() if "mirror." not in k}
        tags["mlflow.note.content"] = tags.get("mlflow.note.content", "").replace(stored.info.run_id, "itself")
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
def server(
    folder: Path, store: str, port: int, *options: str, python: str | Path = sys.executable, **environment: str
) -> Iterator[str]:
    """A real `mlflow server` on 127.0.0.1, of the MLflow that `python` has; its address."""
    command = [str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "-w", "1"]
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


def installed(folder: Path, *packages: str) -> Path:
    """The Python of a new environment with these packages, beside ours."""
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    done = subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *packages], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return python


@contextmanager
def database(port: int) -> Iterator[str]:
    """A real PostgreSQL on 127.0.0.1 with empty databases, mlflow and postgres; its address. Root is nobody to it."""
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
