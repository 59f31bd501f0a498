"""Code, data and results by SSH alone: nodes that share no disk with the machine where `lab run` is called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import clustered
import pytest
from real_ray import RealRay
from real_ssh import Sshd


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    if missing := Sshd.missing():
        pytest.skip(f"no sshd here: {missing}")
    if find_spec("dvc_ssh") is None:
        pytest.skip("no dvc-ssh here: tests/cluster/requirements.txt")
    folder = tmp_path / "ssh"
    folder.mkdir()
    server = Sshd(folder)
    try:
        server.begin()
        yield server
    finally:
        server.end()


@pytest.fixture
def nodes(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealRay]:
    """Two, whose environment has the way to git's server: they know it since they were started."""
    if find_spec("ray") is None:
        pytest.skip("no Ray here: tests/cluster/requirements.txt")
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):  # of another Ray, after this one
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setenv("GIT_SSH_COMMAND", sshd.command)
    (tmp_path / "ray").mkdir()
    cluster = RealRay(tmp_path / "ray")
    try:
        cluster.begin()
        yield cluster
    finally:
        cluster.end()


@pytest.mark.nightly
@pytest.mark.xdist_group("ssh")
def test_all_comes_and_goes_by_ssh(nodes: RealRay, sshd: Sshd, tmp_path: Path) -> None:
    """A training that the next wave's runs need, from one node's cache to another's, and its model here."""
    project = clustered.make(tmp_path / "project", "ray")
    project.call("git", "remote", "set-url", "origin", sshd.url(tmp_path / "project.git"))
    project.call("dvc", "remote", "modify", "storage", "url", sshd.url(tmp_path / "storage"))
    project.call("dvc", "remote", "modify", "storage", "keyfile", str(sshd.key))
    project.call("dvc", "remote", "modify", "storage", "user", "root")
    project.commit("SSH")
    project.call("git", "push", "-q", "origin", "main")
    runs = [project.run(f"run-{seed}", seed=seed) for seed in range(2)]
    runs += [project.run("quant-0", seed=0, target="quant", wave=1)]
    assert [row.status for row in project.execution(jobs=2).add(runs)] == ["finished"] * 3
    assert project.at_remote() == ["quant-0", "run-0", "run-1"]
    log = (sshd.folder / "log").read_text()
    assert "Accepted publickey" in log and project.left() == []
    md5 = project.records()["run-1"].outputs["models/model.pt"]["md5"]
    store = project.project().store
    assert store.file(md5) is None, "nodes have caches of their own"
    store.fetch([md5])
    assert store.file(md5) is not None
