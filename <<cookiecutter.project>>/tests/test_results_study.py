"""A study is read from git: the same rows on any clone and at any later time, reused runs among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import trivial
from project import load
from trivial import Trivial

pytestmark = pytest.mark.slow  # experiments take seconds

study = load("results.study")
records = load("results.records")

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
    return project.call("python", "src/lab.py", *arguments).stdout


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project in which the first design has run, and the second, which asks for one arm more."""
    project = trivial.make(tmp_path_factory.mktemp("study") / "project")
    design(project, "first")
    second = {"variable": "lr", "values": [0.1, 0.5, 0.7]}
    design(project, "second", comparison=second, hypothesis=COMPARISON["hypothesis"] | {"arm": 0.7})
    lab(project, "run", "designs/first.yaml", "-j", "2", "--force")
    lab(project, "run", "designs/second.yaml", "-j", "2", "--force")
    return project


def told(found: Any) -> list[tuple[str, int, str, bool, float | None]]:
    return [(row.arm, row.seed, row.status, row.reused, row.value("infer.f1_macro")) for row in found.rows]


EXPECTED = [
    ("0.1", 0, "finished", True, 0.1),
    ("0.1", 1, "finished", True, 0.101),
    ("0.5", 0, "finished", True, 0.5),
    ("0.5", 1, "finished", True, 0.501),
    ("0.7", 0, "finished", False, 0.7),
    ("0.7", 1, "finished", False, 0.701),
]


def test_rows_are_a_designs_own_runs_and_those_it_reuses(ran: Trivial) -> None:
    found = study.read(ran.root, "second")
    assert told(found) == EXPECTED
    assert list(found.arms) == ["0.1", "0.5", "0.7"]
    assert found.reference == "0.1"
    assert [found.design.name for found in study.read_all(ran.root)] == ["first", "second"]


def test_a_reference_finds_reused_runs_too(ran: Trivial) -> None:
    resolve = load("results.revisions").resolver(ran.root)
    (first,) = [row.record for row in study.read(ran.root, "first").rows if (row.arm, row.seed) == ("0.1", 1)]
    assert resolve("second:0.1", 1) == first.commit


def test_a_study_outlives_its_design_and_its_config(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "later")
    (project.root / "designs" / "second.yaml").unlink()
    config = project.root / "conf" / "config.yaml"
    config.write_text(config.read_text() + "new_key: 1\n")
    (project.root / "src" / "stand_in.py").open("a").write("# changed\n")
    project.commit("another time")
    assert told(study.read(project.root, "second")) == EXPECTED


def test_a_hypothesis_that_was_changed_afterwards_is_the_one_that_is_judged_and_told(
    ran: Trivial, tmp_path: Path
) -> None:
    project = trivial.copied(ran, tmp_path / "changed")
    verdict = load("results.verdict")
    assert not verdict.judge(study.read(project.root, "first")).exploratory
    design(project, "first", hypothesis=COMPARISON["hypothesis"] | {"min_effect": 0.3})
    found = study.read(project.root, "first")
    assert found.design.hypothesis.min_effect == 0.3
    assert [row.status for row in found.rows] == ["finished"] * 4
    assert verdict.judge(found).exploratory


def test_what_was_known_when_a_design_was_written_is_told(ran: Trivial, tmp_path: Path) -> None:
    """Both designs were committed before the first of their runs; those that come later know what has come out."""
    judge = load("results.verdict").judge
    assert {row.stated for row in study.read(ran.root, "second").rows} == {True}
    project = trivial.copied(ran, tmp_path / "known")
    design(project, "copied")
    found = study.read(project.root, "copied")
    assert [(row.reused, row.stated) for row in found.rows] == [(True, False)] * 4
    assert any("committed after runs that decide" in reason for reason in judge(found).reasons)
    design(project, "first", seeds=[0, 1, 2])  # one seed more, in the hope of a better p
    lab(project, "run", "designs/first.yaml", "-j", "2", "--force")
    found = study.read(project.root, "first")
    assert [row.stated for row in found.rows] == [False, False, True] * 2
    assert "exploratory: the design was not the same before the runs" in judge(found).reasons


