"""Workers end, are ended, and are replaced, whatever has become of them: ours and DVC's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import trivial
from trivial import Trivial

from lab.execution import registry, run
from lab.execution.backend import Backend
from lab.execution.dvc import backend as dvc_backend
from lab.execution.dvc import own_workers, queue_tasks, workers
from lab.execution.run import Execution

pytestmark = pytest.mark.slow

KINDS = ["dvc", pytest.param("dvc-workers", marks=pytest.mark.nightly)]


@pytest.fixture
def project(template: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trivial]:
    project = trivial.entered(template, tmp_path / "project", monkeypatch)
    yield project
    for process in there(project):
        process.kill()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is quiet, mute or stopped is so at once."""
    for module, names in {workers: ("QUIET", "STARTING"), own_workers: ("MUTE", "STARTING")}.items():
        for name in names:
            monkeypatch.setattr(module, name, 8.0 if name == "STARTING" else 4.0)
    monkeypatch.setattr(dvc_backend, "STOPPED", 2.0)


def there(project: Trivial) -> list[psutil.Process]:
    """The workers' processes, of both kinds."""
    return own_workers.processes(own_workers.alive(project.root)) + workers.alive(project.root)


def open_backend(project: Trivial, kind: str) -> Backend:
    return registry.backend(project.root, kind)


def finished(project: Trivial) -> set[str]:
    return {name for name, record in project.records().items() if record.metrics}


def carry_out(project: Trivial, backend: Backend, runs: list, jobs: int = 1) -> dict[str, str]:
    """`lab run`, up to its last run."""
    rows = Execution(project.project(), backend, jobs, lambda *_: None).add(runs)
    return {row.run.name: row.status for row in rows}


