"""What DVC, locks, disks, clocks and other people do to a run, and what `lab run` makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import trivial
from hypothesis import given
from hypothesis import strategies as st
from trivial import Trivial

from lab.design.resources import UNITS, Resources
from lab.errors import UserError
from lab.execution import registry
from lab.execution.backend import Job
from lab.execution.dvc import queue_tasks
from lab.execution.run import Execution
from lab.execution.standings import disturbed
from lab.execution.unfetched import unfetched
from lab.study import OVER_TIME

KINDS = ["dvc", pytest.param("dvc-workers", marks=pytest.mark.nightly)]


@pytest.fixture
def project(template: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trivial]:
    project = trivial.entered(template, tmp_path / "Übung 1, проект", monkeypatch)
    project.call("git", "config", "user.name", "Zoë")  # as DVC's own executor copies it
    return project


def record(log: str, exit_code: int | None = None, returncode: int = 255) -> SimpleNamespace:
    return SimpleNamespace(exit_code=exit_code, log=log, pending=SimpleNamespace(returncode=returncode))


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: failed to reproduce 'prepare': join() argument must be str, bytes, or os.PathLike, not 'NoneType'",
        "ERROR: failed to reproduce 'prepare': [Errno 2] No such file or directory: '.dvc/cache/runs/ab/abcd/x.tmp'",
        "ERROR: interrupted by the user",
        "ERROR: unexpected error - 'NoneType' object has no attribute 'rwlock'",
        "ERROR: failed to reproduce 'train': No space left on device: /project/models/model.pt",
        "ERROR: failed to reproduce 'prepare': No such file or directory: /project/.dvc/cache/files/md5/bb/95f418fbe2",
        "ERROR: Unable to acquire lock. Most likely another DVC process is running or was terminated abruptly.",
    ],
)
def test_what_dvc_failed_at_is_tried_again(line: str) -> None:
    assert disturbed(record(f"Running stage 'prepare':\n{line}"))


@pytest.mark.parametrize(
    ("log", "code"),
    [
        ("OSError: [Errno 28] No space left on device\nERROR: failed to reproduce 'train': failed to run: x", 1),
        ("ERROR: failed to reproduce 'train': missing data 'source': data/raw", None),
        ("ERROR: failed to reproduce 'train': output 'models/model.pt' does not exist", None),
        (f"{OVER_TIME}: 2h\nERROR: failed to reproduce 'train': failed to run: x, exited with -15", -15),
    ],
)
def test_what_a_stage_failed_at_is_not(log: str, code: int | None) -> None:
    assert not disturbed(record(log, code))


@given(st.lists(st.tuples(st.integers(1, 500), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4))
def test_a_time_is_written_as_people_do(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert Resources(timeout=text).seconds == sum(number * UNITS[unit] for number, unit in parts)


@pytest.mark.parametrize("text", ["7200", "2 h", "2hours", "0s", "-1h", ""])
def test_a_time_has_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Resources(timeout=text)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_over_its_time_has_failed(project: Trivial, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("TRIVIAL_SLEEP", "120")
    monkeypatch.setattr("lab.execution.run.CHECK", 2.0)
    backend = registry.backend(project.root, kind)
    limit = Resources(timeout="3s" if kind == "dvc" else "9s")  # of which setting up takes some
    (row,) = Execution(project.project(), backend, 1, lambda *_: None, resources=limit).add([project.run("run")])
    assert row.status == "failed" and row.record is not None
    assert f"{OVER_TIME}: {limit.timeout}" in row.record.log and OVER_TIME in row.record.reason
    assert len(project.calls("train")) == 1, "it is not tried again"
    backend.tidy({"run"})


@pytest.mark.slow
def test_all_runs_start_from_the_commit_at_which_lab_run_was_called(project: Trivial) -> None:
    head = project.call("git", "rev-parse", "HEAD").stdout.strip()
    committed = []

    def commit(rows: list, lost: list) -> None:
        if not committed and rows[0].status == "finished":
            (project.root / "src" / "stand_in.py").open("a").write("# edited\n")
            committed.append(project.commit("while it runs"))
            (project.root / "lab.yaml").open("a").write("# and not committed\n")

    first, second = project.run("train"), project.run("quant", target="quant", wave=1)
    rows = project.execution(1, watcher=commit).add([first, second])
    assert committed and [row.status for row in rows] == ["finished", "finished"]
    assert {row.record.baseline for row in rows} == {head}
    assert len(project.calls("train")) == 1


@pytest.mark.nightly
def test_the_first_on_a_commit_goes_alone_with_dvcs_own(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIAL_SLEEP", "1")
    backend = registry.backend(project.root, "dvc-workers")
    counts: list[tuple[int, int]] = []

    def watch(rows: list, lost: list) -> None:
        done = sum(task.state == queue_tasks.DONE for task in queue_tasks.read(project.root))
        counts.append((done, sum(task.state != "queued" for task in queue_tasks.read(project.root)) - done))

    runs = [project.run(f"run-{number}", lr=0.1 + number) for number in range(2)]
    rows = Execution(project.project(), backend, 2, watch).add(runs)
    assert {row.status for row in rows} == {"finished"}
    assert max(running for done, running in counts if done == 0) == 1
    backend.tidy({run.name for run in runs})


def test_a_version_of_dvc_that_queues_on_head_alone_says_so(project: Trivial) -> None:
    from dvc.repo import Repo

    from lab.execution.dvc import stock_queue

    job = Job("run", project.run("run").params, "infer", baseline="0" * 40)
    with Repo(str(project.root)) as repo, pytest.raises(UserError, match="run starts from 0000000"):
        stock_queue.put(repo, [job])


def test_a_clone_without_experiments_is_told_what_to_fetch(project: Trivial, tmp_path: Path) -> None:
    assert unfetched(project.project()) == "", "there is no remote"
    trivial.experiment(project, project.run("run"))
    project.call("git", "clone", "-q", str(project.root), str(tmp_path / "clone"))
    clone = Trivial(tmp_path / "clone")
    assert "origin has 1 experiment, and this clone none" in unfetched(clone.project())
    clone.call("git", "fetch", "-q", "origin", "refs/exps/*:refs/exps/*")
    assert unfetched(clone.project()) == ""
    (ref,) = clone.call("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    clone.call("git", "update-ref", "-d", ref)
    clone.call("git", "remote", "set-url", "origin", str(tmp_path / "gone"))
    assert unfetched(clone.project()) == "", "a remote that does not answer"
