"""Factorials and fractions of them: which effects they tell, what they come to, and claims about them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scorers
import studies
from contracts import VISION
from hypothesis import assume, given
from hypothesis import strategies as st
from studies import InFold

from lab.analysis import effects, statistics
from lab.analysis.answer import answer
from lab.analysis.verdict import judge
from lab.design import design_file, factorial, plan, preflight
from lab.design.expansion import arms
from lab.errors import UserError
from lab.report import effect_tables
from lab.study import Examples

TWO = [False, True]
KEYS = ["lr", "training.ema", "training.warmup_epochs", "data.batch_size", "training.label_smoothing", "augmentation"]


def rows_of(count: int, resolution: int) -> list[dict[str, bool]]:
    """A fraction's rows, by letters."""
    return [dict(zip("abcdefghijkl", row, strict=False)) for row in factorial.fraction(count, resolution)]


# Fractions


@given(st.integers(3, 9), st.sampled_from([3, 4, 5]))
def test_a_fraction_is_balanced_and_tells_what_its_resolution_says(count: int, resolution: int) -> None:
    rows = rows_of(count, resolution)
    factors = list(rows[0])
    assert len({tuple(row.values()) for row in rows}) == len(rows) <= 2**count
    assert all(rows[0].values()), "the combination of all first levels is there, and the first"
    for a, b in combinations(factors, 2):
        pairs = [(row[a], row[b]) for row in rows]
        assert {pairs.count(pair) for pair in product(TWO, TWO)} == {len(rows) / 4}, "each level comes equally often"
    found = factorial.model(rows, dict.fromkeys(factors, TWO))
    assert factorial.laid_out(found, dict.fromkeys(factors, TWO))
    for term, others in found.aliases.items():
        assert all(len(term) + len(other) >= resolution for other in others)


@given(st.integers(3, 9), st.sampled_from([3, 4, 5]))
def test_aliases_are_as_stated(count: int, resolution: int) -> None:
    """Two effects share a figure where their signs are the same in all runs, or opposite in all: by hand."""
    rows = rows_of(count, resolution)
    factors = list(rows[0])
    terms = [*((factor,) for factor in factors), *combinations(factors, 2)]
    signs = {term: np.prod([[1 if row[f] else -1 for row in rows] for f in term], axis=0) for term in terms}
    same = {frozenset((a, b)) for a, b in combinations(terms, 2) if abs(signs[a] @ signs[b]) == len(rows)}
    found = factorial.model(rows, dict.fromkeys(factors, TWO))
    told = {frozenset((term, other)) for term, others in found.aliases.items() for other in others}
    hidden = {other for others in found.aliases.values() for other in others}
    assert told == {pair for pair in same if len(pair & hidden) == 1}, "each with the first of those it is like"


@given(st.integers(2, 4), st.integers(1, 6), st.randoms())
def test_of_any_combinations_what_is_told_is_right(count: int, gone: int, random: Any) -> None:
    """A constrained factorial: without noise, what is told is exact, whatever other combinations are missing."""
    factors = dict.fromkeys("abcd"[:count], TWO)
    rows = [dict(zip(factors, row, strict=True)) for row in product(TWO, repeat=count)]
    for row in random.sample(rows, min(gone, len(rows) - 2)):
        rows.remove(row)
    found = factorial.model(rows, factors)
    assert np.linalg.matrix_rank(found.matrix) == found.matrix.shape[1] <= len(rows)
    assume(found.columns)
    true = {term: random.uniform(-1, 1) for term in found.columns}
    sizes = [[size * np.prod([row[f] - 0.5 for f in term]) for term, size in true.items()] for row in rows]
    values = [0.9 + sum(own) for own in sizes]
    fitted = effects.fit(rows, factors, values, [0] * len(rows))
    assert {e.components: e.estimate.value for e in fitted.effects if e.estimate} == pytest.approx(true)


