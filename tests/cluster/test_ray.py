"""Ray passes the suite that every backend has to pass, and what nodes and people do to it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from real_ray import RealRay, processes
from remotes import published

from lab.execution.backend import Backend
from lab.execution.conformance import BackendConformance
from lab.execution.registry import backend

pytestmark = pytest.mark.xdist_group("ray")


class TestRay(BackendConformance):
    @pytest.fixture(autouse=True)
    def _cluster(self, ray_cluster: RealRay) -> None:
        self.cluster = ray_cluster

    def prepare(self, root: Path) -> None:
        published(root)

    def open(self, root: Path) -> Backend:
        return backend(root, "ray")

    def crash(self, root: Path) -> None:
        """The machine where `lab run` was called loses power; Ray ends what it had asked for."""
        for process in processes(str(root / ".dvc" / "tmp" / "lab" / "clusters" / "ray")):
            with suppress(psutil.Error):
                process.kill()
