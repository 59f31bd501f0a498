"""Slurm passes the suite that every backend has to pass, and what nodes, schedulers and people do to it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from conftest import published
from real_slurm import NODES, Slurm

from lab.execution.backend import Backend
from lab.execution.conformance import BackendConformance
from lab.execution.registry import backend


@pytest.fixture(autouse=True)
def daemons(slurm: Slurm) -> Slurm:
    return slurm


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