def test_a_constrained_factorial_finds_nothing_that_is_not_there() -> None:
    rows = [{"a": a, "b": b} for a, b in product(TWO, TWO) if not (a and b)]
    runs = [(row, seed) for row in rows for seed in range(4)]
    values = [0.8 + 0.03 * row["a"] + 0.01 * seed + 0.0001 * ((i * 7) % 5) for i, (row, seed) in enumerate(runs)]
    found = effects.fit([row for row, _ in runs], {"a": TWO, "b": TWO}, values, [seed for _, seed in runs])
    by = {effect.components: effect for effect in found.effects}
    assert set(by) == {("a",), ("b",)}, "the interaction can't be told by three combinations"
    assert by["a",].estimate.value == pytest.approx(0.03, abs=1e-3) and by["a",].aliases == (("a", "b"),)
    assert by["b",].estimate.value == pytest.approx(0, abs=1e-3) and by["b",].p > 0.05


# The analysis of variance


def test_the_effects_of_montgomerys_chemical_process() -> None:
    # Design and Analysis of Experiments, section 6.2: A 8.33, B -5.00, AB 1.67 (half of our interaction);
    # p 0.0001, 0.0024 and 0.1826 by the analysis of variance.
    yields = {
        (False, False): [28, 25, 27],
        (True, False): [36, 32, 32],
        (False, True): [18, 19, 23],
        (True, True): [31, 30, 29],
    }
    runs = [({"A": a, "B": b}, value) for (a, b), values in yields.items() for value in values]
    rows, values = zip(*runs, strict=True)
    found = effects.fit(rows, {"A": TWO, "B": TWO}, values, [0] * 12).effects
    assert [each.estimate.value for each in found] == pytest.approx([8.333, -5, 3.333], abs=1e-3)
    assert [each.p for each in found] == pytest.approx([0.0001, 0.0024, 0.1826], abs=3e-4)
    assert found[1].estimate.low < -5 < found[1].estimate.high < 0
    assert [each.p_holm for each in found] == pytest.approx([0.0003, 0.0048, 0.1826], abs=3e-4)
    alone = effects.fit(rows, {"A": TWO, "B": TWO}, values, [0] * 12, alone=("A", "B")).effects
    assert [each.p_holm for each in alone] == [pytest.approx(0.0002, abs=2e-4), pytest.approx(0.0024, abs=3e-4), None]


def test_the_battery_experiment_of_montgomery_has_three_levels() -> None:
    # Section 5.3: life in hours by material and temperature; F 7.91, 28.97 and 3.56, p 0.0020, < 0.0001 and 0.0186.
    lives = {
        1: {15: [130, 155, 74, 180], 70: [34, 40, 80, 75], 125: [20, 70, 82, 58]},
        2: {15: [150, 188, 159, 126], 70: [136, 122, 106, 115], 125: [25, 70, 58, 45]},
        3: {15: [138, 110, 168, 160], 70: [174, 120, 150, 139], 125: [96, 104, 82, 60]},
    }
    runs = [({"material": m, "degrees": d}, v) for m, row in lives.items() for d, values in row.items() for v in values]
    rows, values = zip(*runs, strict=True)
    found = effects.fit(rows, {"material": [1, 2, 3], "degrees": [15, 70, 125]}, values, [0] * 36).effects
    assert [each.p for each in found] == pytest.approx([0.0020, 1.9e-7, 0.0186], abs=1e-4)
    assert all(each.estimate is None for each in found)


def test_seeds_are_blocks_of_a_factorial_design() -> None:
    runs = [({"a": a, "b": b}, seed) for a, b, seed in product(TWO, TWO, range(3))]
    noise = np.random.default_rng(0).normal(0, 0.01, len(runs))
    values = [10 * seed + 0.5 * row["a"] + e for (row, seed), e in zip(runs, noise, strict=True)]
    rows, seeds = zip(*runs, strict=True)
    effect = effects.fit(rows, {"a": TWO, "b": TWO}, values, seeds).effects[0]
    assert effect.estimate.value == pytest.approx(0.5, abs=0.02)
    assert effect.estimate.p < 0.001  # although seeds differ twenty times as much


@given(st.integers(3, 8), st.integers(0, 99))
def test_folds_as_blocks_are_those_of_a_comparison(count: int, chance: int) -> None:
    """With one factor of two levels, the effect is that of the corrected resampled t-test of the pairs."""
    values = np.random.default_rng(chance).normal(0.8, 0.02, (2, count))
    runs = [({"a": bool(a)}, seed) for a in range(2) for seed in range(count)]
    rows, seeds = zip(*runs, strict=True)
    found = effects.fit(rows, {"a": TWO}, values.ravel(), seeds, overlap=1 / (count - 1)).effects[0].estimate
    paired = statistics.mean((values[1] - values[0]).tolist(), overlap=1 / (count - 1))
    assert (found.value, found.low, found.high, found.p) == pytest.approx(
        (paired.value, paired.low, paired.high, paired.p)
    )


