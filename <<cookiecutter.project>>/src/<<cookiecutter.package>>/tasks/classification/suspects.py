"""Suspected label errors: images that a model which did not see them takes for another class.

Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in dataset labels, JAIR 70, 2021: ranked by the
normalized margin of probabilities from which each class's threshold was taken, as cleanlab does with
adjust_pred_probs. So a class that the model is less sure of altogether is not suspected more.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def suspects(images: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """The images whose likeliest class is not their own, with `suspicion` from 0 to 1: half of 1 minus the margin.

    The margin is the probability of the given class minus that of the likeliest other one. What several runs said of
    an image is averaged.
    """
    first = images.groupby("sha256", sort=True).first()
    by_image = images.groupby("sha256", sort=True)["probabilities"]
    said = np.stack([np.mean(np.stack(list(own)), axis=0) for _, own in by_image])
    given = np.array([classes.index(name) for name in first["actual"]])
    probabilities = adjusted(said, given)
    rows = np.arange(len(first))
    own, rest = probabilities[rows, given], probabilities.copy()
    rest[rows, given] = -1
    other = rest.argmax(1)
    margin = own - rest[rows, other]
    table = pd.DataFrame(
        {
            "path": first["path"].to_numpy(),
            "given": first["actual"].to_numpy(),
            "suggested": np.array(classes)[other],
            "suspicion": (1 - margin) / 2,
            "site": first["site"].to_numpy(),
            "sha256": first.index,
        }
    )
    return table.loc[margin < 0, :]


def adjusted(probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) without each class's threshold: its mean probability where it is the given one."""
    present = np.unique(given)
    thresholds = np.zeros(probabilities.shape[1])
    thresholds[present] = [probabilities[given == label, label].mean() for label in present]
    thresholds[thresholds == 0] = thresholds.max()
    above = probabilities - thresholds + thresholds.max()
    return above / above.sum(1, keepdims=True)
