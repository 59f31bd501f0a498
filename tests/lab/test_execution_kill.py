"""kill -9 of whatever runs, at random moments: after `lab run` again, the table is that of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import trivial
from trivial import Trivial

from lab.execution.dvc import own_workers

RUN = """
import json
from pathlib import Path
import trivial
from test_execution_kill import runs
project = trivial.Trivial(Path.cwd())
rows = project.execution().add(runs(project))
print(json.dumps([[row.run.name, row.status, row.record.name, row.record.metrics] for row in rows]))
"""
ROUNDS = 50  # by make nightly; one of them by make test


def runs(project: Trivial) -> list:
    """Runs in two waves: trainings (6 by night, 3 by day), and a second evaluation of each."""
    rates = (0.1, 0.2) if "KILL_BY_NIGHT" in os.environ else (0.1,)
    levels = [(lr, seed) for lr in rates for seed in (0, 1, 2)]
    first = [project.run(f"train-{lr}-{seed}", lr, seed) for lr, seed in levels]
    return first + [project.run(f"quant-{lr}-{seed}", lr, seed, target="quant", wave=1) for lr, seed in levels]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, list]:
    """The project before it all, and the table of a run that nobody disturbs."""
    if any(item.get_closest_marker("nightly") for item in request.session.items):
        os.environ["KILL_BY_NIGHT"] = "yes"
    root = tmp_path_factory.mktemp("undisturbed") / "project"
    project = trivial.make(root)
    before = shutil.copytree(root.parent, root.parent.with_name("before"))
    return before, finished(lab(project))


def lab(project: Trivial) -> subprocess.Popen[str]:
    """`lab run` on them."""
    return project.script(RUN, TRIVIAL_SLEEP="0.5")


def finished(process: subprocess.Popen[str]) -> list:
    """Its table, when it has ended well."""
    output = process.communicate(timeout=500)[0]
    assert process.returncode == 0, output
    return json.loads(output.splitlines()[-1])


def victims(project: Trivial, kind: str) -> list[psutil.Process]:
    """What there is to kill."""
    if kind == "worker":
        return [psutil.Process(worker.pid) for worker in own_workers.alive(project.root)]
    return [process for process in inside(project) if "stand_in.py" in " ".join(process.info["cmdline"] or [])]


def inside(project: Trivial) -> list[psutil.Process]:
    """The processes that work in a checkout."""
    place = str(project.root / ".dvc")
    return [each for each in psutil.process_iter(["cmdline", "cwd"]) if (each.info["cwd"] or "").startswith(place)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(1, ROUNDS))])
def test_nothing_is_lost_or_doubled(number: int, undisturbed: tuple[Path, list], tmp_path: Path) -> None:
    before, table = undisturbed
    project = Trivial(Path(shutil.copytree(before, tmp_path / "disturbed")) / "project")
    chance = random.Random(number)
    kinds = ["worker", "lab", "stage", "worker"]
    chance.shuffle(kinds)
    process = lab(project)
    for kind in kinds:
        wait_for_chance(project, chance, process)
        if kind == "lab" or process.poll() is not None:
            process.kill()
            process.wait()
            process = lab(project)
        elif found := victims(project, kind):
            chance.choice(found).kill()
    if chance.random() < 0.5:
        process.kill()
    process.communicate(timeout=500)  # a run that was hit twice counts as failed to this one
    assert finished(lab(project)) == table

    names = [record.name for record in project.project().records()]
    assert sorted(names) == sorted(name for name, *_ in table)
    assert all(count <= 1 + len(kinds) for count in Counter(project.calls("train")).values())
    assert project.call("git", "status", "--porcelain").stdout == ""
    assert project.call("git", "symbolic-ref", "--short", "HEAD").stdout == "main\n"
    trivial.wait_until(lambda: not own_workers.alive(project.root) and not inside(project), 60)


def wait_for_chance(project: Trivial, chance: random.Random, process: subprocess.Popen[str]) -> None:
    """A random moment of the time in which experiments run."""
    started = time.monotonic()
    while not victims(project, "stage") and process.poll() is None and time.monotonic() - started < 60:
        time.sleep(0.1)
    time.sleep(chance.uniform(0, 4))
