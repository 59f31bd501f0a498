"""The statistics: known values, and by simulation that intervals and tests keep their word."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scorers
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.sparse import coo_array
from statsmodels.stats.proportion import proportion_confint

from lab.analysis import bounded, per_item, resampling, statistics

pytestmark = pytest.mark.slow  # simulations take seconds

# Hours of sleep gained by two drugs in ten patients: Student, Biometrika 6, 1908. R has it as `sleep`.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def paired(values: Sequence[float], others: Sequence[float], margin: float = 0.0) -> Any:
    """The paired t-test: that of the differences."""
    return statistics.mean([a - b for a, b in zip(values, others, strict=True)], margin)


# Known values


def test_the_paired_t_test_of_students_sleep_data() -> None:
    found = paired(FIRST, SECOND)
    assert found.value == pytest.approx(-1.58)
    assert (found.low, found.high) == pytest.approx((-2.4598858, -0.7001142), abs=1e-7)  # R: t.test(paired = TRUE)
    assert found.p == pytest.approx(0.00283289, abs=1e-8)
    assert found.n == 10 and found.p_equivalent is None


@pytest.mark.parametrize("margin", [0.5, 2.0, 3.0])
def test_equivalence_is_that_of_statsmodels(margin: float) -> None:
    from statsmodels.stats.weightstats import ttost_paired

    expected = ttost_paired(np.array(FIRST), np.array(SECOND), -margin, margin)[0]
    assert paired(FIRST, SECOND, margin).p_equivalent == pytest.approx(expected)


def test_the_effect_size_of_the_sleep_data() -> None:
    found = statistics.effect_size([a - b for a, b in zip(FIRST, SECOND, strict=True)])
    # R's effectsize: d = -1.28 [-2.12, -0.41]; Hedges' exact factor for 9 degrees of freedom is 0.9139.
    values = (found.value, found.low, found.high)
    assert [value / 0.9139 for value in values] == pytest.approx([-1.2845, -2.1180, -0.4146], abs=2e-4)


def test_effect_sizes_survive_hardly_any_spread() -> None:
    found = statistics.effect_size([0.75, 0.75001, 0.74999])
    assert 1000 < found.low < found.value < found.high < math.inf


def test_holm_as_r_and_statsmodels_do_it() -> None:
    from statsmodels.stats.multitest import multipletests

    assert statistics.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert statistics.holm([0.03]) == [0.03] and statistics.holm([]) == []
    for ps in np.random.default_rng(0).random((20, 6)) ** 3:
        assert statistics.holm(ps.tolist()) == pytest.approx(multipletests(ps, method="holm")[1])


def test_mcnemar_of_the_prime_ministers_approval() -> None:
    # Agresti, Categorical Data Analysis, table 10.1: of 1,600 voters 150 turned away, 86 turned to; exact p by R.
    votes = [(True, True)] * 794 + [(True, False)] * 150 + [(False, True)] * 86 + [(False, False)] * 570
    found = statistics.mcnemar(*zip(*votes, strict=True))
    assert (found.only_first, found.only_second) == (150, 86)
    assert found.p == pytest.approx(3.716e-05, rel=1e-3)


def test_the_best_of_equal_ones_looks_better_than_it_is() -> None:
    # Harter, Biometrika 48, 1961: expected values of normal order statistics.
    assert [statistics.luck_of_the_best(n) for n in (1, 2, 10, 20, 50)] == pytest.approx(
        [0, 0.56419, 1.53875, 1.86748, 2.24907], abs=1e-5
    )


def test_the_pareto_front_by_hand() -> None:
    accuracy_and_latency = [(0.95, 10), (0.94, 5), (0.94, 6), (0.96, 12), (0.90, 20), (0.94, 5)]
    assert statistics.pareto(accuracy_and_latency, [True, False]) == [True, True, False, True, False, True]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1))
def test_what_is_not_on_the_front_is_beaten_by_something_on_it(points: list[tuple[int, int]]) -> None:
    kept = statistics.pareto(points, [True, True])
    front = {point for point, keep in zip(points, kept, strict=True) if keep}
    for point in points:
        beaten = any(a >= point[0] and b >= point[1] and (a, b) != point for a, b in front)
        assert beaten == (point not in front)


# Small numbers


def test_one_seed_has_no_interval_and_no_p() -> None:
    assert statistics.mean([0.9]) == statistics.Estimate(0.9)
    assert statistics.effect_size([0.9]) is None


def test_equal_differences_are_judged_by_their_signs() -> None:
    found = statistics.mean([0.02, 0.02 + 1e-17, 0.02], margin=0.05)
    assert (found.low, found.high, found.deviation) == (None, None, 0)
    assert found.p == 0.25 and found.p_equivalent == 0.125
    assert statistics.mean([0.0, 0.0]).p == 1
    assert statistics.effect_size([0.02, 0.02]) is None


def test_two_seeds_on_nearly_the_same_step_are_no_proof() -> None:
    near = [-0.01012, -0.01009]  # three of 300 images, twice
    assert statistics.mean(near).p < 0.001
    found = statistics.mean(near, resolution=1 / 300)
    assert found.p > 0.1 and found.deviation == 1 / 300 and found.low < -0.01 < 0 < found.high
    assert statistics.effect_size(near, resolution=1 / 300) is None  # of two nobody knows the spread
    three = statistics.effect_size([*near, -0.0101], resolution=1 / 300)
    assert three.value == pytest.approx(-0.010103 * 300 * math.gamma(1) / math.gamma(0.5), rel=1e-3)  # Hedges' J of 2
    assert statistics.mean([0.0] * 5, margin=0.01, resolution=1 / 300).p_equivalent < 0.05


def test_what_is_counted_needs_one_seed() -> None:
    assert statistics.counted([-7.4], margin=0.1).p == 0
    assert statistics.counted([0.0], margin=0.1).p_equivalent == 0
    assert statistics.counted([0.05], margin=0.1).p_equivalent == 0
    assert statistics.counted([-1.0, 1.0]).p == 1
    found = statistics.counted([-7.5, -7.3])
    assert (found.value, found.low, found.high) == (-7.4, -7.5, -7.3)


def test_no_image_that_disagrees_is_not_a_proof_of_equality() -> None:
    found = resampling.bootstrap(lambda weights: np.zeros(weights.shape[1]), 300, margin=0.01)
    end = 1.96790**2 / (300 + 1.96790**2)  # Wilson's, with t(0.975, 299)
    assert (found.low, found.high) == pytest.approx((-end, end), abs=1e-6)
    # What a difference of 0.01 has for a standard error: √(0.01 · 0.99 / 300)
    assert found.p_equivalent == pytest.approx(stats.t.sf(0.01 / (0.01 * 0.99 / 300) ** 0.5, 299)) and found.p == 1
    assert resampling.bootstrap(lambda weights: np.zeros(weights.shape[1]), 100, margin=0.01).p_equivalent > 0.05


def test_a_share_has_the_wider_of_wilsons_interval_and_the_bootstraps() -> None:
    right = np.arange(100) >= 4
    found = resampling.bootstrap(lambda weights: right @ weights / weights.sum(0), 100, offset=0.9, draws=8000)
    wilson = proportion_confint(96, 100, method="wilson")
    assert found.value == pytest.approx(0.06)
    assert found.low + 0.9 == pytest.approx(wilson[0], abs=0.002)  # by Student's t in place of the normal distribution
    assert found.high + 0.9 == pytest.approx(0.96 + 1.984 * (0.96 * 0.04 / 100) ** 0.5, abs=0.002)
    all_right = resampling.bootstrap(lambda weights: np.ones(weights.shape[1]), 100, offset=0.9)
    assert all_right.high + 0.9 == pytest.approx(1) and all_right.low + 0.9 == pytest.approx(
        proportion_confint(100, 100, method="wilson")[0], abs=0.002
    )


def test_how_far_one_image_reaches() -> None:
    few, all_a_little = np.zeros(200), np.full(200, 0.01)
    few[:3] = 1
    for values, expected in ((few, 1), (-few, 1), (all_a_little, 0.01)):
        score = partial(lambda weights, values: values @ weights / weights.sum(0), values=values)
        assert resampling.reach(score, 200, values.mean()) == pytest.approx(expected)


def test_the_outlier_of_grubbs() -> None:
    """With the critical values of his table for 3, 5 and 10 observations, one-sided at 5 %: 1.153, 1.672 and 2.176."""
    for n, critical in ((3, 1.153), (5, 1.672), (10, 2.176)):
        others = np.linspace(-1, 1, n - 1)

        def excess(value: float, others: np.ndarray = others, critical: float = critical) -> float:
            together = [*others, value]
            return float((value - np.mean(together)) / np.std(together, ddof=1)) - critical

        assert statistics.outlier(optimize.brentq(excess, 1, 1e4), others.tolist()) == pytest.approx(0.05, rel=0.05)
    assert statistics.outlier(0.81, [0.8, 0.8]) < 0.001 < 0.05 < statistics.outlier(0.81, [0.8, 0.8], resolution=0.01)


def test_the_bootstrap_of_a_mean_is_the_t_interval() -> None:
    values = np.random.default_rng(1).normal(0.03, 0.2, 400)
    drawn = resampling.bootstrap(lambda weights: values @ weights / weights.sum(0), 400, margin=0.05, draws=8000)
    exact = statistics.mean(values.tolist(), margin=0.05)
    assert drawn.value == pytest.approx(exact.value)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.0008)
    assert drawn.p == pytest.approx(exact.p, rel=0.15)
    assert drawn.p_equivalent == pytest.approx(exact.p_equivalent, rel=0.15)


def test_the_bootstrap_repeats_itself_and_works_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(0, 1, 50)

    def score(weights: np.ndarray) -> np.ndarray:
        return values @ weights

    whole = resampling.bootstrap(score, 50)
    monkeypatch.setattr(resampling, "WEIGHTS", 50 * 7)
    assert resampling.bootstrap(score, 50) == whole
    assert resampling.bootstrap(score, 50, seed=1) != whole


# By simulation: false alarms at most 5 %, intervals that hold the truth in 95 % of cases


def rate(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_t_intervals_over_seeds_hold_the_truth(n: int) -> None:
    found = [statistics.mean(row) for row in np.random.default_rng(n).normal(0.01, 0.02, (4000, n)).tolist()]
    assert rate([each.low <= 0.01 <= each.high for each in found]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_seeds_without_an_effect_give_at_most_5_percent_of_false_alarms(n: int) -> None:
    noise = np.random.default_rng(n).normal(0, 1, (4000, n))
    found = [statistics.mean(row) for row in noise.tolist()]
    assert 0.04 < rate([each.p < 0.05 for each in found]) < 0.06


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("step", [0.5, 1, 2])
def test_nor_where_the_metric_moves_in_steps(n: int, step: float) -> None:
    """As macro-F1 does: by an image more or less, and by next to nothing for which of them it is."""
    generator = np.random.default_rng(n)
    counted = np.round(generator.normal(0, 1, (4000, n)) / step) * step + generator.normal(0, 0.01, (4000, n))
    blind, careful = (
        rate([statistics.mean(row, resolution=known).p < 0.05 for row in counted.tolist()]) for known in (0, step)
    )
    assert careful < 0.055 and careful <= blind
    if n == 2 and step == 2:
        assert blind > 0.055


def test_a_difference_as_large_as_the_margin_passes_for_equivalent_in_at_most_5_percent() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.3, (4000, 6)).tolist()
    share = rate([statistics.mean(row, margin=0.5).p_equivalent < 0.05 for row in draws])
    assert 0.04 < share < 0.06


def test_holm_keeps_false_alarms_over_four_arms_at_5_percent() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (1500, 5, 5))  # the first of five arms is the reference
    alarms = [min(statistics.holm([paired(arm, arms[0]).p for arm in arms[1:]])) < 0.05 for arms in noise.tolist()]
    assert rate(alarms) < 0.06


def two_models(skills: tuple[float, float], n: int = 1000) -> list[pd.DataFrame]:
    """What two models say of the same n images of ten classes; both err on the hard ones, and in some classes more."""
    generator = np.random.default_rng(0)
    actual, hardness = generator.integers(0, 10, n), generator.random(n)
    frames = []
    for skill in skills:
        luck = np.where(generator.random(n) < 0.6, hardness, generator.random(n))
        predicted = np.where(luck < skill + (actual - 5) / 100, actual, generator.integers(0, 10, n))
        content = {"path": np.arange(n).astype(str), "actual": actual.astype(str), "predicted": predicted.astype(str)}
        frames.append(pd.DataFrame(content).assign(correct=actual == predicted))
    return frames


@pytest.mark.parametrize("skills", [(0.94, 0.88), pytest.param((0.92, 0.92), marks=pytest.mark.nightly)])
def test_intervals_over_images_hold_the_truth(skills: tuple[float, float]) -> None:
    """Test sets of 300 images, drawn from a world of a thousand, in which the difference of macro-F1 is known.

    With 30 images of a class, macro-F1's intervals are a little wide: that errs on the side of care.
    """
    first, second = two_models(skills)
    score, size = per_item.difference([first], [second], "infer.f1_macro", scorers.examples({}))
    truth = float(score(np.ones((size, 1)))[0])
    generator, images, held = np.random.default_rng(1), np.arange(300), []
    for drawn in generator.integers(0, size, (1000, 300)):
        of_world = coo_array((np.ones(300), (drawn, images)), (size, 300)).tocsr()
        found = resampling.bootstrap(lambda weights, to=of_world: score(to @ weights), 300, draws=100)
        held.append(found.low <= truth <= found.high)
    assert 0.93 < rate(held) < 0.975


@pytest.mark.parametrize(("n", "margin"), [(300, 0.01), (100, 0.03), (60, 0.05)])
@pytest.mark.parametrize("against", [0.0, 0.5])
def test_where_few_images_disagree_little_passes_for_equivalent(n: int, margin: float, against: float) -> None:
    """A true difference as large as the margin, all of it by images that one model alone has right, or two to one."""
    shares = [margin * against, 1 - margin * (1 + 2 * against), margin * (1 + against)]
    signs = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], p=shares, size=(1000, n))
    found = [resampling.bootstrap(lambda w, row=row: row @ w / w.sum(0), n, margin, draws=100) for row in signs]
    assert rate([each.p_equivalent < 0.05 for each in found]) < 0.065
    # Three images on the mean: no interval can come near 95 % (Brown, Cai and DasGupta, Statistical Science 16, 2001).
    assert rate([each.low <= margin <= each.high for each in found]) > 0.93


def test_equal_models_are_told_apart_in_at_most_5_percent() -> None:
    """By accuracy: one image in twenty tells two models apart, as often for the one as for the other."""
    generator = np.random.default_rng(0)
    signs = generator.choice([-1.0, 0.0, 1.0], p=[0.025, 0.95, 0.025], size=(1000, 300))
    alarms = [resampling.bootstrap(lambda w, row=row: row @ w / 300, 300, draws=100).p < 0.05 for row in signs]
    assert rate(alarms) < 0.065


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.integers(2, 20), st.floats(0.001, 0.2))
def test_a_share_against_a_constant_is_the_same_seen_from_its_other_end(
    value: float, constant: float, n: int, deviation: float
) -> None:
    scale = bounded.Scale(0, 1, 0.001)
    up = bounded.against(statistics.student(value - constant, deviation, n, 0.01), constant, scale, 0.01)
    down = bounded.against(statistics.student(constant - value, deviation, n, 0.01), 1 - constant, scale, 0.01)
    assert up.p == pytest.approx(down.p, abs=1e-9) and up.p_equivalent == pytest.approx(down.p_equivalent, abs=1e-9)
    assert (up.low, up.high) == pytest.approx((-down.high, -down.low), abs=1e-9)
    assert -constant - 1e-9 <= up.low <= up.value <= up.high <= 1 - constant + 1e-9
    assert (up.p < 0.05) == (not up.low <= 0 <= up.high)


def test_without_ends_a_constant_changes_nothing() -> None:
    plain = statistics.student(0.3, 1.0, 8, 0.5)
    found = bounded.against(plain, 5.0, bounded.Scale(None, None), 0.5)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))
    assert (found.p, found.p_equivalent) == pytest.approx((plain.p, plain.p_equivalent))


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.floats(0, 0.1), st.floats(0.001, 0.1))
def test_what_seeds_have_in_common_only_widens(values: list[float], shared: float, step: float) -> None:
    alone, both = statistics.mean(values, resolution=step), resampling.over_both(values, shared, resolution=step)
    assert both.value == alone.value and both.degrees >= alone.degrees - 1e-9
    assert both.deviation >= alone.deviation * (1 - 1e-9)
    assert resampling.over_both(values, 0, resolution=step).p == pytest.approx(alone.p)


def test_what_seeds_owe_to_the_same_items_is_their_covariance() -> None:
    generator = np.random.default_rng(0)
    items, own = generator.normal(0, 0.3, 400), generator.normal(0, 0.5, (4, 400))
    rows = items + own
    drawn = resampling.resampled(lambda weights: rows @ weights / weights.sum(0), 400)
    expected = sum(np.cov(rows[i], rows[j])[0, 1] for i in range(4) for j in range(4) if i != j) / 12 / 400
    assert resampling.shared_variance(drawn, 400) == pytest.approx(expected, rel=0.2)
