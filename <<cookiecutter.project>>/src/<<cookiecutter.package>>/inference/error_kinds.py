"""What is wrong with the detections that are no objects, and with the objects that were not detected.

Bolya, Foley, Hays and Hoffman, TIDE: A general toolbox for identifying object detection errors, ECCV 2020, at IoU 0.5,
by the order in which its code (tidecv) asks. What each kind costs, metrics.py tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIGHT = 0.5  # the IoU from which on a detection is of an object
NEAR = 0.1  # and that up to which it is of nothing


@dataclass(frozen=True)
class Errors:
    """The errors of an image.

    Of each detection (k,): its `kind`, empty where it is right, and the number of the class with which it would be
    `right_as`, were it mended; -1 where it would be left out: its object is another detection's, or it has none. Of
    each object (n,): whether it was `missed`, so that no detection could be mended to be its.
    """

    kind: np.ndarray
    right_as: np.ndarray
    missed: np.ndarray


def errors(detections: np.ndarray, truth: np.ndarray, overlaps: np.ndarray) -> Errors:
    """Those of detections (k, 6), the best first, and objects (n, 5: class, …), whose IoU are `overlaps` (k, n)."""
    is_own = detections[:, 5:6] == truth[None, :, 0]
    own, other = np.where(is_own, overlaps, 0), np.where(is_own, 0, overlaps)
    right, free = np.zeros(len(detections), bool), np.ones(len(truth), bool)
    for number in np.flatnonzero(own.max(1, initial=0) >= RIGHT):
        best = int((own[number] * free).argmax())
        if free[best] and own[number, best] >= RIGHT:
            right[number], free[best] = True, False
    nearest = own.max(1, initial=0)
    kind = np.select(
        [
            right,
            (nearest >= NEAR) & (nearest < RIGHT),
            other.max(1, initial=0) >= RIGHT,
            nearest >= RIGHT,
            overlaps.max(1, initial=0) <= NEAR,
        ],
        ["", "localisation", "class", "duplicate", "background"],
        "both",
    )
    right_as, missed = np.full(len(detections), -1), free.copy()
    for number in np.flatnonzero(np.isin(kind, ("localisation", "class"))):
        meant = int((own if kind[number] == "localisation" else other)[number].argmax())
        if missed[meant]:  # else it is found already, or mended by a surer detection
            right_as[number], missed[meant] = int(truth[meant, 0]), False
    return Errors(kind, right_as, missed)
