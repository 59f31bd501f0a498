"""What it costs to bring runs into MLflow: the mirror, MLflow's client with few requests, and a call a point.

    demo/.venv/bin/python benchmarks/mirror.py [--runs 1000] [--rounds 2] [--json mirror.json]

With the environment of a generated project (here demo), to a SQLite file and to a server over HTTP. All read the same
git repository, in which a design of so many runs has run: each with its params, its metrics and curves of 10 metrics
over 100 epochs. All leave SQLite's waiting for the disk to the system (synchronous=OFF), as the mirror does. Each way
has a process of its own and writes after MLflow was imported and its tables made; they take turns, and the best round
counts. A call a point is what tutorials do: it is done for 1 run, log_batch for 100, the mirror for all. `mirror` sends
what log_batch does, nested and with its tags; `with pages` also the reports and figures that people see. Then the
same mirror has nothing new to do, one run more, and another one starts where nothing is new. CPU is the client's: the
server's is its own affair.
Goals: at least 30 times as fast as a call a point; at most 1.5 times the CPU of log_batch; a pass with nothing new in
20 ms of CPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from trivial import Trivial

TEMPLATE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TEMPLATE / "<<cookiecutter.project>>" / "src"), str(TEMPLATE / "tests" / "lab")]
trivial = import_module("trivial")  # the tests' scratch project
tracked = import_module("tracked")  # and their servers

EPOCHS, METRICS = 100, 10
AT_MOST = {"log_batch": 100, "a call a point": 1}  # runs
WAYS = ("mirror", "with pages", "log_batch", "a call a point")
LATER = ("nothing new", "one run more", "a start")


class Bare:
    """Pages with nothing on them: what a plain client sends."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *given: "" if name in ("table", "csv", "run") else {}


def make(root: Path, number: int) -> Trivial:
    """A project with so many finished runs, as git has them."""

    def epochs(params: dict[str, Any]) -> list[dict[str, Any]]:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = {f"val/m{i}": params["lr"] + i for i in range(METRICS)}
        return [{"epoch": epoch, "ended": at, "metrics": values} for epoch in range(EPOCHS)]

    trivial.epochs = epochs
    project = trivial.make(root)
    (root / "conf" / "tracking.yaml").write_text("experiment: benchmark\nbackends: [mlflow]\n")
    rates = [round(0.0001 * (i + 1), 4) for i in range(number + 1)]
    sweep = {"strategy": "grid", "parameters": {"lr": rates}, "max_runs": number + 1}
    content = {"kind": "sweep", "type": "train", "title": "Which?", "seeds": [0], "sweep": sweep}
    (root / "designs").mkdir()
    (root / "designs" / "rates.yaml").write_text(yaml.safe_dump(content))
    project.commit("a design")
    for run in plan(project)[:number]:
        trivial.experiment(project, run)
    return project


def plan(project: Trivial) -> list[Any]:
    """The design's runs."""
    from lab.records import studies

    return studies.planner(project.project(), project.root / "designs" / "rates.yaml").plan().runs


def measure(way: str, root: Path, uri: str) -> dict[str, dict[str, float]]:
    """Wall and CPU seconds of a way, a run; of the mirror also of its later passes, each as a whole."""
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    import mlflow

    from lab.records.project import Project
    from lab.report import pages
    from lab.tracking.mirror import Mirror
    from lab.tracking.mlflow.database import hurry

    hurry()
    mlflow.set_tracking_uri(uri)
    mlflow.search_experiments()  # makes the tables
    times: dict[str, dict[str, float]] = {}
    if way in AT_MOST:
        mlflow.set_experiment(way)
        send = batched if way == "log_batch" else pointwise
        with timed(times, "a run", min(AT_MOST[way], len(Project(root).records()))):
            for record in Project(root).records()[-AT_MOST[way] :]:
                send(way, record)
        return times
    drawn: Any = pages if way == "with pages" else Bare()

    last = plan(trivial.Trivial(root))[-1]
    mirror = Mirror(Project(root), drawn)
    mirror.has_news()  # as `watch` does before each pass
    with timed(times, "a run", len(Project(root).records())):
        mirror.once()
    mirror.has_news()
    with timed(times, "nothing new"):
        assert not mirror.has_news()
    trivial.experiment(trivial.Trivial(root), last)
    with timed(times, "one run more"):
        assert mirror.has_news()
        mirror.once()
    with timed(times, "a start"):
        Mirror(Project(root), drawn).once()
    return times


