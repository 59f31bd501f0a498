"""Source `voc`: boxes in Pascal VOC's XML, one file an image, in `Annotations` or beside the images.

ImageSets/Main/train.txt, val.txt and test.txt name the splits, or folders of these names do; without either, all images
are the train split. Coordinates are taken as they stand: pixels from the image's upper left corner, as LabelImg, CVAT
and Roboflow write them. What else an object says (`truncated`, `difficult`, `occluded`, `pose`, VOC 2012's `actions`,
CVAT's `attributes`), and what an image says by elements that the format doesn't define, is kept, for metrics by its
values (infer.slices). http://host.robots.ox.ac.uk/pascal/VOC
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from omegaconf import DictConfig

from ....shared.errors import UserError
from ...shared import boxes, facts
from ...shared.archives import shown
from ...shared.boxes import Box
from ...shared.dataset import Dataset
from ...shared.names import Images, checked_names
from ...shared.notes import Notes
from ...shared.sites import SPLIT_NAMES, Part, files_below, read_sites, split_above, split_named
from ...shared.texts import read_lines

MASKS = ("SegmentationClass", "SegmentationObject")  # of VOC's own years
OF_IMAGES = ("folder", "filename", "path", "source", "owner", "size", "segmented", "object")
OF_OBJECTS = ("name", "bndbox", "part", "polygon")
FLAGS = ("truncated", "difficult", "occluded")  # 0 or 1


def read(source: DictConfig) -> Dataset:
    """Each site's XML files. Raises UserError."""
    task = boxes.task_of(source)
    return read_sites(task, source, partial(read_place, task=task))


def recognize(place: Path) -> str:
    """What tells that Pascal VOC's labels lie in `place`; empty where nothing does."""
    if not place.is_dir():
        return ""
    for pattern in ("Annotations/*.xml", "*/*.xml", "*.xml", "*/*/*.xml"):
        for file in sorted(place.glob(pattern))[:3]:
            root = _parsed(file)
            if root is not None and root.tag == "annotation":
                return file.relative_to(place).as_posix()
    return ""


def read_place(place: Path, notes: Notes, task: str = "detection") -> Part:
    """The images below `place`, with the boxes of their XML files. Raises UserError."""
    files = [file for file in files_below(place, Notes(notes.root)) if file.suffix.lower() == ".xml"]
    images = Images(place, notes, MASKS)
    labels: dict[Path, list[tuple[str, Element]]] = defaultdict(list)
    for file in files:
        root = _parsed(file)
        if root is None or root.tag != "annotation":
            notes.add("malformed_labels", f"{shown(file)} is no <annotation> in readable XML")
            continue
        image = _image_of(file, root, images)
        if image is None:
            notes.add("labels_without_image", shown(file))
        else:
            labels[image].append((shown(file), root))
    if not labels:
        raise UserError(
            f"{shown(place)} has no XML file in Pascal VOC's format (<annotation>) that belongs to an image."
        )
    found = {
        image: [(_boxes(root, name, image, notes), facts.own(_said(root), OF_IMAGES)) for name, root in each]
        for image, each in labels.items()
    }
    named = {box.name for each in found.values() for own, _ in each for box in own}
    classes = checked_names(sorted(named), shown(place))
    splits = _splits(place, images, notes)
    samples = []
    for image in images.paths:
        if image not in labels:
            notes.add("missing_labels", shown(image))
        split = splits.get(image) if splits else (split_above(image, place) or "train")
        if split is None:
            notes.add("unlisted_images", shown(image))
            continue
        for own, said in found.get(image, [([], {})]):
            samples.append(boxes.sample(split, image, own, classes, notes, task, said))
    return Part(classes, samples, listed=False)


def _parsed(file: Path) -> Element | None:
    try:
        return ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, LookupError, ValueError, OSError):
        return None


def _image_of(file: Path, root: Element, images: Images) -> Path | None:
    """The image of a label file: the one that it names, or that has its name."""
    split = split_named(file.parent.name) or ""
    places = [file.parent, file.parent.parent / "JPEGImages", file.parent.parent]
    image = images.find(root.findtext("filename", "").strip(), places, split)
    if image is not None and image.stem == file.stem:
        return image
    own = [path for path in images.paths if path.stem == file.stem]
    beside = [path for path in own if path.parent == file.parent]
    return (beside or own or [image])[0] if len(beside or own) <= 1 else None


def _boxes(root: Element, place: str, image: Path, notes: Notes) -> list[Box]:
    stated = (root.findtext("size/width"), root.findtext("size/height"))
    width, height = boxes.check_size(image, stated, place, notes)
    found = []
    for number, entry in enumerate(root.findall("object"), start=1):
        where = f"{place} object {number}"
        try:
            left, top, right, bottom = (
                float(entry.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax")
            )
            corners = (left / width, top / height, right / width, bottom / height)
        except (ArithmeticError, ValueError):
            notes.add("malformed_labels", f"{where} has no bndbox of four numbers")
            continue
        if name := (entry.findtext("name") or "").strip():
            found.append(Box(name, corners, where, facts=facts.own(_said(entry), OF_OBJECTS)))
        else:
            notes.add("malformed_labels", f"{where} has no name")
    return found


def _said(entry: Element) -> dict[str, Any]:
    """What an image or an object says by elements with a text, and inside `attributes` and `actions`."""
    said: dict[str, Any] = {each.tag: (each.text or "").strip() for each in entry if not len(each)}
    flags = {name: said[name] == "1" for name in FLAGS if said.get(name) in ("0", "1")}
    actions = {each.tag: (each.text or "").strip() == "1" for each in entry.iterfind("actions/*")}
    attributes = {
        (each.findtext("name") or "").strip(): _value(each.findtext("value") or "")
        for each in entry.iterfind("attributes/attribute")
    }
    pose = {"pose": ""} if said.get("pose", "").lower() == "unspecified" else {}
    return said | flags | pose | {"actions": actions, "attributes": attributes}


def _value(text: str) -> str | bool:
    """The value of an attribute: CVAT writes yes and no as Python does."""
    return {"True": True, "False": False}.get(text.strip(), text.strip())


def _splits(place: Path, images: Images, notes: Notes) -> dict[Path, str]:
    """Image -> split, as ImageSets/Main has it, a 1 or -1 behind each name or not; empty without these lists."""
    splits: dict[Path, str] = {}
    for file in sorted(place.glob("ImageSets/Main/*.txt")):
        split = next((name for name, names in SPLIT_NAMES.items() if file.stem.lower() in names), None)
        if split is None:
            continue
        for line in read_lines(file):
            named = (
                images.find(name, [place / "JPEGImages"], split) for name in (line, line.rpartition(" ")[0].strip())
            )
            if image := next(filter(None, named), None):
                splits[image] = split
            else:
                images.note_missing(f"{shown(file)}: ", line)
    return splits
