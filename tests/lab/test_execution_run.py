"""`lab run`: everything is run once, verified by what exists, and retried only where it was disturbed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import contracts
import psutil
import pytest
import trivial
from trivial import Trivial

from lab.design import bayesian, blocks, models
from lab.errors import UserError
from lab.execution import run
from lab.execution.dvc import compatibility, own_workers, queue_tasks, workers
from lab.execution.standings import progress

pytestmark = pytest.mark.slow  # workers take seconds to start


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project to copy: its self-test is done."""
    project = trivial.make(tmp_path_factory.mktemp("template") / "project")
    assert compatibility.passed(project.root)
    return project


@pytest.fixture
def project(template: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trivial:
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    return trivial.copied(template, tmp_path / "Übung 1, проект")


def execute(project: Trivial, runs: list, jobs: int = 2, again: bool = False) -> list:
    return project.execution(jobs, again).add(runs)


def statuses(rows: list) -> dict[str, str]:
    return {row.run.name: row.status for row in rows}


def test_train_once_evaluate_many(project: Trivial) -> None:
    variants = [project.run(f"quant-{name}", target="quant", wave=1, quant=name) for name in ("fp32", "fp16", "int8")]
    rows = execute(project, [project.run("train"), *variants], jobs=3)
    assert set(statuses(rows).values()) == {"finished"}
    assert len(project.calls("train")) == 1
    assert len(project.calls("quant")) == 3
    assert [list(row.record.metrics) for row in rows] == [["train", "infer"], *[["train", "quant"]] * 3]


def test_failed_runs_are_kept_and_not_repeated(project: Trivial) -> None:
    project.call("dvc", "exp", "run", "-S", "lr=0.5")
    project.commit("a baseline with metrics")
    runs = [project.run("good", lr=0.1), project.run("bad", lr=-1.0)]
    for _ in range(2):
        rows = execute(project, runs)
        assert statuses(rows) == {"good": "finished", "bad": "failed"}
        bad = rows[1].record
        assert bad.metrics == {}, "those in its commit are the baseline's"
        assert bad.reason == "train ended with 1: lr=-1.0 should be above 0"
        assert "lr=-1.0 should be above 0" in bad.log
        assert project.calls("train").count("-1.0 0") == 1
    rows = execute(project, runs[1:], again=True)
    assert statuses(rows) == {"bad": "failed"}
    assert rows[0].record.name == "bad-2" and not rows[0].reused, "it is the design's own"
    assert project.calls("train").count("-1.0 0") == 2
    assert list(project.records())[1:] == ["good", "bad", "bad-2"]


def test_a_later_wave_is_refused_before_the_first(project: Trivial) -> None:
    project.enqueue(project.run("taken"))
    with pytest.raises(UserError, match="the name taken is taken"):
        execute(project, [project.run("new", lr=0.5), project.run("taken", lr=0.6, wave=1)])
    assert list(project.records()) == ["taken"]


def test_a_finished_run_of_another_design_is_reused(project: Trivial) -> None:
    execute(project, [project.run("first", design="one")])
    (project.root / "README.md").write_text("A commit that changes nothing of it.")
    change(project, "lab/tracking/text.py")
    project.commit("what lab does with runs is another")
    (row,) = execute(project, [project.run("second", design="two")])
    assert (row.status, row.record.name) == ("finished", "first")
    assert len(project.calls("train")) == 1
    (row,) = execute(project, [project.run("second", design="two")], again=True)
    assert (row.status, row.record.name) == ("finished", "second")

    change(project, "stand_in.py")
    project.commit("what stages do is another")
    (row,) = execute(project, [project.run("third")])
    assert (row.status, row.record.name) == ("finished", "third")


def change(project: Trivial, module: str) -> None:
    (project.root / "src" / module).open("a").write("# changed\n")


def test_a_killed_stage_is_retried_once(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIAL_SLEEP", "60")
    attempts, told = set(), []

    def kill(rows: list, lost: list) -> None:
        told.extend(row.trouble for row in lost)
        for process in trainings(project):
            process.kill()
            attempts.add(process.pid)

    rows = project.execution(1, watcher=kill).add([project.run("run")])
    assert statuses(rows) == {"run": "failed"}
    assert "train was ended from outside (-9)" in rows[0].record.reason
    assert len(attempts) == 2 and told == ["train was ended from outside (-9)"]


def trainings(project: Trivial) -> list[psutil.Process]:
    """The processes of its train stage, which sleeps; an earlier stage might be met in the moment that it takes."""
    inside = str(project.root / ".dvc")
    found = psutil.process_iter(["cmdline", "cwd"])
    return [
        process
        for process in found
        if (process.info["cmdline"] or [])[-2:] == ["src/stand_in.py", "train"]
        and inside in (process.info["cwd"] or "")
    ]


LAB = """
import trivial
from pathlib import Path
project = trivial.Trivial(Path.cwd())
runs = [project.run(f"run-{i}", lr=0.1 * (i + 1)) for i in range(3)]
project.execution(1).add(runs)
"""


def test_an_interrupted_lab_leaves_the_queue_as_it_is(project: Trivial) -> None:
    lab = project.script(LAB, TRIVIAL_SLEEP="0.2")
    trivial.wait_until(lambda: bool(project.calls("train")))
    os.kill(lab.pid, signal.SIGINT)
    assert lab.wait(30) != 0
    trivial.wait_until(lambda: [record.status for record in project.records().values()] == ["finished"] * 3)
    runs = [project.run(f"run-{i}", lr=0.1 * (i + 1)) for i in range(3)]
    assert set(statuses(execute(project, runs)).values()) == {"finished"}
    assert len(project.calls("train")) == 3


def test_stop_now_and_take_up_again(project: Trivial) -> None:
    lab = project.script(LAB, TRIVIAL_SLEEP="30")
    trivial.wait_until(lambda: bool(project.calls("train")))
    assert run.stop(project.root, project.backend(), now=True) == 1
    assert "Stopped" in lab.communicate(timeout=60)[0]
    assert workers.alive(project.root) == [] and own_workers.alive(project.root) == []
    tasks = queue_tasks.read(project.root)
    assert len(tasks) == 3 and [workers.runner(task) for task in tasks] == [None] * 3
    # Failed and queued, as a rule. A worker may just have taken the next one, or not have noted the end of its own.
    assert "finished" not in {record.status for record in project.records().values()}
    time.sleep(1)
    runs = [project.run(f"run-{i}", lr=0.1 * (i + 1)) for i in range(3)]
    assert set(statuses(execute(project, runs)).values()) == {"finished"}


def test_a_stop_is_heard_where_workers_are_about_to_start(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first `lab run` of a project may be at its self-test for seconds."""
    execution = project.execution(1)
    start = execution.backend.start

    def stopped_before(workers: int | None) -> None:
        assert run.stop(project.root, project.backend(), now=True) == 0
        start(workers)

    monkeypatch.setattr(execution.backend, "start", stopped_before)
    with pytest.raises(run.Stopped):
        execution.add([project.run("run", lr=0.5)])
    trivial.wait_until(lambda: not own_workers.alive(project.root))
    assert [task.state for task in queue_tasks.read(project.root)] == ["queued"] and project.calls("train") == []


@pytest.mark.parametrize("code", [0, 1])
def test_a_stage_that_ends_as_it_likes_when_asked_to_is_taken_up_again(project: Trivial, code: int) -> None:
    script = project.root / "src" / "stand_in.py"
    begin = f"import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit({code}))\n"
    script.write_text(script.read_text().replace("import json, os", f"{begin}import json, os", 1))
    project.commit("takes the signal")
    lab = project.script(LAB, TRIVIAL_SLEEP="30")
    trivial.wait_until(lambda: bool(project.calls("train")))
    run.stop(project.root, project.backend(), now=True)
    assert "Stopped" in lab.communicate(timeout=60)[0]
    runs = [project.run(f"run-{i}", lr=0.1 * (i + 1)) for i in range(3)]
    assert set(statuses(execute(project, runs)).values()) == {"finished"}


def test_progress_of_a_running_training(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIAL_SLEEP", "6")  # two seconds an epoch
    seen = set()
    contract = project.project().contract
    watch = lambda rows, _: seen.update(str(progress(row.record, contract)) for row in rows if row.record)  # noqa: E731
    project.execution(1, watcher=watch).add([project.run("run", lr=0.5)])
    epochs = project.run("run").params["training"]["max_epochs"]
    assert f"train 2/{epochs}  val/f1_macro 0.5" in seen


def test_metrics_of_stages_that_did_not_run_are_not_the_runs(project: Trivial) -> None:
    project.call("dvc", "exp", "run", "-S", "lr=0.5")
    project.commit("all stages")
    execute(project, [project.run("run", lr=0.1)])
    whole, run = project.records().values()
    assert list(whole.metrics) == ["train", "infer", "quant"]
    assert run.content.text("metrics/quant.json"), "the baseline's file is in its commit"
    assert list(run.metrics) == ["train", "infer"]


def test_the_history_holds_what_no_experiment_does(project: Trivial) -> None:
    project.call("dvc", "exp", "run", "-n", "applied", "-S", "lr=0.5")
    project.commit("its results")
    (project.root / "README.md").write_text("A commit without results.")
    project.commit()
    assert list(project.records()) == ["applied"]
    project.call("dvc", "exp", "remove", "applied")
    (record,) = project.records().values()
    assert record.commit == project.call("git", "rev-parse", "HEAD~1").stdout.strip()
    assert record.value("infer.f1_macro") == 0.5
    assert record.experiment == {}


def test_a_bayesian_search_is_replayed() -> None:
    ranges = {"lr": blocks.Range(low=0.001, high=0.1, log=True), "model": ["a", "b"]}
    sweep = blocks.SweepConfig(strategy="bayesian", max_runs=9, parallel=2, parameters=ranges)
    design = models.SweepDesign(name="d", kind="sweep", type="train", title="?", sweep=sweep)

    def undisturbed(trials: list) -> list:
        return [None if i == 3 else levels["lr"] for i, levels in enumerate(trials)]

    expected = bayesian.replay(design, contracts.TRIVIAL, undisturbed)
    assert len(expected) == 9
    assert len({str(levels) for levels in expected}) == 9
    for stop in (2, 4, 8):
        known = bayesian.replay(
            design, contracts.TRIVIAL, lambda trials, stop=stop: undisturbed(trials) if len(trials) < stop else None
        )
        assert known == expected[: len(known)]
        assert len(known) == stop
    few = sweep.model_copy(update={"parameters": {"model": ["a", "b", "c"]}})
    assert (
        len(
            bayesian.replay(
                design.model_copy(update={"sweep": few}), contracts.TRIVIAL, lambda trials: [0.0] * len(trials)
            )
        )
        == 3
    )
