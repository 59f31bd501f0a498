"""Queueing: what lands in DVC's queue is what DVC would have put there, all of it or nothing."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pygit2
import pytest
import trivial
import yaml
from trivial import Trivial

from lab.errors import UserError
from lab.execution.backend import Job
from lab.execution.dvc import compatibility, fast_queue, queue_tasks, stock_queue

NASTY = [
    "$(touch pwned)",
    "`touch pwned`",
    "a b",
    "it's",
    '"',
    "a,b",
    "{x}",
    "${HOME}",
    "; touch pwned #",
    "é½漢",
    "x" * 300,
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project to copy: its self-test is done."""
    project = trivial.make(tmp_path_factory.mktemp("template") / "project")
    assert compatibility.passed(project.root), "fast_queue doesn't fit this DVC: it would be slow"
    return project


@pytest.fixture
def project(template: Trivial, tmp_path: Path) -> Trivial:
    return trivial.copied(template, tmp_path / "project")


def state(project: Trivial) -> tuple[object, ...]:
    """What a refused queueing must leave alone."""
    folder = project.root / ".dvc" / "tmp" / "exps" / "celery" / "broker" / "in"
    refs = project.call("git", "for-each-ref").stdout
    return (
        project.call("git", "status", "--porcelain").stdout,
        refs,
        sorted(folder.glob("*")) if folder.exists() else [],
    )


def queued_tree(project: Trivial, name: str) -> tuple[pygit2.Oid, dict]:
    """The tree of a queued experiment, without the notes on how it was asked for, and these."""
    task = next(task for task in queue_tasks.read(project.root) if task.name == name)
    git = pygit2.Repository(str(project.root))
    tree = git[task.commit].peel(pygit2.Commit).tree
    notes = pickle.loads(tree[".dvc/tmp/repro.dat"].read_raw())
    index = pygit2.Index()
    index.read_tree(tree)
    index.remove(".dvc/tmp/repro.dat")
    return index.write_tree(git), notes["kwargs"]


def test_it_is_what_dvc_would_queue(project: Trivial) -> None:
    project.call("dvc", "exp", "run", "--queue", "-n", "theirs", "-S", "lr=0.25", "-S", "seed=7", "infer")
    their_tree, their_notes = queued_tree(project, "theirs")
    project.call("dvc", "queue", "remove", "theirs")
    run = project.run("ours", lr=0.25, seed=7)
    run.params["experiment"] = None
    project.enqueue(run)
    our_tree, our_notes = queued_tree(project, "ours")
    assert our_tree == their_tree
    assert our_notes["targets"] == their_notes["targets"] == ["infer"]
    assert our_notes["run_env"] == {**their_notes["run_env"], "DVC_EXP_NAME": "ours"}


def test_both_ways_give_the_same_tree(project: Trivial) -> None:
    from dvc.repo import Repo

    run = project.run("same", lr=0.3)
    git = pygit2.Repository(str(project.root))
    with Repo(str(project.root)) as repo:
        trees = []
        for way in (stock_queue, fast_queue):
            (commit,) = way.put(repo, [Job("same", run.params, "infer")])
            trees.append(git[commit].peel(pygit2.Commit).tree.id)
            fast_queue.withdraw(repo, [commit])
    assert trees[0] == trees[1]
    assert project.call("git", "status", "--porcelain").stdout == ""


@pytest.mark.nightly
def test_dvc_shows_and_runs_them(project: Trivial) -> None:
    runs = [project.run(f"run-{i}", lr=0.1 * (i + 1)) for i in range(3)]
    assert project.enqueue(*runs) == {f"run-{i}": f"run-{i}" for i in range(3)}
    listed = project.call("dvc", "queue", "status").stdout
    assert [line.split()[1] for line in listed.splitlines() if "Queued" in line] == ["run-0", "run-1", "run-2"]
    project.call("dvc", "queue", "start", "-j", "1")
    trivial.wait_until(lambda: len(project.calls("infer")) == 3 and idle(project))
    shown = {row["name"]: row for row in trivial.experiments(project)}
    for i in range(3):
        assert shown[f"run-{i}"]["params"]["params.yaml"]["data"]["lr"] == pytest.approx(0.1 * (i + 1))
        metrics = shown[f"run-{i}"]["metrics"]["metrics/infer.json"]["data"]
        assert project.records()[f"run-{i}"].metrics["infer"] == metrics


