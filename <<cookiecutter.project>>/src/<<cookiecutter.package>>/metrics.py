"""Metrics as functions of how often each image counts, so that the bootstrap tells what other images could have shown.

lab.yaml names them. Each is given a run's images, one row an image as results/<stage>/predictions.parquet has them, and
a metric by its key, such as `f1_macro`, `classes.cat.f1`, `infer.mAP50` or `infer.sites.A.mAP50`. It gives a function of
weights (images, b) to the metric's values (b,): with each image once, what the stage wrote into metrics/. None where the
images don't tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

if TYPE_CHECKING:
    import pandas as pd

Scorer = Callable[[np.ndarray], np.ndarray]

_KEY = re.compile(r"(?:[^.]+\.)?(?:(?P<name>[^.]+)|classes\.(?P<label>.+)\.(?P<of>[^.]+))")
_SITE = re.compile(r"(?:[^.]+\.)?sites\.(?P<site>.+)\.(?P<name>[^.]+)")
_THRESHOLDS = {"mAP50": 1, "AP50": 1, "mAP50_95": 10, "AP50_95": 10}  # how many of the ten IoU thresholds count


def _also_by_site(
    function: Callable[[pd.DataFrame, str], Scorer | None],
) -> Callable[[pd.DataFrame, str], Scorer | None]:
    """The same for a metric of one site's images."""

    @wraps(function)
    def of_site(images: pd.DataFrame, metric: str) -> Scorer | None:
        match = _SITE.fullmatch(metric)
        if not match:
            return function(images, metric)
        own = (images["site"] == match["site"]).to_numpy()
        scorer = function(images[own], match["name"])
        return (lambda weights: scorer(weights[own])) if scorer else None

    return of_site


@_also_by_site
def accuracy(images: pd.DataFrame, metric: str) -> Scorer | None:
    """The share of the images that are right."""
    if _parsed(metric) != ("accuracy", None) or "objects" in images:
        return None
    correct = images["correct"].to_numpy(float)
    return lambda weights: correct @ weights / weights.sum(0)


def agreement(images: pd.DataFrame, metric: str) -> Scorer | None:
    """How far a converted network says what PyTorch says, `quant.parity.agreement`: a mean over the images."""
    if metric.removeprefix("quant.") != "parity.agreement" or "agreement" not in images:
        return None
    agreed = images["agreement"].to_numpy(float)
    return lambda weights: agreed @ weights / weights.sum(0)


@_also_by_site
def f1(images: pd.DataFrame, metric: str) -> Scorer | None:
    """`f1_macro`, and `f1`, `precision` and `recall` of a class, of images with one label each."""
    name, label = _parsed(metric)
    if "objects" in images:
        return None
    if label is None:
        return _by_class(images, "f1", None) if name == "f1_macro" else None
    return _by_class(images, name, label) if name in ("f1", "precision", "recall") else None


@_also_by_site
def average_precision(images: pd.DataFrame, metric: str) -> Scorer | None:
    """`mAP50` and `mAP50_95`, and `AP50` and `AP50_95` of a class, of images with boxes."""
    name, label = _parsed(metric)
    if "matched" not in images or name not in _THRESHOLDS or name.startswith("m") != (label is None):
        return None
    return _average_precision(images, _THRESHOLDS[name], label)


def _parsed(metric: str) -> tuple[str, str | None]:
    """A key's metric and class; no class where it is over all of them."""
    match = _KEY.fullmatch(metric)
    return (match["of"] or match["name"], match["label"]) if match else ("", None)


def _by_class(images: pd.DataFrame, what: str, label: str | None) -> Scorer:
    """F1, precision or recall of one class, or the mean over the classes that the images have, as scikit-learn's."""
    actual, predicted = images["actual"].to_numpy(str), images["predicted"].to_numpy(str)
    labels = np.unique(actual) if label is None else np.array([label])
    is_actual, is_predicted = (side[None, :] == labels[:, None] for side in (actual, predicted))
    hits = (is_actual & is_predicted).astype(float)
    is_actual, is_predicted = is_actual.astype(float), is_predicted.astype(float)

    def score(weights: np.ndarray) -> np.ndarray:
        hit, there, called = (side @ weights for side in (hits, is_actual, is_predicted))
        above, below = {"f1": (2 * hit, there + called), "precision": (hit, called), "recall": (hit, there)}[what]
        values = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        present = there > 0
        return np.where(present, values, 0).sum(0) / np.maximum(present.sum(0), 1)

    return score


def _average_precision(images: pd.DataFrame, thresholds: int, label: str | None) -> Scorer:
    """Average precision at the first IoU thresholds, of a class or over those that the images have, as Ultralytics'."""

    def flat(column: str, kind: type) -> np.ndarray:
        return np.concatenate([np.asarray(values).astype(kind) for values in images[column]])

    def owner(column: str) -> np.ndarray:
        return np.repeat(np.arange(len(images)), [len(values) for values in images[column]])

    best_first = np.argsort(-flat("confidence", float))
    label_of, image = flat("predicted", str)[best_first], owner("predicted")[best_first]
    matched, truth, of = flat("matched", int)[best_first], flat("actual", str), owner("actual")
    classes = []
    for name in np.unique(truth) if label is None else [label]:
        own = label_of == name
        hits = [(matched[own] // 2**t % 2).astype(bool) for t in range(thresholds)]
        curves = [_Curve(image[own], hit, len(images)) for hit in hits]
        classes.append((np.bincount(of[truth == name], minlength=len(images)).astype(float), curves))

    def score(weights: np.ndarray) -> np.ndarray:
        total, present = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for objects, curves in classes:
            number = objects @ weights
            present += number > 0
            total += sum(curve.area(weights, number) for curve in curves) / thresholds
        return total / np.maximum(present, 1)

    return score


class _Curve:
    """Precision over recall of one class at one IoU threshold, under any weights of the images.

    The curve's corners lie at the hits, so that only the misses between one hit and the next have to be counted.
    """

    def __init__(self, image: np.ndarray, hit: np.ndarray, images: int):
        """`image` is each detection's, the most confident first, and `hit` whether it is right."""
        self.at = image[hit]
        gap = np.cumsum(hit) - hit  # how many hits came before
        counts = (~hit & (gap < len(self.at))).astype(float)
        row = np.minimum(gap, max(0, len(self.at) - 1))
        self.misses = coo_array((counts, (row, image)), shape=(max(1, len(self.at)), images)).tocsr()

    def area(self, weights: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """The area below the curve, by 101 recalls, for `objects` (b,) of the class; 0 where there are none."""
        draws = weights.shape[1]
        if not len(self.at):
            return np.zeros(draws)
        hits = np.vstack([np.zeros(draws), np.cumsum(weights[self.at], axis=0)])
        misses = np.cumsum(self.misses @ weights, axis=0)
        # Each hit twice: as it is found, and after the misses that follow it. The first row is before any.
        right, wrong = np.repeat(hits, 2, axis=0)[1:-1], np.repeat(misses, 2, axis=0)
        both = right + wrong
        precision = np.divide(right, both, out=np.ones_like(both), where=both > 0)
        nothing, one = np.zeros((1, draws)), np.ones((1, draws))
        precision = np.vstack([one, precision, nothing, nothing])
        recall = np.vstack([nothing, right / np.maximum(objects, 1), hits[-1:] / np.maximum(objects, 1), one])
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        grid = np.linspace(0, 1, 101)
        curves = np.array([np.interp(grid, *curve) for curve in zip(recall.T, envelope.T, strict=True)])
        return np.where(objects > 0, np.trapezoid(curves, grid, axis=1), 0)
