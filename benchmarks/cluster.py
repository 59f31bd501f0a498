"""What a run costs on a cluster beyond its stages: on two nodes of Slurm and of Ray on this machine.

    demo/.venv/bin/python -P benchmarks/cluster.py [--runs 8 40 200] [--engines slurm ray] [--json cluster.json]

Runs of stages that take no time, two at once, in the small project of the tests, whose environment needs
tests/cluster/requirements.txt. CPU seconds are those of DVC and of the look at versions on nodes (git and the program
there take tenths), of the driver, and of the engine's own processes; wall is from the first run to the last, with
connecting to the engine. It needs /usr/bin/time.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

TESTS = Path(__file__).resolve().parents[1] / "tests"
SOURCE = TESTS.parent / "<<cookiecutter.project>>" / "src"
DAEMONS = ("slurmctld", "slurmd", "slurmstepd", "munged", "raylet", "gcs_server")


def daemons() -> float:
    """The CPU seconds of the engines' processes so far."""
    spent = 0.0
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            if process.info["name"] in DAEMONS:
                spent += sum(process.cpu_times()[:2])
    return spent


def python(folder: Path) -> tuple[Path, Path]:
    """An interpreter that notes the CPU seconds of each of its calls, and where."""
    notes, path = folder / "seconds", folder / "python"
    command = f'exec /usr/bin/time -a -o {notes} -f "%U %S" {sys.executable} "$@"'
    path.write_text(f'#!/bin/sh\ncase "$1" in *node.pyz | *stand_in.py) exec {sys.executable} "$@";; esac\n{command}\n')
    path.chmod(0o755)
    return path, notes


def measure(engine: str, runs: int) -> dict[str, Any]:
    """A campaign of so many runs."""
    import clustered

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        interpreter, notes = python(folder)
        project = clustered.make(folder / "project", engine)
        settings = project.root / "conf" / "cluster.yaml"
        settings.write_text(f"{engine}: {{python: {interpreter}, scratch: {project.nodes}}}\n")
        project.commit("an interpreter that counts")
        project.call("git", "push", "-q", "origin", "main")
        plan = [project.run(f"run-{number}", seed=number) for number in range(runs)]
        before, own, began = daemons(), sum(os.times()[:4]), time.monotonic()
        rows = project.execution(jobs=2).add(plan)
        wall = time.monotonic() - began
        assert {row.status for row in rows} == {"finished"}, [row.status for row in rows]
        lines = notes.read_text().splitlines() if notes.exists() else []
        nodes = sum(float(number) for line in lines for number in line.split()[:2])
        return {
            "engine": engine,
            "runs": runs,
            "wall a run": wall / runs,
            "nodes, CPU a run": nodes / runs,
            "driver, CPU a run": (sum(os.times()[:4]) - own) / runs,
            "engine, CPU a run": (daemons() - before) / runs,
            "load": os.getloadavg()[0],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[8, 40, 200])
    parser.add_argument("--engines", nargs="+", default=["slurm", "ray"], choices=["slurm", "ray"])
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args()
    sys.path[:0] = [str(SOURCE), str(TESTS / "lab"), str(TESTS / "cluster")]
    from real_ray import RealRay
    from real_slurm import Slurm

    results = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for engine in asked.engines:
            (Path(folder) / engine).mkdir()
            cluster: Any = {"slurm": Slurm, "ray": RealRay}[engine](Path(folder) / engine)
            try:
                cluster.begin()
                results += [measure(engine, number) for number in asked.runs]
            finally:
                cluster.end()
    table = Table(title=f"{datetime.now():%Y-%m-%d}: seconds")
    for column in results[0]:
        table.add_column(column, justify="right")
    for row in results:
        table.add_row(
            *(
                "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
                for value in row.values()
            )
        )
    Console(width=120).print(table)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
