"""A figure is drawn once, and anew when anything has changed of what it is drawn from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import studies
from contracts import VISION

from lab.analysis.verdict import judge
from lab.report import drawn
from lab.store import Store
from lab.study import Study

PREDICTIONS = "results/infer/predictions.parquet"
FIGURE = drawn.Drawn(
    "arms", "What came out.", "arms: 0.9", False, b"\x89PNG \x00", '<svg id="µ"/>', "arm,mean\nnew,0.9\n"
)
LACKING = drawn.Drawn("samples", "Sample predictions are not shown.", "samples", True)


def made(root: Path, value: float = 0.9) -> Study:
    """A study of one run in a project at `root`, whose predictions DVC's cache lacks."""
    outputs = {PREDICTIONS: {"md5": hashlib.md5(b"said").hexdigest()}}
    study = studies.made("single", lambda arm, seed: {"infer": {"f1_macro": value}}, outputs=outputs)
    return replace(study, project=SimpleNamespace(root=root, store=Store(root)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with the functions that lab.yaml names."""
    (tmp_path / ".dvc").mkdir()
    assert VISION.item_pictures
    package = tmp_path / "src" / VISION.item_pictures.draw.partition(".")[0]
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "pictures.py").write_text("def draw(): ...")
    return tmp_path


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> list[Study]:
    """The studies whose figures were drawn, in the place of drawing them."""
    found: list[Study] = []
    monkeypatch.setattr(drawn, "draw", lambda study, verdict: found.append(study) or [FIGURE, LACKING])
    return found


def figures(study: Study) -> list[drawn.Drawn]:
    return drawn.drawn(study, judge(study))


def test_what_has_not_changed_is_not_drawn_again(root: Path, drawings: list[Study]) -> None:
    assert figures(made(root)) == figures(made(root)) == [FIGURE, LACKING]
    assert len(drawings) == 1


def pulled(root: Path) -> None:
    """Lay what the model said into DVC's cache."""
    path = Store(root).cache / hashlib.md5(b"said").hexdigest()[:2] / hashlib.md5(b"said").hexdigest()[2:]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"said")


def edited(root: Path) -> None:
    next(root.rglob("pictures.py")).write_text("def draw(): return 1")


def damaged(root: Path) -> None:
    (file,) = root.rglob("*.sqlite")
    file.write_bytes(file.read_bytes().replace(b"What came out", b"What came in."))


def cut(root: Path) -> None:
    (file,) = root.rglob("*.sqlite")
    file.write_bytes(file.read_bytes()[:700])


@pytest.mark.parametrize("change", [pulled, edited, damaged, cut])
def test_what_has_changed_is_drawn_anew(root: Path, drawings: list[Study], change: Callable[[Path], None]) -> None:
    figures(made(root))
    change(root)
    assert figures(made(root)) == figures(made(root)) == [FIGURE, LACKING]
    assert len(drawings) == 2, "once more, and not again"


@pytest.mark.parametrize(
    "other",
    [
        lambda study: made(study.project.root, 0.91),
        lambda study: replace(study, design=study.design.model_copy(update={"title": "Another?"})),
        lambda study: replace(study, contract=study.contract.model_copy(update={"parts": {}})),
        lambda study: replace(study, replicates=study.replicates[:2]),
    ],
    ids=["a value", "a title", "a word of lab.yaml", "a run less"],
)
def test_another_study_has_its_own(root: Path, drawings: list[Study], other: Callable[[Study], Study]) -> None:
    study = made(root)
    figures(study)
    figures(other(study))
    figures(study)
    assert len(drawings) == 2


def test_another_version_of_a_library_draws_its_own(
    root: Path, drawings: list[Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures(made(root))
    monkeypatch.setattr(drawn, "version", lambda name: f"{name} 99")
    figures(made(root))
    assert len(drawings) == 2


def test_outside_of_a_project_nothing_is_kept(tmp_path: Path, drawings: list[Any]) -> None:
    for _ in range(2):
        figures(made(tmp_path))
    assert len(drawings) == 2 and not [*tmp_path.iterdir()]
