"""Per-image metrics and drawings: the hooks by which a report knows this package's results."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from workspace import PACKAGE, PROJECT, SMALL, Workspace, load

Get = Callable[[str], Workspace]
metrics = load("metrics")
pictures = load("pictures")
UserError = load("shared.errors").UserError

FUNCTIONS = (
    *(metrics.accuracy, metrics.f1, metrics.average_precision, metrics.calibration_error),
    *(metrics.confused, metrics.error_loss),
)
LABELS = pd.DataFrame(
    {
        "path": ["a", "b", "c", "d"],
        "actual": ["x", "x", "y", "y"],
        "predicted": ["x", "y", "y", "y"],
        "correct": [True, False, True, True],
        "confidence": [0.9, 0.6, 0.8, 0.7],
        "probabilities": [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]],
    }
)


def scorers(images: pd.DataFrame, key: str) -> list[Any]:
    """What the functions make of a key: at most one of them knows it."""
    return [scorer for function in FUNCTIONS if (scorer := function(images, key))]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("accuracy", 0.75),
        ("infer.accuracy", 0.75),
        ("f1_macro", (2 / 3 + 0.8) / 2),
        ("classes.x.f1", 2 / 3),
        ("quant.classes.x.precision", 1.0),
        ("classes.x.recall", 0.5),
        ("classes.y.precision", 2 / 3),
        ("classes.absent.f1", 0.0),
        ("ece", (0.1 + 0.6 + 0.2 + 0.3) / 4),
        ("infer.confused.x as y", 0.25),
        ("confused.y as x", 0),
    ],
)
def test_metrics_of_labels_by_hand(key: str, expected: float) -> None:
    (scorer,) = scorers(LABELS, key)
    assert scorer(np.ones((4, 1))) == pytest.approx([expected])


@pytest.mark.parametrize(
    "key", ["loss", "mAP50", "classes.x.AP50", "f1", "precision", "images", "classes.x", "errors.class", "a.b"]
)
def test_what_labels_do_not_tell(key: str) -> None:
    assert scorers(LABELS, key) == []


def test_a_reliability_diagram_sums_up_what_the_calibration_error_does() -> None:
    table = metrics.reliability(LABELS)
    assert table["bin"].tolist() == [0.6, 0.7, 0.8, 0.9] and table["right"].tolist() == [0, 1, 1, 1]
    assert table["confidence"].tolist() == table["bin"].tolist() and table["count"].tolist() == [1, 1, 1, 1]
    by_label = pd.DataFrame({"confidence": [[0.95, 0.1], [0.91, 0.4]], "correct": [[1, 0], [0, 1]], "exact": [0, 0]})
    assert metrics.reliability(by_label).to_numpy().tolist() == [[0.1, 0.1, 0, 1], [0.4, 0.4, 1, 1], [1, 0.93, 0.5, 2]]
    assert metrics.reliability(pd.DataFrame({"path": ["a"]})).empty


def test_a_class_may_have_dots_in_its_name() -> None:
    images = LABELS.replace("x", "v1.5.x")
    (scorer,) = scorers(images, "infer.classes.v1.5.x.recall")
    assert scorer(np.ones((4, 1))) == pytest.approx([0.5])


def test_a_class_counts_where_its_images_do() -> None:
    (scorer,) = scorers(LABELS, "f1_macro")
    assert scorer(np.array([[1.0], [0.0], [0.0], [0.0]])) == pytest.approx([1.0])


@pytest.fixture(scope="module")
def inferred(trained: Get, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Workspace]:
    """A task's workspace after the infer stage."""
    spaces: dict[str, Workspace] = {}

    def get(task: str) -> Workspace:
        if task not in spaces:
            spaces[task] = trained(task).copy(tmp_path_factory.mktemp("inferred") / task)
            spaces[task].run("infer", *SMALL[task])
        return spaces[task]

    return get


@pytest.mark.slow
def test_weights_are_how_often_each_image_counts(inferred: Get, task: str) -> None:
    """The same as scoring the images so often; with each once, what the stage wrote. Both by all keys of the stage."""
    root = inferred(task).root
    images = pd.read_parquet(root / "results" / "infer" / "predictions.parquet")
    whole = json.loads((root / "metrics" / "infer.json").read_text())
    keys = {key: value for key, value in whole.items() if isinstance(value, float)}
    keys |= {f"classes.{name}.{key}": v for name, row in whole["classes"].items() for key, v in row.items()}
    counts = np.random.default_rng(0).integers(0, 3, len(images))
    repeated = images.loc[images.index.repeat(counts)].reset_index(drop=True)
    scored = [key for key in keys if scorers(images, key)]
    assert len(scored) >= {"classification": 2 + 3 * 10, "detection": 2 + 2 * 3}[task]
    for key in scored:
        (scorer,), (again,) = scorers(images, key), scorers(repeated, key)
        values = scorer(np.column_stack([np.ones(len(images)), counts]))
        assert values[0] == pytest.approx(keys[key], abs=1e-6), key
        # Equal confidences may be sorted in another order there, which moves a curve by a little.
        assert values[1] == pytest.approx(again(np.ones((len(repeated), 1)))[0], abs=5e-3), key


