"""A trivial project with two designs that have run, whose metrics differ a little by seed and by class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trivial
import yaml
from trivial import Trivial

MEASURED = 'return {"f1_macro": lr + seed / 1000}'
# The larger the learning rate, the larger the differences of seeds; above 0.6 the class `cat v1.2` suffers.
NOISY = """value = lr + seed * (1 + lr) / 1000
    return {"f1_macro": value, "classes": {"dog": {"f1": value}, "cat v1.2": {"f1": min(value, 1.2 - value)}}}"""
QUESTION = {
    "kind": "comparison",
    "type": "train",
    "title": "Which learning rate?",
    "hypothesis": {"claim": "The larger one", "metric": "infer.f1_macro", "min_effect": 0.05},
    "seeds": [0, 1],
}


def measured(lr: float, seed: int) -> dict[str, Any]:
    """The metrics of a run, as the project's script has them."""
    value = lr + seed * (1 + lr) / 1000
    return {"f1_macro": value, "classes": {"dog": {"f1": value}, "cat v1.2": {"f1": min(value, 1.2 - value)}}}


def design(
    project: Trivial, name: str, better: float, versus: float, *more: float, type: str = "train", **claim: str
) -> None:
    """Write and commit a design that compares learning rates."""
    hypothesis = QUESTION["hypothesis"] | {"arm": better, "versus": versus} | claim
    values = {"variable": "lr", "values": [versus, better, *more]}
    path = project.root / "designs" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(QUESTION | {"type": type, "hypothesis": hypothesis, "comparison": values}))
    project.commit(name)


def make(root: Path) -> Trivial:
    """The project, with the runs of `small` (0.1 and 0.5, and one that fails) and of `large` (0.5 and 0.8).

    Their records are written without workers; a design that a test adds may be run by `carry_out`, or by `lab run`.
    """
    project = trivial.make(root)
    script = project.root / "src" / "stand_in.py"
    text = script.read_text()
    assert MEASURED in text
    script.write_text(text.replace(MEASURED, NOISY))
    design(project, "small", 0.5, 0.1, -0.2)
    design(project, "large", 0.8, 0.5)
    for name in ("small", "large"):
        trivial.carry_out(project, name, measured)
    return project
