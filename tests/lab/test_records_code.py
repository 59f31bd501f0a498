"""What makes a run new, and by which contract it is judged: both as the commit has them that it started from."""

from __future__ import annotations

import json
from pathlib import Path

import answered
import pytest
import trivial
import yaml
from trivial import Trivial

from lab.git import Repository
from lab.records import studies
from lab.records.project import Project


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project in which two designs have run."""
    return answered.make(tmp_path_factory.mktemp("code") / "project")


@pytest.fixture
def project(answers: Trivial, tmp_path: Path) -> Trivial:
    """A copy of it."""
    return trivial.copied(answers, tmp_path / "project")


def states(project: Trivial, design: str = "large") -> set[str]:
    """How `lab plan` says the runs of a design stand."""
    runs = json.loads(project.call("python", "-m", "lab", "plan", design, "--json").stdout)["runs"]
    return {run["state"] for run in runs}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_only_lab_does_makes_no_run_new(project: Trivial) -> None:
    assert states(project) == {"finished"}
    lab = project.root / "src" / "lab"
    edit(lab / "errors.py", "Errors that are meant for people", "Errors for people")
    edit(lab / "report" / "sections.py", '"""', '"""Another docstring. ')
    (project.root / "README.md").write_text("new\n")
    edit(project.root / "dvc.yaml", "stages:", "# a comment\nstages:")
    project.commit("nothing that a stage reads")
    assert states(project) == {"finished"}


@pytest.mark.parametrize("what", ["code", "command", "dependency"])
def test_what_a_stage_reads_makes_its_runs_new(project: Trivial, what: str) -> None:
    if what == "code":
        (project.root / "src" / "stand_in.py").open("a").write("\n# another line\n")
    elif what == "command":
        edit(project.root / "dvc.yaml", "python src/stand_in.py train", "python -u src/stand_in.py train")
    else:
        (project.root / "more.txt").write_text("more\n")
        content = yaml.safe_load((project.root / "dvc.yaml").read_text())
        content["stages"]["train"].setdefault("deps", []).append("more.txt")
        (project.root / "dvc.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    project.commit(what)
    assert states(project) == {"new"}


def test_a_verdict_keeps_to_the_contract_that_its_runs_started_from(project: Trivial) -> None:
    name = "infer.f1_macro"
    known = yaml.safe_load((project.root / "lab.yaml").read_text())
    known["metrics"] = {name: {"title": "something else", "direction": "minimize"}, **known["metrics"]}
    (project.root / "lab.yaml").write_text(yaml.safe_dump(known, sort_keys=False))
    project.commit("the other way round")
    now = Project(project.root)
    assert now.contract.metric(name).direction == "minimize"
    study = studies.read(now, "large")
    assert study.metric(name).direction == "maximize" and not study.minimized(name)


def test_runs_from_before_there_was_a_contract_are_judged_by_head_s(project: Trivial) -> None:
    text = (project.root / "lab.yaml").read_text()
    project.call("git", "rm", "-q", "lab.yaml")
    project.commit("none")
    (project.root / "lab.yaml").write_text(text)
    assert Project(project.root).contract_at(str(Project(project.root).head)) == Project(project.root).contract


def test_a_command_reads_the_experiments_once(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    experiments = Repository.experiments
    monkeypatch.setattr(Repository, "experiments", lambda git: (reads.append(1), experiments(git))[1])
    known = Project(project.root)
    for study in studies.read_all(known):
        assert study.finished
    studies.answered(known)
    assert known.by_key() and len(reads) == 1
