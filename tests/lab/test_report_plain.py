"""Reports and figures of a pipeline that isn't ours: with what its lab.yaml says, and without what it doesn't."""

from __future__ import annotations

from typing import Any

import pytest
import studies
from contracts import PLAIN_TEXT, VISION, contract

from lab.analysis.verdict import judge
from lab.errors import UserError
from lab.report import figures, report
from lab.report.figures import Picture, items
from lab.study import Study

pytestmark = pytest.mark.slow  # figures take seconds

HYPOTHESIS = {"claim": "Deeper is better", "metric": "evaluate.accuracy", "arm": 8, "versus": 2, "min_effect": 0.01}
DEPTHS = {
    "kind": "comparison",
    "type": "train",
    "hypothesis": HYPOTHESIS,
    "comparison": {"variable": "train.depth", "values": [2, 4, 8]},
}
PLACES = {
    "kind": "comparison",
    "type": "train",
    "comparison": {"variables": {"train.clinic": ["north", "south"], "evaluate.clinic": ["north", "south"]}},
}
WAYS = """
questions:
  - name: depth
    varies: [train.depth]
    beside: [evaluate.nodes]
    figures:
      - {draw: response, metrics: [evaluate.nodes]}
      - {draw: pareto, metrics: [evaluate.nodes]}
      - {draw: gains, metrics: [evaluate.nodes], lines: [100]}
      - {draw: curves}
      - {draw: samples}
  - {name: clinics, varies: [evaluate.clinic, train.clinic], figures: [{draw: matrix}, {draw: gap}]}
single:
  name: single
  kind: single
  figures: [{draw: confusion, output: out/pairs.csv}, {draw: curve_by_class, name: roc, output: out/roc.csv}]
"""
TABLES = {
    "out/pairs.csv": "truth,answer\nill,ill\nwell,ill\nwell,well\n",
    "out/roc.csv": "group,fallout,recall\nill,0.0,0.1\nill,1.0,1.0\nwell,0.0,0.3\nwell,1.0,1.0\n",
}


def measured(arm: str, seed: int) -> dict[str, Any]:
    size = len(arm) * 10 + int(arm) if arm.isdigit() else len(arm)
    return {"evaluate": {"accuracy": 0.8 + size / 500 + seed / 1000, "nodes": size}}


def plain(design: dict[str, Any], more: str = "", **content: Any) -> Study:
    """A study with the contract of a pipeline of two stages, and with `more` in it."""
    return studies.made("plain", measured, design, contract(PLAIN_TEXT + more), effective={}, curves={}, **content)


def pictures(study: Study) -> dict[str, Picture]:
    return {picture.name: picture for picture in figures.pictures(study, judge(study))}


def test_a_contract_of_a_few_lines_is_enough() -> None:
    study = plain(DEPTHS)
    verdict = judge(study)
    text = report.markdown(study, verdict, figures.pictures(study, verdict))
    assert "**Type**: comparison (kind: comparison, type: train)" in text and "- **Data**" not in text
    assert "| arm | seeds | accuracy | change |" in text and "| 8 | 3 | 0.8" in text
    assert [*pictures(study)] == ["arms"] and pictures(study)["arms"].caption == "More is better in accuracy."


def test_questions_of_a_pipelines_own_are_answered_by_the_ways_that_it_names() -> None:
    drawn = pictures(plain(DEPTHS, WAYS))
    assert [name for name, picture in drawn.items() if picture.png] == ["response", "pareto", "gains"]
    assert drawn["response"].data is not None and drawn["response"].data["depth"].tolist() == [2.0, 4.0, 8.0] * 2
    assert "no run has any" in drawn["curves"].caption
    assert "lab.yaml has no predictions" in drawn["samples"].caption


def test_two_factors_are_a_matrix_in_the_order_of_the_question() -> None:
    drawn = pictures(plain(PLACES, WAYS))
    assert [name for name, picture in drawn.items() if picture.png] == ["matrix", "gap", "interaction"]
    data = drawn["matrix"].data
    assert data is not None and len(data) == 4
    assert list(data.columns) == ["evaluate.clinic", "train.clinic", "mean", "low", "high", "seeds"]


def test_a_runs_tables_are_drawn_as_in_its_report() -> None:
    single = {"kind": "single", "type": "train"}
    study = plain(single, WAYS, texts=TABLES)
    drawn = figures.pictures_of_run(study.finished[0], study.contract)
    assert list(drawn) == ["confusion", "roc"] and all(png.startswith(b"\x89PNG") for png in drawn.values())
    one = plain(single | {"seeds": [0]}, WAYS, texts=TABLES)
    assert {name: picture.png for name, picture in pictures(one).items()} == drawn
    assert figures.pictures_of_run(studies.made("single", texts={}).finished[0], VISION) == {}


@pytest.mark.parametrize("figure", ["{draw: heatmap}", "{draw: gains, metrics: ['{heatmap}']}"])
def test_a_figure_that_nobody_draws_is_refused(figure: str) -> None:
    with pytest.raises(UserError, match=r"questions\.0\.figures\.0\.(draw|metrics).*heatmap"):
        contract(PLAIN_TEXT + f"questions: [{{name: some, varies: [train.depth], figures: [{figure}]}}]\n")


def test_a_figure_of_two_factors_needs_them() -> None:
    more = "questions: [{name: some, varies: [train.depth], figures: [{draw: matrix}]}]\n"
    with pytest.raises(UserError, match="a figure of the question some needs 2 factors; plain has 1"):
        pictures(plain(DEPTHS, more))


def test_a_label_that_a_figure_has_not_is_refused() -> None:
    figure = "{draw: response, labels: {xx: depth}}"
    more = f"questions: [{{name: some, varies: [train.depth], figures: [{figure}]}}]\n"
    with pytest.raises(UserError, match="labels.xx: response has no such label"):
        pictures(plain(DEPTHS, more))


def test_nothing_is_told_with_a_hole_where_lab_yaml_is_short() -> None:
    study = plain(DEPTHS, WAYS)
    assert study.contract.dataset is None
    assert items.without_images(study) == "lab.yaml names no dataset, in which the items would lie"
