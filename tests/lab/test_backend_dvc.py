"""DVC's queue passes the suite that every backend has to pass."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lab.errors import UserError
from lab.execution import backend
from lab.execution.backend import Backend
from lab.execution.conformance import BackendConformance
from lab.execution.dvc import compatibility, queue_tasks, workers
from lab.execution.dvc.backend import DvcBackend

pytestmark = pytest.mark.slow  # workers take seconds to start


@pytest.fixture(scope="module")
def compatible(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is noted once it is known that queueing fits this version of DVC: finding out takes seconds."""
    folder = tmp_path_factory.mktemp("compatible")
    assert compatibility.passed(folder)
    return folder / compatibility.NOTE


class TestDvcBackend(BackendConformance):
    @pytest.fixture
    def root(self, root: Path, compatible: Path) -> Path:
        (root / compatibility.NOTE).parent.mkdir(parents=True)
        shutil.copy(compatible, root / compatibility.NOTE)
        return root

    def open(self, root: Path) -> Backend:
        return DvcBackend(root)

    def crash(self, root: Path) -> None:
        runners = [workers.runner(task) for task in queue_tasks.read(root)]
        parents = [*workers.alive(root), *(runner for runner in runners if runner)]
        for process in [*parents, *(child for parent in parents for child in parent.children(recursive=True))]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_backends_are_found_by_name(tmp_path: Path) -> None:
    assert isinstance(backend.backend(tmp_path), DvcBackend)
    with pytest.raises(UserError, match="no backend dcv: there are dvc. Did you mean 'dvc'?"):
        backend.backend(tmp_path, "dcv")
