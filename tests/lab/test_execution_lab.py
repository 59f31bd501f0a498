"""`lab queue`, `run`, `status` and `stop` as a person types them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import answered
import in_process
import pytest
import trivial
import yaml
from trivial import Trivial

from lab.cli import view
from lab.execution import campaign
from lab.records import studies

pytestmark = pytest.mark.slow  # workers take seconds to start

HYPOTHESIS = {"claim": "It is good.", "metric": "infer.f1_macro", "expected": 0.1}
VARIANTS = {
    "kind": "comparison",
    "type": "quant",
    "title": "Which variant?",
    "hypothesis": {**HYPOTHESIS, "metric": "quant.f1_macro"},
    "comparison": {"variable": "quant", "values": ["openvino_fp32", "openvino_fp16", "openvino_int8"]},
}
SOME_FAIL = {
    "kind": "comparison",
    "type": "train",
    "title": "Which fails?",
    "hypothesis": HYPOTHESIS,
    "comparison": {"variable": "lr", "values": [0.1, -1.0]},
}
FAILING = {"kind": "single", "type": "train", "title": "Fails?", "hypothesis": HYPOTHESIS, "base": ["lr=-1.0"]}
SWEEP = {
    "kind": "sweep",
    "type": "train",
    "title": "Which rate?",
    "hypothesis": HYPOTHESIS,
    "sweep": {
        "strategy": "bayesian",
        "max_runs": 3,
        "parallel": 2,
        "parameters": {"lr": {"low": 0.001, "high": 0.1, "log": True}},
    },
}


@pytest.fixture
def project(tmp_path: Path) -> Trivial:
    project = trivial.make(tmp_path / "project")
    (project.root / "designs").mkdir()
    for name, design in {"variants": VARIANTS, "failing": FAILING, "some-fail": SOME_FAIL, "sweep": SWEEP}.items():
        (project.root / "designs" / f"{name}.yaml").write_text(yaml.safe_dump(design))
    (project.root / ".gitignore").open("a").write(".env\n")
    project.commit("designs")
    return project


def lab(project: Trivial, *arguments: str) -> subprocess.CompletedProcess[str]:
    return in_process.lab(project.root, *arguments)


def test_from_a_question_to_a_table(project: Trivial) -> None:
    done = project.lab("run", "designs/variants.yaml", "-j", "2", check=False)  # a process, as a person has it
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("openvino_fp32", "openvino_fp16", "openvino_int8", "quant.f1_macro", "3 finished"):
        assert name in done.stdout
    answer = done.stdout.partition("3 finished")[2]
    assert answer.strip().startswith("UNDERPOWERED: Of 2 arms openvino_") and "can't tell" in answer
    assert "lab run designs/variants_5_seeds.yaml" in answer, "the next command"
    assert len(project.calls("train")) == 1
    assert len(project.calls("quant")) == 3

    done = lab(project, "run", "designs/variants.yaml")
    assert done.returncode == 0
    assert len(project.calls("quant")) == 3
    assert "3 finished" in lab(project, "status", "designs/variants.yaml").stdout
    assert "variants" in lab(project, "status").stdout
    (record, *_) = project.records().values()
    assert record.experiment["design"] == "variants"
    assert record.pending is None, "what has finished is forgotten by the queue"


def test_what_dvcs_queue_would_run_twice_is_told(project: Trivial) -> None:
    done = lab(project, "queue", "designs/variants.yaml")
    assert "3 of 3 runs queued" in done.stdout and "dvc queue start may run it twice" in done.stdout
    assert "dvc queue start" not in lab(project, "queue", "designs/failing.yaml").stdout


def test_a_queue_tells_a_clone_what_it_could_fetch(project: Trivial, tmp_path: Path) -> None:
    trivial.experiment(project, project.run("run"))
    project.call("git", "clone", "-q", str(project.root), str(tmp_path / "clone"))
    done = lab(Trivial(tmp_path / "clone"), "queue", "designs/variants.yaml")
    assert "origin has 1 experiment, and this clone none" in done.stdout
    assert "3 of 3 runs queued" in done.stdout


def test_a_failure_is_told(project: Trivial) -> None:
    done = lab(project, "run", "designs/failing.yaml")
    assert done.returncode == 1
    assert "train ended with 1: lr=-1.0 should be above 0" in done.stdout
    assert "1 failed" in done.stdout
    done = lab(project, "run", "designs/failing.yaml")
    assert done.returncode == 1
    assert "Once the cause is mended: lab run designs/failing.yaml --failed" in done.stdout
    assert len(project.calls("train")) == 1


def test_what_has_failed_is_run_anew_and_nothing_else(project: Trivial) -> None:
    assert "none of its runs has failed" in lab(project, "run", "designs/some-fail.yaml", "--failed").stdout
    assert project.calls("train") == [], "nor what has not run yet"
    assert "1 finished, 1 failed" in lab(project, "run", "designs/some-fail.yaml", "-j", "2").stdout
    before = project.calls("train")
    done = lab(project, "run", "designs/some-fail.yaml", "--failed")
    assert done.returncode == 1 and "1 failed" in done.stdout and "finished" not in done.stdout
    assert project.calls("train") == [*before, "-1.0 0"]
    done = lab(project, "run", "designs/some-fail.yaml", "--again", "-j", "2")
    assert "--again: 1 run that has finished starts anew" in done.stdout
    assert project.calls("train").count("-1.0 0") == 3, "the other comes from DVC's cache of runs"
    both = lab(project, "run", "designs/some-fail.yaml", "--again", "--failed")
    assert both.returncode == 2 and "give one of them" in both.stderr


def test_a_report_is_about_what_is_committed(answers: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(answers, tmp_path / "project")
    path = next((project.root / "designs").glob("*.yaml"))
    assert "not committed" not in lab(project, "report", path.stem).stderr
    path.write_text(path.read_text() + "# changed\n")
    done = lab(project, "report", path.stem)
    assert f"designs/{path.name} has changes that are not committed: this is about what HEAD has" in done.stderr


def test_what_the_preflight_finds_has_to_be_forced(project: Trivial) -> None:
    done = lab(project, "queue", "designs/sweep.yaml")
    assert done.returncode == 2
    assert "baseline" in done.stderr
    assert project.records() == {}
    done = lab(project, "queue", "designs/sweep.yaml", "--force")
    assert done.returncode == 0, done.stderr
    assert [record.experiment["forced"] for record in project.records().values()] == [True, True]
    done = lab(project, "run", "designs/sweep.yaml", "-j", "2")  # it was forced once
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 finished" in done.stdout
    assert (len(project.calls("train")), len(project.calls("infer"))) == (3, 1), "the best alone is tested"
    assert lab(project, "stop", "--now").returncode == 0


def test_what_cant_win_is_stopped_by_what_each_setting_came_to(project: Trivial) -> None:
    sweep = {"halving": 2, "parameters": {"lr": [0.1, 0.4, 0.2, 0.3]}}
    write(project, "halved", SWEEP | {"sweep": sweep, "base": ["training.max_epochs=8"]})
    done = lab(project, "run", "designs/halved.yaml", "-j", "2", "--force")
    assert done.returncode == 0 and "4 finished" in done.stdout, done.stdout + done.stderr
    endings = sorted(name.rpartition("_s0")[0][-3:] + name.rpartition("_s0")[2] for name in project.records())
    assert endings == ["0.1-e2", "0.2-e2", "0.3-e2", "0.3-e4", "0.4", "0.4-e2", "0.4-e4", "0.4-infer"]
    assert studies.read(project.project(), "halved").finalists == ["lr=0.4"]


def test_a_baseline_outlives_commits_that_change_nothing_of_it(project: Trivial) -> None:
    """A person measures the baseline, writes a design of their own, commits it and goes on; another code is another."""
    write(project, "baseline", FAILING | {"title": "How good?", "base": []})
    assert lab(project, "run", "baseline").returncode == 0
    write(project, "own", SWEEP)
    done = lab(project, "queue", "own")
    assert done.returncode == 0, done.stderr
    (project.root / "src" / "stand_in.py").open("a").write("# changed\n")
    project.commit("another code")
    done = lab(project, "queue", "own")
    assert done.returncode == 2 and "baseline: not measured on this commit" in done.stderr


def test_a_baseline_may_be_measured_by_the_runs_of_another_design(project: Trivial) -> None:
    """What the checklist says to run has nothing left to run then."""
    measured = FAILING | {"title": "How good?", "base": ["lr=0.2"]}
    varied = {"kind": "comparison", "base": [], "comparison": {"variable": "lr", "values": [0.2, 0.3]}}
    write(project, "varied", measured | varied)
    assert lab(project, "run", "varied", "--force").returncode == 0
    write(project, "classification_baseline", measured)  # as lab.yaml calls it
    write(project, "own", SWEEP)
    done = lab(project, "queue", "own")
    assert done.returncode == 0, done.stderr


def write(project: Trivial, name: str, design: dict) -> None:
    (project.root / "designs" / f"{name}.yaml").write_text(yaml.safe_dump(design))
    project.commit(name)


def test_refused(project: Trivial) -> None:
    (project.root / "src" / "stand_in.py").open("a").write("# changed\n")
    done = lab(project, "run", "designs/variants.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "src/stand_in.py" in done.stderr
    assert project.records() == {}


def test_what_is_queued_of_other_designs_is_said_before(answers: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(answers, tmp_path / "project")
    answered.design(project, "third", 0.7, 0.9)
    project.enqueue(project.run("one", 0.33, design="other"), project.run("two", 0.44, design="other"))
    project.enqueue(project.run("three", 0.55))
    read = project.project()

    def said(name: str) -> str:
        planner = studies.planner(read, project.root / "designs" / f"{name}.yaml")
        return campaign.before(planner, campaign.current(planner), project.backend())

    assert said("third") == "3 runs are in the queue before those of this design, of 2 others: other 2, trivial 1"
    assert said("large") == "", "it has nothing left to run"

    first = studies.planner(read, project.root / "designs" / "third.yaml").plan().runs[0]
    block = {**first.params["experiment"], "design": "other", "digest": "another"}
    project.enqueue(replace(first, name="shared", params={**first.params, "experiment": block}))
    read = project.project()
    assert said("third").startswith("3 runs are"), "what answers this design is not before it"
    assert "in the queue beside those of this design" in said("third"), "one of which was not the last to be queued"


def test_what_has_finished_is_shown_whatever_is_not_committed(answers: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(answers, tmp_path / "project")
    (project.root / "src" / "stand_in.py").open("a").write("# changed\n")
    done = lab(project, "run", "large")
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout


def test_status_knows_what_runs_of_no_design_have_answered(project: Trivial) -> None:
    """As `dvc exp run` by hand leaves them; the plan says that they are reused."""
    first, *others = studies.planner(project.project(), project.root / "designs" / "variants.yaml").plan().runs
    for run in (first, *others):
        params = {key: value for key, value in run.params.items() if key != "experiment"}
        trivial.experiment(project, replace(run, params=params, name=f"by-hand-{run.arm}"))
        said = lab(project, "status").stdout
        if run is first:
            assert said.startswith(
                "no run of a design yet: lab plan DESIGN shows which of its runs the 1 finished here"
            )
    assert lab(project, "plan", "variants").stdout.count("finished (reused)") == 3
    assert [line.split() for line in said.splitlines() if "variants" in line] == [["variants", "3"]]


def test_status_says_which_failures_are_taken_up() -> None:
    planner: Any = SimpleNamespace(design=SimpleNamespace(name="sweep"))
    codes = (-15, 1, 143)
    ended: list[Any] = [SimpleNamespace(status="failed", record=SimpleNamespace(log="", exit_code=c)) for c in codes]
    told = "failed for a reason outside, such as lab stop --now: lab run sweep takes"
    assert list(view.taken_up(planner, ended)) == [f"2 of them {told} them up"]
    assert list(view.taken_up(planner, ended[:2])) == [f"1 of them {told} it up"]
