"""Any sample of images scores as the stage would score it: two implementations of each metric agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from workspace import load

metrics = load("metrics")

SCALES = (1, 2, 3, 4)  # of images of 100 x 150 pixels, so that there are objects of all of COCO's sizes
CLASSES = ["ant", "bee", "cat"]
METRICS = {
    "classification": [
        "f1_macro",
        "accuracy",
        "ece",
        "confused.bee as ant",
        "classes.bee.f1",
        "classes.bee.precision",
        "classes.bee.recall",
    ],
    "detection": ["mAP50", "mAP50_95", "ece", "classes.bee.AP50", "classes.bee.AP50_95", "AP_small", "AP_large"]
    + [f"errors.{kind}" for kind in metrics.ERRORS],
}
FUNCTIONS = (
    *(metrics.accuracy, metrics.f1, metrics.average_precision, metrics.calibration_error),
    *(metrics.confused, metrics.error_loss),
)


@dataclass
class Picture:
    """A test image as a task's scoring knows it."""

    path: Path
    site: str = "A"
    label: str = ""


def pixels(item: Picture) -> tuple[int, int]:
    """An image's height and width."""
    scale = SCALES[int(item.path.stem) % len(SCALES)]
    return 100 * scale, 150 * scale


def guesses(n: int, seed: int) -> tuple[list[Picture], list[np.ndarray]]:
    """Images with a class each, and the probabilities that a middling model gives."""
    generator = np.random.default_rng(seed)
    actual = generator.integers(0, 3, n)
    scores = generator.dirichlet(np.ones(3), n) + np.eye(3)[actual] * 0.3
    items = [Picture(Path(f"{i}.png"), label=CLASSES[label]) for i, label in enumerate(actual)]
    return items, list(scores / scores.sum(1, keepdims=True))


def detections(n: int, seed: int) -> tuple[list[Picture], list[np.ndarray], list[np.ndarray]]:
    """Images, the boxes in them, and what a middling detector finds: duplicates, misses and phantoms."""
    corners = load("inference.matching").corners
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
        items, truths, results = detections(60, seed=0)
        monkeypatch.setattr(scoring, "boxes", lambda item: truths[int(item.path.stem)])
        monkeypatch.setattr(load("inference.object_scoring"), "pixels", pixels)
    else:
        items, results = guesses(60, seed=0)
    scoring.score(items, results, CLASSES).per_image.to_parquet(tmp_path / "predictions.parquet", index=False)
    images = pd.read_parquet(tmp_path / "predictions.parquet")
    generator = np.random.default_rng(1)
    samples = [np.ones(60, int), *generator.multinomial(60, np.full(60, 1 / 60), 5), np.arange(60) < 2]
    drawn = [np.repeat(np.arange(60), weights) for weights in samples]
    as_scored = [scoring.score([items[i] for i in own], [results[i] for i in own], CLASSES).metrics for own in drawn]
    for name in METRICS[task]:
        [scorer] = filter(None, (function(images, f"infer.{name}") for function in FUNCTIONS))
        for value, expected in zip(scorer(np.array(samples, float).T), as_scored, strict=True):
            for part in name.split("."):
                expected = expected.get(part, {}) if isinstance(expected, dict) else expected
            if isinstance(expected, float) or not name.startswith("confused"):  # of which the first five are told
                assert value == pytest.approx(expected if isinstance(expected, float) else 0, abs=1e-9), name


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_is_cocos_own(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As faster-coco-eval counts it, pycocotools' successor: to 1e-6, for all sizes and each of them."""
    library = pytest.importorskip("faster_coco_eval")
    scoring = load("tasks.detection.evaluation.scoring")
    corners = load("inference.matching").corners
    items, truths, results = detections(40, seed)
    monkeypatch.setattr(scoring, "boxes", lambda item: truths[int(item.path.stem)])
    monkeypatch.setattr(load("inference.object_scoring"), "pixels", pixels)
    ours = scoring.score(items, results, CLASSES).metrics

    def rows(image: int, boxes: np.ndarray, labels: np.ndarray) -> list[dict]:
        height, width = pixels(items[image])
        wide = np.concatenate([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]], axis=1) * [width, height, width, height]
        return [
            {"image_id": image, "category_id": int(label), "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for box, label in zip(wide.tolist(), labels, strict=True)
        ]

    truth, found = library.COCO(), []
    objects = [row for n, boxed in enumerate(truths) for row in rows(n, corners(boxed), boxed[:, 0])]
    for n, result in enumerate(results):
        pairs = zip(rows(n, result[:, :4], result[:, 5]), result[:, 4], strict=True)
        found += [row | {"score": float(score)} for row, score in pairs]
    truth.dataset = {
        "images": [{"id": n, "height": pixels(item)[0], "width": pixels(item)[1]} for n, item in enumerate(items)],
        "annotations": [row | {"id": number} for number, row in enumerate(objects, 1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES)],
    }
    truth.createIndex()
    judge = library.COCOeval_faster(truth, truth.loadRes(found), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    expected = dict(zip(["mAP50_95", "mAP50", "", "AP_small", "AP_medium", "AP_large"], judge.stats, strict=False))
    for name in filter(None, expected):
        assert ours[name] == pytest.approx(expected[name], abs=1e-6), name
