"""Metrics as functions of how often each image counts, so that the bootstrap tells what other images could have shown.

lab.yaml names them. Each is given a run's images, one row an image as results/<stage>/predictions.parquet has them,
and a metric by its key: `f1_macro`, `classes.cat.f1`, `infer.mAP50`, `infer.sites.A.mAP50`, `slices.camera.old.mAP50`.
Names may have dots, all but a column's (shared/prepared.py, slice_name). It gives a function of weights (images, b) to
the metric's values (b,): with each image once, what the stage wrote into metrics/. None where the images don't tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # each run of `lab check` looks for these functions: what takes half a second waits for its use
    import pandas as pd

Scorer = Callable[[np.ndarray], np.ndarray]

_KEY = re.compile(r"(?s)(?:[^.]+\.)?(?:(?P<name>[^.]+)|classes\.(?P<label>.+)\.(?P<of>[^.]+))")
_SITE = re.compile(r"(?s)(?:[^.]+\.)?sites\.(?P<site>.+)\.(?P<name>[^.]+)")
_SLICE = re.compile(r"(?s)(?:[^.]+\.)?slices\.(?P<column>[^.]+)\.(?P<value>.+)\.(?P<name>[^.]+)")
_ERROR = re.compile(r"(?:[^.]+\.)?errors\.(?P<kind>[^.]+)")
_CONFUSED = re.compile(r"(?s)(?:[^.]+\.)?confused\.(?P<pair>.+)")
_SIZES = {"AP_small": (0.0, 32.0**2), "AP_medium": (32.0**2, 96.0**2), "AP_large": (96.0**2, 1e10)}  # square pixels
_APART = (
    10  # the bits of `small`, `medium` and `large` that say where a detection is right, and then where it is left out
)
_SHOWN = 0.25  # detections from this confidence up are shown
_BINS = 10  # of confidence
_RECALLS = np.linspace(0, 1, 101)  # COCO's
ERRORS = ("class", "localisation", "both", "duplicate", "background", "missed")  # kinds, inference/error_kinds.py
_THRESHOLDS = {"mAP50": 1, "AP50": 1, "mAP50_95": 10, "AP50_95": 10}  # how many of the ten IoU thresholds count


def _also_by_part(
    function: Callable[[pd.DataFrame, str], Scorer | None],
) -> Callable[[pd.DataFrame, str], Scorer | None]:
    """The same for a metric of the images of one site, or of one value of another column."""

    @wraps(function)
    def of_part(images: pd.DataFrame, metric: str) -> Scorer | None:
        site, part = _SITE.fullmatch(metric), _SLICE.fullmatch(metric)
        if not site and not part:
            return function(images, metric)
        column, value, name = ("site", site["site"], site["name"]) if site else part.group("column", "value", "name")
        if column not in images:
            return None
        own = (images[column] == value).to_numpy()
        scorer = function(images.loc[own], name) if own.any() else None
        if scorer is None:
            return None
        # Of a draw that has none of them the sample itself is the best guess.
        return lambda weights: scorer(np.where(weights[own].any(0), weights[own], 1.0))

    return of_part


@_also_by_part
def accuracy(images: pd.DataFrame, metric: str) -> Scorer | None:
    """The share of the images that are right: `accuracy`, or `exact_match` where an image has any number of labels."""
    name, column = ("exact_match", "exact") if "exact" in images else ("accuracy", "correct")
    if _parsed(metric) != (name, None) or "objects" in images:
        return None
    correct = images[column].to_numpy(float)
    return lambda weights: correct @ weights / weights.sum(0)


@_also_by_part
def calibration_error(images: pd.DataFrame, metric: str) -> Scorer | None:
    """`ece`: how far confidence and the share that is right lie apart, over ten bins of confidence by their counts.

    Of images with a label each, of all labels of images with any number, or of detections from the confidence that is
    shown, right at IoU 0.5. Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks, ICML 2017, section
    2.
    """
    if _parsed(metric) != ("ece", None) or not {"confidence", "correct"} <= set(images.columns):
        return None
    from scipy.sparse import coo_array

    owner, confidence, right = _forecasts(images)
    gaps = coo_array((right - confidence, (_bin_of(confidence), owner)), shape=(_BINS, len(images))).tocsr()
    counts = np.bincount(owner, minlength=len(images)).astype(float)
    return lambda weights: np.abs(gaps @ weights).sum(0) / np.maximum(counts @ weights, 1)


def reliability(images: pd.DataFrame) -> pd.DataFrame:
    """What the calibration error sums up: a row a bin (its upper end), mean confidence, share that is right, count.

    Bins without any have no row; nor have images without confidences.
    """
    import pandas as pd

    table = pd.DataFrame(columns=["bin", "confidence", "right", "count"])
    if not {"confidence", "correct"} <= set(images.columns):
        return table
    _, confidence, right = _forecasts(images)
    own = pd.DataFrame({"bin": (_bin_of(confidence) + 1) / _BINS, "confidence": confidence, "right": right})
    by_bin: Any = own.groupby("bin")
    return by_bin.mean().round(5).assign(count=by_bin.size()).reset_index() if len(own) else table


def _bin_of(confidence: np.ndarray) -> np.ndarray:
    return np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)


def _forecasts(images: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each confidence that counts: which image's it is, the confidence, and whether it was right, 1 or 0.

    Confidences are rounded: what a batch of another size changes is no other answer.
    """
    if not {"matched", "exact"} & set(images.columns):
        confidence = images["confidence"].to_numpy(float).round(4)
        return np.arange(len(images)), confidence, images["correct"].to_numpy(float)
    owner = np.repeat(np.arange(len(images)), [len(values) for values in images["confidence"]])
    hits = "matched" if "matched" in images else "correct"
    confidence, right = (np.concatenate([np.asarray(row) for row in images[c]]) for c in ("confidence", hits))
    counts = confidence >= (_SHOWN if "matched" in images else 0)
    confidence = confidence.astype(float).round(4)
    return owner[counts], confidence[counts], right[counts].astype(int) % 2  # `matched` at IoU 0.5


