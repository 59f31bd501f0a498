"""A study is read from git: the same rows on any clone and at any later time, reused runs among them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import in_process
import pytest
import trivial
import yaml
from trivial import Trivial

from lab.analysis.verdict import judge
from lab.errors import UserError
from lab.records import model_refs, studies
from lab.study import Study

COMPARISON = {
    "kind": "comparison",
    "type": "train",
    "title": "Which learning rate?",
    "hypothesis": {"claim": "the larger", "metric": "infer.f1_macro", "arm": 0.5, "versus": 0.1},
    "seeds": [0, 1],
    "comparison": {"variable": "lr", "values": [0.1, 0.5]},
}


def design(project: Trivial, name: str, **changes: object) -> str:
    """Write and commit a design; its file."""
    path = project.root / "designs" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(COMPARISON | changes))
    project.commit(name)
    return f"designs/{name}.yaml"


def lab(project: Trivial, *arguments: str) -> str:
    done = in_process.lab(project.root, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(project: Trivial, name: str) -> Study:
    return studies.read(project.project(), name)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project in which the first design has run, and the second, which asks for one arm more."""
    project = trivial.make(tmp_path_factory.mktemp("study") / "project")
    design(project, "first")
    second = {"variable": "lr", "values": [0.1, 0.5, 0.7]}
    design(project, "second", comparison=second, hypothesis=COMPARISON["hypothesis"] | {"arm": 0.7})
    trivial.carry_out(project, "first")
    trivial.carry_out(project, "second")
    return project


def table(study: Study) -> list[tuple[str, int, str, bool, float | None]]:
    return [(each.arm, each.seed, each.status, each.reused, each.value("infer.f1_macro")) for each in study.replicates]


EXPECTED = [
    ("0.1", 0, "finished", True, 0.1),
    ("0.1", 1, "finished", True, 0.101),
    ("0.5", 0, "finished", True, 0.5),
    ("0.5", 1, "finished", True, 0.501),
    ("0.7", 0, "finished", False, 0.7),
    ("0.7", 1, "finished", False, 0.701),
]


def test_rows_are_a_designs_own_runs_and_those_it_reuses(ran: Trivial) -> None:
    study = read(ran, "second")
    assert table(study) == EXPECTED
    assert list(study.arms) == ["0.1", "0.5", "0.7"]
    assert study.reference == "0.1"
    assert [study.design.name for study in studies.read_all(ran.project())] == ["first", "second"]


def test_a_reference_finds_reused_runs_too(ran: Trivial) -> None:
    project = ran.project()
    resolve = model_refs.resolver(project, partial(studies.read, project))
    (first,) = [each.record for each in read(ran, "first").replicates if (each.arm, each.seed) == ("0.1", 1)]
    assert resolve("second:0.1", 1) == first.commit


def test_a_study_outlives_its_design_and_its_config(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "later")
    (project.root / "designs" / "second.yaml").unlink()
    config = project.root / "conf" / "config.yaml"
    config.write_text(config.read_text() + "new_key: 1\n")
    (project.root / "src" / "stand_in.py").open("a").write("# changed\n")
    project.commit("another time")
    assert table(read(project, "second")) == EXPECTED


def test_a_hypothesis_that_was_changed_afterwards_is_the_one_that_is_judged_and_told(
    ran: Trivial, tmp_path: Path
) -> None:
    project = trivial.copied(ran, tmp_path / "changed")
    assert not judge(read(project, "first")).exploratory
    design(project, "first", hypothesis=COMPARISON["hypothesis"] | {"min_effect": 0.3})
    study = read(project, "first")
    assert study.design.hypothesis.min_effect == 0.3
    assert [row.status for row in study.replicates] == ["finished"] * 4
    assert judge(study).exploratory


