"""What the tests with clusters share: engines that are started once."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from real_ray import RealRay
from real_slurm import Slurm

from lab.execution import conformance

conformance.PATIENCE = 300.0  # a scheduler on a busy machine takes a node for lost, and queues its job again


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Two nodes."""
    if missing := Slurm.missing():
        pytest.skip(f"no Slurm here: {missing}")
    daemons = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        daemons.begin()
        yield daemons
    finally:
        daemons.end()


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRay]:
    """Two nodes, with a GPU each that is none."""
    if find_spec("ray") is None:
        pytest.skip("no Ray here: tests/cluster/requirements.txt")
    cluster = RealRay(tmp_path_factory.mktemp("ray"))
    try:
        cluster.begin()
        yield cluster
    finally:
        cluster.end()


ENGINES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("slurm", "ray")]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """An engine that is there."""
    request.getfixturevalue("slurm" if request.param == "slurm" else "ray_cluster")
    return request.param
