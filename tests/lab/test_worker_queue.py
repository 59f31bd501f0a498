"""`dvc queue` tells of runs of our workers as of DVC's, and does to them what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trivial
from trivial import Trivial

from lab.design.resources import Resources
from lab.errors import UserError
from lab.execution import logs
from lab.execution.backend import Job
from lab.execution.dvc import own_workers, queue_tasks, repair
from lab.execution.dvc.backend import DvcBackend
from lab.execution.worker.devices import Devices

pytestmark = pytest.mark.slow


@pytest.fixture
def project(template: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trivial]:
    project = trivial.entered(template, tmp_path / "project", monkeypatch)
    yield project
    for worker in own_workers.alive(project.root):
        os.kill(worker.pid, signal.SIGKILL)


@contextmanager
def dvc_queue(project: Trivial) -> Iterator[Any]:
    """What the commands of `dvc queue` call."""
    from dvc.repo import Repo

    with chdir(project.root), Repo(str(project.root)) as repo:
        yield repo.experiments.celery_queue


def statuses(project: Trivial) -> dict[str, str]:
    with dvc_queue(project) as queue:
        return {row["name"]: row["status"] for row in queue.status()}


def printed(project: Trivial, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    from dvc.ui import ui

    ui.enable()
    capsys.readouterr()
    with dvc_queue(project) as queue:
        queue.logs(name)
    return capsys.readouterr().out


def test_runs_queued_by_hand_are_told_of_and_ended(
    project: Trivial, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    monkeypatch.setenv("TRIVIAL_SLEEP", "60")
    with chdir(project.root), Repo(str(project.root)) as repo:
        for number in range(4):
            repo.experiments.run(queue=True, name=f"run-{number}", params=[f"lr=0.{number + 1}"], targets=["train"])
    backend = project.backend()
    backend.start(1)
    trivial.wait_until(lambda: len(project.calls("train")) == 1, 60)
    assert statuses(project) == {"run-0": "Running", **{f"run-{number}": "Queued" for number in (1, 2, 3)}}
    with dvc_queue(project) as queue:
        (active,) = queue.worker_status().values()
        assert [task["id"] for task in active] == [queue_tasks.read(project.root)[0].id]
    assert "Running stage 'train':\n> python src/stand_in.py train" in printed(project, "run-0", capsys)

    with dvc_queue(project) as queue:
        queue.kill(["run-0"])
    trivial.wait_until(lambda: len(project.calls("train")) == 2, 60)  # and the worker goes on
    assert statuses(project)["run-0"] == "Failed"
    assert "exited with -2" in printed(project, "run-0", capsys)
    with dvc_queue(project) as queue:
        queue.kill(["run-1"], force=True)
    trivial.wait_until(lambda: len(project.calls("train")) == 3, 60)
    assert statuses(project)["run-1"] == "Failed"

    with dvc_queue(project) as queue:
        queue.shutdown(kill=True)
    trivial.wait_until(lambda: backend.workers() == 0, 60)
    backend.repair()
    assert statuses(project) == {"run-0": "Failed", "run-1": "Failed", "run-2": "Failed", "run-3": "Queued"}
    with dvc_queue(project) as queue:
        assert queue.worker_status() == {}
        queue.remove(["run-0", "run-3"])
        with pytest.raises(DvcException):
            queue.remove(["run-3"])
        queue.clear(failed=True)
    assert statuses(project) == {}


def test_logs_of_finished_runs(
    project: Trivial, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(repair, "KNOWN_TO_DVC", 2)
    runs = [project.run(f"run-{number}", lr=0.1 + number) for number in range(4)]
    rows = project.execution(2).add(runs)
    assert {row.status for row in rows} == {"finished"}
    for run in runs:  # also where no `lab run` of its design has come to its end
        assert "Running stage 'infer'" in logs.read(project.project(), run.name)
    backend = project.backend()
    backend.tidy({run.name for run in runs})
    assert list(backend.pending()) == []
    known = statuses(project)
    assert len(known) == 2 and set(known.values()) == {"Success"}, "dvc queue status grows with their square"
    for name in known:
        assert "Running stage 'train'" in printed(project, name, capsys)
    for run in runs:
        assert "Running stage 'infer'" in logs.read(project.project(), run.name)
    with pytest.raises(UserError, match="there is no experiment run-9. Did you mean"):
        logs.read(project.project(), "run-9")


def test_workers_go_when_nobody_needs_them(project: Trivial) -> None:
    project.enqueue(project.run("run"))
    backend = project.backend()
    backend.start(2)
    trivial.wait_until(lambda: bool(project.records()["run"].metrics), 60)
    backend.tidy({"run"})
    assert backend.workers() == 0, "it is not waited for until it goes by itself"


def test_a_worker_of_another_environment_takes_nothing(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIAL_SLEEP", "300")
    project.enqueue(project.run("first"))
    backend = project.backend()
    backend.start(1)
    trivial.wait_until(lambda: bool(project.calls("train")), 60)
    (old,) = own_workers.alive(project.root)
    monkeypatch.setenv("TERM", "another")  # a terminal's own, which makes no difference
    backend.start(1)
    assert [worker.pid for worker in own_workers.alive(project.root)] == [old.pid]
    monkeypatch.setenv("TRIVIAL_SLEEP", "0")
    project.enqueue(project.run("second", lr=0.5))
    assert [worker.stopping for worker in own_workers.alive(project.root)] == [True]
    backend.start(1)
    assert [worker.pid for worker in own_workers.alive(project.root)] == [old.pid], "one at a time, its run among them"
    backend.start(2)
    trivial.wait_until(lambda: bool(project.records()["second"].metrics), 60)
    backend.end()
    trivial.wait_until(lambda: old.pid not in {worker.pid for worker in own_workers.alive(project.root)}, 30)


def test_what_only_dvc_can_do_is_left_to_it(project: Trivial) -> None:
    from dvc.repo import Repo

    (project.root / "notes.txt").write_text("untracked")
    with chdir(project.root), Repo(str(project.root)) as repo:
        repo.experiments.run(
            queue=True, name="copied", params=["lr=0.4"], targets=["train"], copy_paths=["notes.txt"], message="mine"
        )
    project.backend().start(1)
    trivial.wait_until(lambda: bool(project.records()["copied"].metrics), 60)
    assert project.call("git", "log", "-1", "--format=%B", project.records()["copied"].commit).stdout.strip() == "mine"
    trivial.wait_until(lambda: statuses(project) == {"copied": "Success"}, 30)  # its worker clears up before it says so


# GPUs

WORK = """import json, os, pathlib, time, yaml
value = yaml.safe_load(pathlib.Path("params.yaml").read_text())["lr"]
started = time.time()
time.sleep(1)
with open(pathlib.Path(os.environ["DVC_ROOT"]) / "used.txt", "a") as file:
    file.write(json.dumps([os.environ.get("CUDA_VISIBLE_DEVICES"), started, time.time()]) + "\\n")
