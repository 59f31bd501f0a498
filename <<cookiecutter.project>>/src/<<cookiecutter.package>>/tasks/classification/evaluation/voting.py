"""Several networks asked as one, by voting.

Voting works on probabilities (members, images, classes) and gives scores (images, classes) that sum to 1 for an image
and whose largest is the decision: scores, and not labels alone, so that curves and per-image results need no more code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....inference.ensemble import check_members
from ....shared.errors import UserError, nearest


def vote(probabilities: np.ndarray, voting: str) -> np.ndarray:
    """The members' joint scores by `hard`, `soft` or `rank`.

    Args:
        probabilities: (members, images, classes), each row summing to 1.
        voting: a name in VOTING.

    Returns:
        (images, classes) float64, each row summing to 1.

    Raises:
        UserError: fewer than three members, or an unknown way of voting.
    """
    check_members(len(probabilities))
    if voting not in VOTING:
        raise UserError(f"infer.voting={voting} is not one of {', '.join(VOTING)}.{nearest(voting, VOTING)}")
    return VOTING[voting](np.asarray(probabilities, dtype=np.float64))


def soft(probabilities: np.ndarray) -> np.ndarray:
    """The mean probability. The members should be about equally calibrated."""
    return probabilities.mean(axis=0)


def hard(probabilities: np.ndarray) -> np.ndarray:
    """The share of the members that put a class first; equal shares are decided by the mean probability."""
    members, _, classes = probabilities.shape
    shares = np.eye(classes)[probabilities.argmax(axis=2)].mean(axis=0)
    return _break_ties(shares, probabilities, step=1 / members)


def rank(probabilities: np.ndarray) -> np.ndarray:
    """Borda count: a member gives a class one point for each class that it ranks below, half a point for an equal one.

    Blind to how sure the members are, so it suits members whose calibration differs. Equal counts are decided by the
    mean probability. de Borda, Mémoire sur les élections au scrutin, 1781.
    """
    from scipy.stats import rankdata

    members, _, classes = probabilities.shape
    points_of_a_member = max(classes * (classes - 1) / 2, 1)
    points = (rankdata(probabilities, axis=2) - 1).mean(axis=0) / points_of_a_member
    return _break_ties(points, probabilities, step=0.5 / members / points_of_a_member)


def _break_ties(scores: np.ndarray, probabilities: np.ndarray, step: float) -> np.ndarray:
    """Mix in so little of the mean probability that it decides between equal scores only.

    `step` is the smallest difference between two unequal scores.
    """
    little = step / 2
    return (1 - little) * scores + little * probabilities.mean(axis=0)


VOTING: dict[str, Callable[[np.ndarray], np.ndarray]] = {"hard": hard, "soft": soft, "rank": rank}
