"""DVC's queue passes the suite that every backend has to pass, with workers of our own and with DVC's."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import trivial

from lab.errors import UserError
from lab.execution import registry
from lab.execution.backend import Backend
from lab.execution.conformance import BackendConformance
from lab.execution.dvc import own_workers, queue_tasks, workers
from lab.execution.dvc.backend import DvcBackend, DvcWorkersBackend

pytestmark = pytest.mark.slow  # workers take seconds to start


class DvcConformance(BackendConformance):
    def prepare(self, root: Path) -> None:
        for path, content in trivial.compatible().items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)

    def crash(self, root: Path) -> None:
        runners = [workers.runner(task) for task in queue_tasks.read(root)]
        own = [psutil.Process(worker.pid) for worker in own_workers.alive(root)]
        parents = [*workers.alive(root), *own, *(runner for runner in runners if runner)]
        for process in [*parents, *(child for parent in parents for child in parent.children(recursive=True))]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


class TestDvcBackend(DvcConformance):
    def open(self, root: Path) -> Backend:
        return DvcBackend(root)


class TestDvcWorkersBackend(DvcConformance):
    def open(self, root: Path) -> Backend:
        return DvcWorkersBackend(root)

    # DVC's workers take ten seconds to end: a whole run of theirs by day is enough
    test_a_failed_run_tells_why_and_can_be_retried = pytest.mark.nightly(
        DvcConformance.test_a_failed_run_tells_why_and_can_be_retried
    )
    test_workers_stop_after_the_run_that_they_are_at = pytest.mark.nightly(
        DvcConformance.test_workers_stop_after_the_run_that_they_are_at
    )


def test_backends_are_found_by_name(tmp_path: Path) -> None:
    assert isinstance(registry.backend(tmp_path), DvcBackend)
    with pytest.raises(UserError, match="no backend dcv: there are dvc, dvc-workers, slurm, ray. Did you mean 'dvc'?"):
        registry.backend(tmp_path, "dcv")