pathlib.Path("metrics").mkdir(exist_ok=True)
pathlib.Path("metrics/infer.json").write_text(json.dumps({"f1_macro": value}))
"""
ONE_STAGE = """stages:
  infer:
    cmd: python src/stand_in.py
    deps: [src/stand_in.py]
    params: [lr]
    metrics: [metrics/infer.json: {cache: false}]
"""


@pytest.mark.parametrize(("gpus", "most"), [(1, {"3": 1, "7": 1}), (0.5, {"3": 2, "7": 2}), (0, {"": 4})])
def test_each_run_gets_its_gpu_or_waits(
    project: Trivial, monkeypatch: pytest.MonkeyPatch, gpus: float, most: dict[str, int]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,7")
    (project.root / "src" / "stand_in.py").write_text(WORK)
    (project.root / "dvc.yaml").write_text(ONE_STAGE)
    project.commit("a stage that uses a GPU")
    backend = DvcBackend(project.root)
    jobs = [Job(f"run-{n}", {"lr": 0.1 * n}, "infer", Resources(gpus=gpus)) for n in range(1, 5)]
    with backend.alone():
        backend.put(jobs)
    assert backend.room(jobs[0].resources) == {1: 2, 0.5: 4, 0: None}[gpus]
    backend.start(4)
    trivial.wait_until(lambda: not backend.pending() or all(run.delivered for run in backend.pending()), 90)
    rows = [json.loads(line) for line in (project.root / "used.txt").read_text().splitlines()]
    assert len(rows) == 4
    for gpu, started, _ in rows:
        at_once = sum(other == gpu and begin <= started < end for other, begin, end in rows)
        assert at_once <= most[gpu]
    assert set(most) == {gpu for gpu, *_ in rows} or gpus == 0.5


def test_room_is_counted(tmp_path: Path) -> None:
    devices = Devices(tmp_path, gpus=["0", "1", "2"], cores=8)
    rooms = {(0.5, None): 6, (0.3, None): 9, (1, None): 3, (2, None): 1, (4, None): 0, (None, 3): 2, (1, 3): 2}
    for (gpus, cpus), room in rooms.items():
        assert devices.room(Resources(gpus=gpus, cpus=cpus)) == room
    assert devices.room(Resources()) is None and devices.room(Resources(gpus=0)) is None


def test_what_a_killed_process_had_is_free_again(tmp_path: Path) -> None:
    text = (
        "import sys, time\nfrom pathlib import Path\nfrom lab.design.resources import Resources\n"
        "from lab.execution.worker.devices import Devices\n"
        "print(Devices(Path(sys.argv[1]), ['0', '1'], 2).take(Resources(gpus=2)), flush=True)\ntime.sleep(60)"
    )
    path = os.pathsep.join(part for part in sys.path if part)
    command = [sys.executable, "-c", text, str(tmp_path)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "{'CUDA_VISIBLE_DEVICES': '0,1'}\n"
        devices = Devices(tmp_path, ["0", "1"], 2)
        assert devices.take(Resources(gpus=0.5)) is None
        assert devices.take(Resources(cpus=2)) is not None
        other.kill()
    assert devices.take(Resources(gpus=0.5)) == {"CUDA_VISIBLE_DEVICES": "0"}
    assert devices.take(Resources(gpus=1, cpus=2)) == {"CUDA_VISIBLE_DEVICES": "0"}, "what it had before is given back"
    assert devices.take(Resources(cpus=3)) is None