def idle(project: Trivial) -> bool:
    return all(record.status == "finished" for record in project.records().values())


def test_an_experiment_is_queued_once(project: Trivial) -> None:
    run, twin = project.run("first"), project.run("second")
    assert project.enqueue(run, twin) == {"first": "first", "second": "second"}
    assert project.enqueue(run) == {}
    assert project.enqueue(project.run("other name")) == {}
    assert project.enqueue(run, again=True) == {}  # it is under way


def test_all_or_nothing(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    project.enqueue(project.run("taken"))
    before = state(project)
    with pytest.raises(UserError, match="the name taken is taken"):
        project.enqueue(project.run("new", lr=0.5), project.run("taken", lr=0.6))
    assert state(project) == before

    sent = []
    announce = fast_queue._announce

    def fail_at_the_third(repo: object, entry: object, *more: object) -> None:
        sent.append(entry)
        if len(sent) == 3:
            raise OSError("no space left on device")
        announce(repo, entry, *more)

    monkeypatch.setattr(fast_queue, "_announce", fail_at_the_third)
    with pytest.raises(OSError, match="no space"):
        project.enqueue(*[project.run(f"new-{i}", lr=0.5 + i) for i in range(4)])
    assert [task.name for task in queue_tasks.read(project.root)] == ["taken"]
    reflog = project.call("git", "reflog", "show", "--format=%gs", "refs/exps/celery/stash").stdout
    assert "new-" not in reflog and "taken" in reflog


def test_two_queuers_at_once(project: Trivial) -> None:
    text = """
import sys, trivial
from pathlib import Path
project = trivial.Trivial(Path.cwd())
runs = [project.run(f"run-{i}", lr=0.001 * (i + 1)) for i in range(40)]
project.enqueue(*runs)
"""
    processes = [project.script(text) for _ in range(3)]
    for process in processes:
        output = process.communicate(timeout=300)[0]
        assert process.returncode == 0, output
    names = [task.name for task in queue_tasks.read(project.root)]
    assert names == [f"run-{i}" for i in range(40)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["lab", pytest.param("dvc", marks=pytest.mark.nightly)])
def test_values_never_reach_a_shell(project: Trivial, workers: str) -> None:
    run = project.run("run")
    run.params["augmentation"] = dict(zip("abcdefghijk", NASTY, strict=True))
    if workers == "lab":
        project.execution(1).add([run])
    else:
        project.enqueue(run)
        project.call("dvc", "queue", "start", "-j", "1")
        trivial.wait_until(lambda: idle(project))
    assert project.records()["run"].params["augmentation"] == run.params["augmentation"]
    assert list(project.root.parent.rglob("pwned")) == []


REFUSED = {
    "no git repository": "rm -rf .git",
    "no commit yet": "git update-ref -d HEAD",
    "HEAD is detached": "git checkout -q --detach",
    "not committed: src/stand_in.py": "echo >> src/stand_in.py",
    "not committed: conf/config.yaml": "echo >> conf/config.yaml && git add conf",
    "not committed: conf/new.yaml": "touch conf/new.yaml",
    "not committed: dvc.yaml": "echo '# ' >> dvc.yaml",
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message: str, project: Trivial) -> None:
    run = project.run("run")
    project.call("bash", "-c", REFUSED[message])
    with pytest.raises(UserError, match=message):
        project.enqueue(run)
    assert not list((project.root / ".dvc" / "tmp").rglob("*.msg"))


def test_what_git_does_not_know_counts_where_a_stage_depends_on_it(project: Trivial) -> None:
    (project.root / "src" / "notes.py").touch()
    project.enqueue(project.run("run", lr=0.2))
    pipeline = project.root / "dvc.yaml"
    text = pipeline.read_text()
    pipeline.write_text(text.replace("deps: [data/prepared, src/stand_in.py]", "deps: [data/prepared, src]"))
    project.commit("a stage reads the whole folder")
    (project.root / "src" / "new.py").touch()
    with pytest.raises(UserError, match="not committed: src/new.py"):
        project.enqueue(project.run("again", lr=0.3))
    params = project.root / "params.yaml"
    given = yaml.safe_load(params.read_text())
    given["data"]["source"]["path"] = "raw/own/"
    params.write_text(yaml.safe_dump(given))
    pipeline.write_text(text.replace("deps: [src/stand_in.py]", "deps: [src/stand_in.py, '${data.source.path}']"))
    project.commit("a stage reads data")
    for name in ("ä 1.png", "2.png"):
        (project.root / "raw" / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / "raw" / "own" / name).touch()
    with pytest.raises(UserError, match=r"not committed: raw/own\. .* dvc add raw/own, then git commit$"):
        project.enqueue(project.run("again", lr=0.3))


def test_what_dvc_writes_here_is_no_obstacle(project: Trivial) -> None:
    project.call("dvc", "exp", "run", "-S", "lr=0.7", "infer")
    before = project.call("git", "status", "--porcelain").stdout
    assert "params.yaml" in before
    project.enqueue(project.run("run", lr=0.2))
    assert project.call("git", "status", "--porcelain").stdout == before
    assert project.records()["run"].params["lr"] == 0.2


def test_another_design_that_is_not_committed_is_no_obstacle(project: Trivial) -> None:
    (project.root / "designs").mkdir(exist_ok=True)
    (project.root / "designs" / "draft.yaml").write_text("kind: sweep\n")
    project.enqueue(project.run("run", lr=0.2))
    assert "run" in project.records()


def test_work_tree_index_and_head_stay(project: Trivial) -> None:
    (project.root / "notes.txt").write_text("mine")
    index = (project.root / ".git" / "index").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in project.root.glob("*") if path.is_file()}
    project.enqueue(*[project.run(f"run-{i}", lr=0.1 + i) for i in range(5)])
    assert {path: path.stat().st_mtime_ns for path in project.root.glob("*") if path.is_file()} == times
    assert pygit2.Repository(str(project.root)).status() == {"notes.txt": pygit2.GIT_STATUS_WT_NEW}
    assert (project.root / ".git" / "index").read_bytes() == index
    assert project.call("git", "stash", "list").stdout == ""


