"""Designs in Python, for notebooks: the same objects that files give.

import sys; sys.path.append("src")
from project import load
TrainingScenario = load("design.scenarios").TrainingScenario
design = TrainingScenario("lr_sweep", title="Which learning rate?").with_sweep({"lr": [0.001, 0.01]})
load("design.schema").write(design, "designs/lr_sweep.yaml")
"""

from __future__ import annotations

from typing import Any, ClassVar

from lab.design import schema
from lab.design.levels import Level, label
from lab.design.models import Design


class Scenario:
    """What is asked and what all runs have in common; `with_…` says how the runs are laid out.

    Args:
        name: the design's name, and its file's.
        title: the question.
        settings: any other key of a design: hypothesis, base, seeds, task, constraints, …
    """

    type: ClassVar[str]

    def __init__(self, name: str, title: str, **settings: Any):
        self.said = {"name": name, "type": self.type, "title": title, **settings}

    def single(self) -> Design:
        """One arm."""
        return self._design("single")

    def with_sweep(self, parameters: dict[str, Any], strategy: str = "grid", **settings: Any) -> Design:
        """Combinations of parameters: lists of values, or ranges `{"low": …, "high": …}`. Raises UserError."""
        return self._design("sweep", strategy=strategy, parameters=parameters, **settings)

    def with_comparison(self, variable: str | None = None, values: Any = None, **settings: Any) -> Design:
        """Arms that differ in `variable`, or `values={name: overrides}`, or `variables={…}`. Raises UserError."""
        given = {"variable": variable, "values": values}
        return self._design(
            "comparison", **{key: value for key, value in given.items() if value is not None}, **settings
        )

    def with_ablation(self, baseline: list[str], components: dict[str, Any], method: str = "leave_one_out") -> Design:
        """What each component contributes. Raises UserError."""
        return self._design("ablation", baseline=baseline, components=components, method=method)

    def _design(self, kind: str, **block: Any) -> Design:
        return schema.parse({"kind": kind, **self.said} | ({kind: block} if block else {}))


class TrainingScenario(Scenario):
    """Questions that trainings answer."""

    type = "train"


class InferenceBenchmarkScenario(Scenario):
    """Questions that evaluations and latencies of trained models answer."""

    type = "infer"


class QuantizationScenario(Scenario):
    """Questions that converted models answer."""

    type = "quant"

    def with_quant_comparison(self, variants: list[Level], versus: Level = None) -> Design:
        """Files of conf/quant against `versus`, or the first of them. Raises UserError."""
        return self.with_comparison("quant", variants, versus=label(variants[0] if versus is None else versus))