def test_a_claim_about_an_effect_knows_of_folds() -> None:
    study = measuring(sweep(block={"method": "factorial"}, seeds=5, effect="ema", min_effect=0.02), worth)
    runs = [replace(each, record=InFold(each.record, f"{each.seed + 1} of 5")) for each in study.replicates]
    plain, parts = (judge(each).comparisons[0].difference.seeds for each in (study, replace(study, replicates=runs)))
    assert parts.value == plain.value and parts.deviation == pytest.approx(plain.deviation * 1.5)  # √(1 + 5/4)


def test_as_many_effects_as_runs_leave_no_test() -> None:
    rows = [{"a": a, "b": b} for a, b in product([True, False], repeat=2)]
    found = effects.fit(rows, {"a": TWO, "b": TWO}, [4.0, 3.0, 2.0, 0.0], [0] * 4).effects
    assert [effect.estimate.value for effect in found] == pytest.approx([2.5, 1.5, -1])
    assert all(effect.estimate.low is None and effect.p_holm is None for effect in found)


# Claims about effects


def sweep(count: int = 4, block: Any = None, seeds: int = 3, **claim: Any) -> dict[str, Any]:
    """A fraction of a sweep as its file has it, with a claim."""
    values: list[list[Any]] = [[0.01, 0.03], [False, True], [0, 2], [16, 32], [0.0, 0.1], ["none", "default"]]
    return {
        "kind": "sweep",
        "type": "train",
        "seeds": list(range(seeds)),
        "sweep": {"method": "fraction", "parameters": dict(zip(KEYS, values[:count], strict=False)), **(block or {})},
        "hypothesis": studies.hypothesis("infer.accuracy", **claim),
    }


def measuring(design: dict[str, Any], worth: Any, noise: float = 0.002, lost: int | None = None) -> Any:
    """A study whose runs measure what their levels are worth, with the luck of the seed and some of their own."""
    chance = np.random.default_rng(7)
    luck = chance.normal(0, 0.02, 10)
    read = design_file.parse({"title": "What?", "name": "some", **design}, VISION)
    levels = {arm.name: arm.levels for arm in arms(read)}
    table = {
        (name, seed): 0.8 + worth(own) + luck[seed] + chance.normal(0, noise)
        for name, own in levels.items()
        for seed in read.seeds
    }
    gone = None if lost is None else list(table)[lost]

    def run(arm: str, seed: int) -> dict[str, Any] | None:
        return None if (arm, seed) == gone else {"infer": {"accuracy": float(table[arm, seed])}}

    return studies.made("some", run, design)


def worth(levels: dict[str, Any]) -> float:
    return 0.03 * levels["training.ema"] + 0.02 * (levels["training.ema"] and levels["lr"] == 0.03)


@pytest.mark.parametrize(
    ("claim", "outcome", "words"),
    [
        ({"effect": "ema", "min_effect": 0.02}, "SUPPORTED", "Ema (in place) raises accuracy by 0.04 on the mean"),
        ({"effect": "lr:ema", "min_effect": 0.01}, "SUPPORTED", "more to accuracy with ema than without it"),
        ({"effect": "training.ema", "min_effect": 0.1}, "EQUIVALENT", "lies within ±0.1"),
        ({"effect": "batch_size", "min_effect": 0.02}, "EQUIVALENT", "no difference that counts"),
        ({"effect": "ema", "direction": "minimize"}, "REFUTED", "the opposite of what is claimed"),
    ],
)
def test_a_claim_about_an_effect_has_its_own_verdict(claim: dict[str, Any], outcome: str, words: str) -> None:
    study = measuring(sweep(block={"method": "factorial"}, **claim), worth)
    found = judge(study)
    assert found.outcome == outcome and words.lower() in answer(study, found).sentence.lower()
    [decided] = [each for each in found.comparisons if each.claimed]
    assert decided.because in found.reasons, "told first, with its interval and p"
    assert decided.difference.effect and decided.difference.estimate.n == 3
    assert (found.winner, found.best is not None) == (None, True)


