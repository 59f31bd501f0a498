"""Several networks asked as one: voting for classification, weighted box fusion for detection.

Voting works on probabilities (members, images, classes) and gives scores (images, classes) that sum to 1 for an image
and whose largest is the decision. Scores, and not labels alone, so that curves and per-image results need no other code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import UserError, nearest
from . import evaluation

LEAST_MEMBERS = 3  # two can only agree or cancel each other out


def check_members(count: int) -> None:
    """Raises UserError below three members."""
    if count < LEAST_MEMBERS:
        raise UserError(
            f"infer.members names {count} model{'' if count == 1 else 's'}, but an ensemble needs at least "
            f"{LEAST_MEMBERS}: add more, or evaluate a single one by infer.model"
        )


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


def fuse_boxes(members: Sequence[np.ndarray], iou: float = 0.55) -> np.ndarray:
    """Weighted box fusion of several detectors' boxes in one image.

    Boxes of a class that overlap by more than `iou` become one box: the mean of their corners weighted by their scores.
    Its score is their mean score, lowered in proportion where only some members found it.
    Solovyev, Wang, Gabruseva, Weighted boxes fusion, Image and Vision Computing 2021, arXiv:1910.13302, section 3.

    Args:
        members: for each detector (n, 6) rows of x1, y1, x2, y2, score, class, in any one unit.
        iou: the overlap above which two boxes are taken for the same object; 0.55 is the paper's best.

    Returns:
        (k, 6) rows of the same kind, the highest score first.

    Raises:
        UserError: fewer than three members.
    """
    check_members(len(members))
    boxes = np.concatenate([np.asarray(member, dtype=np.float64).reshape(-1, 6) for member in members])
    fused = [_fuse_class(boxes[boxes[:, 5] == label], len(members), iou) for label in np.unique(boxes[:, 5])]
    result = np.concatenate([np.empty((0, 6)), *fused])
    return result[np.argsort(-result[:, 4], kind="stable")]


def _fuse_class(boxes: np.ndarray, members: int, iou: float) -> np.ndarray:
    """The boxes of one class, the surest first, each joined to the fused box that it overlaps most, or starting one."""
    fused = np.empty_like(boxes)
    clusters: list[list[np.ndarray]] = []
    for box in boxes[np.argsort(-boxes[:, 4], kind="stable")]:
        overlaps = evaluation.iou(box[None, :4], fused[: len(clusters), :4])[0]
        if np.any(overlaps > iou):
            chosen = int(overlaps.argmax())
            clusters[chosen].append(box)
        else:
            chosen = len(clusters)
            clusters.append([box])
        fused[chosen] = _weighted_mean(np.array(clusters[chosen]))
    fused = fused[: len(clusters)]
    sizes = np.array([len(cluster) for cluster in clusters])
    fused[:, 4] *= np.minimum(sizes, members) / members
    return fused


def _weighted_mean(cluster: np.ndarray) -> np.ndarray:
    """One box (6,) for a cluster (n, 6): corners weighted by score, the mean score, the class they share."""
    scores = cluster[:, 4]
    weights = scores if scores.sum() > 0 else np.ones_like(scores)
    return np.concatenate([np.average(cluster[:, :4], axis=0, weights=weights), [scores.mean(), cluster[0, 5]]])
