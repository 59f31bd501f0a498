"""Boxes as labels give them, made into rows of class, cx, cy, w, h as fractions of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from PIL import Image, ImageOps

from ...shared.prepared import ORIENTATION, UNREADABLE
from .dataset import NO_BOXES, Sample, labelled, outlined
from .facts import together
from .notes import Notes

TASKS = ("detection", "segmentation", "multilabel")  # that boxes and polygons serve
MARGIN = 0.01  # of the image: how far beyond its edge a coordinate may lie by rounding, as YOLO's own readers allow
DECIMALS = 6  # of a fraction: what formats that count pixels and those that don't agree in


@dataclass(frozen=True)
class Box:
    """A labelled box: corners as fractions of the image, where it was read, and the polygon that it is around, if any.

    The polygon is (points, 2), x and y as fractions of the image. `facts` is what else is said of the object.
    """

    name: str
    corners: tuple[float, float, float, float]  # left, top, right, bottom
    place: str
    polygon: np.ndarray | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def outline(self) -> np.ndarray:
        """The polygon, or the box's four corners, inside the image."""
        left, top, right, bottom = self.corners
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return (corners if self.polygon is None else self.polygon).clip(0, 1).round(DECIMALS)


def around(points: Sequence[float]) -> tuple[float, float, float, float]:
    """The corners of the box around a polygon x1, y1, x2, y2, …"""
    xs, ys = points[0::2], points[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def task_of(source: DictConfig) -> str:
    """What labels of boxes and polygons are read for: data.source.task, or detection where that is none of theirs."""
    task = str(source.get("task"))
    return task if task in TASKS else TASKS[0]


def joined(polygons: Sequence[Sequence[float]]) -> np.ndarray:
    """The polygons x1, y1, x2, y2, … of one object as one (points, 2): through bridges without width."""
    rings = [np.reshape(np.asarray(polygon, float), (-1, 2)) for polygon in polygons]
    first, *others = rings
    bridged = [part for ring in others for part in (ring, ring[:1], first[:1])]
    return np.concatenate([first, *([first[:1]] if others else []), *bridged])


def sample(
    split: str,
    image: Path,
    boxes: Sequence[Box],
    classes: Sequence[str],
    notes: Notes,
    task: str = "detection",
    facts: Mapping[str, str] | None = None,
) -> Sample:
    """An image with its sound boxes; for segmentation with their outlines, for multilabel with their classes alone.

    Its `facts` are those of its boxes, and its own, which count more.
    """
    kept = sound(boxes, classes, notes, outlines=task == "segmentation")
    rows = np.array([*kept], dtype=float) if kept else NO_BOXES
    said = together(box.facts for box in kept.values()) | dict(facts or {})
    found = Sample("", split, image.stem, image, boxes=rows, facts=said)
    if task == "multilabel":
        return labelled(found, found.objects(classes))
    return outlined(found, [box.outline for box in kept.values()]) if task == "segmentation" else found


def sound(boxes: Sequence[Box], classes: Sequence[str], notes: Notes, outlines: bool) -> dict[tuple[float, ...], Box]:
    """The sound boxes of one image by their rows; notes what is wrong or was changed about the others."""
    kept: dict[tuple[float, ...], Box] = {}
    for box in boxes:
        if problem := _problem(box, classes):
            notes.add("malformed_labels", f"{box.place} {problem}")
            continue
        if (box.polygon is None) == outlines:
            notes.add("boxes_as_outlines" if outlines else "polygons", box.place)
        left, top, right, bottom = (min(max(value, 0.0), 1.0) for value in box.corners)
        notes.boxes += 1
        notes.like_corners += box.corners[2] > 2 * box.corners[0] and box.corners[3] > 2 * box.corners[1]
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
            kept[rounded] = box
    return kept


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
            turned = ImageOps.exif_transpose(opened) if opened.getexif().get(ORIENTATION, 1) > 4 else opened
            size = turned.size
    except UNREADABLE:
        return stated
    if min(stated) > 0 and stated != size:
        notes.add("other_sizes", f"{place} says {stated[0]:g}x{stated[1]:g}, {image.name} has {size[0]}x{size[1]}")
    return size
