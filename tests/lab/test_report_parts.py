"""Figures of what models get wrong: the parts of a metric by arm, and how far confidence can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import studies
from contracts import VISION

from lab.analysis import verdict
from lab.contract.reports import Figure
from lab.records import per_item
from lab.report import figures
from lab.report.figures import outputs
from lab.report.figures.drawing import COLOURS, style
from lab.report.figures.reliability import reliability_of
from lab.study import Examples

PARTS = Figure(draw="breakdown", name="confused", metrics=["{stage}.confused.*"], labels={"x": "share of the images"})
RELIABILITY = Figure(draw="reliability", output="results/infer/reliability.csv")
SAID = {"old": ["a", "a", "b", "b"], "new": ["a", "a", "a", "b"]}  # of images that are a, b, b, b


def drawn(entry: Figure, study: Any) -> Any:
    with style():
        [picture] = figures.WAYS[entry.draw](entry, study, verdict.judge(study))
    assert picture.figure is None or picture.png
    return picture


def scorer(frame: pd.DataFrame, metric: str) -> Any:
    pair = metric.removeprefix("infer.confused.")
    hits = np.array([f"b as {said}" == pair for said in frame["predicted"]]) & (frame["actual"] == "b").to_numpy()
    return lambda weights: hits.astype(float) @ weights / weights.sum(0)


def test_the_parts_of_each_arm_and_their_changes_in_pairs_over_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    items = 40

    def frame(arm: str) -> pd.DataFrame:
        said = SAID["new" if arm == "new" else "old"] * (items // 4)
        return pd.DataFrame({"path": map(str, range(items)), "actual": ["a", "b", "b", "b"] * 10, "predicted": said})

    def values(arm: str, seed: int) -> dict[str, Any]:
        shares = {"b as a": 0.5, "b as c": 0.0} if arm == "new" else {}  # of the old one the items tell it
        return {"infer": {"f1_macro": 0.8, "confused": shares}, "train": {"val_f1_macro": 0.8}}

    study = studies.made("ab", values, studies.DESIGNS["ab"] | {"seeds": [0]})
    frames = {(arm, 0): frame(arm) for arm in study.arms}
    monkeypatch.setattr(per_item, "read", lambda study: Examples(frames, scorer))
    picture = drawn(PARTS, study)
    rows = picture.data.set_index(["metric", "arm"])
    assert list(picture.data["metric"].unique()) == ["infer.confused.b as a", "infer.confused.b as c"]
    assert rows.loc[("infer.confused.b as a", "new"), "mean"] == 0.5
    assert rows.loc[("infer.confused.b as a", "old"), "mean"] == 0.25
    change = rows.loc[("infer.confused.b as a", "new")]
    assert change["change"] == pytest.approx(0.25) and 0.05 < change["change_low"] < 0.25 < change["change_high"] < 0.45
    assert pd.isna(rows.loc[("infer.confused.b as a", "old"), "change"]), "the reference is no change to itself"
    assert picture.local and "in pairs over test images" in picture.caption
    assert picture.caption.startswith("The worst of old: b as a, 0.250.")
    axes = picture.figure.axes
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["b as a", "b as c"]
    assert axes[1].get_xlabel() == "change in share of the images"


def test_parts_whose_items_are_away_are_told_and_what_nobody_measured_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    study = studies.made("ab")
    assert not list(figures.WAYS["breakdown"](PARTS, study, verdict.judge(study)))
    monkeypatch.setattr(per_item, "read", lambda study: Examples())
    values = {"infer": {"f1_macro": 0.8, "confused": {"b as a": 0.1}}}
    picture = drawn(PARTS, studies.made("ab", lambda arm, seed: values))
    assert picture.figure is None and picture.local and "dvc pull" in picture.caption


def test_the_parts_of_one_arm_follow_from_the_records_alone() -> None:
    values = {"infer": {"f1_macro": 0.8, "confused": {"b as a": 0.1}}}
    picture = drawn(PARTS, studies.made("single", lambda arm, seed: values))
    assert picture.data["mean"].tolist() == pytest.approx([0.1]) and not picture.local and len(picture.figure.axes) == 1


def table(*rows: tuple[Any, float, float, int]) -> dict[str, str]:
    lines = ["bin,confidence,right,count", *(",".join(map(str, row)) for row in rows)]
    return {"results/infer/reliability.csv": "\n".join(lines) + "\n"}


def test_a_reliability_diagram_pools_seeds_by_their_counts() -> None:
    study = studies.made("single", texts=table((0.6, 0.55, 0.5, 10), (1.0, 0.95, 0.9, 30)))
    other = table((1.0, 0.97, 0.8, 10))
    study.replicates[1].record.content["texts"] = other
    picture = drawn(RELIABILITY, study)
    half, sure = picture.data.to_dict("records")
    assert (half["bin"], half["right"], half["count"]) == (0.6, 0.5, pytest.approx(20 / 3))
    assert sure["right"] == pytest.approx((2 * 27 + 8) / 70) and sure["count"] == pytest.approx(70 / 3)
    assert sure["low"] < sure["right"] < sure["high"] <= 1
    error = (2 * (10 * 0.05 + 30 * 0.05) + 10 * 0.17) / 90
    legend = picture.figure.axes[0].get_legend().get_texts()
    assert [text.get_text() for text in legend][1] == f"calibration error {error:.3f}"


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection"])
def test_a_run_has_the_figures_of_its_task(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of one name are in lab.yaml, each with its words."""
    drawn = []
    monkeypatch.setitem(outputs.DRAWN, "curve_by_class", lambda entry, texts, item: drawn.append(entry))
    monkeypatch.setitem(outputs.DRAWN, "confusion", lambda entry, texts, item: drawn.append(entry))
    record = studies.made("single").finished[0]
    record.content["params"]["task"] = task
    figures.pictures_of_run(record, VISION)
    assert drawn and all(entry.when == {"task": task} for entry in drawn)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_how_many_there_are_stands_side_by_side_in_each_bin(number: int) -> None:
    """Also where the arms' confidences lie at either end of their bins."""
    arms = {}
    for i in range(number):
        at = 0.01 + 0.08 * (i % 2)
        arms[f"arm {i}"] = table(
            (0.2, 0.1 + at, 0.3, 9), (0.3, 0.2 + at, 0.3, 9), (1.0, 0.9 + at, 0.9, 30 + i)
        ).values()
    with style():
        picture = reliability_of(RELIABILITY, arms, dict(zip(arms, COLOURS, strict=False)))
    bars = picture.figure.axes[1].patches
    boxes = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars)
    assert len(boxes) == 3 * number
    for group, end in zip((boxes[:number], boxes[number:-number], boxes[-number:]), (0.2, 0.3, 1.0), strict=True):
        assert end - 0.1 < group[0][0] and group[-1][1] < end
        assert group[0][0] + group[-1][1] == pytest.approx(2 * end - 0.1), "in its middle"
    assert all(one[1] <= other[0] + 1e-9 for one, other in zip(boxes, boxes[1:], strict=False))


def test_a_reliability_diagram_is_of_arms_that_differ_and_says_where_there_is_none() -> None:
    study = studies.made("ab", texts=table((1.0, 0.9, 0.8, 10)))
    assert not list(figures.WAYS["reliability"](RELIABILITY, study, verdict.judge(study))), "one model for both"
    for replicate in study.arms["new"]:
        replicate.record.content["texts"] = table((1.0, 0.9, 0.9, 10))
    assert set(drawn(RELIABILITY, study).data["arm"]) == {"old", "new"}
    empty = drawn(RELIABILITY, studies.made("single"))
    assert empty.figure is None and "no run has recorded one" in empty.caption
    [record] = [each.record for each in study.arms["new"]][:1]
    assert "reliability" in figures.pictures_of_run(record, VISION)
    record.content["texts"] = table(("0.9-1.0", 0.9, 0.9, 10))
    assert "no numbers" in drawn(RELIABILITY, study).caption
