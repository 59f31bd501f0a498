"""Designs in Python, for notebooks: the same objects that files give.

from pathlib import Path
from lab import contract
from lab.design import design_file
from lab.design.scenarios import Scenario

scenario = Scenario("lr_sweep", "Which learning rate?", type="train", contract=contract.read(Path(".")))
design = scenario.with_sweep({"lr": [0.001, 0.01]})
design_file.write(design, "designs/lr_sweep.yaml")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.design import design_file
from lab.design.models import Design

if TYPE_CHECKING:
    from lab.contract import Contract


class Scenario:
    """What is asked and what all runs have in common; `with_…` says how the runs are laid out.

    Args:
        name: the design's name, and its file's.
        title: the question.
        type: which kind of experiment answers it: one of the types of lab.yaml.
        contract: of the project; without it, what lab.yaml knows is checked when the design is read from its file.
        settings: any other key of a design: hypothesis, base, seeds, task, constraints, …
    """

    def __init__(self, name: str, title: str, type: str, contract: Contract | None = None, **settings: Any):
        self.settings = {"name": name, "type": type, "title": title, **settings}
        self.contract = contract

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
        return design_file.parse({"kind": kind, **self.settings} | ({kind: block} if block else {}), self.contract)
