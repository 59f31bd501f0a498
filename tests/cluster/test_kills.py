"""Whatever is killed at random moments: after `lab run` again each experiment is there once, and nothing is left."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import clustered
import psutil
import pytest
from clustered import Clustered, until

ROUNDS = 50
PATIENCE = 900.0  # seconds for six runs on a busy machine
RUN = """
from pathlib import Path
import clustered
project = clustered.Clustered(Path.cwd(), {engine!r})
runs = [project.run(f"run-{{n}}", seed=n, sleep=1.5) for n in range(4)]
runs += [project.run(f"quant-{{n}}", seed=n, sleep=1.5, target="quant", wave=1) for n in range(2)]
rows = project.execution(jobs=4).add(runs)
for row in rows:
    if not row.finished:
        print(row.record and row.record.name, row.reason)
print([row.status for row in rows])
"""
NAMES = ["quant-0", "quant-1", "run-0", "run-1", "run-2", "run-3"]


def lab(project: Clustered, engine: str) -> subprocess.Popen[str]:
    """`lab run` of six runs in two waves."""
    paths = os.pathsep.join(["src", str(Path(__file__).parent), str(Path(clustered.trivial.__file__).parent)])
    pipes: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    variables = clustered.trivial.environ(PYTHONPATH=paths)
    return subprocess.Popen([sys.executable, "-c", RUN.format(engine=engine)], cwd=project.root, env=variables, **pipes)


def victims(project: Clustered) -> list[psutil.Process]:
    """DVC and stages on nodes, the programs that started them with their guards, and Ray's launcher."""
    found = set(project.left())
    for process in list(found):
        with suppress(psutil.Error):
            while (process := process.parent()) and is_program(project, process.cmdline()):
                found |= {process, *process.children()}
    for process in psutil.process_iter(["cmdline"]):
        if "lab.execution.ray.launcher" in (process.info["cmdline"] or []) and str(project.root) in str(process.info):
            found.add(process)
    return sorted(found, key=lambda process: process.pid)


def is_program(project: Clustered, command: list[str]) -> bool:
    """Whether this is the program on a node: Slurm calls it by its file, and Ray from memory."""
    return str(project.root) in " ".join(command) or any(word.startswith("/proc/self/fd/") for word in command)


@pytest.fixture
def project(engine: str, tmp_path: Path) -> Iterator[Clustered]:
    """What a round that failed has left is ended: it would slow those to come."""
    made = clustered.make(tmp_path / "project", engine)
    yield made
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if process.cwd() == str(made.root):  # a driver
                process.kill()
    for process in victims(made):
        with suppress(psutil.Error):
            process.kill()


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_lost_or_doubled(number: int, engine: str, project: Clustered) -> None:
    chance = random.Random(number)
    driver = lab(project, engine)
    for _ in range(3):
        with suppress(subprocess.TimeoutExpired):
            driver.wait(chance.uniform(1, 8))
        if driver.poll() is not None or chance.random() < 0.25:
            driver.kill()
            driver.communicate()
            driver = lab(project, engine)
        elif found := victims(project):
            with suppress(psutil.Error):
                chance.choice(found).kill()
    driver.communicate(timeout=PATIENCE)
    again = lab(project, engine)  # a run that was hit twice counts as failed to the first
    output, _ = again.communicate(timeout=PATIENCE)
    assert output.splitlines()[-1] == str(["finished"] * 6), output
    assert project.at_remote() == NAMES and sorted(project.results()) == NAMES
    until(lambda: project.left() == [] and project.checkouts() == [])