def test_what_was_known_when_a_design_was_written_is_told(ran: Trivial, tmp_path: Path) -> None:
    """Both designs were committed before the first of their runs; those that come later know what has come out."""
    assert {row.stated for row in read(ran, "second").replicates} == {True}
    project = trivial.copied(ran, tmp_path / "known")
    design(project, "copied")
    study = read(project, "copied")
    assert [(row.reused, row.stated) for row in study.replicates] == [(True, False)] * 4
    assert any("committed after runs that decide" in reason for reason in judge(study).reasons)
    design(project, "first", seeds=[0, 1, 2])  # one seed more, in the hope of a better p
    trivial.carry_out(project, "first")
    study = read(project, "first")
    assert [row.stated for row in study.replicates] == [False, False, True] * 2
    assert "exploratory: the design was not the same before the runs" in judge(study).reasons


def test_a_design_that_others_have_answered_is_read_where_their_runs_started(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "answered")
    design(project, "copied")
    started = read(project, "first").commit
    (project.root / "notes.txt").write_text("HEAD goes on\n")
    project.commit("later")
    study = read(project, "copied")
    assert study.commit == started, "the same report is made again, whatever HEAD has become"
    assert [each.design.name for each in studies.answered(project.project())] == ["copied"]

    plan = lab(project, "plan", "designs/copied.yaml")
    assert plan.count("finished (reused)") == 4 and all(record.name in plan for record in study.records)
    overview = lab(project, "status")
    assert any(line.split()[:2] == ["copied", "4"] for line in overview.splitlines()), overview
    report = (project.root / lab(project, "report", "copied").splitlines()[-2].strip()).read_text()
    assert "- [ ] The expected result was noted before its own runs" in report
    assert "- [ ] The design was committed before its own runs, and not changed since" in report


def test_a_design_that_is_not_committed_says_so(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "new")
    (project.root / "designs" / "third.yaml").write_text(yaml.safe_dump(COMPARISON))
    for name in ("third", str(project.root / "designs" / "third.yaml")):
        with pytest.raises(UserError, match="third is not in git yet.*git add designs, and commit"):
            read(project, name)


def test_a_design_is_found_by_its_file_though_it_is_called_otherwise(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "new")
    (project.root / "designs" / "third.yaml").write_text(yaml.safe_dump(COMPARISON | {"name": "called"}))
    with pytest.raises(UserError, match="called is not in git yet"):
        read(project, "third")
    project.commit("a design")
    assert read(project, "third").design.name == read(project, "called").design.name == "called"


def test_a_clone_reads_the_same(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "clone")
    for folder in (".dvc/cache", ".dvc/tmp", ".cache"):
        project.call("rm", "-rf", folder)
    study = read(project, "second")
    assert table(study) == EXPECTED
    record = study.replicates[0].record
    curve = record.curves["val/loss"]
    assert [(point.step, round(point.value, 4)) for point in curve] == [(0, 0.1), (1, 0.05), (2, 0.0333)]
    assert record.started <= curve[0].time <= curve[1].time <= curve[2].time
    assert record.effective["train"]["config"] == {"lr": 0.1, "seed": 0}
    assert record.outputs["models/model.pt"]["size"] == len("0.1 0")


def test_an_unknown_design_names_the_nearest(ran: Trivial) -> None:
    with pytest.raises(UserError, match="secnd.*second"):
        read(ran, "secnd")


@pytest.mark.parametrize("change", ["code", "config", "nothing of a run"])
def test_status_and_plan_agree_on_what_an_update_invalidates(ran: Trivial, tmp_path: Path, change: str) -> None:
    project = trivial.copied(ran, tmp_path / "updated")
    path, text = {
        "code": ("src/stand_in.py", "# changed\n"),
        "config": ("conf/config.yaml", "new_key: 1\n"),
        "nothing of a run": ("src/lab/errors.py", "# changed\n"),
    }[change]
    (project.root / path).open("a").write(text)
    project.commit("update")
    plan = json.loads(lab(project, "plan", "first", "--json"))
    states = [run["state"] for run in plan["runs"]]
    overview = {line.split()[0]: line.split()[1:] for line in lab(project, "status").splitlines()}
    status = lab(project, "status", "first")
    if change == "nothing of a run":
        assert states == ["finished"] * 4 and overview["first"] == ["4"] and overview["second"] == ["6"]
        assert "4 finished" in status and "earlier" not in status + " ".join(overview["design"])
        return
    assert states == ["new"] * 4
    assert " ".join(overview["design"]).endswith("not queued on earlier code")
    assert overview["first"] == ["4"] and overview["second"] == ["6"]
    assert "4 not queued" in status and "4 of them have finished on earlier code, config or data" in status
    trivial.carry_out(project, "first")
    assert json.loads(lab(project, "plan", "first", "--json"))["runs"][0]["state"] == "finished"
    counts = [line.split()[1:] for line in lab(project, "status").splitlines() if line.startswith(("first", "second"))]
    assert counts == [["4"], ["4", "2"]], "the two that only the second design has are still to be run"


