"""Source `cvat`: boxes and polygons in CVAT's XML for images (version 1.1): annotations.xml, and the images beside it
or in a folder `images`.

An image's attribute `subset` is its split; without one, all are the train split. Its tags and their attributes, and
those of its shapes, are kept, for metrics by their values (infer.slices).
https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from omegaconf import DictConfig

from ....shared.errors import UserError
from ...shared import boxes, facts
from ...shared.archives import shown
from ...shared.boxes import Box, around
from ...shared.dataset import Dataset
from ...shared.names import Images, checked_names
from ...shared.notes import Notes
from ...shared.sites import Part, read_sites, split_above, split_named

SHAPES = ("box", "polygon")
OTHERS = ("polyline", "points", "cuboid", "ellipse", "mask", "skeleton")


def read(source: DictConfig) -> Dataset:
    """Each site's annotations.xml. Raises UserError."""
    task = boxes.task_of(source)
    return read_sites(task, source, partial(read_place, task=task))


def recognize(place: Path) -> str:
    """What tells that CVAT's labels lie in `place`; empty where nothing does."""
    return next((file.name for file in _candidates(place) if _root(file) is not None), "")


def read_place(place: Path, notes: Notes, task: str = "detection") -> Part:
    """The images that the XML files in `place` list. Raises UserError."""
    roots = {file: root for file in _candidates(place) if (root := _root(file)) is not None}
    if not roots:
        raise UserError(f"{shown(place)} has no annotations.xml in CVAT's format for images.")
    classes: list[str] = []
    for file, root in roots.items():
        if root.find("track") is not None:
            raise UserError(f"{shown(file)} has the tracks of a video: export it from CVAT as `CVAT for images 1.1`.")
        labels = [label for label in root.findall("meta//labels/label") if label.findtext("type") != "tag"]
        names = [(label.findtext("name") or "").strip() for label in labels]
        used = sorted({shape.get("label", "") for shape in root.iter() if shape.tag in SHAPES})
        classes += [name for name in names or used if name not in classes]
    checked_names(classes, shown(place))
    images = Images(place if place.is_dir() else place.parent, notes)
    samples = []
    for file, root in roots.items():
        for entry in root.findall("image"):
            stated = split_named(entry.get("subset") or "") or split_named(file.stem) or ""
            name = entry.get("name", "")
            image = images.find(name, [file.parent, file.parent.parent], stated)
            if image is None:
                images.note_missing(f"{shown(file)}: ", name)
                continue
            found = _boxes(entry, f"{shown(file)} image {entry.get('id')}", image, notes)
            split = stated or split_above(image, images.place) or "train"
            samples.append(boxes.sample(split, image, found, classes, notes, task, _tags(entry)))
    images.note_unlisted(notes)
    return Part(classes, sorted(samples, key=lambda sample: (sample.split, str(sample.image))))


def _candidates(place: Path) -> list[Path]:
    if place.is_file():
        return [place] if place.suffix.lower() == ".xml" else []
    return [file for pattern in ("*.xml", "annotations/*.xml") for file in sorted(place.glob(pattern))]


def _root(file: Path) -> Element | None:
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, LookupError, ValueError, OSError):
        return None
    return root if root.tag == "annotations" else None


def _boxes(entry: Element, place: str, image: Path, notes: Notes) -> list[Box]:
    width, height = boxes.check_size(image, (entry.get("width"), entry.get("height")), place, notes)
    found = []
    for number, shape in enumerate(entry, start=1):
        where = f"{place} {shape.tag} {number}"
        if shape.tag not in SHAPES:
            if shape.tag in OTHERS:
                notes.add("other_shapes", where)
            continue
        try:
            left, top, right, bottom = _corners(shape)
            corners = (left / width, top / height, right / width, bottom / height)
            drawn = shape.tag == "polygon" or float(shape.get("rotation") or 0)
            polygon = _points(shape) / [width, height] if drawn else None
        except (ArithmeticError, ValueError):
            notes.add("malformed_labels", f"{where} has coordinates that are no numbers")
            continue
        said = {"occluded": "true" if shape.get("occluded") == "1" else ""} | _attributes(shape)
        found.append(Box(shape.get("label", ""), corners, where, polygon, said))
    return found


def _tags(entry: Element) -> dict[str, str]:
    """What the tags of an image say: `tag` has their labels."""
    return facts.together({"tag": tag.get("label", "")} | _attributes(tag) for tag in entry.findall("tag"))


def _attributes(label: Element) -> dict[str, str]:
    named = ((each.get("name"), (each.text or "").strip()) for each in label.findall("attribute"))
    return {name: text for name, text in named if name}


def _corners(shape: Element) -> tuple[float, float, float, float]:
    """The corners in pixels. Raises ValueError."""
    return around(_points(shape).ravel().tolist())


def _box_points(shape: Element) -> np.ndarray:
    """The corners (4, 2) of a box in pixels, turned about its middle by `rotation` in degrees. Raises ValueError."""
    left, top, right, bottom = (float(shape.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr"))
    points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    angle = math.radians(float(shape.get("rotation") or 0))
    if not angle:
        return points
    middle, cos, sin = points.mean(0), math.cos(angle), math.sin(angle)
    return (points - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle


def _points(shape: Element) -> np.ndarray:
    """A polygon's points (n, 2), or a box's corners, in pixels. Raises ValueError."""
    if shape.tag != "polygon":
        return _box_points(shape)
    points = [[float(value) for value in point.split(",")] for point in shape.get("points", "").split(";")]
    return np.array(points, float).reshape(-1, 2)