def test_without_the_fast_queue(project: Trivial) -> None:
    note = project.root / ".dvc" / "tmp" / "lab" / "selftest.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "passed": False}))
    params = (project.root / "params.yaml").read_bytes()
    runs = [project.run(f"run-{i}", lr=0.1 + i) for i in range(2)]
    assert list(project.enqueue(*runs)) == ["run-0", "run-1"]
    assert [task.name for task in queue_tasks.read(project.root)] == ["run-0", "run-1"]
    assert (project.root / "params.yaml").read_bytes() == params
    assert (project.root / ".git" / "HEAD").exists()
    assert project.call("git", "symbolic-ref", "--short", "HEAD").stdout == "main\n"


def test_a_dvc_that_queues_other_params_leaves_nothing_queued(
    project: Trivial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As DVC before 3.65 did, which composed conf/ anew and queued the defaults under every name."""
    from dvc.repo import Repo
    from dvc.repo.experiments import Experiments

    defaults = (project.root / "params.yaml").read_text()
    original = Experiments.run

    def composing(self: Experiments, *arguments: Any, **options: Any) -> Any:
        (project.root / "params.yaml").write_text(defaults)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Experiments, "run", composing)
    before = state(project)
    jobs = [Job(name, project.run(name, lr=lr).params, "infer") for name, lr in (("one", 0.2), ("two", 0.3))]
    with Repo(str(project.root)) as repo, pytest.raises(UserError, match="nothing was queued"):
        stock_queue.put(repo, jobs)
    assert queue_tasks.read(project.root) == []
    assert state(project)[::2] == before[::2]
