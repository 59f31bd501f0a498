"""Several networks asked as one, by voting on each label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....inference.ensemble import check_members
from ....shared.errors import UserError, nearest


def vote(predictions: np.ndarray, voting: str) -> np.ndarray:
    """The members' joint predictions by `hard`, `soft` or `rank`.

    Args:
        predictions: (members, images, 2, classes): probabilities and thresholds.
        voting: a name in VOTING.

    Returns:
        (images, 2, classes) float64.

    Raises:
        UserError: fewer than three members, or an unknown way of voting.
    """
    check_members(len(predictions))
    if voting not in VOTING:
        raise UserError(f"infer.voting={voting} is not one of {', '.join(VOTING)}.{nearest(voting, VOTING)}")
    probabilities, thresholds = np.moveaxis(np.asarray(predictions, dtype=np.float64), 2, 0)
    return np.stack(VOTING[voting](probabilities, thresholds), axis=1)


def soft(probabilities: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean probability against the mean threshold."""
    return probabilities.mean(0), thresholds.mean(0)


def hard(probabilities: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of the members that give the label, half of them being enough; the mean probability orders equals."""
    members = len(probabilities)
    little = 0.5 / members
    shares = (probabilities >= thresholds).mean(0)
    scores = (1 - little) * shares + little * probabilities.mean(0)
    return scores, np.full_like(scores, (1 - little) * 0.5)


def rank(probabilities: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of what each member's odds are of those at its own threshold, so that their calibration may differ."""
    odds = _logit(probabilities) - _logit(thresholds)
    return 1 / (1 + np.exp(-odds.mean(0))), np.full(probabilities.shape[1:], 0.5)


def _logit(probability: np.ndarray) -> np.ndarray:
    inside = probability.clip(1e-7, 1 - 1e-7)
    return np.log(inside / (1 - inside))


VOTING: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "hard": hard,
    "soft": soft,
    "rank": rank,
}