@contextmanager
def timed(times: dict[str, dict[str, float]], name: str, number: int = 1) -> Iterator[None]:
    """Note what is done in it, shared out to so many runs."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    times[name] = {"wall": (time.perf_counter() - wall) / number, "cpu": (time.process_time() - cpu) / number}


def points(record: Any) -> Iterator[tuple[str, float, int, int]]:
    """Name, value, time in ms and step of all that a run has measured."""
    end = int(record.ended.timestamp() * 1000)
    for file, content in record.metrics.items():
        yield from ((f"{file}.{name}", float(value), end, 0) for name, value in content.items())
    for name, curve in record.curves.items():
        yield from ((name, point.value, int(point.time.timestamp() * 1000), point.step) for point in curve)


def settings_of(record: Any) -> dict[str, Any]:
    """A run's params as MLflow has them: flat."""
    from lab.nested_keys import flat

    return flat({key: value for key, value in record.params.items() if key != "experiment"})


def batched(way: str, record: Any) -> None:
    """One run by MLflow's client, with as few requests as its limits allow."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient()
    experiment = client.get_experiment_by_name(way)
    made = client.create_run(experiment.experiment_id, int(record.started.timestamp() * 1000), run_name=record.name)
    metrics = [Metric(name, value, at, step) for name, value, at, step in points(record)]
    params = [Param(key, str(value)) for key, value in settings_of(record).items()]
    client.log_batch(made.info.run_id, metrics[: 1000 - len(params)], params)
    for start in range(1000 - len(params), len(metrics), 1000):
        client.log_batch(made.info.run_id, metrics[start : start + 1000])
    client.set_terminated(made.info.run_id, "FINISHED", int(record.ended.timestamp() * 1000))


def pointwise(way: str, record: Any) -> None:
    """One run as in MLflow's tutorials."""
    import mlflow

    with mlflow.start_run(run_name=record.name):
        for key, value in settings_of(record).items():
            mlflow.log_param(key, value)
        for name, value, _, step in points(record):
            mlflow.log_metric(name, value, step=step)


def best(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The least of each."""
    return {name: {kind: min(each[name][kind] for each in rounds) for kind in rounds[0][name]} for name in rounds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path("mirror.json"), help="where the numbers go")
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[dict[str, dict[str, float]]]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mirror-")))
        base = make(folder / "base", arguments.runs)
        server = stack.enter_context(
            tracked.server(folder / "server", f"sqlite:///{folder / 'server.db'}", tracked.free_port())
        )
        for turn in range(arguments.rounds):
            for place in ("sqlite", "http"):
                for way in WAYS:
                    project = trivial.copied(base, folder / "copy" / "project")
                    conf = project.root / "conf" / "tracking.yaml"
                    conf.write_text(conf.read_text().replace("benchmark", f"{way}-{turn}"))
                    uri = f"sqlite:///{project.root / 'mlflow.db'}" if place == "sqlite" else server
                    with multiprocessing.get_context("spawn").Pool(1) as pool:
                        times = pool.apply(measure, (way, project.root, uri))
                    found.setdefault(place, {}).setdefault(way, []).append(times)
                    shutil.rmtree(folder / "copy")
    seconds = {place: {way: best(rounds) for way, rounds in ways.items()} for place, ways in found.items()}
    console = Console()
    console.width = max(console.width, 120)
    table = Table(
        "",
        "",
        "runs",
        "CPU ms a run",
        "mirror = 1",
        "wall ms a run",
        "mirror = 1",
        "nothing new, CPU s",
        "one more",
        "a start",
    )
    for place, ways in seconds.items():
        for way, times in ways.items():
            one, mirror = times["a run"], ways["mirror"]["a run"]
            ratios = {kind: [f"{1000 * one[kind]:.0f}", f"{one[kind] / mirror[kind]:.2f}"] for kind in one}
            passes = [f"{times[name]['cpu']:.3g}" if name in times else "" for name in LATER]
            number = str(min(AT_MOST.get(way, arguments.runs), arguments.runs))
            table.add_row(place, way, number, *ratios["cpu"], *ratios["wall"], *passes)
    console.print(table)
    facts = {"when": datetime.now().isoformat(timespec="seconds"), "cores": os.cpu_count(), "load": os.getloadavg()}
    facts |= {"runs": arguments.runs, "rounds": arguments.rounds}
    arguments.json.write_text(json.dumps({"facts": facts, "seconds": seconds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
