"""What lab.yaml may say of reports: the facts on the data, and by what each question is answered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lab.contract.base import Key, Model, Stage, When, stands_for
from lab.contract.metrics import Hook

Kind = Literal["single", "sweep", "comparison", "ablation", "factorial"]
Way = Literal[
    "arms",  # beside each other, with their differences from the reference
    "curves",  # over the epochs
    "confusion",  # of a table of pairs: what is, and what it was taken for
    "curve_by_class",  # of a table of curves between 0 and 1: class, x, y
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
]
MetricPattern = Annotated[str, stands_for("main", "main_name", "stage", "latency")]


class Fact(Model):
    """A part of the sentence on the data in a report."""

    text: str = "{}"
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
    """Settings that a run must have for it to be drawn."""

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
