"""Source `coco`: boxes in COCO's JSON, one file a split, such as annotations/instances_train.json, or Roboflow's
train/_annotations.coco.json.

Where neither its name nor its folder tells a split, the folders of its images do; else they are the train split. Images
are looked for beside the JSON, in folders `images` and those of their split, and by their name below the place.
https://cocodataset.org/#format-data
What an image or its annotations say by keys that the format doesn't define is kept, for metrics by its values
(infer.slices).
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ....shared.errors import UserError
from ...shared import boxes, facts, rle
from ...shared.archives import shown
from ...shared.boxes import Box, around
from ...shared.dataset import Dataset, Sample
from ...shared.names import Images, checked_names
from ...shared.notes import Notes
from ...shared.sites import Part, read_sites, split_above, split_named
from ...shared.texts import read_text

# What a file holds, and by what its entries are known
IDENTITIES = {"images": ("id",), "annotations": ("image_id", "category_id"), "categories": ("id",)}
OF_IMAGES = ("id", "file_name", "width", "height", "license", "flickr_url", "coco_url", "date_captured")
OF_ANNOTATIONS = ("id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd", "score")
OF_ANNOTATIONS += ("keypoints", "num_keypoints")


def read(source: DictConfig) -> Dataset:
    """Each site's JSON files. Raises UserError."""
    task = boxes.task_of(source)
    return read_sites(task, source, partial(read_place, task=task))


def recognize(place: Path) -> str:
    """What tells that COCO's labels lie in `place`; empty where nothing does."""
    return next((file.name for file in _candidates(place) if _is_coco(file)), "")


def read_place(place: Path, notes: Notes, task: str = "detection") -> Part:
    """The images that the JSON files in `place` list. Raises UserError."""
    contents = {file: content for file in _candidates(place) if (content := _content(file)) is not None}
    for file, content in contents.items():
        _check(file, content)
    if not contents:
        raise UserError(f"{shown(place)} has no JSON file in COCO's format (images, annotations, categories).")
    images = Images(place, notes)
    classes: list[str] = []
    samples: list[Sample] = []
    for file, content in contents.items():
        names = _categories(file, content)
        if classes and list(names.values()) != classes:
            raise UserError(
                f"{shown(file)} has the categories {', '.join(names.values())}, the files before it "
                f"{', '.join(classes)}: expected the same."
            )
        classes = list(names.values())
        samples += _samples(file, content, names, images, notes, task)
    images.note_unlisted(notes)
    return Part(classes, sorted(samples, key=lambda sample: (sample.split, str(sample.image))))


def _candidates(place: Path) -> list[Path]:
    if place.is_file():
        return [place] if place.suffix.lower() == ".json" else []
    return [file for pattern in ("*.json", "*/*.json") for file in sorted(place.glob(pattern))]


def _is_coco(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(2_000_000)
    return any(key in start for key in (b'"images"', b'"annotations"')) and _content(file) is not None


def _content(file: Path) -> dict[str, Any] | None:
    """A file in COCO's format; None for any other JSON. Raises UserError where it is damaged."""
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{shown(file)} is no readable JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in IDENTITIES):
        return None
    return content


def _check(file: Path, content: dict[str, Any]) -> None:
    """Raises UserError where an entry is no mapping, or has no number or name to be known by."""
    for key, identities in IDENTITIES.items():
        for number, entry in enumerate(content[key]):
            if not isinstance(entry, dict):
                raise UserError(f"{shown(file)}: {key}[{number}] is {entry!r:.60}: expected a mapping.")
            wrong = [name for name in identities if not isinstance(entry.get(name), (int, str))]
            if wrong:
                raise UserError(
                    f"{shown(file)}: {key}[{number}] has the {wrong[0]} {entry.get(wrong[0])!r:.60}: expected a number."
                )


