"""What a run costs beyond its stages: the stages alone, DVC's ways to run them, and `lab run`, side by side.

    demo/.venv/bin/python benchmarks/run.py [--runs 4] [--rounds 3] [--files 2 2000] [--queue 10 100] [--json run.json]

With the environment of a generated project (here demo), in a scratch project whose stages do next to nothing. A run is
a training and an evaluation with a learning rate that nobody had before; the prepared data, of 2 to 10,000 files, is
there. All ways take turns, each round in a copy of its own, and the best round counts. CPU is user and system time
of all processes, also of workers that outlive their command: as a subreaper this process gets them (Linux alone).
`dvc queue start` finds its runs queued; `lab run` plans and queues them as well, in the same CPU and wall time. Wall is
to the last experiment's ref, so that workers which wait for more are not counted.
Then, what it costs to queue so many: by `lab queue`, by one call with a list, and by a shell loop.
Goals: at most 0.5 CPU s and 0.5 s of wall a run beyond the stages, whatever the number of files; -j 2 at least 1.7
times as fast as -j 1; `lab queue` at least 5 times as fast as the one call, and 20 times as the loop.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pygit2
import yaml
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from trivial import Trivial

TEMPLATE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TEMPLATE / "<<cookiecutter.project>>" / "src"), str(TEMPLATE / "tests" / "lab")]
trivial = import_module("trivial")  # the tests' scratch project

SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER
LIMIT = 120.0  # seconds without one more experiment
PYTHON = sys.executable
Times = dict[str, float]


class Lost(Exception):
    """A queue that has come to its end, or to a stop, without all of its runs."""


# What is run


def make(folder: Path, files: int) -> Trivial:
    """The scratch project, whose data is prepared as so many files; one run is done, as an experiment."""
    project = trivial.make(folder / "project")
    script = project.root / "src" / "stand_in.py"
    few = 'for name in ("one", "two"):'
    text = script.read_text()
    assert few in text
    script.write_text(text.replace(few, f"for name in map(str, range({files})):"))
    with (project.root / ".gitignore").open("a") as ignored:
        ignored.write("/data/prepared\n")
    project.commit("so many files")
    project.call("dvc", "exp", "run", "-S", "lr=0.5", "infer")
    project.call("git", "reset", "-q", "--hard")
    project.call("git", "clean", "-q", "-d", "--force")
    project.lab("run", design(project, [0.6]), "--force")  # it tests itself once for each version of DVC
    reap()
    return project


def rates(number: int) -> list[float]:
    """Learning rates that no run had."""
    return [round(0.001 * (i + 1), 4) for i in range(number)]


def design(project: Trivial, rates: list[float]) -> str:
    """The name of a committed design with these rates."""
    sweep = {"strategy": "grid", "parameters": {"lr": rates}}
    content = {"kind": "sweep", "type": "train", "title": "Which?", "seeds": [0], "sweep": sweep}
    (project.root / "designs").mkdir(exist_ok=True)
    (project.root / "designs" / "rates.yaml").write_text(yaml.safe_dump(content))
    project.commit("rates")
    return "designs/rates.yaml"


def stages(project: Trivial, number: int, jobs: int) -> Callable[[], None]:
    """The commands of dvc.yaml, without anything around them."""
    project.call("dvc", "repro", "-q", "prepare")
    params = project.root / "params.yaml"
    given = yaml.safe_load(params.read_text())
    variables = {**experiment(project), "DVC_ROOT": str(project.root)}

    def work() -> None:
        for rate in rates(number):
            params.write_text(yaml.safe_dump(given | {"lr": rate}))
            for stage in ("train", "infer"):
                project.call(PYTHON, "src/stand_in.py", stage, **variables)

    return work


def experiment(project: Trivial) -> dict[str, str]:
    """What the training asks of its environment, which DVC's experiments have."""
    head = pygit2.Repository(str(project.root)).head.target
    return {"DVC_EXP_BASELINE_REV": str(head), "DVC_EXP_NAME": "alone"}


