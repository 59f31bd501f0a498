"""What the tests with clusters share: git remotes, and engines that are started once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from real_ray import RealRay
from real_slurm import Slurm


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


def published(root: Path, clusters: str = "") -> Path:
    """A bare remote of a repository, with its branch and conf/cluster.yaml. Returns where it is.

    Each has a place of its own for checkouts and data: nodes would know the same runs of other tests.
    """
    bare, scratch = root.with_name(f"{root.name}.git"), root.with_name(f"{root.name}-nodes")
    (root / "conf").mkdir(exist_ok=True)
    (root / "conf" / "cluster.yaml").write_text(
        f"slurm: {{scratch: {scratch}, shards: 2}}\nray: {{scratch: {scratch}}}\n{clusters}"
    )
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    who = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for command in (
        ["add", "conf/cluster.yaml"],
        [*who, "commit", "-q", "-m", "clusters"],
        ["remote", "add", "origin", str(bare)],
        ["push", "-q", "origin", "main"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)
    return bare