def agreement(images: pd.DataFrame, metric: str) -> Scorer | None:
    """How far a converted network says what PyTorch says, `quant.parity.agreement`: a mean over the images."""
    if metric.removeprefix("quant.") != "parity.agreement" or "agreement" not in images:
        return None
    agreed = images["agreement"].to_numpy(float)
    return lambda weights: agreed @ weights / weights.sum(0)


@_also_by_part
def f1(images: pd.DataFrame, metric: str) -> Scorer | None:
    """`f1_macro`, `f1_micro`, and `f1`, `precision` and `recall` of a class, of images with one label each or several.

    The macro-F1 is over the classes that the images have; the micro-F1 counts every label alike.
    """
    name, label = _parsed(metric)
    if "objects" in images:
        return None
    if label is None:
        return _by_class(images, name, None) if name in ("f1_macro", "f1_micro") else None
    return _by_class(images, name, label) if name in ("f1", "precision", "recall") else None


@_also_by_part
def average_precision(images: pd.DataFrame, metric: str) -> Scorer | None:
    """`mAP50` and `mAP50_95`, `AP50` and `AP50_95` of a class, `AP_small`, `AP_medium` and `AP_large`, of boxes."""
    name, label = _parsed(metric)
    if "matched" not in images:
        return None
    if name in _SIZES and label is None and "areas" in images:
        return _average_precision(images, 10, None, name)
    if name not in _THRESHOLDS or name.startswith("m") != (label is None):
        return None
    return _average_precision(images, _THRESHOLDS[name], label)


