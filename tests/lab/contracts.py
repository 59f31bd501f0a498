"""Contracts and configs for tests: the template's own, as a project called `vision-lab` has them, and a small one's."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from lab import yaml12
from lab.contract import Contract, parse

TEMPLATE = Path(__file__).resolve().parents[2]
PROJECT = TEMPLATE / "<<cookiecutter.project>>"
COOKIECUTTER = json.loads((TEMPLATE / "cookiecutter.json").read_text())
ANSWERS = {
    **{question: answers[0] for question, answers in COOKIECUTTER.items() if isinstance(answers, list)},
    "project": "vision-lab",
    "package": "vision_lab",
    "dvc_remote_url": ".dvc/storage",
}
CONFIG = ("conf", "designs", ".dvc/config", "dvc.yaml", "params.yaml", "lab.yaml")
VISION_STAGES = ("prepare", "train", "infer", "quant")
HOOKS = ("check", "item_pictures")
FOLDER = tempfile.TemporaryDirectory(prefix="lab-tree-")  # of `tree`: gone when the tests end


def rendered(text: str, **answers: str) -> str:
    """A file of the template as cookiecutter writes it."""
    environment = jinja2.Environment(keep_trailing_newline=True, **COOKIECUTTER["_jinja2_env_vars"])  # noqa: S701
    return environment.from_string(text).render(cookiecutter={**ANSWERS, **answers})


def render(folder: Path, names: tuple[str, ...] = CONFIG, **answers: str) -> Path:
    """Files and folders of the template in a folder, as a project has them."""
    for name in names:
        files = [PROJECT / name] if (PROJECT / name).is_file() else sorted((PROJECT / name).rglob("*"))
        for file in (file for file in files if file.is_file() and "__pycache__" not in file.parts):
            copy = folder / rendered(str(file.relative_to(PROJECT)), **answers)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(rendered(file.read_text(encoding="utf-8"), **answers), encoding="utf-8")
            shutil.copymode(file, copy)
    return folder


@lru_cache
def tree() -> Path:
    """The template's config, dvc.yaml, lab.yaml and designs, as a project has them: for all tests that only read it."""
    return render(Path(FOLDER.name))


def without_hooks(text: str) -> str:
    """A lab.yaml without the functions that it names: for projects that have no code of their own."""
    content: dict[str, Any] = {key: value for key, value in yaml12.mapping(text).items() if key not in HOOKS}
    for entry in content["metrics"].values():
        entry.pop("per_item", None)
    return yaml12.dump(content)


@lru_cache
def contract(text: str) -> Contract:
    """The contract in a text."""
    return parse(text, "lab.yaml")


VISION_TEXT = rendered((PROJECT / "lab.yaml").read_text(encoding="utf-8"))
VISION = contract(VISION_TEXT)
TRIVIAL_TEXT = without_hooks(VISION_TEXT)
TRIVIAL = contract(TRIVIAL_TEXT)
# The stand-in stages of `trivial` say nothing of single test items.
STAND_IN = {key: value for key, value in yaml12.mapping(TRIVIAL_TEXT).items() if key not in ("predictions", "final")}
STAND_IN_TEXT = yaml12.dump(STAND_IN | {"distinct": {"train": STAND_IN["distinct"]["train"]}})
# A pipeline that is nobody's: two stages, a seed in a block, one metric that is known.
PLAIN_TEXT = """
types: {train: evaluate}
seeds: [train.seed]
metrics:
  evaluate.accuracy: {direction: maximize, bounds: [0, 1]}
main: [accuracy]
"""
PLAIN = contract(PLAIN_TEXT)