def _categories(file: Path, content: dict[str, Any]) -> dict[Any, str]:
    """Category -> its name, by number. Roboflow's first, which stands for all the others, is none."""
    used = {annotation["category_id"] for annotation in content["annotations"]}
    above = {str(category.get("supercategory")) for category in content["categories"]}
    names = {
        category["id"]: str(category.get("name", ""))
        for category in sorted(
            content["categories"], key=lambda category: (isinstance(category["id"], str), category["id"])
        )
        if category["id"] in used or str(category.get("name")) not in above or category.get("supercategory") != "none"
    }
    checked = checked_names(list(names.values()), shown(file))
    if not checked:
        raise UserError(f"{shown(file)} has no categories: expected each class's name there.")
    return dict(zip(names, checked, strict=True))


def _samples(
    file: Path, content: dict[str, Any], names: dict[Any, str], images: Images, notes: Notes, task: str
) -> list[Sample]:
    folder = file.parent.name if file.parent != images.place else ""  # what the data lies in tells nothing of it
    of_file = split_named(file.stem) or split_named(folder) or ""
    boxed = [box for annotation in content["annotations"] if isinstance(box := annotation.get("bbox"), list)]
    sides = [side for box in boxed for side in box]
    if sides and all(isinstance(side, (int, float)) and 0 <= side <= 1 for side in sides):
        raise UserError(f"{shown(file)} gives its boxes in fractions of the image: COCO's are in pixels.")
    labels = defaultdict(list)
    for number, annotation in enumerate(content["annotations"]):
        labels[annotation.get("image_id")].append(
            (f"{shown(file)} annotation {annotation.get('id', number)}", annotation)
        )
    samples = []
    known = set()
    for entry in content["images"]:
        known.add(entry.get("id"))
        name = str(entry.get("file_name", ""))
        image = images.find(name, [file.parent, file.parent.parent], of_file)
        if image is None:
            images.note_missing(f"{shown(file)}: ", name or str(entry))
            continue
        stated = (entry.get("width"), entry.get("height"))
        size = boxes.check_size(image, stated, f"{shown(file)} image {entry['id']}", notes)
        found = [box for at, label in labels[entry.get("id")] if (box := _box(label, names, size, at, notes, task))]
        said = facts.own(entry, OF_IMAGES)
        split = of_file or split_above(image, images.place) or "train"
        samples.append(boxes.sample(split, image, found, list(names.values()), notes, task, said))
    for identity in labels.keys() - known:
        for at, _ in labels[identity]:
            notes.add("malformed_labels", f"{at} is of an image {identity} that is not listed")
    return samples


def _box(
    label: dict[str, Any], names: dict[Any, str], size: tuple[float, float], place: str, notes: Notes, task: str
) -> Box | None:
    if label.get("iscrowd"):
        notes.add("crowds", place)
        return None
    if label.get("score") is not None:
        notes.add("scored", place)
    drawn = label.get("segmentation")
    wanted = isinstance(drawn, list | dict) and (task == "segmentation" or not label.get("bbox"))
    outline: Any = drawn if wanted else []
    if isinstance(outline, dict):
        try:
            outline = rle.outlines(outline, size)
        except ValueError as error:
            notes.add("malformed_labels", f"{place} {error}")
            return None
    try:
        polygon = boxes.joined(outline) / size if outline else None
        if outline and not label.get("bbox"):
            left, top, right, bottom = around([float(value) for each in outline for value in each])
        else:
            left, top, width, height = map(float, label["bbox"])
            right, bottom = left + width, top + height
        corners = (left / size[0], top / size[1], right / size[0], bottom / size[1])
    except (ArithmeticError, KeyError, TypeError, ValueError):
        notes.add("malformed_labels", f"{place} has no bbox of four numbers, and no size of its image")
        return None
    name = names.get(label.get("category_id"), f"category {label.get('category_id')}")
    return Box(name, corners, place, polygon, facts.own(label, OF_ANNOTATIONS))
