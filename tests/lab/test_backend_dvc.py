"""DVC's queue passes the suite that every backend has to pass."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from lab.errors import UserError
from lab.execution import registry
from lab.execution.backend import Backend
from lab.execution.conformance import BackendConformance
from lab.execution.dvc import compatibility, queue_tasks, workers
from lab.execution.dvc.backend import DvcBackend

pytestmark = pytest.mark.slow  # workers take seconds to start


@cache
def compatible() -> bytes:
    """What is noted once it is known that queueing fits this version of DVC: finding out takes seconds."""
    with TemporaryDirectory() as folder:
        assert compatibility.passed(Path(folder))
        return (Path(folder) / compatibility.NOTE).read_bytes()


class TestDvcBackend(BackendConformance):
    def prepare(self, root: Path) -> None:
        (root / compatibility.NOTE).parent.mkdir(parents=True)
        (root / compatibility.NOTE).write_bytes(compatible())

    def open(self, root: Path) -> Backend:
        return DvcBackend(root)

    def crash(self, root: Path) -> None:
        runners = [workers.runner(task) for task in queue_tasks.read(root)]
        parents = [*workers.alive(root), *(runner for runner in runners if runner)]
        for process in [*parents, *(child for parent in parents for child in parent.children(recursive=True))]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_backends_are_found_by_name(tmp_path: Path) -> None:
    assert isinstance(registry.backend(tmp_path), DvcBackend)
    with pytest.raises(UserError, match="no backend dcv: there are dvc, slurm, ray. Did you mean 'dvc'?"):
        registry.backend(tmp_path, "dcv")
