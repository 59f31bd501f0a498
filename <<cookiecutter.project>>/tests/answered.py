"""A trivial project with two designs that have run, whose metrics differ a little by seed and by class."""

from __future__ import annotations

from pathlib import Path

import yaml

import trivial
from trivial import Trivial

VALUE = "value = float(trained[0]) + float(trained[1]) / 1000"
MEASURED = 'json.dumps({"f1_macro": value})'
# The larger the learning rate, the larger the differences of seeds; above 0.6 the class cat suffers.
NOISY = VALUE.replace("/ 1000", "* (1 + params['lr']) / 1000")
BY_CLASS = 'json.dumps({"f1_macro": value, "classes": {"dog": {"f1": value}, "cat": {"f1": min(value, 1.2 - value)}}})'
QUESTION = {
    "kind": "comparison",
    "type": "train",
    "title": "Which learning rate?",
    "hypothesis": {"claim": "The larger one", "metric": "infer.f1_macro", "min_effect": 0.05},
    "seeds": [0, 1],
}


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
    """The project, with the runs of `small` (0.1 and 0.5, and one that fails) and of `large` (0.5 and 0.8)."""
    project = trivial.make(root)
    script = project.root / "src" / "stand_in.py"
    text = script.read_text()
    assert VALUE in text and MEASURED in text
    script.write_text(text.replace(VALUE, NOISY).replace(MEASURED, BY_CLASS))
    design(project, "small", 0.5, 0.1, -0.2)
    design(project, "large", 0.8, 0.5)
    for name in ("small", "large"):
        project.call("python", "src/lab.py", "run", f"designs/{name}.yaml", "-j", "2", "--force", check=False)
    return project
