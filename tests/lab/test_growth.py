"""Seeds added as far as a question takes: boundaries that keep the level, which arms go on, the plan; and folds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from contracts import VISION
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtr, stdtrit
from scipy.stats import ttest_1samp
from studies import DESIGNS, InFold, made
from trivial import Trivial, copied, experiment

from lab.analysis import budget as budget_of
from lab.analysis import estimates, growth, planning, verdict
from lab.analysis.answer import answer
from lab.analysis.looks import Look
from lab.design import design_file, models
from lab.design.blocks import SeedRange
from lab.design.resources import Budget
from lab.errors import UserError
from lab.execution import campaign
from lab.execution.budget import within
from lab.records import studies
from lab.study import Examples, Study

pytestmark = pytest.mark.slow

METRIC = "infer.f1_macro"
DESIGN: dict[str, Any] = {
    "kind": "comparison",
    "type": "train",
    "name": "grows",
    "title": "Which rate?",
    "seeds": {"from": 3, "to": 8},
    "hypothesis": {"claim": "More is better", "metric": METRIC, "versus": 0.1, "min_effect": 0.01, "expected": 0.2},
    "comparison": {"variable": "lr", "values": [0.1, 0.2, 0.1001]},
}


def asked(design: dict[str, Any], values: dict[str, list[float]]) -> Study:
    """A study whose arms have been asked for as many seeds as they have values."""
    whole = made("grows", lambda arm, seed: {"infer": {"f1_macro": (values[arm] + [0.0] * 9)[seed]}}, design)
    kept = [each for each in whole.replicates if each.seed < len(values[each.arm])]
    return Study(whole.design, whole.contract, whole.commit, whole.path, whole.text, kept)


# The boundaries


@pytest.mark.parametrize(("first", "last"), [(2, 6), (3, 12)])
def test_all_looks_together_err_as_often_as_one(first: int, last: int) -> None:
    values = np.random.default_rng(last).normal(size=(100_000, last))
    n = np.arange(first, last + 1)
    mean = values.cumsum(1)[:, first - 1 :] / n
    spread = np.sqrt(((values**2).cumsum(1)[:, first - 1 :] - n * mean**2) / (n - 1))
    for alpha in (0.05, 0.025, 0.0125):
        levels = np.array([Look(first, k, last).level(alpha) for k in n])
        beyond = (mean / spread * np.sqrt(n) > stdtrit(n - 1, 1 - levels)).any(1).mean()
        assert beyond == pytest.approx(alpha, abs=4 * np.sqrt(alpha / 100_000)), "4 standard errors"
        assert (np.diff(levels[1:]) > 0).all() and levels[1] > 0.9 * levels[0] and levels[-1] < alpha


@given(st.integers(3, 8), st.floats(1e-6, 0.4))
@settings(deadline=None)
def test_a_p_value_is_the_level_at_which_a_look_decides(now: int, alpha: float) -> None:
    look = Look(3, now, 8)
    assert look.p(look.level(alpha)) == pytest.approx(alpha, rel=1e-6)
    assert look.p(alpha) >= alpha


def test_p_and_interval_decide_alike() -> None:
    study = asked(DESIGN, {"0.1": [0.10, 0.11, 0.12, 0.10], "0.2": [0.13, 0.15, 0.17, 0.12], "0.1001": [0.1] * 4})
    between = verdict.judge(study).comparisons[0].difference
    fixed = verdict.judge(
        asked(DESIGN | {"seeds": [0, 1, 2, 3]}, {a: list(study.values(a, METRIC).values()) for a in study.arms})
    )
    plain = fixed.comparisons[0].difference
    assert between.values == plain.values
    assert plain.estimate.low > 0 and plain.estimate.p < 0.05
    assert between.estimate.low < 0 < between.estimate.high and between.estimate.p > 0.05, (
        "not at the second of six looks"
    )
    wider = (between.estimate.high - between.estimate.low) / (plain.estimate.high - plain.estimate.low)
    level = Look(3, 4, 8).level(0.025)
    assert wider == pytest.approx(stdtrit(3, 1 - level) / stdtrit(3, 0.975))


# Which arms go on


def test_an_arm_stops_where_it_is_decided_or_past_hope_and_the_others_go_on() -> None:
    ends = {
        "0.1": [0.100, 0.101, 0.102, 0.1015],
        "0.2": [0.2001, 0.2012, 0.2019, 0.2011],
        "0.1001": [0.080, 0.121, 0.116, 0.0855],
    }
    study = asked(DESIGN, ends)
    judged = verdict.judge(study)
    assert {each.arm: each.outcome for each in judged.comparisons}["0.2"] == "SUPPORTED"
    assert growth.next_asked(study, judged) == {"0.1": 4, "0.2": 4, "0.1001": 4}
    sayings = " ".join(judged.reasons)
    assert (
        "0.2: decided at look 2 of 6, after 4 of up to 8 seeds" in sayings and "0.1001: past hope at look 2" in sayings
    )
    hopeful = asked(DESIGN, ends | {"0.1001": [0.12, 0.1, 0.14, 0.11]})
    assert growth.next_asked(hopeful, verdict.judge(hopeful)) == {"0.1": 4, "0.2": 4, "0.1001": 5}


def test_what_failed_is_mended_before_a_seed_is_added() -> None:
    whole = made("grows", lambda arm, seed: None if seed == 1 else {"infer": {"f1_macro": float(arm) + seed}}, DESIGN)
    kept = [each for each in whole.replicates if each.seed < 3]
    study = Study(whole.design, whole.contract, whole.commit, whole.path, whole.text, kept)
    judged = verdict.judge(study)
    assert growth.next_asked(study, judged) == {"0.1": 3, "0.2": 3, "0.1001": 3}
    assert "no seed is added before what failed is mended" in " ".join(judged.reasons)


@pytest.mark.parametrize("effect", [0.0, 0.0177])
def test_what_is_foreseen_saves_two_fifths_of_the_runs(effect: float) -> None:
    """With as many seeds at most as show min_effect by the t-test in 80 %: of no effect, and of twice as large."""
    seeds, share = planning.expected_seeds(SeedRange.model_validate({"from": 3, "to": 12}), effect, 0.01, 0.00886)
    assert seeds <= 0.6 * 12 + 0.1
    assert share < 0.025 if effect == 0 else share > 0.97


# In a design's file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": {"from": 3}}, "seeds.to: is missing"),
        ({"seeds": {"from": 3, "too": 5}}, "seeds.too: no such key here. Did you mean 'to'?"),
        ({"seeds": {"from": 5, "to": 5}}, "from is 5 and to is 5: expected from < to"),
        ({"seeds": {"from": 1, "to": 5}}, "seeds.from: 1"),
        ({"seeds": 5}, "expected a list of seeds such as [0, 1, 2], or a range"),
        ({"type": "infer", "comparison": {"variable": "infer.tta", "values": [False, True]}}, "more seeds don't tell"),
        ({"kind": "single", "comparison": None}, "a range goes on until each arm is told"),
        (DESIGNS["factorial"] | {"comparison": None}, "all arms with the same seeds"),
    ],
)
def test_what_can_not_grow_is_refused(change: dict[str, Any], words: str) -> None:
    stated = {key: value for key, value in (DESIGN | change).items() if value is not None}
    if "kind" in change or "type" in change:
        stated["hypothesis"] = {"claim": "c", "metric": METRIC, "expected": 1}
    with pytest.raises(UserError) as raised:
        design_file.parse(stated, VISION)
    assert words in str(raised.value)


def test_a_range_has_a_digest_of_its_own_and_lists_keep_theirs() -> None:
    grows, fixed = (design_file.parse(DESIGN | more, VISION) for more in ({}, {"seeds": [*range(8)]}))
    assert models.digest(grows) != models.digest(fixed) and grows.seeds == fixed.seeds
    assert models.content(grows)["seeds"] == {"from": 3, "to": 8}


# In a project


@pytest.fixture
def project(template: Trivial, tmp_path: Any) -> Trivial:
    project = copied(template, tmp_path / "project")
    (project.root / "designs").mkdir(exist_ok=True)
    (project.root / "designs" / "grows.yaml").write_text(yaml.safe_dump(DESIGN))
    project.commit("a design")
    return project


def test_the_plan_grows_by_the_records(project: Trivial) -> None:
    def noisy(lr: float, seed: int) -> dict[str, Any]:
        return {"f1_macro": lr + [0.0, 0.03, -0.02, 0.01, 0.02, -0.01, 0.0, 0.01][seed] * (1 if lr == 0.2 else -1)}

    ran: list[tuple[str, int]] = []
    for _ in range(8):
        here = project.project()
        planner = studies.planner(here, project.root / "designs" / "grows.yaml")
        plan = campaign.current(planner)
        new = [run for run in plan.runs if (run.arm, run.seed) not in ran]
        if not new:
            break
        assert [(run.arm, run.seed) for run in plan.runs if run not in new] == sorted(
            ran, key=lambda each: (["0.1", "0.2", "0.1001"].index(each[0]), each[1])
        )
        for run in new:
            experiment(project, run, noisy)
            ran.append((run.arm, run.seed))
    study = studies.read(project.project(), "grows")
    assert all(each.finished for each in study.replicates) and len(study.replicates) == len(ran)
    judged = verdict.judge(study)
    assert judged.outcome == "SUPPORTED" and judged.winner == "0.2" and not judged.exploratory
    counts = {arm: len(each) for arm, each in study.arms.items()}
    assert 3 < counts["0.2"] < 8 and counts["0.1"] == max(counts.values()), counts
    assert len({run.name for run in plan.runs}) == len(ran)


def test_a_reference_measured_by_another_design_has_as_many_seeds_as_what_grows(project: Trivial) -> None:
    """Or the last look would be at fewer pairs than the arm has seeds, and ask for one that nobody runs."""
    before = DESIGN | {"seeds": list(range(5)), "title": "All of it?", "name": "before"}
    before["comparison"] = {"variable": "lr", "values": [0.1, 0.3]}
    (project.root / "designs" / "before.yaml").write_text(yaml.safe_dump(before))
    (project.root / "designs" / "grows.yaml").write_text(yaml.safe_dump(DESIGN | {"seeds": {"from": 3, "to": 5}}))
    project.commit("another design")

    def measured(lr: float, seed: int) -> dict[str, Any]:
        noise = [0.0, 0.06, -0.05, 0.02, 0.05][seed]
        return {"f1_macro": lr if lr == 0.1 else 0.155 + noise}

    def planned(name: str) -> list[Any]:
        return campaign.current(studies.planner(project.project(), project.root / "designs" / name)).runs

    for run in planned("before.yaml"):
        if run.arm == "0.1":
            experiment(project, run, measured)
    ran: set[tuple[str, int]] = set()
    while new := [run for run in planned("grows.yaml") if run.arm != "0.1" and (run.arm, run.seed) not in ran]:
        for run in new:
            experiment(project, run, measured)
            ran.add((run.arm, run.seed))
    study = studies.read(project.project(), "grows")
    assert len(study.arms["0.2"]) > 3 and len(study.arms["0.1"]) == max(map(len, study.arms.values()))
    assert all(each.finished for each in study.replicates)


# A budget


def test_a_budget_allows_what_fits_into_what_is_left() -> None:
    def run(status: str, seconds: float = 0.0) -> Any:
        return SimpleNamespace(status=status, seconds={"train": seconds})

    def budget(**most: float) -> Budget:
        return Budget.model_validate(most)

    ran = [run("finished", 1200), run("finished", 1800), run("failed"), run("running")]
    assert budget_of.affordable(budget(runs=6), ran) == 2
    assert budget_of.affordable(budget(runs=3), ran) == 0
    assert budget_of.affordable(budget(hours=2.1), ran) == 2, "50 min, one under way, 25 min each"
    assert budget_of.affordable(budget(runs=5, hours=9), ran) == 1
    assert budget_of.affordable(budget(hours=1.0), []) == math.inf
    assert str(budget(runs=1, hours=1.5)) == "1 run and 1.5 hours"


def test_what_a_budget_leaves_out_is_told_and_may_be_run_once_it_is_larger(project: Trivial) -> None:
    def planned(runs: int) -> tuple[Any, Any]:
        text = yaml.safe_dump(DESIGN | {"seeds": [0, 1], "budget": {"runs": runs}})
        (project.root / "designs" / "grows.yaml").write_text(text)
        project.commit(f"{runs} runs")
        here = project.project()
        return here, campaign.current(studies.planner(here, project.root / "designs" / "grows.yaml"))

    here, plan = planned(4)
    allowed = within(here, plan.design.budget, plan.runs, here.head)
    assert allowed == plan.runs[:4]
    for run in allowed:
        experiment(project, run)
    here = project.project()
    assert [run.name for run in within(here, plan.design.budget, plan.runs, here.head)] == [run.name for run in allowed]
    study = studies.read(here, "grows")
    judged = verdict.judge(study)
    assert (judged.outcome, judged.complete) == ("INCONCLUSIVE", False)
    assert (
        "the budget of 4 runs is used up, and 2 runs did not run: 0.1001 with seed 0, 0.1001 with seed 1"
        in judged.reasons[0]
    )
    assert "larger budget" in answer(study, judged).step.text
    digest = plan.digest
    here, plan = planned(6)
    assert plan.digest == digest, "it is no part of the question"
    assert within(here, plan.design.budget, plan.runs, here.head) == plan.runs, "what has answered costs nothing"


# Parts of a cross-validation, which have most of their training items in common


def test_folds_are_compared_by_the_corrected_resampled_t_test() -> None:
    """Nadeau and Bengio, Machine Learning 52, 2003: t = mean / √((1/n + 1/(n - 1)) s²), n - 1 degrees."""
    gains = [0.01, 0.02, 0.03, 0.015, 0.025]
    values = {"0.1": [0.8] * 5, "0.2": [0.8 + gain for gain in gains], "0.1001": [0.8] * 5}
    study = asked({**DESIGN, "seeds": list(range(5))}, values)

    def estimate(fold: Callable[[int], str | None]) -> Any:
        runs = [replace(each, record=InFold(each.record, fold(each.seed))) for each in study.replicates]
        return estimates.difference(replace(study, replicates=runs), "0.2", "0.1", METRIC, Examples()).seeds

    error = math.sqrt((1 / 5 + 1 / 4) * np.var(gains, ddof=1))
    found = estimate(lambda seed: f"{seed + 1} of 5")
    assert found.p == pytest.approx(2 * stdtr(4, -0.02 / error))
    assert found.high - found.value == pytest.approx(stdtrit(4, 0.975) * error)
    plain = estimate(lambda seed: None)
    assert plain.p == pytest.approx(ttest_1samp(gains, 0).pvalue) and plain.p < found.p
    for other in ("2 of 5", "whole"):  # one part with other seeds, or something else
        assert estimate(lambda seed, other=other: other).p == pytest.approx(plain.p)


@pytest.mark.parametrize(
    ("seeds", "fold", "step"),
    [
        ([1, 2], "{} of 2", "its 2 seeds are all parts of the cross-validation"),
        ([1, 2], "{} of 4", "the cross-validation has 2 more parts, which tell more: copy .* seeds: \\[1, 2, 3, 4\\]"),
        ([1, 2], "1 of 4", "more seeds"),
    ],
)
def test_no_more_seeds_are_offered_than_a_cross_validation_has_parts(seeds: list[int], fold: str, step: str) -> None:
    values = {"0.1": [0.0, 0.80, 0.85], "0.2": [0.0, 0.85, 0.81], "0.1001": [0.0, 0.8, 0.86]}
    study = made("grows", lambda arm, seed: {"infer": {"f1_macro": values[arm][seed]}}, {**DESIGN, "seeds": seeds})
    runs = [replace(each, record=InFold(each.record, fold.format(each.seed))) for each in study.replicates]
    study = replace(study, replicates=runs)
    assert re.search(step, answer(study, verdict.judge(study)).step.text)
