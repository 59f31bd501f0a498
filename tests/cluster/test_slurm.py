"""Slurm passes the suite that every backend has to pass, and what nodes, schedulers and people do to it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import clustered
import psutil
import pytest
from clustered import until
from real_slurm import NODES, Slurm
from remotes import published

from lab.errors import UserError
from lab.execution.backend import Backend
from lab.execution.conformance import BackendConformance
from lab.execution.registry import backend
from lab.study import FINISHED, QUEUED

pytestmark = pytest.mark.xdist_group("slurm")


class TestSlurm(BackendConformance):
    @pytest.fixture(autouse=True)
    def _daemons(self, slurm: Slurm) -> None:
        self.slurm = slurm

    def prepare(self, root: Path) -> None:
        published(root)

    def open(self, root: Path) -> Backend:
        return backend(root, "slurm")

    def crash(self, root: Path) -> None:
        """All machines lose power, the one with the scheduler's memory, too."""
        for name in ("slurmctld", *NODES):
            self.slurm.kill(name)
        for process in self.slurm.processes():
            with suppress(psutil.Error):
                process.kill()
        self.slurm.begin_controller("-c")
        for node in NODES:
            self.slurm.begin_node(node)


def test_an_administrator_requeues_and_cancels(slurm: Slurm, tmp_path: Path) -> None:
    """Both are brought to their end: what was cancelled is submitted again."""
    project = clustered.make(tmp_path / "project")
    runs = [project.run(f"run-{number}", seed=number, sleep=6) for number in range(2)]
    execution, rows = project.execution(), []
    thread = threading.Thread(target=lambda: rows.extend(execution.add(runs)))
    thread.start()
    until(lambda: len(project.calls("train")) == 2)
    requeued, cancelled = slurm.call("squeue", "-h", "-r", "-o", "%i").split()  # %A would cancel the whole array
    slurm.call("scontrol", "requeue", requeued)
    slurm.call("scancel", cancelled)
    until(lambda: slurm.call("squeue", "-h", "-j", requeued, "-o", "%T").strip() == "PENDING")
    slurm.call("scontrol", "update", f"jobid={requeued}", "StartTime=now")
    thread.join(200)
    assert [row.status for row in rows] == [FINISHED, FINISHED]
    assert len(project.calls("train")) == 4
    assert project.at_remote() == ["run-0", "run-1"] and project.left() == []


def test_arrays_are_as_large_as_the_site_allows(slurm: Slurm, tmp_path: Path) -> None:
    """Five tasks here. A scheduler that does not answer is a sentence, and what is queued stays."""
    project = clustered.make(tmp_path / "project")
    project.enqueue(*(project.run(f"run-{number}", seed=number, sleep=60) for number in range(7)))
    backend = project.backend()
    backend.start(None)
    assert len(list((backend.folder / "arrays").iterdir())) == 2
    assert project.backend().workers() == 7
    project.lab("stop", "--now")
    assert project.backend().workers() == 0
    time.sleep(6)  # a controller begins with what it saved last, and saves within five seconds
    slurm.kill("slurmctld")
    try:
        with pytest.raises(UserError, match="squeue: "):
            project.backend().start(None)
        assert "workers on slurm unknown: squeue: " in project.lab("status").stdout
    finally:
        slurm.begin_controller()

    def are_queued() -> bool:
        backend.repair()
        return {record.status for record in project.records().values()} == {QUEUED}

    until(are_queued)