@pytest.mark.parametrize("kind", KINDS)
def test_those_that_a_run_has_started_have_ended_after_it(project: Trivial, kind: str) -> None:
    backend = open_backend(project, kind)
    backend.start(2)
    runs = [project.run(f"run-{number}", lr=0.1 + number) for number in range(2)]
    assert set(carry_out(project, backend, runs, 2).values()) == {"finished"}
    trivial.wait_until(lambda: {task.state for task in queue_tasks.read(project.root)} == {queue_tasks.DONE}, 20)
    os.kill(there(project)[0].pid, signal.SIGSTOP)  # it can't hear that it shall end
    backend.tidy({run.name for run in runs})
    assert there(project) == []


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_at_a_run_is_left_alone(project: Trivial, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("TRIVIAL_SLEEP", "4")
    project.enqueue(project.run("run"))
    backend = open_backend(project, kind)
    backend.start(1)
    trivial.wait_until(lambda: bool(project.calls("train")), 60)
    backend.tidy({"another"})
    trivial.wait_until(lambda: finished(project) == {"run"}, 60)


def test_the_next_starts_when_the_run_of_a_stopping_one_is_over(
    project: Trivial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `lab stop`, one at a time is one at a time."""
    monkeypatch.setenv("TRIVIAL_SLEEP", "2")
    monkeypatch.setattr(run, "CHECK", 1.0)
    project.enqueue(project.run("first"))
    backend = project.backend()
    backend.start(1)
    trivial.wait_until(lambda: bool(project.calls("train")), 60)
    backend.stop()
    trivial.wait_until(lambda: [worker.is_finishing for worker in own_workers.alive(project.root)] == [True], 10)
    seen: list[tuple[bool, bool]] = []

    def watch(*_: object) -> None:
        seen.append(("first" in finished(project), len(project.calls("train")) > 1))

    (row,) = Execution(project.project(), backend, 1, watch).add([project.run("second", lr=0.5)])
    assert row.status == "finished"
    assert (False, False) in seen and (False, True) not in seen, "beside the run that was being finished"


def half_written(project: Trivial) -> Path:
    """A message that nobody has come to write: DVC's worker dies of it while it looks whether it may end."""
    message = project.root / ".dvc" / "tmp" / "exps" / "celery" / "broker" / "in" / "0_half-written.other.msg"
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_text('{"body": ')
    return message


@pytest.mark.nightly
def test_dvcs_own_end_in_spite_of_a_half_written_message(project: Trivial) -> None:
    half_written(project)
    project.enqueue(project.run("run"))
    open_backend(project, "dvc-workers").start(1)
    trivial.wait_until(lambda: finished(project) == {"run"}, 60)
    trivial.wait_until(lambda: there(project) == [], 40)


def by_hand(project: Trivial, number: int = 1, **more: str) -> subprocess.Popen[bytes]:
    """A worker as `dvc queue start` starts it."""
    node = workers._node(project.root, f"{number}@localhost")
    command = [str(Path(sys.executable).with_name("dvc")), "exp", "queue-worker", node]
    environment = {**os.environ, **more}
    return subprocess.Popen(command, cwd=project.root, env=environment, stderr=subprocess.DEVNULL)


@pytest.mark.nightly
def test_one_that_has_leaked_is_none_and_is_replaced(project: Trivial, impatient: None) -> None:
    message = half_written(project)
    leaked = by_hand(project)
    backend = open_backend(project, "dvc-workers")
    assert backend.workers() == 1
    time.sleep(14)  # DVC's thread looks after ten seconds
    assert leaked.poll() is None and backend.workers() == 0
    message.unlink()
    backend.start(1)
    assert leaked.poll() is not None and backend.workers() == 1


def test_one_started_by_hand_in_another_environment_takes_nothing(project: Trivial) -> None:
    same, other = by_hand(project, 1, TERM="another"), by_hand(project, 2, TRIVIAL_SLEEP="9")
    trivial.wait_until(lambda: len(workers.judged(project.root)) == 2, 20)
    assert {worker.process.pid: worker.is_fit for worker in workers.judged(project.root)} == {
        same.pid: True,
        other.pid: False,
    }
    project.enqueue(project.run("run"))
    assert other.poll() is not None and same.poll() is None


@pytest.mark.nightly
def test_dvcs_own_of_another_environment_take_nothing(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIAL_SLEEP", "3")
    project.enqueue(project.run("first"))
    backend = open_backend(project, "dvc-workers")
    backend.start(1)
    trivial.wait_until(lambda: bool(project.calls("train")), 60)
    monkeypatch.setenv("TRIVIAL_SLEEP", "0")
    (old,) = there(project)
    assert carry_out(project, backend, [project.run("second", lr=0.5)]) == {"second": "finished"}
    trivial.wait_until(lambda: finished(project) == {"first", "second"}, 30)
    trivial.wait_until(lambda: old not in there(project), 10)


@pytest.mark.parametrize("kind", KINDS)
def test_queued_runs_get_another_where_one_is_stopped(
    project: Trivial, monkeypatch: pytest.MonkeyPatch, impatient: None, kind: str
) -> None:
    monkeypatch.setattr("lab.execution.run.CHECK", 2.0)
    backend = open_backend(project, kind)
    backend.start(1)
    (old,) = there(project)
    time.sleep(2)
    old.suspend()
    assert carry_out(project, backend, [project.run("run")]) == {"run": "finished"}
    assert project.calls("train") == ["0.1 0"]
    backend.tidy({"run"})
    assert old not in there(project), "it was ended before it could wake up"


ROUNDS = {"dvc": 150, "dvc-workers": 50}  # each of four runs at -j 4


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_no_worker_is_left(project: Trivial, kind: str) -> None:
    for number in range(ROUNDS[kind]):
        seen: set[psutil.Process] = set()
        backend = open_backend(project, kind)
        watch = lambda *_, seen=seen: seen.update(there(project))  # noqa: E731
        runs = [project.run(f"run-{number}-{each}", lr=number + each / 10) for each in range(4)]
        rows = Execution(project.project(), backend, 4, watch).add(runs)
        assert {row.status for row in rows} == {"finished"}
        backend.tidy({run.name for run in runs})
        left = [process.pid for process in seen if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
        assert seen and left == [], f"round {number}"


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_queued_runs_go_on_when_a_full_disk_is_free_again(
    template: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", str(tmp_path)], check=False).returncode:
        pytest.skip("a disk of its own takes root")
    for name, value in trivial.environ(TRIVIAL_SLEEP="3").items():
        monkeypatch.setenv(name, value)
    try:
        project = trivial.copied(template, tmp_path / "project")
        runs = [project.run(f"run-{number}", lr=0.1 + number) for number in range(3)]

        def fill_for_a_while() -> None:
            trivial.wait_until(lambda: bool(project.calls("train")), 100)
            with (tmp_path / "full").open("wb", buffering=0) as file, suppress(OSError):
                while file.write(b"x" * 4096):
                    pass
            time.sleep(40)
            (tmp_path / "full").unlink()

        disk = threading.Thread(target=fill_for_a_while)
        disk.start()
        with suppress(OSError):  # which `lab run` tells in a line
            carry_out(project, open_backend(project, kind), runs)
        disk.join()
        backend = open_backend(project, kind)
        rows = Execution(project.project(), backend, 1, lambda *_: None).add(runs)
        for row in rows:  # of the stage that met the full disk, that is the end
            assert row.status == "finished" or (row.record is not None and "No space left" in row.record.reason)
        assert [row.status for row in rows].count("finished") >= 2
    finally:
        for process in there(project):
            process.kill()
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_the_run_of_a_stopped_one_is_taken_up_when_its_stage_has_ended(
    project: Trivial, monkeypatch: pytest.MonkeyPatch, impatient: None, kind: str
) -> None:
    monkeypatch.setattr("lab.execution.run.CHECK", 2.0)
    monkeypatch.setenv("TRIVIAL_SLEEP", "4")
    backend = open_backend(project, kind)
    stopped: list[psutil.Process] = []

    def stop(rows: list, lost: list) -> None:
        if not stopped and project.calls("train"):
            stopped.extend(there(project))
            stopped[0].suspend()

    rows = Execution(project.project(), backend, 1, stop).add([project.run("run")])
    assert stopped and [row.status for row in rows] == ["finished"]
    assert len(project.calls("train")) <= 2 and list(project.records()) == ["run"]
    assert stopped[0] not in there(project), "it was ended before another took its run"
