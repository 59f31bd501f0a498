"""What git's garbage collection and `dvc exp remove` leave of runs: nothing is lost, and what is gone is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import answered
import pytest
import trivial
from in_process import lab
from trivial import Trivial

from lab.execution.dvc import queue_tasks, task_refs
from lab.execution.dvc.backend import DvcBackend
from lab.git import Repository
from lab.study import FAILED, QUEUED, REMOVED, UNREADABLE


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project with two runs that have finished, and two that have failed."""
    project = trivial.make(tmp_path_factory.mktemp("failed") / "project")
    answered.design(project, "small", 0.5, 0.1, -0.2)
    trivial.carry_out(project, "small", answered.measured)
    return project


def collect(project: Trivial) -> None:
    """What git does by itself after weeks, and `git gc --prune=now` at once; without what lab has kept of commits."""
    project.call("git", "reflog", "expire", "--expire=now", "--all")
    project.call("git", "gc", "--quiet", "--prune=now")
    shutil.rmtree(project.root / ".dvc" / "tmp" / "lab" / "kept", ignore_errors=True)


def kept(project: Trivial) -> set[str]:
    return set(Repository(project.root).refs(task_refs.PREFIX).values())


def test_failed_runs_outlive_git_gc(failed: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(failed, tmp_path / "project")
    collect(project)
    for command in (["status"], ["status", "small"], ["results", "small"], ["report", "small"], ["run", "small"]):
        done = lab(project.root, *command)
        assert (done.returncode, done.stderr) == (1 if command[0] == "run" else 0, "")
        assert "4 finished, 2 failed" in done.stdout or command[0] in ("results", "report") or command == ["status"]
    assert [record.status for record in project.project().records()].count(FAILED) == 2
    project.call("dvc", "queue", "status")


def test_a_task_whose_commit_is_gone_is_a_row(failed: Trivial, tmp_path: Path) -> None:
    """As of tasks that were queued before lab kept them, or without it."""
    project = trivial.copied(failed, tmp_path / "project")
    for ref in Repository(project.root).refs(task_refs.PREFIX):
        project.call("git", "update-ref", "-d", ref)
    collect(project)
    gone = [record for record in project.project().records() if record.status == UNREADABLE]
    assert gone, "DVC's own refs protect the last one alone"
    for command in (["status"], ["status", "small"], ["results", "small"], ["run", "small"], ["report", "small"]):
        said = lab(project.root, *command)
        assert said.returncode == (1 if command[0] == "run" else 0), said.stderr
        if command[0] != "report":
            assert f"its commit {gone[0].commit[:7]} is not in git here any more" in said.stdout
            assert f"dvc queue remove {gone[0].name}" in said.stdout
    project.call("dvc", "queue", "remove", *(record.name for record in gone))
    assert not any(record.status == UNREADABLE for record in project.project().records())


def test_a_ref_goes_with_its_task(failed: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(failed, tmp_path / "project")
    backend = DvcBackend(project.root)
    backend.repair()
    assert kept(project) == {task.commit for task in queue_tasks.read(project.root)}
    before = kept(project)
    project.enqueue(project.run("more", 0.7))
    (new,) = (task for task in queue_tasks.read(project.root) if task.state == QUEUED)
    assert kept(project) == before | {new.commit}
    assert DvcBackend(project.root).pending()[-1].commit == new.commit
    project.call("dvc", "queue", "remove", "--all")
    backend.repair()
    assert kept(project) == set()
    assert "refs/lab" not in project.call("git", "for-each-ref").stdout


def test_dvc_is_not_disturbed_by_the_refs(failed: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(failed, tmp_path / "project")
    DvcBackend(project.root).repair()
    before = kept(project)
    assert before
    remote = tmp_path / "remote.git"
    project.call("git", "init", "-q", "--bare", str(remote))
    project.call("git", "remote", "add", "origin", str(remote))
    project.call("dvc", "exp", "push", "--no-cache", "--all-commits", "origin")
    there = project.call("git", "ls-remote", "origin").stdout
    assert there.count("refs/exps/") == 4
    assert "refs/lab" not in there
    assert len(trivial.experiments(project)) == 6, "those that have failed are shown as well"
    project.call("dvc", "exp", "clean")
    assert kept(project) == before


@pytest.mark.slow
def test_removed_is_not_failed(failed: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(failed, tmp_path / "project")
    answered.design(project, "third", 0.3, 0.2)
    assert project.lab("run", "third", "-j", "2", "--force").returncode == 0
    names = [record.name for record in project.project().records() if record.experiment.get("design") == "third"]
    project.call("dvc", "exp", "remove", names[0])
    rows = {line.split()[-1]: line for line in lab(project.root, "status", "third").stdout.splitlines() if line}
    assert [REMOVED in rows[name] for name in names] == [True, False, False, False]
    project.call("dvc", "exp", "remove", "-A")
    collect(project)
    said = lab(project.root, "status").stdout.splitlines()
    assert said[0].split()[:6] == ["design", "finished", "running", "queued", "failed", "removed"]
    assert said[2].split() == ["third", "3", "1"], "of the first DVC has forgotten all: its log alone tells"
    assert "4 removed" in lab(project.root, "status", "third").stdout
    assert REMOVED in lab(project.root, "results", "third").stdout
    before = len(project.calls("infer"))
    assert project.lab("run", "third", "-j", "2", "--force").returncode == 0, "they are carried out again"
    assert "4 finished" in lab(project.root, "status", "third").stdout
    assert len(project.calls("infer")) >= before
