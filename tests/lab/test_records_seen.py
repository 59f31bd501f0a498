"""Who plays to win is told so: known results under other names, without a guardrail, or run again until they fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import answered
import pytest
import trivial
import yaml
from trivial import Trivial

from lab.analysis.verdict import Verdict, judge
from lab.records import studies
from lab.report import run_tables

pytestmark = pytest.mark.slow  # a project is copied


@pytest.fixture
def project(answers: Trivial, tmp_path: Path) -> Trivial:
    """A copy in which `small` has shown that 0.5 is better than 0.1."""
    return trivial.copied(answers, tmp_path / "project")


def rewritten(project: Trivial, name: str, copy: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write and commit a design that is another but for a change."""
    content = yaml.safe_load((project.root / "designs" / f"{name}.yaml").read_text())
    change(content)
    (project.root / "designs" / f"{copy}.yaml").write_text(yaml.safe_dump(content))
    project.commit(copy)


def runs_again(
    project: Trivial, name: str, metrics: Callable[[float, int], dict[str, Any]] = answered.measured
) -> None:
    """What `lab run --again` leaves."""
    for run in studies.planner(project.project(), project.root / "designs" / f"{name}.yaml").plan().runs:
        if run.params["lr"] > 0:
            trivial.experiment(project, replace(run, name=f"{run.name}_again"), metrics)


def judged(project: Trivial, name: str) -> Verdict:
    return judge(studies.read(project.project(), name))


def told(verdict: Verdict) -> str:
    return " ".join(reason for reason in verdict.reasons if reason.startswith("exploratory"))


def two_arms(content: dict[str, Any]) -> None:
    content["comparison"]["values"] = [0.1, 0.5]


def without_guardrail(content: dict[str, Any]) -> None:
    content["hypothesis"].pop("guardrails", None)
    two_arms(content)


def another_batch(content: dict[str, Any]) -> None:
    content["base"] = ["infer.batch_size=34"]
    two_arms(content)


def another_thread_and_claim(content: dict[str, Any]) -> None:
    content["base"] = ["training.threads=2"]
    content["hypothesis"]["claim"] = "We knew it all along"
    two_arms(content)


def renamed_arms(content: dict[str, Any]) -> None:
    content["hypothesis"] |= {"arm": "ours", "versus": "theirs"}
    content["comparison"] = {"values": {"theirs": "lr=0.1", "ours": "lr=0.5"}}


def fewer_seeds(content: dict[str, Any]) -> None:
    content["seeds"] = [1]
    two_arms(content)


@pytest.mark.parametrize(
    "change", [without_guardrail, another_batch, another_thread_and_claim, renamed_arms, fewer_seeds]
)
def test_known_results_are_no_test_under_another_name(project: Trivial, change: Callable[[dict], None]) -> None:
    assert not judged(project, "small").exploratory
    rewritten(project, "small", "copy", change)
    trivial.carry_out(project, "copy", answered.measured)
    found = judged(project, "copy")
    assert found.exploratory, "what it asks was known"
    assert "before the design as it reads" in told(found) or "committed after runs that decide" in told(found)


def test_fresh_seeds_are_a_test(project: Trivial) -> None:
    rewritten(project, "small", "fresh", lambda content: (two_arms(content), content.update(seeds=[7, 8])))
    trivial.carry_out(project, "fresh", answered.measured)
    assert not judged(project, "fresh").exploratory


def test_an_edited_question_over_its_own_runs_is_exploratory_also_where_they_are_run_again(project: Trivial) -> None:
    rewritten(project, "small", "small", lambda content: content["hypothesis"].update(min_effect=0.01))
    assert "not the same before the runs" in told(judged(project, "small"))
    runs_again(project, "small")
    found = judged(project, "small")
    assert "what decides was known before the design as it reads: the same came out of" in told(found)


def test_what_is_run_again_until_it_fits_is_listed_and_exploratory(project: Trivial) -> None:
    def luckier(lr: float, seed: int) -> dict[str, Any]:
        return answered.measured(lr + 0.01 * (lr == 0.5), seed)

    runs_again(project, "small", luckier)
    study = studies.read(project.project(), "small")
    found = judge(study)
    assert told(found).endswith("and the last run counts: 0.5 with seed 0 2 times, 0.5 with seed 1 2 times")
    listed = run_tables.superseded(study, found.metric)
    assert listed.count("none_small_0.5_s") == 2 and "0.5015" in listed


def test_the_same_once_more_is_no_other_result(project: Trivial) -> None:
    """Who repeats a run and gets the same has learnt nothing."""
    runs_again(project, "small")
    study = studies.read(project.project(), "small")
    assert any(replicate.superseded for replicate in study.replicates)
    assert not judge(study).exploratory
