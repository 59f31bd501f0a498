"""A sweep chooses on validation, and answers on the test split: by the chosen arms alone, replayed from the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trivial
import yaml
from trivial import Trivial

from lab.execution import campaign
from lab.records import studies

GRID = {
    "kind": "sweep",
    "type": "train",
    "title": "Which rate?",
    "hypothesis": {"claim": "One is good.", "metric": "infer.f1_macro", "expected": 0.1},
    "seeds": [0, 1],
    "sweep": {"parameters": {"lr": [0.1, 0.2, 0.3]}},
}


def written(project: Trivial, **more: Any) -> None:
    (project.root / "designs").mkdir(exist_ok=True)
    (project.root / "designs" / "sweep.yaml").write_text(yaml.safe_dump(GRID | more))
    project.commit("a sweep")


@pytest.fixture
def project(tmp_path: Path) -> Trivial:
    project = trivial.make(tmp_path / "project")
    written(project)
    return project


def planned(project: Trivial) -> Any:
    known = project.project()
    return campaign.current(studies.planner(known, project.root / "designs" / "sweep.yaml"))


def test_the_chosen_alone_are_tested(project: Trivial) -> None:
    first = planned(project)
    assert {(run.target, run.params["experiment"]["until"]) for run in first.runs} == {("train", "train")}
    assert first.is_open and first.searched == "train"
    trivial.carry_out(project, "sweep")
    study = studies.read(project.project(), "sweep")
    assert study.finalists == ("lr=0.3",) and list(study.arms) == ["lr=0.3"]
    reached = {(each.arm, each.record.reaches("infer")) for each in study.replicates}
    assert reached == {("lr=0.1", False), ("lr=0.2", False), ("lr=0.3", True)}
    assert study.values("lr=0.3", "infer.f1_macro") and not study.values("lr=0.2", "infer.f1_macro")
    plan = planned(project)
    assert not plan.is_open and [run.target for run in plan.runs] == ["train"] * 4 + ["infer"] * 2
    assert all(run.name.endswith("-infer") for run in plan.runs[4:])
    assert not any(each.superseded for each in study.replicates), "the search's own runs are no rerolls"
