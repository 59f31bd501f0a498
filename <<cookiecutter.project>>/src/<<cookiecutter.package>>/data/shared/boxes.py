"""Boxes as labels give them, made into rows of class, cx, cy, w, h as fractions of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ...shared.prepared import UNREADABLE
from .dataset import NO_BOXES
from .notes import Notes

MARGIN = (
    0.01  # of the image: how far beyond its edge a coordinate may lie through rounding, as YOLO's own readers allow
)
DECIMALS = 6  # of a fraction: what formats that count pixels and those that don't agree in


@dataclass(frozen=True)
class Box:
    """A labelled box: corners as fractions of the image, and where it was read."""

    name: str
    corners: tuple[float, float, float, float]  # left, top, right, bottom
    place: str
    is_polygon: bool = False


def around(points: Sequence[float]) -> tuple[float, float, float, float]:
    """The corners of the box around a polygon x1, y1, x2, y2, …"""
    xs, ys = points[0::2], points[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def rows(boxes: Sequence[Box], classes: Sequence[str], notes: Notes) -> np.ndarray:
    """The sound boxes of one image (n, 5), in their order; notes what is wrong or was changed about the others."""
    kept: list[tuple[float, ...]] = []
    for box in boxes:
        if problem := _problem(box, classes):
            notes.add("malformed_labels", f"{box.place} {problem}")
            continue
        if box.is_polygon:
            notes.add("polygons", box.place)
        left, top, right, bottom = (min(max(value, 0.0), 1.0) for value in box.corners)
        beyond = max(-min(box.corners), max(box.corners) - 1)
        if beyond > MARGIN:
            notes.add("clipped", box.place)
        row = (classes.index(box.name), (left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
        rounded = tuple(round(value, DECIMALS) for value in row)
        if min(rounded[3:]) <= 0:
            notes.add("malformed_labels", f"{box.place} is a box without width or height")
        elif rounded in kept:
            notes.add("repeated_labels", box.place)
        else:
            kept.append(rounded)
    return np.array(kept, dtype=float) if kept else NO_BOXES


def _problem(box: Box, classes: Sequence[str]) -> str:
    """What is wrong with a box, or an empty string."""
    if box.name not in classes:
        return f"has the class {box.name!r}, which is none of {', '.join(classes)}"
    left, top, right, bottom = box.corners
    if not np.isfinite(box.corners).all():
        return "has a coordinate that is no number"
    if not (left < right and top < bottom):
        return "is a box without width or height"
    if left >= 1 or top >= 1 or right <= 0 or bottom <= 0:
        return "lies outside its image"
    return ""


def check_size(image: Path, said: tuple[Any, Any], place: str, notes: Notes) -> tuple[float, float]:
    """An image's (width, height) in pixels; noted where its labels were made for another size.

    A file that can't be read keeps the stated size: the checks of images name it.
    """
    try:
        stated = (float(said[0] or 0), float(said[1] or 0))
    except (ArithmeticError, TypeError, ValueError):
        notes.add("malformed_labels", f"{place} says {said[0]!r:.40} x {said[1]!r:.40} for its width and height")
        stated = (0.0, 0.0)
    try:
        with Image.open(image) as opened:
            turned = ImageOps.exif_transpose(opened) if opened.getexif().get(0x0112, 1) > 4 else opened
            size = turned.size
    except UNREADABLE:
        return stated
    if min(stated) > 0 and stated != size:
        notes.add("other_sizes", f"{place} says {stated[0]:g}x{stated[1]:g}, {image.name} has {size[0]}x{size[1]}")
    return size
