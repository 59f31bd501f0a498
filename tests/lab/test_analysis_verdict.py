"""Verdicts: each outcome by a study made for it, what they don't depend on, and how often they are wrong."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scorers
from contracts import VISION
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis import estimates, verdict, wording
from lab.analysis.verdict import Verdict
from lab.design import design_file, expansion, power
from lab.design.models import Design, digest
from lab.study import Replicate, Study

F1 = "infer.f1_macro"
Values = Mapping[str, Sequence[Any]]  # for each arm its runs with seed 0, 1, …, or their F1; None for one that failed


@dataclass
class Run:
    """A record as the verdict sees it."""

    metrics: dict[str, float]
    status: str = "finished"
    params: dict[str, Any] = field(default_factory=dict)
    experiment: dict[str, Any] = field(default_factory=dict)
    effective: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def value(self, metric: str) -> float | None:
        return self.metrics.get(metric) if self.status == "finished" else None


def study(values: Values, kind: str = "comparison", type: str = "train", block: Any = None, **said: Any) -> Study:
    """A study with these values of the metric F1, or with whole runs in their place."""
    hypothesis = said.pop("hypothesis", {})
    seeds = max(map(len, values.values()))
    blocks = {
        "comparison": {"variable": "arm", "values": list(values)},
        "single": None,
        "sweep": None,
        "ablation": None,
    }
    content = {
        "kind": kind,
        "type": type,
        "title": "What?",
        "name": "some",
        "seeds": list(range(seeds)),
        **({} if hypothesis is None else {"hypothesis": {"claim": "It is so", "metric": F1, **hypothesis}}),
        **said,
    }
    block = block or blocks[kind]
    design = design_file.parse(content | ({kind: block} if block else {}), VISION)
    replicates = []
    for arm, levels in arms_of(design, values).items():
        for seed, value in enumerate(values[arm]):
            run = (
                value if isinstance(value, Run) else Run({F1: value or 0.0}, "failed" if value is None else "finished")
            )
            run.experiment = {"digest": digest(design)} | run.experiment
            replicates.append(Replicate(arm, levels, seed, run))
    return Study(design, VISION, "", "", "", replicates)


def arms_of(design: Design, values: Values) -> dict[str, dict[str, Any]]:
    known = {arm.name: arm.levels for arm in expansion.arms(design)}
    return {arm: known.get(arm, {}) for arm in values}


def judge(values: Values, **said: Any) -> Verdict:
    return verdict.judge(study(values, **said))


def arm(centre: float, noise: float = 0.001, n: int = 5) -> list[Any]:
    """Values around `centre`, with the same luck of the seed for all arms and some of their own."""
    seeds = np.random.default_rng(0).normal(0, 0.01, n)
    own = np.random.default_rng(int(centre * 1e6)).normal(0, noise, n)
    return [float(x) for x in centre + seeds + own - own.mean()]


def claim(**more: Any) -> dict[str, Any]:
    return {"hypothesis": {"arm": "new", "versus": "old", "min_effect": 0.01, **more}}


# Each outcome


def test_a_change_and_its_interval_have_the_same_decimals() -> None:
    def told(*values: float) -> str:
        return wording.with_interval(estimates.Estimate(*values))

    assert told(-0.0000106, -0.0442, 0.0442) == "0.0000 [-0.0442, +0.0442]"
    assert told(0.02793, 0.0207, 0.035) == "+0.0279 [+0.0207, +0.0350]"
    assert told(3e-7, 1e-7, 5e-7) == "+3e-07 [+1e-07, +5e-07]"


def test_supported() -> None:
    found = judge({"old": arm(0.90), "new": arm(0.92)}, **claim())
    assert (found.outcome, found.winner, found.best) == ("SUPPORTED", "new", "new")
    [comparison] = found.comparisons
    assert comparison.difference.seeds.value == pytest.approx(0.02)
    assert comparison.difference.seeds.n == 5 and comparison.p < 0.001
    assert comparison.effect.low > 0
    assert "new − old in infer.f1_macro: +0.0200 [" in found.reasons[0] and "over 5 seeds, p = " in found.reasons[0]


def test_significant_but_smaller_than_asked_for_is_equivalent() -> None:
    found = judge({"old": arm(0.90), "new": arm(0.904)}, **claim())
    assert found.outcome == "EQUIVALENT" and found.winner is None
    assert found.comparisons[0].p < 0.05  # a difference, but none that matters
    assert "within ±0.01" in found.reasons[0]


def test_the_winner_is_the_best_arm_that_is_shown_to_be_better() -> None:
    """The claim may be about a lesser one."""
    values = {"old": [0.50, 0.51, 0.50], "new": [0.60, 0.61, 0.601], "third": [0.90, 0.91, 0.901]}
    found = judge(values, hypothesis={"arm": "new", "versus": "old"})
    assert (found.outcome, found.winner, found.best) == ("SUPPORTED", "third", "third")
    found = judge(values, hypothesis={"arm": "old", "versus": "new"})
    assert (found.outcome, found.winner, found.best) == ("REFUTED", None, "third")


def test_without_min_effect_any_certain_improvement_is_enough_and_nothing_is_equivalent() -> None:
    assert judge({"old": arm(0.90), "new": arm(0.904)}, **claim(min_effect=0)).outcome == "SUPPORTED"
    assert judge({"old": arm(0.90), "new": arm(0.9001)}, **claim(min_effect=0)).outcome == "INCONCLUSIVE"
    same = judge({"old": arm(0.90), "new": arm(0.90)}, **claim(min_effect=0))
    assert same.outcome == "INCONCLUSIVE" and same.reasons[0].endswith("no difference with any seed")


def test_refuted_where_worse_and_where_the_improvement_is_excluded() -> None:
    worse = judge({"old": arm(0.90), "new": arm(0.85)}, **claim())
    assert worse.outcome == "REFUTED" and worse.reasons[0].endswith("lower")
    excluded = judge({"old": arm(0.90, 0.005), "new": arm(0.893, 0.005)}, **claim())
    assert excluded.outcome == "REFUTED" and excluded.reasons[0].endswith("an increase of 0.01 is excluded")
    assert excluded.comparisons[0].p > 0.05  # not significantly worse


def test_underpowered_says_how_many_seeds_it_takes() -> None:
    found = judge({"old": arm(0.90, 0.02), "new": arm(0.91, 0.02)}, **claim())
    assert found.outcome == "UNDERPOWERED"
    deviation = found.comparisons[0].difference.seeds.deviation
    needed = power.seeds_needed(0.01, deviation)
    assert f"about {needed} seeds would find it in 80 %" in found.reasons[0] and needed > 5


def test_one_seed_is_underpowered_and_says_what_it_cannot_tell() -> None:
    found = judge({"old": [0.8], "new": [0.99]}, **claim())
    assert found.outcome == "UNDERPOWERED" and found.best == "new"
    assert found.comparisons[0].p is None and found.comparisons[0].effect is None
    assert "one seed can't tell an effect from its own luck" in found.reasons[0]


def test_inconclusive_where_the_power_was_there() -> None:
    old = [0.90, 0.91, 0.89, 0.90, 0.90, 0.91, 0.89, 0.90]
    new = [x + d for x, d in zip(old, [0.016, 0.000, 0.014, 0.002, 0.015, 0.001, 0.016, 0.002], strict=True)]
    found = judge({"old": old, "new": new}, **claim())
    assert found.comparisons[0].difference.seeds.value == pytest.approx(0.00825)  # certainly positive, yet below 0.01
    assert found.outcome == "INCONCLUSIVE"
    assert "neither shown nor excluded, though" in found.reasons[0]


def test_less_can_be_better() -> None:
    values = {"old": arm(0.90), "new": arm(0.92)}
    assert judge(values, **claim(direction="minimize")).outcome == "REFUTED"
    found = judge({"old": arm(0.92), "new": arm(0.90)}, **claim(direction="minimize"))
    assert found.outcome == "SUPPORTED"
    assert found.comparisons[0].difference.seeds.value < 0  # the difference itself keeps its sign
    loss = {name: [Run({"infer.loss": x}) for x in arm(value)] for name, value in (("old", 0.92), ("new", 0.90))}
    found = judge(loss, **claim(metric="infer.loss", direction="minimize"))
    assert (found.outcome, found.best, found.winner) == ("SUPPORTED", "new", "new")


def test_a_claim_that_models_get_worse_has_no_winner() -> None:
    found = judge({"old": arm(0.92), "new": arm(0.90)}, **claim(direction="minimize"))
    assert (found.outcome, found.best, found.winner) == ("SUPPORTED", "old", None)


# Several arms


def test_without_an_arm_one_of_several_is_enough_and_named() -> None:
    values = {"old": arm(0.90), "a": arm(0.905), "b": arm(0.93), "c": arm(0.95)}
    found = judge(values, hypothesis={"versus": "old", "min_effect": 0.01})
    assert (found.outcome, found.winner) == ("SUPPORTED", "c")
    assert [each.outcome for each in found.comparisons] == ["EQUIVALENT", "SUPPORTED", "SUPPORTED"]
    assert "after Holm over 3 arms" in found.reasons[0]


def test_all_arms_have_to_be_refuted_or_equivalent() -> None:
    hypothesis = {"versus": "old", "min_effect": 0.01}
    worse, same, unclear = arm(0.85), arm(0.901), arm(0.91, 0.02)
    assert judge({"old": arm(0.9), "a": worse, "b": same}, hypothesis=hypothesis).outcome == "REFUTED"
    assert judge({"old": arm(0.9), "b": same}, hypothesis=hypothesis).outcome == "EQUIVALENT"
    found = judge({"old": arm(0.9), "a": worse, "b": same, "c": unclear}, hypothesis=hypothesis)
    assert found.outcome == "UNDERPOWERED"
    assert "standard deviations better than it is" in " ".join(found.reasons)  # picked after the fact


def test_holm_can_take_a_claim_back_that_one_arm_alone_would_have() -> None:
    differences = [0.010, 0.030, 0.002, 0.020, 0.013]  # p = 0.034
    old = [0.9] * 5
    new = [x + d for x, d in zip(old, differences, strict=True)]
    others = {name: [0.9, 0.91, 0.89, 0.895, 0.905] for name in ("a", "b")}
    hypothesis = {"versus": "old", "min_effect": 0.01}
    alone = judge({"old": old, "new": new, **others}, hypothesis=hypothesis | {"arm": "new"})
    among = judge({"old": old, "new": new, **others}, hypothesis=hypothesis)
    assert alone.outcome == "SUPPORTED" and alone.comparisons[0].p == pytest.approx(0.0339, abs=1e-4)
    assert among.outcome != "SUPPORTED" and among.comparisons[0].p == pytest.approx(0.1016, abs=1e-4)


def test_the_other_arms_are_told_but_decide_nothing() -> None:
    found = judge({"old": arm(0.90), "new": arm(0.85), "other": arm(0.95)}, **claim())
    assert found.outcome == "REFUTED" and found.winner is None and found.best == "other"
    assert [(each.arm, each.claimed, each.outcome) for each in found.comparisons] == [
        ("new", True, "REFUTED"),
        ("other", False, "SUPPORTED"),
    ]


# Held against an expected value


@pytest.mark.parametrize(
    ("centre", "min_effect", "outcome"),
    [
        (0.97, 0, "SUPPORTED"),
        (0.90, 0, "REFUTED"),
        (0.951, 0, "INCONCLUSIVE"),
        (0.951, 0.02, "EQUIVALENT"),
        (0.951, 0.005, "UNDERPOWERED"),
        (0.97, 0.02, "SUPPORTED"),  # beyond what was expected, though within the tolerance
    ],
)
def test_a_single_design_is_held_against_its_expected_value(centre: float, min_effect: float, outcome: str) -> None:
    hypothesis = {"expected": 0.95, "min_effect": min_effect}
    found = judge({"baseline": arm(centre)}, kind="single", hypothesis=hypothesis)
    assert found.outcome == outcome
    assert "baseline − expected" in found.reasons[0]


def test_the_best_of_a_sweep_with_one_seed_is_no_proof() -> None:
    levels = [0.001, 0.003, 0.01]
    values = {f"lr={x:g}": [0.94 + i / 100] for i, x in enumerate(levels)}
    block = {"parameters": {"lr": levels}}
    found = judge(values, kind="sweep", block=block, hypothesis={"expected": 0.95})
    assert (found.outcome, found.winner, found.best) == ("UNDERPOWERED", None, "lr=0.01")
    assert found.expected.reached and not found.expected.sure
    assert "lr=0.01 is the best of 3, but the best of so many equal ones looks 0.85" in " ".join(found.reasons)


def test_of_many_arms_the_best_are_told_and_the_others_counted() -> None:
    values = {f"lr={i}": [0.90 + i / 100] for i in range(8)}
    found = judge(values, kind="sweep", block={"parameters": {"lr": list(range(8))}}, hypothesis={"expected": 0.9})
    assert [reason.partition(" ")[0] for reason in found.reasons[:7]] == [
        *(f"lr={i}" for i in (7, 6, 5, 4, 3)),
        "and",
        "lr=7",
    ]
    assert found.reasons[5] == "and 3 more arms: 3 UNDERPOWERED" and found.expected.sure is None


def test_an_interval_of_a_share_ends_at_1() -> None:
    values = [0.99, 0.96, 0.995]
    share = verdict.judge(study({"only": values}, kind="single", hypothesis={"expected": 0.9})).arms[0].mean
    assert (round(share.low, 4), share.high) == (0.9346, 1.0)  # t(0.975, 2) = 4.303 times a standard error of 0.0109
    doubled = {"only": [Run({"train.val/loss": 2 * value}) for value in values]}
    free = (
        verdict.judge(study(doubled, kind="single", hypothesis={"metric": "train.val/loss", "expected": 2}))
        .arms[0]
        .mean
    )
    assert (round(free.low, 3), round(free.high, 3)) == (1.869, 2.057)


def test_a_hypothesis_that_nothing_can_be_held_against_is_inconclusive() -> None:
    values = {"lr=0.1": arm(0.9), "lr=0.2": arm(0.95)}
    found = judge(values, kind="sweep", block={"parameters": {"lr": [0.1, 0.2]}})
    assert found.outcome == "INCONCLUSIVE" and "neither an arm" in found.reasons[0]
    without = judge(values, kind="sweep", block={"parameters": {"lr": [0.1, 0.2]}}, hypothesis=None)
    assert without.outcome == "INCONCLUSIVE" and without.metric == F1 and without.best == "lr=0.2"


def test_expected_value_and_targets_of_the_claimed_arm() -> None:
    targets = {"stretch": 0.95, "baseline": 0.84, "target": 0.922}
    found = judge({"old": arm(0.90), "new": arm(0.925)}, targets=targets, **claim(expected=0.93))
    assert not found.expected.reached
    assert [(mark.name, mark.reached, mark.sure) for mark in found.targets] == [
        ("baseline", True, True),
        ("target", True, False),  # the mean is beyond, its interval is not
        ("stretch", False, False),
    ]
    assert found.tier == "target"
    low = judge({"old": arm(0.9), "new": arm(0.3)}, targets={"hard": 0.2, "easy": 0.5}, **claim(direction="minimize"))
    assert [mark.name for mark in low.targets] == ["easy", "hard"] and low.tier == "easy"


def test_a_tier_of_several_metrics_is_reached_where_all_of_them_are() -> None:
    targets = {
        "target": {F1: 0.9, "infer.accuracy": 0.5},
        "stretch": {F1: 0.91, "infer.accuracy": 0.99},
        "final": {F1: 0.92, "infer.recall": 0.1},
    }
    means = {"old": 0.9, "new": 0.925}
    arms = {name: [Run({F1: f1, "infer.accuracy": 0.97}) for f1 in arm(mean)] for name, mean in means.items()}
    found = judge(arms, targets=targets, **claim())
    assert [(mark.name, mark.reached) for mark in found.targets] == [
        ("target", True),
        ("stretch", False),
        ("final", False),  # its recall was not measured
    ]
    assert found.tier == "target"


# Guardrails


def with_latency(values: Values, latencies: dict[str, list[float]]) -> dict[str, list[Run]]:
    return {
        name: [
            Run({F1: x, "infer_speed.batch_1.latency_ms.p50": ms}) for x, ms in zip(row, latencies[name], strict=True)
        ]
        for name, row in values.items()
    }


@pytest.mark.parametrize(
    ("latency", "outcome", "ok", "sure"),
    [
        ([10.1, 10.0, 9.9, 10.1, 10.0], "SUPPORTED", True, True),
        ([10.1, 13.0, 9.0, 10.1, 10.0], "INCONCLUSIVE", None, False),  # by the mean alone it would hold
        ([15.1, 15.0, 14.9, 15.1, 15.0], "REFUTED", False, False),
        ([10.1, 17.0, 9.0, 12.1, 9.0], "INCONCLUSIVE", None, False),
    ],
)
def test_a_guardrail_can_take_the_support_away(latency: list[float], outcome: str, ok: bool | None, sure: bool) -> None:
    guardrail = {"metric": "infer_speed.batch_1.latency_ms.p50", "max_increase": 1}
    values = with_latency({"old": arm(0.90), "new": arm(0.95)}, {"old": [10.0] * 5, "new": latency})
    found = judge(values, **claim(guardrails=[guardrail]))
    assert found.outcome == outcome
    [guard] = found.guardrails
    assert (guard.ok, guard.sure) == (ok, sure)
    assert "guardrail max_increase 1 " in found.reasons[1] and "latency_ms.p50" in found.reasons[1]
    if outcome != "SUPPORTED":
        assert found.winner is None and "guardrail" in found.comparisons[0].because


def test_a_guardrail_that_is_not_strict_holds_on_the_mean_and_says_so() -> None:
    rail = {"metric": "infer_speed.batch_1.latency_ms.p50", "max_increase": 1, "strict": False}
    latencies = {"old": [10.0] * 5, "new": [10.1, 13.0, 9.0, 10.1, 10.0]}
    found = judge(with_latency({"old": arm(0.90), "new": arm(0.95)}, latencies), **claim(guardrails=[rail]))
    assert found.outcome == "SUPPORTED" and (found.guardrails[0].ok, found.guardrails[0].sure) == (True, False)
    assert "holds on the mean, but not for certain (strict: false)" in found.reasons[1]


def test_a_guardrail_that_was_not_measured_is_not_kept() -> None:
    guardrail = {"metric": "infer.accuracy", "max_decrease": 0.01}
    found = judge({"old": arm(0.90), "new": arm(0.95)}, **claim(guardrails=[guardrail]))
    assert found.outcome == "INCONCLUSIVE" and found.guardrails[0].ok is None


def test_a_speed_that_was_measured_beside_other_work_says_so() -> None:
    name = "infer_speed.batch_1.latency_ms.p50"
    values = with_latency({"old": arm(0.90), "new": arm(0.95)}, {"old": [10.0] * 5, "new": [10.2] * 5})
    words = claim(guardrails=[{"metric": name, "max_increase": 1}])
    for busy, told in ((0.02, None), (0.48, "48 %")):
        for run in values["new"]:
            run.metrics["infer_speed.measured.busy"] = busy
        found = [reason for reason in judge(values, **words).reasons if "other programs" in reason]
        assert found == [] if told is None else f"5 of 10 runs measured {name}" in found[0] and told in found[0]


# Counted and constant


def test_a_size_is_decided_by_one_seed() -> None:
    hypothesis = {"metric": "quant.size_mb", "direction": "minimize", "arm": "int8", "versus": "fp32", "min_effect": 7}
    sizes = {"fp32": [Run({"quant.size_mb": 10.7})], "int8": [Run({"quant.size_mb": 3.3})]}
    found = judge(sizes, type="quant", hypothesis=hypothesis)
    assert found.outcome == "SUPPORTED" and found.comparisons[0].difference.basis == "counted"
    assert judge(sizes, type="quant", hypothesis=hypothesis | {"min_effect": 7.5}).outcome == "EQUIVALENT"
    same = {name: [Run({"quant.size_mb": 10.7})] for name in sizes}
    assert judge(same, type="quant", hypothesis=hypothesis | {"min_effect": 0}).outcome == "EQUIVALENT"


def test_the_same_difference_with_every_seed_is_no_miracle_before_six_of_them() -> None:
    for n, outcome in {2: "UNDERPOWERED", 5: "UNDERPOWERED", 6: "SUPPORTED"}.items():
        assert judge({"old": [0.5] * n, "new": [0.625] * n}, **claim()).outcome == outcome
    found = judge({"old": [0.5] * 2, "new": [0.625] * 2}, **claim())
    assert "it takes 6 seeds to rule chance out" in found.reasons[0]


def test_two_seeds_that_end_on_nearly_the_same_step_of_the_metric_are_no_proof() -> None:
    def runs(values: list[float]) -> list[Run]:
        return [Run({F1: x, "infer.images": 300}) for x in values]

    values = {"old": runs([0.983324, 0.983331]), "new": runs([0.993444, 0.993421])}  # three images more, twice
    found = judge(values, **claim())
    assert found.outcome == "UNDERPOWERED" and found.comparisons[0].p > 0.1
    assert found.comparisons[0].difference.seeds.deviation == 1 / 300


# Runs that failed, are still to come, or did something else


@pytest.mark.parametrize("name", ["old", "new"])
def test_what_failed_with_a_seed_wins_nothing_and_is_named(name: str) -> None:
    values = {"old": arm(0.90), "new": arm(0.92)}
    values[name][2] = None
    found = judge(values, **claim())
    assert (found.outcome, found.winner, found.complete) == ("INCONCLUSIVE", None, True)
    assert found.comparisons[0].difference.seeds.n == 4
    assert f"1 of the 5 runs of {name} failed: what they would have shown nobody knows" in found.reasons[0]
    told = "1 of 10 runs failed and are left out, with their pairs: "
    assert f"{told}{name} with seed 2" in found.reasons


def test_a_failed_run_of_a_third_arm_takes_nothing_away() -> None:
    third = arm(0.91)
    third[2] = None
    found = judge({"old": arm(0.90), "new": arm(0.92), "third": third}, **claim())
    assert (found.outcome, found.winner) == ("SUPPORTED", "new")
    assert "1 of 15 runs failed and are left out, with their pairs: third with seed 2" in found.reasons


def test_an_arm_that_always_failed_can_not_be_judged() -> None:
    found = judge({"old": arm(0.90), "new": [None] * 5}, **claim())
    assert found.outcome == "INCONCLUSIVE" and "no pair of runs has finished" in found.reasons[0]
    nothing = judge({"old": [None], "new": [None]}, **claim())
    assert nothing.outcome == "INCONCLUSIVE" and nothing.best is None


@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_verdict_waits_for_the_runs_that_it_depends_on(status: str) -> None:
    values = {"old": arm(0.90), "new": arm(0.95), "other": arm(0.9)}
    open_claim = values | {"new": [*values["new"][:4], Run({}, status)]}
    found = judge(open_claim, **claim())
    assert found.outcome == "INCONCLUSIVE" and not found.complete
    assert "still to come" in found.reasons[0] and found.comparisons[0].outcome == "SUPPORTED"
    elsewhere = judge(values | {"other": [*values["other"][:4], Run({}, status)]}, **claim())
    assert elsewhere.outcome == "SUPPORTED" and not elsewhere.complete


def test_values_that_are_no_numbers_count_as_absent() -> None:
    found = judge({"old": arm(0.90), "new": [*arm(0.92)[:4], float("nan")]}, **claim())
    assert found.comparisons[0].difference.seeds.n == 4


def pipeline(
    augmentation: str, weights: str, predictions: str, site: str = "A", size: float = 1.0, **infer: Any
) -> Run:
    """A run that went through all stages."""
    params = {
        "seed": 0,
        "augmentation": {"name": augmentation, "cutout": 0.5},
        "training": {"threads": 1},
        "infer": {"site": site, "batch_size": 32} | infer,
        "quant": {"precision": augmentation},
    }
    train = {key: params[key] for key in ("seed", "augmentation", "training")}
    configs = {"train": train, "infer": {"infer": params["infer"]}, "quant": {"quant": params["quant"]}}
    outputs = {
        "models/model.pt": weights,
        "results/infer/predictions.parquet": predictions,
        "results/quant/predictions.parquet": predictions,
    }
    return Run(
        {F1: 0.9, "quant.size_mb": size},
        params=params,
        effective={stage: {"config": copy.deepcopy(config)} for stage, config in configs.items()},
        outputs={path: {"md5": md5} for path, md5 in outputs.items()},
    )


def test_invalid_where_a_stage_used_another_config() -> None:
    runs = {"old": [pipeline("none", "w1", "p1")], "new": [pipeline("cutout", "w2", "p2")]}
    assert judge(runs, **claim()).outcome == "UNDERPOWERED"
    runs["new"][0].effective["train"]["config"]["augmentation"]["cutout"] = 0.0
    found = judge(runs, **claim())
    assert found.outcome == "INVALID"
    assert found.reasons[0] == ("new, seed 0: the stage train used augmentation.cutout=0.0, where the plan says 0.5")


def test_invalid_where_two_arms_have_the_same_weights_in_every_seed() -> None:
    def runs(second: str) -> dict[str, list[Run]]:
        return {
            "old": [pipeline("none", "w1", "p1"), pipeline("none", "w2", "p2")],
            "new": [pipeline("cutout", "w1", "p1"), pipeline("cutout", second, "p3")],
        }

    found = judge(runs("w2"), **claim())
    assert found.outcome == "INVALID" and found.winner is None
    assert (
        "no-op arm: old and new have identical weights, though what the stage train was told differs" in found.reasons
    )
    assert judge(runs("w3"), **claim()).outcome != "INVALID"  # one seed may come out the same


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (pipeline("none", "w", "p1", site="A"), pipeline("none", "w", "p2", site="B"), ""),  # one model at two sites
        (pipeline("none", "w", "p", site="A"), pipeline("none", "w", "p", site="B"), "identical predictions"),
        (pipeline("none", "w", "p", batch_size=1), pipeline("none", "w", "p", batch_size=8), ""),  # a matter of speed
        (pipeline("none", "w", "p", model="x"), pipeline("none", "w", "p", model="y"), "identical predictions"),
        (pipeline("none", "w1", "p", size=10), pipeline("int8", "w2", "p", size=3), ""),  # what one hopes for
        (pipeline("none", "w1", "p", size=10), pipeline("int8", "w2", "p", size=10), "identical predictions and size"),
    ],
)
def test_what_makes_an_arm_a_no_op(a: Run, b: Run, reason: str) -> None:
    found = judge(copy.deepcopy({"old": [a], "new": [b]}), **claim())
    assert (found.outcome == "INVALID") == bool(reason)
    assert reason in " ".join(found.reasons)


def test_a_design_that_changed_after_its_runs_is_exploratory() -> None:
    values = {"old": arm(0.90), "new": arm(0.95)}
    assert not judge(values, **claim()).exploratory
    found = verdict.judge(older(study(values, **claim()), {("new", 0)}, design="some"))
    assert found.exploratory and found.outcome == "SUPPORTED"
    assert "exploratory: the design was not the same before the runs" in found.reasons


@pytest.mark.parametrize(
    ("known", "exploratory"),
    [
        ({("old", seed) for seed in range(5)}, False),  # only what it is measured against
        ({("new", 0), ("old", 1)}, False),  # no pair of them
        ({("new", 0), ("old", 0)}, True),
        ({("other", seed) for seed in range(5)} | {("old", 0)}, False),  # what decides is new
    ],
)
def test_a_design_that_was_written_over_known_results_is_exploratory(known: set, exploratory: bool) -> None:
    values = {"old": arm(0.90), "new": arm(0.95), "other": arm(0.91)}
    found = verdict.judge(older(study(values, **claim()), known, design="another"))
    assert found.exploratory == exploratory
    assert ("exploratory: the design as it reads was committed after runs that decide" in found.reasons) == exploratory


def older(found: Study, known: set[tuple[str, int]], design: str) -> Study:
    """The study, with these runs by arm and seed made for a `design` before it was committed as it reads."""
    replicates = [
        replace(each, record=replace(each.record, experiment={"design": design}), stated=False)
        if (each.arm, each.seed) in known
        else each
        for each in found.replicates
    ]
    return replace(found, replicates=replicates)


def test_one_model_with_several_seeds_counts_once() -> None:
    """As a design on the champion measures it."""
    same = [Run({F1: 0.9}, outputs={"results/infer/predictions.parquet": {"md5": "same"}}) for _ in range(3)]
    found = judge({"old": same, "new": arm(0.95, n=3)}, type="infer", **claim())
    old, new = found.arms
    assert (old.mean.n, old.mean.low, new.mean.n) == (1, None, 3)


def test_what_has_no_finite_value_is_named() -> None:
    values = {"old": arm(0.90), "new": [Run({F1: math.nan}), *arm(0.95)[1:]]}
    found = judge(values, **claim())
    assert found.outcome == "SUPPORTED" and "over 4 seeds" in found.reasons[0]
    assert f"without a finite {F1}, and so left out with their pairs: new with seed 0" in found.reasons


def test_forced_runs_are_told() -> None:
    forced = {"old": arm(0.90), "new": [Run({F1: x}, experiment={"forced": True}) for x in arm(0.95)]}
    assert any("against the objections of the pre-flight" in reason for reason in judge(forced, **claim()).reasons)


# Over test images


def said(right: float, n: int = 400, seed: int = 0) -> pd.DataFrame:
    """What a model said of n images, of which it has the first `right` (a share of them) right, and some more."""
    labels = np.array(["cat", "dog"])[np.arange(n) % 2]
    correct = np.random.default_rng(seed).permutation(np.arange(n) < right * n)
    predicted = np.where(correct, labels, np.where(labels == "cat", "dog", "cat"))
    return pd.DataFrame(
        {"path": [f"{i}.png" for i in range(n)], "actual": labels, "predicted": predicted, "correct": correct}
    )


def over_images(rights: dict[str, float], type: str, **more: Any) -> Verdict:
    frames = {(name, 0): said(right) for name, right in rights.items()}
    runs = {name: [Run({"infer.accuracy": float(np.mean(frames[name, 0]["correct"]))})] for name in rights}
    return verdict.judge(study(runs, type=type, **claim(metric="infer.accuracy", **more)), scorers.examples(frames))


def test_given_models_are_compared_over_test_images_with_one_seed_too() -> None:
    found = over_images({"old": 0.85, "new": 0.95}, "infer")
    assert found.outcome == "SUPPORTED"
    difference = found.comparisons[0].difference
    assert (difference.basis, difference.images.n) == ("images", 400)
    assert difference.estimate is difference.images
    assert "over 400 test images" in found.reasons[0]
    assert over_images({"old": 0.95, "new": 0.85}, "infer").outcome == "REFUTED"
    assert over_images({"old": 0.9, "new": 0.9}, "infer").outcome == "EQUIVALENT"
    assert over_images({"old": 0.9, "new": 0.91}, "infer", min_effect=0.02).outcome != "SUPPORTED"


def test_models_of_which_one_is_better_and_one_is_worse_are_told_apart() -> None:
    frames = {("old", 0): said(0.9), ("new", 0): said(0.95), ("old", 1): said(0.9), ("new", 1): said(0.85)}
    runs = {
        name: [Run({"infer.accuracy": float(np.mean(frames[name, i]["correct"]))}) for i in (0, 1)]
        for name in ("old", "new")
    }
    found = verdict.judge(study(runs, type="infer", **claim(metric="infer.accuracy")), scorers.examples(frames))
    assert "the models of the seeds don't agree (+0.05 with seed 0, -0.05 with seed 1)" in " ".join(found.reasons)


def test_recipes_are_not_decided_by_test_images() -> None:
    found = over_images({"old": 0.85, "new": 0.95}, "train")
    assert found.outcome == "UNDERPOWERED"
    difference = found.comparisons[0].difference
    assert difference.basis == "seeds" and difference.images.low > 0  # told all the same


def recipes(gap: float, seeds: int, own: float, n: int = 300) -> tuple[Study, Any]:
    """Two recipes that differ by `gap` on n images, of which they have 10 % wrong; `own` of the images by chance."""
    frames, runs = {}, {}
    for name, right in (("old", 0.9), ("new", 0.9 + gap)):
        for seed in range(seeds):
            frame = said(right, n, seed=1 if name == "old" else 2)
            turned = np.random.default_rng([seed, len(name + str(right))]).random(n) < own
            frame["correct"] = frame["correct"].to_numpy() ^ turned
            frames[name, seed] = frame
        runs[name] = [Run({"infer.accuracy": float(frames[name, s]["correct"].mean())}) for s in range(seeds)]
    return study(runs, **claim(metric="infer.accuracy")), scorers.examples(frames)


def test_a_recipe_is_judged_over_seeds_and_images_in_one_interval() -> None:
    made, examples = recipes(0.02, 5, 0.01)
    [alone] = verdict.judge(made).comparisons
    [together] = verdict.judge(made, examples).comparisons
    difference = together.difference
    assert (difference.basis, difference.estimate) == ("seeds and images", difference.both)
    assert difference.both.value == pytest.approx(alone.difference.estimate.value)
    assert difference.both.deviation > 2 * difference.seeds.deviation
    assert alone.p < 0.05 < together.p, "five seeds agree, and on other images they would not have been better"
    assert "over 5 seeds and 300 test images" in together.because
    assert "and no number of seeds with these, would find it" in together.because, "more images would"
    told = " ".join(verdict.judge(made).reasons)
    assert told.count("the luck of the test images is not in the interval") == 1
    assert verdict.judge(*recipes(0.08, 5, 0.02)).outcome == "SUPPORTED"


def test_images_of_one_patient_count_as_one() -> None:
    contract = VISION.model_copy(update={"predictions": VISION.predictions.model_copy(update={"cluster": "patient"})})
    frames = {("old", 0): said(0.85, 300), ("new", 0): said(0.85, 300)}
    for i, frame in enumerate(frames.values()):
        frame["patient"] = np.repeat([f"p{j}" for j in range(30)], 10)
        frame["correct"] = frame["patient"].isin([f"p{j}" for j in range(27 + i)])  # all of one patient, or none
    runs = {name: [Run({"infer.accuracy": float(frames[name, 0]["correct"].mean())})] for name in ("old", "new")}
    made = study(runs, type="infer", **claim(metric="infer.accuracy"))
    assert verdict.judge(made, scorers.examples(frames)).outcome == "SUPPORTED"  # ten images more are right
    found = verdict.judge(replace(made, contract=contract), scorers.examples(frames))
    assert found.outcome == "UNDERPOWERED" and found.comparisons[0].difference.images.n == 30
    assert "over the test images of 30 patients" in found.reasons[0] and "patients would find" in found.reasons[0]
    for frame in frames.values():
        frame["patient"] = [f"p{j}" for j in range(300)]
    found = verdict.judge(replace(made, contract=contract), scorers.examples(frames))
    assert found.outcome == "SUPPORTED" and "over 300 test images" in found.reasons[0], "a group each is none"
    for frame in frames.values():
        frame["patient"] = "p0"
    found = verdict.judge(replace(made, contract=contract), scorers.examples(frames))
    assert "all test images are of one patient, which tells nothing of another" in found.reasons


@pytest.mark.parametrize(
    ("values", "outcome"), [([1.0] * 5, "UNDERPOWERED"), ([0.999, 1, 1, 0.999, 1], "UNDERPOWERED")]
)
def test_that_all_seeds_have_all_items_right_is_no_proof_of_a_share_near_one(values: list[float], outcome: str) -> None:
    """Of 300 items all may have been easy, for all seeds."""
    runs = {"only": [Run({F1: x, "infer.images": 300}) for x in values]}
    found = judge(runs, kind="single", hypothesis={"expected": 0.99, "min_effect": 0.001})
    assert found.outcome == outcome
    assert judge(runs, kind="single", hypothesis={"expected": 0.95, "min_effect": 0.001}).outcome == "SUPPORTED"


def test_the_same_models_evaluated_once_more_are_no_replicates() -> None:
    def run(value: float, md5: str) -> Run:
        return Run({F1: value}, outputs={"results/infer/predictions.parquet": {"md5": md5}})

    runs = {"old": [run(0.90, "a")] * 8, "new": [run(0.95, "b")] * 8}
    found = judge(copy.deepcopy(runs), type="infer", **claim())
    assert found.outcome == "UNDERPOWERED" and found.comparisons[0].difference.seeds.n == 1
    others = {"old": [run(0.90, f"a{i}") for i in range(8)], "new": [run(0.95, "b")] * 8}
    assert judge(copy.deepcopy(others), type="infer", **claim()).outcome == "SUPPORTED"


def test_how_many_images_it_takes() -> None:
    generator = np.random.default_rng(0)
    frames = {(name, 0): said(0.9, 200, int(generator.integers(99))) for name in ("old", "new")}
    runs = {name: [Run({"infer.accuracy": 0.9})] for name in ("old", "new")}
    found = verdict.judge(study(runs, type="infer", **claim(metric="infer.accuracy")), scorers.examples(frames))
    assert found.outcome == "UNDERPOWERED"
    deviation = found.comparisons[0].difference.images.deviation
    assert f"about {np.ceil((2.8016 * deviation / 0.01) ** 2):.0f} images" in found.reasons[0]


def test_without_the_images_the_seeds_decide_and_that_is_said() -> None:
    runs = {"old": arm(0.90), "new": arm(0.95)}
    found = judge(runs, type="infer", **claim())
    assert found.outcome == "SUPPORTED" and found.comparisons[0].difference.basis == "seeds"
    assert "not in DVC's cache here" in " ".join(found.reasons)


def test_images_that_do_not_give_the_recorded_metric_are_not_believed() -> None:
    frames = {(name, 0): said(0.9) for name in ("old", "new")}
    runs = {"old": [Run({"infer.accuracy": 0.9})], "new": [Run({"infer.accuracy": 0.99})]}
    found = verdict.judge(study(runs, type="infer", **claim(metric="infer.accuracy")), scorers.examples(frames))
    assert found.outcome == "UNDERPOWERED"
    why = "infer.accuracy does not follow from the test images of new, seed 0: they give 0.9, and its run says 0.99"
    assert why in found.reasons


def test_a_given_model_is_held_against_its_expected_value_over_images() -> None:
    frames = {("baseline", 0): said(0.95)}
    runs = {"baseline": [Run({"infer.accuracy": 0.95})]}
    for expected, outcome in {0.9: "SUPPORTED", 0.98: "REFUTED", 0.95: "INCONCLUSIVE"}.items():
        hypothesis = {"metric": "infer.accuracy", "expected": expected}
        made = study(runs, kind="single", type="infer", hypothesis=hypothesis)
        assert verdict.judge(made, scorers.examples(frames)).outcome == outcome


# Ablations


def test_a_factorial_ablation_tells_effects_and_interactions() -> None:
    block = {
        "method": "factorial",
        "baseline": ["augmentation=full"],
        "components": {"a": "augmentation=none", "b": "training.ema=false"},
    }
    worth = {"baseline": 0.95, "only_a": 0.92, "only_b": 0.91, "bare": 0.90}
    values = {name: arm(value) for name, value in worth.items()}
    found = judge(values, kind="ablation", block=block, hypothesis={"direction": "minimize", "min_effect": 0.01})
    effects = {effect.components: effect.estimate for effect in found.effects}
    assert effects["a",].value == pytest.approx(0.03) and effects["b",].value == pytest.approx(0.02)
    assert effects["a", "b"].value == pytest.approx(0.02) and effects["a", "b"].p < 0.01
    assert {each.difference.versus for each in found.comparisons} == {"baseline"}
    assert (found.outcome, found.best) == ("SUPPORTED", "baseline")


# What a verdict doesn't depend on


numbers = st.lists(st.lists(st.integers(0, 64), min_size=3, max_size=3), min_size=3, max_size=4)


def outcomes(found: Any) -> tuple[str, dict[str, str]]:
    return found.outcome, {each.arm: each.outcome for each in found.comparisons}


@given(numbers, st.randoms(), st.sampled_from([0, 2, 8]))
def test_the_order_of_arms_does_not_matter(table: list[list[int]], random: Any, least: int) -> None:
    values = {f"arm{i}": [float(x) for x in row] for i, row in enumerate(table)}
    names = list(values)
    random.shuffle(names)
    said = {"hypothesis": {"versus": "arm0", "min_effect": least}}
    assert outcomes(judge(values, **said)) == outcomes(judge({name: values[name] for name in names}, **said))


@given(numbers, st.sampled_from([0, 2, 8]))
def test_less_is_to_minimize_what_more_is_to_maximize(table: list[list[int]], least: int) -> None:
    values = {f"arm{i}": [float(x) for x in row] for i, row in enumerate(table)}
    mirrored = {name: [-x for x in row] for name, row in values.items()}

    def said(way: str) -> dict[str, Any]:
        return {"hypothesis": {"versus": "arm0", "min_effect": least, "direction": way}}

    assert outcomes(judge(values, **said("maximize"))) == outcomes(judge(mirrored, **said("minimize")))


@given(numbers, st.lists(st.integers(-100, 100), min_size=3, max_size=3), st.sampled_from([0.25, 1, 4]))
def test_neither_the_luck_of_a_seed_nor_the_unit_matters(table: list[list[int]], luck: list[int], unit: float) -> None:
    values = {f"arm{i}": [float(x) for x in row] for i, row in enumerate(table)}
    moved = {name: [(x + shift) * unit for x, shift in zip(row, luck, strict=True)] for name, row in values.items()}
    before = judge(values, hypothesis={"versus": "arm0", "min_effect": 2})
    after = judge(moved, hypothesis={"versus": "arm0", "min_effect": 2 * unit})
    assert outcomes(before) == outcomes(after)


# How often it is wrong


@pytest.mark.parametrize("hypothesis", [{"versus": "arm0", "arm": "arm1"}, {"versus": "arm0"}])
def test_without_an_effect_at_most_5_percent_are_supported(hypothesis: dict[str, Any]) -> None:
    tables = np.random.default_rng(0).normal(0.9, 0.01, (600, 4, 5))
    found = [
        judge({f"arm{i}": row for i, row in enumerate(table)}, hypothesis=hypothesis).outcome
        for table in tables.tolist()
    ]
    assert found.count("SUPPORTED") / 600 <= 0.05


def test_an_effect_as_small_as_the_margin_passes_for_equivalent_in_at_most_5_percent() -> None:
    generator = np.random.default_rng(0)
    found = [
        judge({"old": old, "new": new}, **claim()).outcome
        for old, new in zip(
            generator.normal(0.9, 0.004, (400, 5)).tolist(),
            generator.normal(0.91, 0.004, (400, 5)).tolist(),
            strict=True,
        )
    ]
    assert found.count("EQUIVALENT") / 400 <= 0.06
    assert found.count("REFUTED") / 400 <= 0.035  # the upper end of an interval misses the truth in 2.5 %