def repro(project: Trivial, number: int, jobs: int) -> Callable[[], None]:
    """`dvc repro` in the work tree."""
    project.call("dvc", "repro", "-q", "prepare")
    params = project.root / "params.yaml"
    given = yaml.safe_load(params.read_text())

    def work() -> None:
        for rate in rates(number):
            params.write_text(yaml.safe_dump(given | {"lr": rate}))
            project.call("dvc", "repro", "-q", "infer", **experiment(project))

    return work


def exp_run(project: Trivial, number: int, jobs: int) -> Callable[[], None]:
    """`dvc exp run` in the work tree."""
    project.call("dvc", "repro", "-q", "prepare")

    def work() -> None:
        for rate in rates(number):
            project.call("dvc", "exp", "run", "-q", "-S", f"lr={rate}", "infer")

    return work


def queue_start(project: Trivial, number: int, jobs: int) -> Callable[[], None]:
    """DVC's queue, filled before."""
    project.call("dvc", "exp", "run", "--queue", "-S", f"lr={','.join(map(str, rates(number)))}", "infer")
    return lambda: until_done(project, number, lambda: project.call("dvc", "queue", "start", "-j", str(jobs)))


def lab_run(*options: str) -> Callable[[Trivial, int, int], Callable[[], None]]:
    """`lab run` of a design, with options."""

    def way(project: Trivial, number: int, jobs: int) -> Callable[[], None]:
        path = design(project, rates(number))
        return lambda: until_done(
            project, number, lambda: project.lab("run", path, "--force", "-j", str(jobs), *options)
        )

    return way


def until_done(project: Trivial, experiments: int, command: Callable[[], object]) -> None:
    """Carry out a command, and wait until so many more experiments are there."""
    before = done = finished(project)
    command()
    until = time.monotonic() + LIMIT
    while done - before < experiments:
        if time.monotonic() > until:
            raise Lost(f"{done - before} of {experiments} experiments, and no more for {LIMIT:.0f} s")
        time.sleep(0.05)
        if (now := finished(project)) > done:
            done, until = now, time.monotonic() + LIMIT


def finished(project: Trivial) -> int:
    """How many experiments there are."""
    refs = pygit2.Repository(str(project.root)).listall_references()
    return sum(ref.startswith("refs/exps/") and len(ref.split("/")) == 5 for ref in refs)


def ways() -> dict[str, Callable[[Trivial, int, int], Callable[[], None]]]:
    """All that take turns, with `lab`'s kinds of workers as far as it has them."""
    found = {
        "stages alone": stages,
        "dvc repro": repro,
        "dvc exp run": exp_run,
        "dvc queue start": queue_start,
        "lab run": lab_run(),
    }
    asked = [PYTHON, "-m", "lab", "run", "--help"]
    environment = os.environ | {"PYTHONPATH": sys.path[0]}
    if "--workers" in subprocess.run(asked, env=environment, capture_output=True, text=True, cwd="/").stdout:
        found["lab run --workers dvc"] = lab_run("--workers", "dvc")
    return found


# How it is measured


def measured(work: Callable[[], None]) -> Times:
    """Wall seconds of the work, and CPU seconds of it and of all that it left running, to its end."""
    before, started = cpu(), time.perf_counter()
    work()
    wall = time.perf_counter() - started
    reap()
    return {"wall": wall, "cpu": cpu() - before}


