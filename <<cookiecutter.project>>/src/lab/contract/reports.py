"""What lab.yaml may say of reports: the facts on the data, and by what each question is answered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lab.contract.base import Key, Model, Stage, When, filled, stands_for
from lab.contract.metrics import Hook
from lab.errors import nearest

Kind = Literal["single", "sweep", "comparison", "ablation", "factorial"]
Way = Literal[
    "arms",  # beside each other, with their differences from the reference
    "curves",  # over the epochs
    "confusion",  # of a table of pairs: what is, and what it was taken for
    "curve_by_class",  # of a table of curves between 0 and 1: class, x, y
    "reliability",  # of a table of bins: how sure, how often right, how many
    "breakdown",  # metrics that are parts of one, such as what each kind of error costs
    "samples",  # single test items, by item_pictures
    "two_models",  # by class, by item, and the items on which they disagree
    "matrix",  # a factor by another
    "gap",  # the same: where both have one value, minus where they have not
    "response",  # the metrics over a numeric factor
    "pareto",  # the main metric by what it costs
    "gains",  # metrics beside each other, each against a value
    "members",  # of ensembles
    "sweep",  # heat map or slices, parallel coordinates, importance
    "effects",  # of a factorial's components, and their interactions
    "interaction",  # the main metric over a factor, for each level of another
    "ranking",  # of many arms, with the critical difference to the best
    "changes",  # the test items on which the best arm differs most from the reference
]
TAKES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # each way's labels, and its other keys
    "arms": ((), ()),
    "curves": ((), ()),
    "confusion": (("table", "title"), ("output",)),
    "curve_by_class": (("table", "title"), ("output",)),
    "reliability": (("table", "title"), ("output",)),
    "breakdown": (("table", "title", "x"), ("metrics",)),
    "samples": ((), ()),
    "two_models": (("score",), ()),
    "matrix": (("row", "column", "row_name", "column_name", "title"), ()),
    "gap": (("row_name", "column_name", "title", "x", "caption", "missing"), ()),
    "response": (("x",), ("metrics", "titles")),
    "pareto": (("what", "unmeasured", "all"), ("metrics", "titles")),
    "gains": (("caption",), ("metrics", "titles", "lines")),
    "members": ((), ()),
    "sweep": ((), ()),
    "effects": ((), ()),
    "interaction": ((), ()),
    "ranking": ((), ()),
    "changes": ((), ()),
}
FORMATTED = {("matrix", "title"), ("gap", "x")}  # labels in which {metric} stands for the metric
MetricPattern = Annotated[str, stands_for("main", "main_name", "stage", "latency")]


class Fact(Model):
    """A part of the sentence on the data in a report."""

    text: Annotated[str, stands_for("")] = "{}"
    """{} stands for the value."""
    key: Key | None = None
    aside: Key | None = None
    """A setting behind it in brackets, where that says something else."""
    metric: Annotated[str, stands_for("stage")] | None = None
    """A whole number in place of a setting; {stage} is the stage of the design."""
    own: bool = False
    """Only of runs that have made their model themselves."""


class Speed(Model):
    """The time of one answer, and what is gained by it."""

    latency: dict[Stage, str] = {}
    """By the stage that a design is about, the metric of a single answer's time."""
    said: str = "the time of one answer"
    gain: str | None = None
    """A metric that is told beside it: how many times as fast as something else."""
    gain_said: str = "its gain"
    gain_types: list[str] = []
    """The experiment types in whose reports it is told."""


class Figure(Model):
    """A figure of a report, drawn by one of lab's ways."""

    draw: Way
    """Which way: docs/your-own-pipeline.md lists them."""
    name: str | None = None
    """What its file is called; left out, as its way."""
    output: str | None = None
    """The table that it draws, where it draws one that a stage wrote."""
    metrics: list[MetricPattern] = []
    """What it draws beside the main metric; {main}, {main_name}, {stage} and {latency} as for a question."""
    titles: list[str] = []
    """Above its panels."""
    lines: list[Annotated[float, Field(allow_inf_nan=False)]] = []
    """By metric, the value at which a line is drawn: where nothing changes."""
    labels: dict[str, str] = {}
    """Words of axes and captions, in place of its way's own."""
    when: When = {}
    """Settings that a run must have for it to be drawn; a list stands for any of its values."""

    @model_validator(mode="after")
    def _has_what_its_way_takes(self) -> Figure:
        labels, keys = TAKES[self.draw]
        for key in self.model_fields_set - {"draw", "name", "labels", "when", *keys}:
            only = f", only {' and '.join(keys)}" if keys else ""
            raise ValueError(f"{self.draw} takes no {key}{only}")
        for label, text in self.labels.items():
            if label not in labels:
                hint = nearest(label, labels) or (f" Expected one of {', '.join(labels)}." if labels else "")
                raise ValueError(f"labels.{label}: {self.draw} has no such label.{hint}")
            if (self.draw, label) in FORMATTED:
                filled(text, "metric")
        panels = len(self.metrics) + (self.draw == "response")  # which has the main metric first
        for key, texts in (("titles", self.titles), ("lines", self.lines)):
            if len(texts) > panels:
                raise ValueError(f"{key}: {len(texts)} of them for {panels} panels, one for each metric")
        return self

    @property
    def file(self) -> str:
        """What its file is called, without the ending."""
        return self.name or self.draw


class Question(Model):
    """A comparison (or any other design) that is answered in a shape of its own, told by what it varies."""

    name: str
    """What reports call it."""
    varies: list[Key] = []
    """What it varies: exactly these, or a key below one of them. Left out, anything."""
    kind: Kind = "comparison"
    types: list[str] = []
    """The experiment types; left out, all."""
    arms: int | None = None
    """How many arms it has; left out, any number."""
    beside: list[MetricPattern] = []
    """Metrics that its table shows beside the main one. {main} and {main_name} are the first of the metrics that matter
    that was measured, {stage} and {latency} those of the design."""
    figures: list[Figure] = [Figure(draw="arms")]
    heading: Annotated[str, stands_for("reference")] = ""
    """Above the panel of differences; {reference} is the arm that the others are measured against."""
    run_name: Annotated[str, stands_for("arm", "seed")] = ""
    """What tracking servers call its runs: {arm} and {seed}; left out, as the experiment."""


class ItemPictures(Model):
    """Functions that score one test item and draw it: docs/extend.md has their arguments."""

    score: Hook
    describe: Hook
    truth: Hook
    title: Hook
    draw: Hook
    legend: Hook