def third(project: Trivial, addition: str) -> Any:
    """The study of a design that runs with this at the end of its stages."""
    script = project.root / "src" / "stand_in.py"
    script.write_text(script.read_text() + addition)
    values = {"variable": "lr", "values": [0.2, 0.6]}
    design(project, "third", comparison=values, hypothesis=COMPARISON["hypothesis"] | {"arm": 0.6, "versus": 0.2})
    project.lab("run", "designs/third.yaml", "--force", check=False)
    return read(project, "third")


@pytest.mark.slow
def test_a_failed_runs_epochs_are_kept(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "failing")
    study = third(project, 'if stage == "train":\n    sys.exit("after the training")\n')
    assert {row.status for row in study.replicates} == {"failed"}
    record = study.replicates[0].record
    assert [point.step for point in record.curves["val/loss"]] == [0, 1, 2]
    assert record.started <= record.curves["val/loss"][0].time <= record.ended


@pytest.mark.slow
def test_a_run_whose_metrics_file_was_cut_off_is_without_metric(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "cut")
    study = third(project, 'if stage == "infer":\n    write("metrics/infer.json", \'{"f1_mac\')\n')
    assert {row.status for row in study.replicates} == {"without metric"}
    assert {row.value("infer.f1_macro") for row in study.replicates} == {None}
    assert judge(study).outcome == "INCONCLUSIVE"
    assert "infer.f1_macro" in lab(project, "results", "third")


def test_metrics_that_are_neither_in_git_nor_in_the_cache_stop_a_report(ran: Trivial, tmp_path: Path) -> None:
    """As in a clone of a project that leaves them to DVC: the report that its author has made is not written over."""
    copy = Trivial(Path(shutil.copytree(ran.root, tmp_path / "copy", symlinks=True)))
    said = lab(copy, "report", "first")
    (report,) = (copy.root / "docs" / "04-report").glob("*_first.md")
    before = report.read_text()
    record = read(copy, "first").records[0]
    environment = {**os.environ, "GIT_INDEX_FILE": str(tmp_path / "index")}

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=copy.root, env=environment, capture_output=True, check=True)
        return done.stdout.decode().strip()

    git("read-tree", record.commit)
    git("rm", "--quiet", "--cached", "metrics/infer.json")
    tree = git("write-tree")
    parent = git("rev-parse", f"{record.commit}^")
    message = git("log", "-1", "--format=%B", record.commit)
    (ref,) = git("for-each-ref", "--format=%(refname)", "--points-at", record.commit, "refs/exps").splitlines()
    git("update-ref", ref, git("commit-tree", tree, "-p", parent, "-m", message))

    done = in_process.lab(copy.root, "report", "first")
    assert done.returncode == 2 and said not in done.stdout
    assert "metrics/infer.json is neither in git nor in DVC's cache" in done.stderr, done.stderr
    assert report.read_text() == before


def test_a_dvc_lock_that_is_no_yaml_has_no_stages(ran: Trivial, tmp_path: Path) -> None:
    """Somewhere in a history there is one with the marks of a merge; what has nothing to do with it goes on."""
    copy = Trivial(Path(shutil.copytree(ran.root, tmp_path / "copy", symlinks=True)))
    (copy.root / "dvc.lock").write_text("<<<<<<< HEAD\nstages: {\n=======\n")
    copy.commit("a merge gone wrong")
    project = copy.project()
    assert project.commit(str(project.head)).stages == {}
    assert "first" in lab(copy, "status")
