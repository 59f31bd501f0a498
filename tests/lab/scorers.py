"""Metrics of what was said of each test item, as a project's own functions make them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from lab.study import Examples

Scorer = Callable[[np.ndarray], np.ndarray]


def examples(frames: dict[tuple[str, int], pd.DataFrame]) -> Examples:
    """What was said of the items of each run, by arm and seed."""
    return Examples(frames, scorer)


def scorer(frame: pd.DataFrame, metric: str) -> Scorer | None:
    """The accuracy, or the F1 of a class or on the mean over the classes, under weights (items, b)."""
    name = metric.partition(".")[2]
    if name == "accuracy":
        return partial(_mean, frame["correct"].to_numpy(float))
    if name == "f1_macro":
        return partial(_f1, frame, sorted(set(frame["actual"])))
    if name.startswith("classes.") and name.endswith(".f1"):
        return partial(_f1, frame, [name.split(".")[1]])
    return None


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return values @ weights / weights.sum(0)


def _f1(frame: pd.DataFrame, labels: list[str], weights: np.ndarray) -> np.ndarray:
    known = np.array(labels)[:, None]
    actual, predicted = (frame[name].to_numpy(str)[None] == known for name in ("actual", "predicted"))
    hits, there, said = (side.astype(float) @ weights for side in (actual & predicted, actual, predicted))
    scores = np.divide(2 * hits, there + said, out=np.zeros_like(hits), where=there > 0)
    return scores.sum(0) / np.maximum((there > 0).sum(0), 1)
