"""Any sample of images scores as the stage would score it: two implementations of each metric agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from workspace import load

metrics = load("metrics")

CLASSES = ["ant", "bee", "cat"]
METRICS = {
    "classification": ["f1_macro", "accuracy", "classes.bee.f1", "classes.bee.precision", "classes.bee.recall"],
    "detection": ["mAP50", "mAP50_95", "classes.bee.AP50", "classes.bee.AP50_95"],
}


@dataclass
class Picture:
    """A test image as a task's scoring knows it."""

    path: Path
    site: str = "A"
    label: str = ""


def guesses(n: int, seed: int) -> tuple[list[Picture], list[np.ndarray]]:
    """Images with a class each, and the probabilities that a middling model gives."""
    generator = np.random.default_rng(seed)
    actual = generator.integers(0, 3, n)
    scores = generator.dirichlet(np.ones(3), n) + np.eye(3)[actual] * 0.3
    items = [Picture(Path(f"{i}.png"), label=CLASSES[label]) for i, label in enumerate(actual)]
    return items, list(scores / scores.sum(1, keepdims=True))


def detections(n: int, seed: int) -> tuple[list[Picture], list[np.ndarray], list[np.ndarray]]:
    """Images, the boxes in them, and what a middling detector finds: duplicates, misses and phantoms."""
    corners = load("tasks.detection.evaluation.matching").corners
    generator = np.random.default_rng(seed)
    truths, predictions = [], []
    for _ in range(n):
        k = generator.integers(0, 5)
        truth = np.column_stack(
            [generator.integers(0, 3, k), generator.uniform(0.2, 0.8, (k, 2)), generator.uniform(0.1, 0.3, (k, 2))]
        )
        seen = np.repeat(truth, generator.integers(0, 3, k), axis=0)
        boxes = corners(seen) + generator.normal(0, 0.012, (len(seen), 4))
        true = np.column_stack([boxes, generator.random(len(seen)), seen[:, 0]])
        at = generator.uniform(0, 0.7, (generator.integers(0, 9), 2))
        kinds = generator.integers(0, 3, len(at))
        phantoms = np.column_stack([at, at + 0.2, generator.random(len(at)) ** 2, kinds])
        rows = np.concatenate([true, phantoms])
        truths.append(truth)
        predictions.append(rows[np.argsort(-rows[:, 4])])
    return [Picture(Path(f"{i}.png")) for i in range(n)], truths, predictions


@pytest.mark.parametrize("task", METRICS)
def test_any_sample_of_images_scores_as_the_stage_would_score_it(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the way through a file."""
    scoring = load(f"tasks.{task}.evaluation.scoring")
    if task == "detection":
        pytest.importorskip("ultralytics")
        items, truths, results = detections(60, seed=0)
        monkeypatch.setattr(scoring, "boxes", lambda item: truths[int(item.path.stem)])
    else:
        items, results = guesses(60, seed=0)
    scoring.score(items, results, CLASSES).per_image.to_parquet(tmp_path / "predictions.parquet", index=False)
    images = pd.read_parquet(tmp_path / "predictions.parquet")
    generator = np.random.default_rng(1)
    samples = [np.ones(60, int), *generator.multinomial(60, np.full(60, 1 / 60), 5), np.arange(60) < 2]
    for name in METRICS[task]:
        functions = (metrics.accuracy, metrics.f1, metrics.average_precision)
        [scorer] = filter(None, (function(images, f"infer.{name}") for function in functions))
        together = scorer(np.array(samples, float).T)
        for weights, value in zip(samples, together, strict=True):
            drawn = np.repeat(np.arange(60), weights)
            expected = scoring.score([items[i] for i in drawn], [results[i] for i in drawn], CLASSES).metrics
            for part in name.split("."):
                expected = expected.get(part, {}) if isinstance(expected, dict) else expected
            assert value == pytest.approx(expected if isinstance(expected, float) else 0, abs=1e-9), name
