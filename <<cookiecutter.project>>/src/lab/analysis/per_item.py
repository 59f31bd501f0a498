"""Metrics as functions of how often each test item counts.

So two models can be compared on the same items, and the bootstrap tells what other items could have shown; items that
belong together, such as those of one patient, are weighed as one. What a metric comes to for such weights is the
project's own code, which `Examples.scorer` hands in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lab.contract.models import Predictions
    from lab.study import Examples

Scorer = Callable[["np.ndarray"], "np.ndarray"]  # weights (items, b) to values of the metric (…, b)


def cluster(predictions: Predictions | None, frames: Sequence[pd.DataFrame]) -> str:
    """The column of items that belong together, such as a patient's; empty where none do, or not each table has it."""
    column = predictions.cluster if predictions else None
    if not column or not all(column in frame for frame in frames):
        return ""
    return column if any(frame[column].duplicated().any() for frame in frames) else ""


def scores(
    frames: Sequence[pd.DataFrame], metric: str, examples: Examples, item: str = "path"
) -> tuple[Scorer, int] | None:
    """What each of the tables scores, as a function of weights (n, b) to values (tables, b); and of how many things, n.

    An item that several have seen has one weight for all, so that they are compared in pairs. None where a metric
    doesn't follow from the items.

    Args:
        frames: tables, a row an item.
        metric: its name.
        examples: knows how a table is scored.
        item: the column that tells apart what is weighed: the items, or the clusters that they belong to.
    """
    import numpy as np

    scorers = [scorer for scorer in (examples.scorer(frame, metric) for frame in frames) if scorer]
    if len(scorers) < len(frames):
        return None
    position = {name: i for i, name in enumerate(dict.fromkeys(name for frame in frames for name in frame[item]))}
    places = [np.array([position[name] for name in frame[item]]) for frame in frames]

    def score(weights: np.ndarray) -> np.ndarray:
        parts = [scorer(weights[at]) for scorer, at in zip(scorers, places, strict=True)]
        return np.stack(parts) if parts else np.zeros((0, weights.shape[1]))

    return score, len(position)


def difference(
    arms: Sequence[pd.DataFrame], others: Sequence[pd.DataFrame], metric: str, examples: Examples, item: str = "path"
) -> tuple[Scorer, int] | None:
    """How much better `arms` score than `others`, on the mean, as a function of weights (n, b) to values (b,); and n.

    Without `others` it is the mean score of `arms`. The arguments are those of `scores`.
    """
    import numpy as np

    scored = scores([*arms, *others], metric, examples, item)
    if scored is None:
        return None
    signs = np.array([1 / len(arms)] * len(arms) + [-1 / max(1, len(others))] * len(others))
    score, n = scored
    return lambda weights: signs @ score(weights), n


def by_seed(
    arms: Sequence[pd.DataFrame], others: Sequence[pd.DataFrame], metric: str, examples: Examples, item: str = "path"
) -> tuple[Scorer, int] | None:
    """The same seed by seed, of as many tables on both sides: weights (n, b) to values (seeds, b); and n."""
    scored = scores([*arms, *others], metric, examples, item)
    if scored is None:
        return None
    score, n = scored

    def differences(weights: np.ndarray) -> np.ndarray:
        values = score(weights)
        return values[: len(arms)] - values[len(arms) :] if others else values

    return differences, n
