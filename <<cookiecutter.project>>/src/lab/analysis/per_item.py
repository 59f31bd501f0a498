"""Metrics as functions of how often each test item counts.

So two models can be compared on the same items, and the bootstrap tells what other items could have shown. What a
metric comes to for such weights is the project's own code, which `Examples.scorer` hands in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lab.study import Examples

Scorer = Callable[["np.ndarray"], "np.ndarray"]  # weights (items, b) to the metric's values (b,)


def difference(
    arms: Sequence[pd.DataFrame], others: Sequence[pd.DataFrame], metric: str, examples: Examples, item: str = "path"
) -> tuple[Scorer, int] | None:
    """How much better `arms` score than `others`, seed by seed, on the mean; and of how many items.

    An item that both have seen has one weight for both, so that they are compared in pairs. Without `others` it is the
    mean score of `arms`. None where a metric doesn't follow from the items.

    Args:
        arms, others: tables, a row an item.
        metric: its name.
        examples: knows how a table is scored.
        item: the column that tells items apart.
    """
    import numpy as np

    frames = [*arms, *others]
    scorers = [scorer for scorer in (examples.scorer(frame, metric) for frame in frames) if scorer]
    if len(scorers) < len(frames):
        return None
    position = {name: i for i, name in enumerate(dict.fromkeys(name for frame in frames for name in frame[item]))}
    places = [np.array([position[name] for name in frame[item]]) for frame in frames]
    signs = [1 / len(arms)] * len(arms) + [-1 / max(1, len(others))] * len(others)

    def score(weights: np.ndarray) -> np.ndarray:
        parts = [sign * scorer(weights[at]) for sign, scorer, at in zip(signs, scorers, places, strict=True)]
        return sum(parts, np.zeros(weights.shape[1]))

    return score, len(position)
