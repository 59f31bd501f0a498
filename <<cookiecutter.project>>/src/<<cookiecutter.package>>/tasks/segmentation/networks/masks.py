"""Masks of objects: kept as the pixels inside their boxes, since most of an image is none of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

OBJECT = np.dtype([("box", "f8", (6,)), ("mask", "O")])  # of a prediction; `mask` is a Mask


@dataclass(frozen=True, eq=False)
class Mask:
    """An object's pixels in an image of `shape` (height, width): `pixels` (h, w) bool from row `top`, column `left`."""

    pixels: np.ndarray
    top: int
    left: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, whole: np.ndarray) -> Mask:
        """The mask of a whole image (height, width)."""
        rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
        if not len(rows):
            return cls(np.zeros((0, 0), bool), 0, 0, whole.shape)
        top, left = int(rows[0]), int(columns[0])
        return cls(whole[top : rows[-1] + 1, left : columns[-1] + 1].astype(bool), top, left, whole.shape)

    @classmethod
    def inside(cls, outline: np.ndarray, shape: tuple[int, int]) -> Mask:
        """The pixels whose centres lie in an outline (points, 2), x and y as fractions of the image."""
        from matplotlib.path import Path

        height, width = shape
        points = outline * [width, height]
        left, top = np.floor(points.min(0)).astype(int).clip(0)
        right, bottom = np.minimum(np.ceil(points.max(0)).astype(int), [width, height])
        y, x = np.mgrid[top:bottom, left:right] + 0.5
        centres = np.column_stack([x.ravel(), y.ravel()])
        pixels = Path(points).contains_points(centres).reshape(y.shape) if centres.size else np.zeros((0, 0), bool)
        return cls(pixels, int(top), int(left), shape)

    @property
    def area(self) -> int:
        """In pixels."""
        return int(self.pixels.sum())

    def iou(self, other: Mask) -> float:
        """Intersection over union with another mask of the same image."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.pixels.shape[0], other.top + other.pixels.shape[0])
        right = min(self.left + self.pixels.shape[1], other.left + other.pixels.shape[1])
        if bottom <= top or right <= left:
            return 0.0
        one, two = (
            mask.pixels[top - mask.top : bottom - mask.top, left - mask.left : right - mask.left]
            for mask in (self, other)
        )
        both = int((one & two).sum())
        return both / (self.area + other.area - both) if both else 0.0

    def outline(self) -> list[float]:
        """The outline of its largest part: x1, y1, x2, y2, … as fractions of the image; empty for an empty mask."""
        import cv2

        contours, _ = cv2.findContours(self.pixels.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        if not contours:
            return []
        points = max(contours, key=cv2.contourArea)[:, 0] + [self.left + 0.5, self.top + 0.5]
        return (points / [self.shape[1], self.shape[0]]).round(5).ravel().tolist()


def overlaps(some: Sequence[Mask], others: Sequence[Mask]) -> np.ndarray:
    """The IoU of each with each of the others: (k, n)."""
    return np.array([[mask.iou(other) for other in others] for mask in some], float).reshape(len(some), len(others))
