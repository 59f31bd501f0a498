"""What it costs to bring runs into MLflow: the mirror, MLflow's client with everything in memory, and a call per point.

    demo/.venv/bin/python -P benchmarks/mirror.py demo [--json mirror.json]

With the code and the environment of a generated project (here demo), to a SQLite file and to a server over HTTP. Each
way writes runs of 20 params, 10 metrics and 100 steps, in a process of its own, after MLflow was imported. A call per
point is what tutorials do: it is done for 2 runs, log_batch for 30, the mirror for 100. Then the mirror has nothing
new to do, and then one new epoch in each of 100 runs.
Goals: at least 30 times as fast as a call per point; at most 1.5 times as long as log_batch; nothing new in
under 1 s.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RUNS = {"mirror": 100, "log_batch": 30, "a call per point": 2}
STEPS, METRICS, PARAMS = 100, 10, 20


def prepare(project: Path) -> Any:
    """The stand-ins for experiments of the tests; the project's modules can be imported from now on."""
    sys.path[:0] = [str(project / "src"), str(Path(__file__).resolve().parents[1] / "tests" / "lab")]
    import tracked

    return tracked


def measure(way: str, project: Path, uri: str, artifacts: str | None) -> dict[str, float]:
    """Seconds a run; of the mirror also those of a pass with nothing new, and of one with one new epoch a run."""
    tracked = prepare(project)
    from lab.tracking import conformance

    place = Path(artifacts) if artifacts else None
    design = conformance.question("benchmark", RUNS[way], STEPS, METRICS, PARAMS)
    if way == "mirror":
        return mirrored(tracked, uri, place, design)
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true")
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(way)
    send = batched if way == "log_batch" else pointwise
    started = time.perf_counter()
    for member in design.members:
        send(member.made)
    return {"a run": (time.perf_counter() - started) / RUNS[way]}


def mirrored(tracked: Any, uri: str, place: Path | None, design: Any) -> dict[str, float]:
    """The mirror's three passes."""
    from lab.tracking import conformance

    tracked.sink(uri, place).begin()
    times = {}
    started = time.perf_counter()
    tracked.send(uri, design, artifacts=place)
    times["a run"] = (time.perf_counter() - started) / RUNS["mirror"]
    started = time.perf_counter()
    tracked.send(uri, design, artifacts=place)
    times["nothing new"] = time.perf_counter() - started

    whole = conformance.question("growing", RUNS["mirror"], 11, METRICS, PARAMS)
    for steps in (10, 11):
        members = [conformance.Experiment(running(member.made, steps)) for member in whole.members]
        state = type(whole)("growing", members)
        started = time.perf_counter()
        tracked.send(uri, state, artifacts=place)
        times["one new epoch"] = time.perf_counter() - started
    return times


def running(run: Any, steps: int) -> Any:
    """The run as it was after so many steps."""
    from dataclasses import replace

    return replace(run, status="RUNNING", end=None, points=[point for point in run.points if point.step < steps])


def batched(run: Any) -> None:
    """One run by MLflow's client, with as few requests as possible."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient()
    experiment = client.get_experiment_by_name("log_batch")
    made = client.create_run(experiment.experiment_id, run.start, run.tags, run.name)
    metrics = [Metric(point.key, point.value, point.time, point.step) for point in run.points]
    client.log_batch(made.info.run_id, metrics, [Param(key, value) for key, value in run.params.items()])
    client.set_terminated(made.info.run_id, run.status, run.end)


def pointwise(run: Any) -> None:
    """One run as in MLflow's tutorials."""
    import mlflow

    with mlflow.start_run(run_name=run.name, tags=run.tags):
        for key, value in run.params.items():
            mlflow.log_param(key, value)
        for point in run.points:
            mlflow.log_metric(point.key, point.value, step=point.step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="a generated project")
    parser.add_argument("--json", type=Path, default=Path("mirror.json"), help="where the numbers go")
    arguments = parser.parse_args()
    project = arguments.project.resolve()
    tracked = prepare(project)
    times: dict[str, dict[str, dict[str, float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mirror-")))
        server = stack.enter_context(
            tracked.server(folder / "server", f"sqlite:///{folder / 'server.db'}", tracked.free_port())
        )
        for place in ("sqlite", "http"):
            times[place] = {}
            for way in RUNS:
                own = folder / way.replace(" ", "-")
                uri = f"sqlite:///{own}.db" if place == "sqlite" else server
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    given = (way, project, uri, str(own) if place == "sqlite" else None)
                    times[place][way] = pool.apply(measure, given)

    console = Console()
    console.width = max(console.width, 120)
    table = Table("", "", "runs", "ms a run", "mirror = 1", "nothing new, s", "one new epoch in 100 runs, s")
    for place, ways in times.items():
        for way, found in ways.items():
            ratio = found["a run"] / ways["mirror"]["a run"]
            passes = [f"{found[name]:.2f}" if name in found else "" for name in ("nothing new", "one new epoch")]
            table.add_row(place, way, str(RUNS[way]), f"{1000 * found['a run']:.0f}", f"{ratio:.2f}", *passes)
    console.print(table)
    facts = {"when": datetime.now().isoformat(timespec="seconds"), "cores": os.cpu_count(), "load": os.getloadavg()}
    arguments.json.write_text(json.dumps(facts | {"seconds": times}, indent=2) + "\n")


if __name__ == "__main__":
    main()
