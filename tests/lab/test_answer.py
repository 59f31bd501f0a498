"""The answer is what a person would say, the same everywhere, and never the opposite of the verdict."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.analysis import bounded
from lab.analysis.answer import Answer, answer
from lab.analysis.decisions import decide
from lab.analysis.estimates import at_90, difference
from lab.analysis.verdict import Verdict, judge
from lab.analysis.wording import interval
from lab.decimals import decimals, written
from lab.design import power
from lab.study import Examples


def answered(name: str, value: Callable[[str, int], Any] | None = None, **more: Any) -> tuple[Verdict, Answer]:
    values = None if value is None else lambda arm, seed: value(arm, seed) and {"infer": {"f1_macro": value(arm, seed)}}
    study = studies.made(name, values, studies.DESIGNS[name] | more)
    verdict = judge(study)
    return verdict, answer(study, verdict)


def test_a_broken_guardrail_is_in_the_sentence_and_its_number_decides() -> None:
    verdict, told = answered("quantization")
    assert verdict.outcome == told.outcome == "REFUTED"
    assert re.fullmatch(
        r"With openvino_int8 instead of openvino_fp32, size falls by 0\.79 MB, from 1\.10 to 0\.31 MB "
        r"\(3\.5 times less\), but macro-F1 falls by 0\.011, more than the 0\.010 that is allowed",
        told.sentence,
    )
    assert "quant.f1_macro: -0.0114" in told.decisive and told.decisive.endswith("max decrease 0.01 is broken")
    assert told.best.startswith("openvino_fp16"), "no arm that breaks a guardrail is called the best"


def test_a_sweep_with_a_clear_best_says_so_and_another_does_not() -> None:
    seeds = {"seeds": [0, 1, 2, 3, 4]}

    def clear(arm: str, seed: int) -> float:
        noise = random.Random(f"{arm} {seed}").gauss(0, 0.003)
        return 0.5 + 0.2 * (arm == "lr=0.01,batch_size=32") + noise

    verdict, told = answered("sweep", clear, **seeds)
    assert told.sentence.startswith("lr=0.01,batch_size=32 is clearly the best of 6, with macro-F1 0.7")
    assert told.best.startswith("lr=0.01,batch_size=32, macro-F1 0.7")
    _, equal = answered("sweep", lambda arm, seed: 0.5 + 0.01 * ((seed * len(arm) + len(arm)) % 7), **seeds)
    assert "best of 6 on the mean" in equal.sentence and "can't be told from it" in equal.sentence


def test_what_the_decisive_interval_leaves_out_stands_below_it() -> None:
    """Without what was said of each image the interval is narrower, and may show what it could not."""
    verdict, told = answered("augmentation")
    [note] = {each.difference.note for each in verdict.comparisons if each.claimed}
    assert told.caveat == note and "the luck of the test images is not in the interval" in note
    headings = [heading for heading, _ in told.lines()]
    assert headings == ["Best", "Decisive", "But"] and f"**But**: {note}" in told.markdown()
    _, counted = answered("quantization")
    assert counted.caveat == "", "nobody asks which images there were of a file's size"


def test_what_is_equivalent_is_told_by_the_interval_that_the_test_takes() -> None:
    verdict, told = answered("ab", lambda arm, seed: 0.9 + 0.001 * seed * (arm == "new"), seeds=[0, 1, 2, 3])
    assert verdict.outcome == "EQUIVALENT" and "no difference that counts, as it lies within ±0.01" in told.sentence
    narrow = at_90(verdict.comparisons[0].difference.estimate)
    assert narrow and -0.01 < narrow.low < narrow.high < 0.01
    assert (
        f"its 90 % interval {interval(narrow)} lies within ±0.01" in told.decisive
        and "[-0.00002, +0.0" in told.decisive
    )


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=6), st.floats(0.01, 1))
def test_the_90_percent_interval_lies_within_the_margin_just_where_the_test_says_so(
    values: list[float], margin: float
) -> None:
    from lab.analysis import statistics

    estimate = statistics.mean(values, margin)
    narrow = at_90(estimate)
    if narrow and estimate.p_equivalent is not None and abs(estimate.p_equivalent - power.ALPHA) > 1e-6:
        assert (-margin < narrow.low and narrow.high < margin) == (estimate.p_equivalent < power.ALPHA)


def test_what_is_undecided_says_how_many_seeds_more_and_how_long_they_take() -> None:
    _, told = answered("ab")
    assert "but 3 seeds can't tell: anything from -0.0" in told.sentence
    assert (found := re.match(r"(\d+) more seeds are expected to decide it", told.step.text))
    more = int(found[1])
    assert told.step.command == f"lab run designs/ab_{3 + more}_seeds.yaml"
    assert told.step.time == f", about {round(more * 2 * 183 / 6 / 60)} min", "183 s of three trainings, for six runs"


def test_runs_that_are_missing_come_first() -> None:
    study = studies.made("augmentation")
    study.replicates[:] = [
        each if each.seed < 2 else type(each)(each.arm, each.levels, each.seed, None) for each in study.replicates
    ]
    told = answer(study, judge(study))
    assert told.sentence.startswith("4 of 12 runs have no result yet; so far ")
    assert told.step.command == "lab run designs/augmentation.yaml" and told.step.time


def test_failed_and_nothing_measured() -> None:
    _, told = answered("comparison", lambda arm, seed: None)
    assert told.sentence == "Nothing has been measured yet" and told.best == told.decisive == ""
    assert told.step.command == "lab run designs/comparison.yaml --failed"


@pytest.mark.parametrize("name", studies.DESIGNS)
def test_the_sentence_is_never_against_the_outcome(name: str) -> None:
    verdict, told = answered(name)
    cautious = ("can't", "no difference", "best of", "clearly")
    assert verdict.outcome not in ("UNDERPOWERED", "INCONCLUSIVE") or any(word in told.sentence for word in cautious)
    if any(guard.ok is False for guard in verdict.guardrails):
        assert "more than the" in told.sentence
    assert told.markdown().startswith(f"**{told.outcome}**: {told.sentence}")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_numbers_that_stand_together_have_the_same_decimals(values: list[float]) -> None:
    places = decimals(values)
    texts = [written(value, places) for value in values]
    assert len({len(text.partition(".")[2]) for text in texts}) == 1
    assert all(abs(float(text) - value) <= 0.5 * 10**-places * 1.001 for text, value in zip(texts, values, strict=True))
    assert not any(re.fullmatch(r"-0(\.0*)?", text) for text in texts)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=5),
    st.sampled_from([0.0, 0.3, 2.0]),
    st.booleans(),
)
@settings(deadline=None, max_examples=50)
def test_no_interval_is_beyond_what_the_metric_can_have_and_nothing_else_changes(
    pairs: list[tuple[float, float]], margin: float, constant: bool
) -> None:
    values = {arm: [pair[i] for pair in pairs] for i, arm in enumerate(("old", "new"))}
    design = {
        "kind": "comparison",
        "type": "train",
        "name": "ends",
        "title": "t",
        "seeds": list(range(len(pairs))),
        "hypothesis": {
            "claim": "c",
            "metric": "infer.f1_macro",
            "versus": "old",
            "expected": 0.5,
            "min_effect": margin,
        },
        "comparison": {"values": {"old": "lr=0.1", "new": "lr=0.2"}},
    }
    study = studies.made("ends", lambda arm, seed: {"infer": {"f1_macro": values[arm][seed]}}, design)
    versus = None if constant else "old"
    cut = difference(study, "new", versus, "infer.f1_macro", Examples(), margin)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded, "within", lambda estimate, low, high: estimate)
        whole = difference(study, "new", versus, "infer.f1_macro", Examples(), margin)
    ours, theirs = cut.estimate, whole.estimate
    assert ours is not None and theirs is not None
    least = max(1.0, margin)
    if ours.low is not None and ours.high is not None:
        low, high = (-0.5, 0.5) if constant else (-least, least)
        assert low - 1e-9 <= ours.low <= ours.value <= ours.high <= high + 1e-9
    assert replace(ours, low=None, high=None) == replace(theirs, low=None, high=None)
    for sign in (1, -1):
        asked = [(each, each.estimate and each.estimate.p, sign, 0.0 if constant else margin) for each in (cut, whole)]
        ours, theirs = (decide(*each, margin, 1, "image") for each in asked)
        assert ours == theirs
