"""Source `yolo`: boxes in YOLO's text files, at one site or several, as Roboflow, CVAT, Label Studio and others
write them.

A data.yaml names the classes (`names`) and the splits (`train`, `val`, `test`: a folder, a list of folders, or a text
file of image paths), or CVAT's obj.data and obj.names do, or a classes.txt as Label Studio and LabelImg write. The
boxes of `…/images/NAME.png` are in `…/labels/NAME.txt`, else beside it: rows of class, cx, cy, w, h, as fractions of
the image, or of class, x1, y1, x2, y2, … for a polygon.
https://docs.cvat.ai/docs/manual/advanced/formats/format-yolo
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from ...shared import boxes
from ...shared.archives import shown
from ...shared.boxes import Box, around
from ...shared.dataset import Dataset
from ...shared.notes import Notes
from ...shared.sites import Part, files_below, is_image, read_sites
from .listing import Listing, listing_of, recognize

__all__ = ["read", "recognize"]


def read(source: DictConfig) -> Dataset:
    """Each site's images and boxes.

    Raises:
        UserError: no such data, a data.yaml that lacks something, or classes that differ between sites.
    """
    task = boxes.task_of(source)
    return read_sites(task, source, partial(read_place, task=task))


def read_place(place: Path, notes: Notes, task: str = "detection") -> Part:
    """The images that the data.yaml in `place` lists. Raises UserError."""
    listing = listing_of(place, notes)
    samples = []
    owners: dict[Path, Path] = {}
    for split, images in listing.images.items():
        for image in images:
            labels = label_file(image, notes.root)
            if not labels.is_file():
                notes.add("missing_labels", shown(image))
            elif (first := owners.setdefault(labels, image)) != image:
                notes.add("shared_labels", f"{shown(labels)}: {first.name} and {image.name}")
            found = _boxes(labels, listing, notes)
            samples.append(boxes.sample(split, image, found, listing.classes, notes, task))
    _note_orphans([image for images in listing.images.values() for image in images], notes)
    return Part(listing.classes, samples)


def label_file(image: Path, root: Path) -> Path:
    """Where an image's boxes are: the last folder `images` of its path becomes `labels`, or it is beside it."""
    folders = list(image.parent.parts)
    beside = image.with_suffix(".txt")
    inside = folders[len(root.parts) :] if image.is_relative_to(root) else folders
    found = [index for index, name in enumerate(inside, start=len(folders) - len(inside)) if name.lower() == "images"]
    if not found:
        return beside
    name = folders[found[-1]]
    folders[found[-1]] = "labels" if name.islower() else "LABELS" if name.isupper() else "Labels"
    apart = Path(*folders, f"{image.stem}.txt")
    return beside if beside.is_file() and not apart.is_file() else apart


def _boxes(file: Path, listing: Listing, notes: Notes) -> list[Box]:
    """The boxes of a label file; notes the rows that are none."""
    if not file.is_file():
        return []
    if not file.parent.resolve().is_relative_to(notes.root):
        notes.add("links_outside", f"{shown(file.parent)} -> {file.parent.resolve()}")
        return []
    found = []
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        place = f"{shown(file)}:{number}"
        if listing.keypoints and len(words) == 5 + listing.keypoints:
            notes.add("keypoints", place)
            words = words[:5]
        if problem := _problem(words, len(listing.classes)):
            notes.add("malformed_labels", f"{place} {problem}")
            continue
        label, *values = map(float, words)
        polygon = boxes.joined([values]) if len(values) > 4 else None
        corners = _corners(values) if polygon is None else around(values)
        found.append(Box(listing.classes[int(label)], corners, place, polygon))
    return found


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    cx, cy, w, h = box
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def _problem(words: Sequence[str], classes: int) -> str:
    """What is wrong with a row, or an empty string."""
    if len(words) == 6:
        return "has 6 values instead of 5 (class cx cy w h): with a confidence it is a prediction, not a label"
    if len(words) != 5 and (len(words) < 7 or len(words) % 2 == 0):
        return f"has {len(words)} values instead of 5 (class cx cy w h), or a class and three corners or more"
    try:
        label, *values = map(float, words)
    except ValueError:
        return "is not numeric"
    if label not in range(classes):
        return f"has class {words[0]}, but data.yaml has 0 to {classes - 1}"
    if not all(-boxes.MARGIN <= value <= 1 + boxes.MARGIN for value in values):
        return "leaves the image: a box is given in fractions, from 0 to 1"
    if len(values) == 4 and min(values[2:]) <= 0:
        return "is a box without width or height"
    return ""


def _note_orphans(images: Sequence[Path], notes: Notes) -> None:
    """Notes label files without an image."""
    folders = {label_file(image, notes.root).parent: image.parent for image in images}
    for labels, folder in sorted(folders.items()):
        if labels == folder:
            continue  # labels beside their images share the folder with lists of other kinds
        stems = {path.stem for path in files_below(folder, Notes(notes.root)) if is_image(path)} | {"classes"}
        for file in sorted(labels.glob("*.txt")):
            if file.stem not in stems:
                notes.add("labels_without_image", shown(file))