def reap() -> None:
    """Wait for workers that wait for more."""
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def cpu() -> float:
    """User and system seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def runs(base: Trivial, number: int, rounds: int, folder: Path) -> dict[str, Times]:
    """The best round of each way, in seconds a run."""
    found: dict[str, list[Times]] = {}
    turns = [(name, way, jobs) for name, way in ways().items() for jobs in (1, 2) if jobs == 1 or is_queue(name)]
    for _ in range(rounds):
        for name, way, jobs in turns:
            place = Path(tempfile.mkdtemp(dir=folder))
            project = trivial.copied(base, place / "project")
            called = f"{name} -j {jobs}" if is_queue(name) else name
            try:
                found.setdefault(called, []).append(measured(way(project, number, jobs)))
            except Lost as error:
                print(f"{called}: {error}; this round is not counted", file=sys.stderr)
            shutil.rmtree(place, ignore_errors=True)
    return {
        name: {kind: min(each[kind] for each in rounds) / number for kind in ("wall", "cpu")}
        for name, rounds in found.items()
        if rounds
    }


def is_queue(name: str) -> bool:
    """Whether a way has workers."""
    return name.startswith(("dvc queue", "lab"))


def queueing(base: Trivial, number: int, folder: Path) -> dict[str, Times]:
    """Seconds to queue so many experiments, by way."""

    def lab(project: Trivial) -> None:
        project.lab("queue", "designs/rates.yaml", "--force")

    def one_call(project: Trivial) -> None:
        project.call("dvc", "exp", "run", "--queue", "-S", f"lr={','.join(map(str, rates(number)))}", "infer")

    def loop(project: Trivial) -> None:
        for rate in rates(number):
            project.call("dvc", "exp", "run", "--queue", "-S", f"lr={rate}", "infer")

    found = {}
    for name, way in {"lab queue": lab, "one call": one_call, "shell loop": loop}.items():
        place = Path(tempfile.mkdtemp(dir=folder))
        project = trivial.copied(base, place / "project")
        design(project, rates(number))
        found[name] = measured(lambda: way(project))  # noqa: B023
        queued = len(list((project.root / ".dvc" / "tmp" / "exps" / "celery" / "broker" / "in").iterdir()))
        assert queued == number, f"{name} queued {queued} of {number}"
        shutil.rmtree(place)
    return found


def show(console: Console, found: dict[str, dict[str, dict[str, Times]]]) -> None:
    """The tables."""
    for files, times in found["runs"].items():
        table = Table(
            "", "CPU s a run", "beyond the stages", "wall s a run", "beyond the stages", title=f"{files} data files"
        )
        alone = times["stages alone"]
        for name, each in times.items():
            more = {kind: f"{each[kind] - alone[kind]:+.2f}" for kind in each}
            table.add_row(name, f"{each['cpu']:.2f}", more["cpu"], f"{each['wall']:.2f}", more["wall"])
        console.print(table)
    for number, times in found["queueing"].items():
        table = Table("", "wall s", "CPU s", "lab queue = 1, CPU", title=f"to queue {number}")
        for name, each in times.items():
            ratio = each["cpu"] / times["lab queue"]["cpu"]
            table.add_row(name, f"{each['wall']:.1f}", f"{each['cpu']:.1f}", f"{ratio:.1f}")
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4, help="in each turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, nargs="*", default=[2, 2000, 10_000])
    parser.add_argument("--queue", type=int, nargs="*", default=[10, 100])
    parser.add_argument("--json", type=Path, default=Path("run.json"), help="where the numbers go")
    arguments = parser.parse_args()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    found: dict[str, dict[str, dict[str, Times]]] = {"runs": {}, "queueing": {}}
    with tempfile.TemporaryDirectory(prefix="run-") as name:
        folder = Path(name)
        for files in arguments.files:
            base = make(folder / str(files), files)
            found["runs"][str(files)] = runs(base, arguments.runs, arguments.rounds, folder)
            arguments.json.write_text(json.dumps(found, indent=2) + "\n")  # a long night may be cut short
        for number in arguments.queue:
            base = make(folder / f"queue-{number}", 2)
            found["queueing"][str(number)] = queueing(base, number, folder)
    console = Console()
    console.width = max(console.width, 110)
    show(console, found)
    facts = {"when": datetime.now().isoformat(timespec="seconds"), "cores": os.cpu_count(), "load": os.getloadavg()}
    facts |= {"runs": arguments.runs, "rounds": arguments.rounds}
    arguments.json.write_text(json.dumps({"facts": facts, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