@pytest.mark.slow
def test_images_can_be_described_and_drawn(inferred: Get, task: str) -> None:
    from matplotlib.figure import Figure

    root = inferred(task).root
    images = pd.read_parquet(root / "results" / "infer" / "predictions.parquet")
    scored = pictures.score(images)
    expected = {"detection": ("f1", "objects"), "classification": ("correct", "confidence")}[task]
    assert scored[["score", "surety"]].to_numpy(float).tolist() == images[[*expected]].to_numpy(float).tolist()
    row = scored.iloc[0]
    assert bool(pictures.truth(row)) == (task == "classification")
    axes = Figure().add_subplot()
    axes.imshow(np.zeros((64, 64, 3)))
    pictures.draw(axes, row, "blue", "left", lambda path: (root / "data" / "prepared" / path).read_bytes())
    sure = sum(confidence >= 0.25 for confidence in np.atleast_1d(row["confidence"]))
    boxes = sure + row["objects"] if task == "detection" else 0
    assert len(axes.patches) == len(axes.texts) == boxes
    pictures.draw(axes, row, "blue", "right", lambda path: None)
    assert len(axes.patches) == boxes + (sure if task == "detection" else 0), "without the prepared data, no truth"


def test_words_of_labels() -> None:
    row = pictures.score(LABELS).iloc[1]
    words = pictures.describe(row), pictures.truth(row), pictures.title(row)
    assert words == ("y (0.60)", "is x", "x → y (0.60)")
    assert pictures.legend(LABELS) == "Above each image: its class, and what it was taken for with which confidence."
    assert pictures.legend(LABELS, {"new": "blue", "old": "orange"}) == ""


def test_words_of_boxes() -> None:
    boxes = pd.DataFrame({"objects": [1], "f1": [0.5], "actual": [["a"]], "predicted": [[]], "confidence": [[]]})
    boxes["boxes"] = [[]]
    assert (pictures.describe(boxes.iloc[0]), pictures.truth(boxes.iloc[0])) == ("F1 0.500", "")
    one = "Boxes with their classes: truth green and dashed, prediction blue (from a confidence of 0.25 up)."
    assert pictures.legend(boxes) == one
    two = "Boxes with their classes: truth green and dashed, new blue, old orange."
    assert pictures.legend(boxes, {"new": "blue", "old": "orange"}) == two


def test_images_of_no_task() -> None:
    with pytest.raises(UserError, match="no task draws images with the columns loss, path"):
        pictures.score(pd.DataFrame({"path": ["a"], "loss": [1.0]}))


def test_the_hooks_are_light() -> None:
    """lab calls them, where torch and Ultralytics may be absent, and looks for them at each `lab check`."""
    script = f"""
import sys
sys.path.insert(0, "src")
from {PACKAGE}.shared import config, registry
for task in registry.tasks():
    registry.fixed(task), [registry.unusable(task, engine, "any") for engine in registry.engines(task)]
print([name for name in ("numpy", "omegaconf") if name in sys.modules])
import {PACKAGE}.metrics, {PACKAGE}.pictures
from {PACKAGE}.shared.errors import UserError
assert issubclass(UserError, ValueError)
print([name for name in ("torch", "ultralytics", "openvino", "timm", "pytorch_lightning", "cv2", "sklearn", "dvc",
    "matplotlib", "pandas", "scipy", "lab") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "[]"], done.stdout + done.stderr


def test_a_slice_scores_as_its_images_alone() -> None:
    images = LABELS.assign(camera=["v1.5", "v1.5", "new", "new"], site="A")
    (scorer,) = scorers(images, "infer.slices.camera.v1.5.f1_macro")
    (alone,) = scorers(images.loc[:1], "f1_macro")
    assert scorer(np.ones((4, 1))) == pytest.approx(alone(np.ones((2, 1))))
    drawn = np.array([[1.0, 0], [2, 0], [1, 1], [0, 3]])  # the second draw has none of them: as the sample itself
    assert scorer(drawn) == pytest.approx(alone(np.array([[1.0, 1], [2, 1]])))
    assert scorers(images, "slices.camera.absent.accuracy") == scorers(images, "slices.lens.new.accuracy") == []