def test_the_effects_that_nobody_claimed_are_named_as_well() -> None:
    study = measuring(sweep(block={"method": "factorial"}, effect="ema", min_effect=0.02), worth)
    told = "\n".join(judge(study).reasons)
    assert "lr × ema: +0.02" in told and "what lr does depends on ema" in told
    assert "interactions not shown" in told and "lr (0.01 → 0.03): +0.01" in told


def test_what_can_not_be_told_apart_is_not_decided_and_said_so() -> None:
    """Of four factors in eight runs, lr × ema is warmup × batch_size: either may have made the figure."""
    study = measuring(sweep(effect="ema:lr", min_effect=0.01), worth)
    found = judge(study)
    told = answer(study, found)
    assert found.outcome == "INCONCLUSIVE" and "can't be told by these arms from warmup_epochs × b" in told.sentence
    assert "can't be told from warmup_epochs × batch_size" in found.reasons[0] and "resolution" in told.step.text
    main = judge(measuring(sweep(effect="ema", min_effect=0.02), worth))
    assert main.outcome == "SUPPORTED" and "if" not in main.comparisons[0].because
    third = measuring(sweep(5, {"resolution": 3}, effect="ema", min_effect=0.02), worth)
    assert "is nought" in judge(third).comparisons[0].because
    assert "taken that lr × batch_size does nothing" in answer(third, judge(third)).sentence
    table = effect_tables.effects(study, found)
    assert "| can't be told from |" in table and "warmup_epochs × batch_size |" in table


def test_failed_runs_decide_no_effect() -> None:
    study = measuring(sweep(effect="ema", min_effect=0.02), worth, lost=0)
    found = judge(study)
    assert found.outcome == "INCONCLUSIVE" and "1 of the 24 runs failed" in found.comparisons[0].because
    nothing = studies.made("some", lambda arm, seed: None, sweep(seeds=1, effect="ema"))
    assert judge(nothing).outcome == "INCONCLUSIVE"


def test_one_seed_is_enough_for_a_large_effect_where_other_effects_are_noise() -> None:
    study = measuring(sweep(6, {"resolution": 4}, seeds=1, effect="ema", min_effect=0.02), worth)
    assert judge(study).outcome == "SUPPORTED"


def test_an_effect_of_given_models_is_decided_over_test_images() -> None:
    """Of recipes over both: the luck of few images is in the interval."""
    chance = np.random.default_rng(1)
    difficulty = chance.random(400)
    frames, right = {}, {}
    design = sweep(3, {"method": "factorial"}, effect="ema", min_effect=0.02)
    for arm in arms(design_file.parse({"title": "What?", "name": "some", **design}, VISION)):
        for seed in range(3):
            correct = (difficulty < 0.8 + 0.06 * bool(arm.levels["training.ema"])) ^ (chance.random(400) < 0.02)
            frames[arm.name, seed] = pd.DataFrame({"path": [f"{i}.png" for i in range(400)], "correct": correct})
            right[arm.name, seed] = float(correct.mean())
    seen = scorers.examples(frames)

    def run(arm: str, seed: int) -> dict[str, Any]:
        return {"infer": {"accuracy": right[arm, seed], "images": 400}}

    of_recipes = judge(studies.made("some", run, design), seen).comparisons[0].difference
    of_models = judge(studies.made("some", run, {**design, "type": "infer"}), seen).comparisons[0].difference
    assert (of_recipes.basis, of_models.basis) == ("seeds and images", "images")
    assert of_recipes.shared > 0
    wide, narrow = (each.high - each.low for each in (of_recipes.both, of_recipes.seeds))
    assert wide > narrow and of_models.images.n == 400
    shown = judge(studies.made("some", run, design), seen)
    told = next(effect for effect in shown.effects if effect.components == ("training.ema",))
    assert told.estimate == of_recipes.both, "the table and the picture say what the verdict says"
    blind = judge(studies.made("some", run, design), Examples()).comparisons[0].difference
    assert blind.basis == "seeds" and "the luck of the test images" in blind.note

    def other(arm: str, seed: int) -> dict[str, Any]:
        return {"infer": {"accuracy": right[arm, seed] - 0.1, "images": 400}}

    doubted = judge(studies.made("some", other, design), seen).comparisons[0].difference
    assert doubted.basis == "seeds" and "infer.accuracy does not follow from the test images of" in doubted.note