def test_a_design_that_others_have_answered_is_read_where_their_runs_started(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "answered")
    design(project, "copied")
    started = study.read(project.root, "first").commit
    (project.root / "notes.txt").write_text("HEAD goes on\n")
    project.commit("later")
    found = study.read(project.root, "copied")
    assert found.commit == started, "the same report is made again, whatever HEAD has become"
    assert [each.design.name for each in study.answered(project.root)] == ["copied"]

    plan = lab(project, "plan", "designs/copied.yaml")
    assert plan.count("finished (reused)") == 4 and all(record.name in plan for record in found.records)
    overview = lab(project, "status")
    assert any(line.split()[:2] == ["copied", "4"] for line in overview.splitlines()), overview
    report = (project.root / lab(project, "report", "copied").splitlines()[-2].strip()).read_text()
    assert "- [ ] The expected result was noted before its own runs" in report
    assert "- [ ] The design was committed before its own runs, and not changed since" in report


def test_a_design_that_is_not_committed_says_so(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "new")
    (project.root / "designs" / "third.yaml").write_text(yaml.safe_dump(COMPARISON))
    for name in ("third", str(project.root / "designs" / "third.yaml")):
        with pytest.raises(load("errors").UserError, match="third is not in git yet.*git add designs, and commit"):
            study.read(project.root, name)


def test_a_clone_reads_the_same(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "clone")
    for folder in (".dvc/cache", ".dvc/tmp", ".cache"):
        project.call("rm", "-rf", folder)
    found = study.read(project.root, "second")
    assert told(found) == EXPECTED
    record = found.rows[0].record
    curve = record.curves["val/loss"]
    assert [(point.step, round(point.value, 4)) for point in curve] == [(0, 0.1), (1, 0.05), (2, 0.0333)]
    assert record.started <= curve[0].time <= curve[1].time <= curve[2].time
    assert record.effective["train"]["config"] == {"lr": 0.1, "seed": 0}
    assert record.outputs["models/model.pt"]["size"] == len("0.1 0")


def test_an_unknown_design_names_the_nearest(ran: Trivial) -> None:
    with pytest.raises(load("errors").UserError, match="secnd.*second"):
        study.read(ran.root, "secnd")


def third(project: Trivial, addition: str) -> Any:
    """The study of a design that runs with this at the end of its stages."""
    script = project.root / "src" / "stand_in.py"
    script.write_text(script.read_text() + addition)
    values = {"variable": "lr", "values": [0.2, 0.6]}
    design(project, "third", comparison=values, hypothesis=COMPARISON["hypothesis"] | {"arm": 0.6, "versus": 0.2})
    project.call("python", "src/lab.py", "run", "designs/third.yaml", "--force", check=False)
    return study.read(project.root, "third")


def test_a_failed_runs_epochs_are_kept(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "failing")
    found = third(project, 'if stage == "train":\n    sys.exit("after the training")\n')
    assert {row.status for row in found.rows} == {"failed"}
    record = found.rows[0].record
    assert [point.step for point in record.curves["val/loss"]] == [0, 1, 2]
    assert record.started <= record.curves["val/loss"][0].time <= record.ended


def test_a_metrics_file_that_was_cut_off_is_a_missing_value(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "cut")
    found = third(project, 'if stage == "infer":\n    write("metrics/infer.json", \'{"f1_mac\')\n')
    assert {row.status for row in found.rows} == {"finished"}
    assert {row.value("infer.f1_macro") for row in found.rows} == {None}
    assert load("results.verdict").judge(found).outcome == "INCONCLUSIVE"
    assert "infer.f1_macro" in lab(project, "results", "third")
