"""What is wrong with detections: kinds by hand, and what each costs by the reference's numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_metrics_samples import CLASSES, detections, pixels
from workspace import load

kinds = load("inference.error_kinds")
matching = load("inference.matching")
metrics = load("metrics")

BOX = (0.1, 0.1, 0.5, 0.5)
NEAR_IT = (0.1, 0.1, 0.5, 0.25)  # IoU 0.375
ALMOST = (0.1, 0.1, 0.5, 0.45)  # IoU 0.875
ELSEWHERE = (0.7, 0.7, 0.9, 0.9)
RIGHT = (BOX, 0)
TIDECV = {  # what tidecv 1.0.1 says of made-up sets, by their seeds
    0: [0.038773893587, 0.083939674336, 0.020899221553, 0.004077127229, 0.140547097915, 0.083561173148],
    1: [0.02847903757, 0.100773494819, 0.015163576632, 0.003966939857, 0.1229516784, 0.068934390235],
    2: [0.057643432097, 0.083692768199, 0.007326264541, 0.003382663941, 0.081654779231, 0.079396810835],
}


def errors(found: list[tuple[tuple[float, ...], int]], truth: list[tuple[tuple[float, ...], int]]) -> tuple:
    """Kind, class and missed objects of detections of a class each, the surest first."""
    boxes = np.array([[*box, 1 - 0.1 * n, label] for n, (box, label) in enumerate(found)]).reshape(-1, 6)
    low_high = np.array([box for box, _ in truth]).reshape(-1, 4)
    labels = np.array([label for _, label in truth]).reshape(-1, 1)
    objects = np.hstack([labels, (low_high[:, :2] + low_high[:, 2:]) / 2, low_high[:, 2:] - low_high[:, :2]])
    found_errors = kinds.errors(boxes, objects, matching.iou(boxes[:, :4], matching.corners(objects)))
    return found_errors.kind.tolist(), found_errors.right_as.tolist(), found_errors.missed.tolist()


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([RIGHT], [RIGHT], ([""], [-1], [False])),
        ([(BOX, 1)], [RIGHT], (["class"], [0], [False])),
        ([(NEAR_IT, 0)], [RIGHT], (["localisation"], [0], [False])),
        ([(NEAR_IT, 1)], [RIGHT], (["both"], [-1], [True])),
        ([(ELSEWHERE, 0)], [RIGHT], (["background"], [-1], [True])),
        ([RIGHT, (ALMOST, 0)], [RIGHT], (["", "duplicate"], [-1, -1], [False])),
        ([RIGHT, (NEAR_IT, 0)], [RIGHT], (["", "localisation"], [-1, -1], [False])),  # its object is found already
        ([(BOX, 1), (ALMOST, 1)], [RIGHT], (["class", "class"], [0, -1], [False])),  # the surer one is put right
        ([], [RIGHT], ([], [], [True])),
        ([RIGHT], [], (["background"], [-1], [])),
    ],
)
def test_kinds_by_hand(found: list, truth: list, expected: tuple) -> None:
    assert errors(found, truth) == expected


def test_what_a_kind_costs_by_hand() -> None:
    """Two cats: one found, the other taken for a dog, with less confidence: AP is 51 / 101, and mended 1."""
    images = pd.DataFrame({"actual": [["cat", "cat"]], "predicted": [["cat", "dog"]], "confidence": [[0.9, 0.8]]})
    images["matched"], images["error"], images["right_as"] = [[1023, 0]], [["", "class"]], [["", "cat"]]
    images["missed"] = [[False, False]]
    costs = {kind: metrics.error_loss(images, f"infer.errors.{kind}")(np.ones((1, 1)))[0] for kind in metrics.ERRORS}
    assert costs == pytest.approx(dict.fromkeys(metrics.ERRORS, 0) | {"class": 50 / 101})
    assert metrics.error_loss(images, "infer.errors.colour") is None
    assert metrics.error_loss(images.drop(columns="right_as"), "infer.errors.class") is None, "runs of before"


@pytest.mark.parametrize(("seed", "expected"), TIDECV.items())
def test_what_each_kind_costs_is_what_tidecv_says(
    seed: int, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    scoring = load("tasks.detection.evaluation.scoring")
    items, truths, results = detections(60, seed)
    generator = np.random.default_rng(seed)
    for rows in results:
        rows[:, 5] = np.where(generator.random(len(rows)) < 0.2, (rows[:, 5] + 1) % 3, rows[:, 5])
        rows[:, :4] += (generator.random((len(rows), 1)) < 0.2) * generator.normal(0, 0.05, (len(rows), 1))
    monkeypatch.setattr(scoring, "boxes", lambda item: truths[int(item.path.stem)])
    monkeypatch.setattr(load("inference.object_scoring"), "pixels", pixels)
    monkeypatch.setattr(metrics, "_RECALLS", np.array([x / 100 for x in range(101)]))  # COCO's differ in the last bit
    measured = scoring.score(items, results, CLASSES).metrics["errors"]
    assert [measured[kind] for kind in metrics.ERRORS] == pytest.approx(expected, abs=1e-9)