# Other kinds of designs


def test_the_variables_of_a_comparison_have_an_interaction_table() -> None:
    study = studies.made("cross_site")
    found = judge(study)
    assert any("data.site × infer.site" in reason and "depends on" in reason for reason in found.reasons)
    table = effect_tables.effects(study, found)
    assert "| A | " in table and "infer.site=B" in table and "data.site × infer.site" in table


def test_variables_that_are_tied_together_have_no_effects() -> None:
    tied = {"variables": {"data.image_size": [32, 64], "data.batch_size": [16, 8]}, "zip": True}
    study = studies.made("some", design={"kind": "comparison", "type": "train", "comparison": tied})
    assert judge(study).effects == [] and effect_tables.effects(study, judge(study)) == ""


def test_a_fraction_of_an_ablation_has_the_baseline() -> None:
    parts = {name: f"training.{name}=0" for name in "abcde"}
    block = {"method": "fraction", "baseline": ["augmentation=default"], "components": parts}
    design = {"kind": "ablation", "type": "train", "ablation": block, "hypothesis": studies.hypothesis(effect="a")}
    study = studies.made("some", design=design)
    assert len(study.arms) == 16 and next(iter(study.arms)) == "baseline"
    found = judge(study)
    assert [each.arm for each in found.comparisons if each.claimed] == ["a"]
    assert not any(effect.aliases for effect in found.effects), "five in sixteen runs are of resolution V"


# What is refused, and told before the runs


@pytest.mark.parametrize(
    ("design", "words"),
    [
        (sweep(effect="emma"), "emma is not varied here: lr, ema, warmup_epochs, batch_size. Did you mean 'ema'?"),
        (sweep(effect="ema:ema"), "can't depend on itself"),
        (sweep(effect="ema", versus="x", arm="y"), "arm is about an arm"),
        (sweep(effect="ema", guardrails=[{"metric": "a.b", "max_increase": 1}]), "guardrails is about an arm"),
        (sweep(2), "a fraction takes 3 to 20 parameters, not 2"),
        (sweep(4, {"parameters": {"a": [1, 2], "b": [1, 2], "c": [1, 2, 3]}}), "two values of each parameter, not 3"),
        (sweep(4, {"method": "factorial", "resolution": 3}), "resolution belongs to method: fraction"),
        (sweep(4, {"strategy": "random", "max_runs": 3}), "method: fraction belongs to strategy: grid"),
        (
            sweep(4, {"method": "factorial", "parameters": {"lr": [1, 2, 3], "b": [1, 2]}}, effect="lr"),
            "lr has 3 levels, and the effect of a claim is that of two",
        ),
        (
            studies.comparison("model", ["a", "b"], hypothesis=studies.hypothesis(effect="model")),
            "an effect is of factors that are crossed",
        ),
    ],
)
def test_refused(design: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        design_file.parse({"title": "What?", "name": "some", **design}, VISION)
    assert words in str(caught.value)


def test_the_pre_flight_tells_what_the_arms_can_not() -> None:
    def told(**claim: Any) -> dict[str, preflight.Check]:
        read = design_file.parse({"title": "What?", "name": "some", **sweep(**claim)}, VISION)
        runs = [
            plan.Run(arm.name, arm.name, arm.levels, seed, seed, 0, [], {}, "infer", "")
            for arm in arms(read)
            for seed in read.seeds
        ]
        baseline = [0.90, 0.91, 0.92]
        inputs = preflight.Inputs("some.yaml", VISION, baseline=baseline, replicates="a baseline")
        return {check.name: check for check in preflight.checks(read, plan.Plan(read, "", runs), inputs)}

    found = told(effect="ema:lr", min_effect=0.02)
    assert "4 of factors and 3 interactions; lr × ema can't be told from" in found["effects"].message
    assert found["claimed effect"].blocks and "a higher resolution" in found["claimed effect"].message
    # 2σ/√8 is the spread of a factor's effect: less than that of a pair of runs, √2 σ
    main = told(effect="ema", min_effect=0.02)
    assert "claimed effect" not in main and "spread by 0.0071" in main["power"].message