def error_loss(images: pd.DataFrame, metric: str) -> Scorer | None:
    """`errors.class`, `errors.missed` …: by how much mAP50 would be higher were there no errors of the kind.

    Of boxes and masks. Bolya, Foley, Hays and Hoffman, TIDE, ECCV 2020, section 2.3: a detection with a wrong class or
    place is put right, or left out where its object is another's; one of any other kind is left out; an object that was
    missed is no longer asked for.
    """
    match = _ERROR.fullmatch(metric)
    if not match or match["kind"] not in ERRORS or "right_as" not in images:
        return None
    before = _average_precision(images, 1, None)
    after = _average_precision(_mended(images, match["kind"]), 1, None)
    return lambda weights: after(weights) - before(weights)


def _mended(images: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The images without the errors of a kind, as far as average precision at IoU 0.5 sees them."""
    if kind == "missed":
        rows = zip(images["actual"], images["missed"], strict=True)
        asked = [np.asarray(actual, object)[~np.asarray(missed, bool)] for actual, missed in rows]
        return images.assign(actual=asked)
    detections: dict[str, list[np.ndarray]] = {name: [] for name in ("predicted", "confidence", "matched")}
    columns = ("error", "right_as", *detections)
    for row in zip(*(images[column] for column in columns), strict=True):
        error, right_as, predicted, confidence, matched = map(np.asarray, row)
        wrong = error == kind
        kept = ~wrong | (right_as != "")
        detections["predicted"].append(np.where(wrong, right_as, predicted)[kept])
        detections["confidence"].append(confidence[kept])
        detections["matched"].append(np.where(wrong, 1, matched)[kept])
    return images.assign(**detections)


def confused(images: pd.DataFrame, metric: str) -> Scorer | None:
    """`confused.cat as dog`: the share of the images that are a cat and were taken for a dog, of one label or several.

    With several: in which a cat is missed, and a dog seen that isn't there.
    """
    match = _CONFUSED.fullmatch(metric)
    if not match or "objects" in images:
        return None
    labels = zip(images["actual"], images["predicted"], strict=True)
    pair = np.array([match["pair"] in swapped(*each) for each in labels], float)
    return lambda weights: pair @ weights / weights.sum(0)


def swapped(actual: str | Iterable[str], predicted: str | Iterable[str]) -> list[str]:
    """`cat as dog` of one image: each label that is missed with each that is seen and isn't there."""
    there, seen = _labels(actual), _labels(predicted)
    return [f"{missed} as {added}" for missed in sorted(there - seen) for added in sorted(seen - there)]


def _parsed(metric: str) -> tuple[str, str | None]:
    """A key's metric and class; no class where it is over all of them."""
    match = _KEY.fullmatch(metric)
    return (match["of"] or match["name"], match["label"]) if match else ("", None)


def _by_class(images: pd.DataFrame, what: str, label: str | None) -> Scorer:
    """F1, precision or recall of one class, or over the classes that the images have, as scikit-learn's."""
    actual, predicted = ([_labels(value) for value in images[side]] for side in ("actual", "predicted"))
    sides = [*actual, *predicted] if what == "f1_micro" else actual
    labels = sorted(set().union(*sides)) if label is None else [label]
    is_actual, is_predicted = (
        np.array([[name in own for own in side] for name in labels], float) for side in (actual, predicted)
    )
    hits = is_actual * is_predicted

    def score(weights: np.ndarray) -> np.ndarray:
        hit, there, called = (side @ weights for side in (hits, is_actual, is_predicted))
        if what == "f1_micro":
            hit, there, called = (side.sum(0, keepdims=True) for side in (hit, there, called))
        kinds = {"f1": (2 * hit, there + called), "precision": (hit, called), "recall": (hit, there)}
        above, below = kinds[what.split("_")[0]]
        values = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        present = there > 0
        return np.where(present, values, 0).sum(0) / np.maximum(present.sum(0), 1)

    return score


def _labels(value: str | Iterable[str]) -> set[str]:
    """An image's labels, whether it has one or any number."""
    return {value} if isinstance(value, str) else set(value)


@_also_by_part
def label_precision(images: pd.DataFrame, metric: str) -> Scorer | None:
    """`mAP`, and `AP` of a class, of images with any number of labels: the area under precision over recall, in steps.

    As scikit-learn's average_precision_score has it; the mean is over the classes that the images have.
    """
    name, label = _parsed(metric)
    if "exact" not in images or name != ("mAP" if label is None else "AP"):
        return None
    there, confidence = (np.stack([np.asarray(row, float) for row in images[c]]) for c in ("correct", "confidence"))
    if label is None:
        chosen = np.flatnonzero(there.any(0))
    else:
        first = next(row for row, labels in enumerate(images["actual"]) if label in labels)
        chosen = np.flatnonzero(there[first])[[list(images["actual"].iloc[first]).index(label)]]
    orders = [np.argsort(-confidence[:, index], kind="stable") for index in chosen]

    def score(weights: np.ndarray) -> np.ndarray:
        total, present = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for index, order in zip(chosen, orders, strict=True):
            ends = np.append(np.diff(confidence[order, index]) != 0, True)  # equals come together
            seen = np.cumsum(weights[order], axis=0)[ends]
            hits = np.cumsum(weights[order] * there[order, index, None], axis=0)[ends]
            steps = np.diff(hits, axis=0, prepend=0) * hits / np.maximum(seen, 1e-12)
            present += hits[-1] > 0
            total += steps.sum(0) / np.maximum(hits[-1], 1)
        return total / np.maximum(present, 1)

    return score


def _average_precision(images: pd.DataFrame, thresholds: int, label: str | None, size: str = "") -> Scorer:
    """Average precision at the first IoU thresholds, of a class or over those that the images have, as COCO counts it.

    With a `size` it is of the objects of that size alone.
    """

    def flat(column: str, kind: type) -> np.ndarray:
        return np.concatenate([np.asarray(values).astype(kind) for values in images[column]])

    def owner(column: str) -> np.ndarray:
        return np.repeat(np.arange(len(images)), [len(values) for values in images[column]])

    best_first = np.argsort(-flat("confidence", float), kind="stable")
    label_of, image = flat("predicted", str)[best_first], owner("predicted")[best_first]
    bits = flat(size.removeprefix("AP_") or "matched", int)[best_first]
    truth, of = flat("actual", str), owner("actual")
    if size:
        areas, (low, high) = flat("areas", float), _SIZES[size]
        truth, of = truth[there := (areas >= low) & (areas <= high)], of[there]
    classes = []
    for name in np.unique(truth) if label is None else [label]:
        own = label_of == name
        curves = []
        for t in range(thresholds):
            hit, aside = ((bits[own] >> place & 1).astype(bool) for place in (t, t + _APART))
            curves.append(_Curve(image[own][~aside], hit[~aside], len(images)))
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
        from scipy.sparse import coo_array

        self.at = image[hit]
        gap = np.cumsum(hit) - hit  # how many hits came before
        counts = (~hit & (gap < len(self.at))).astype(float)
        row = np.minimum(gap, max(0, len(self.at) - 1))
        self.misses = coo_array((counts, (row, image)), shape=(max(1, len(self.at)), images)).tocsr()

    def area(self, weights: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """The mean precision (b,) at 101 recalls, of `objects` (b,) of the class; 0 where there are none.

        At each recall the best precision that is reached there or later counts; what is never reached counts 0.
        """
        draws = weights.shape[1]
        if not len(self.at):
            return np.zeros(draws)
        hits, misses = np.cumsum(weights[self.at], axis=0), np.cumsum(self.misses @ weights, axis=0)
        both = hits + misses
        precision = np.divide(hits, both, out=np.zeros_like(both), where=both > 0)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        recall = hits / np.maximum(objects, 1)
        values = np.zeros(draws)
        for draw in np.flatnonzero(objects > 0):
            first = np.searchsorted(recall[:, draw], _RECALLS, side="left")
            values[draw] = envelope[first[first < len(recall)], draw].sum() / len(_RECALLS)
        return values
