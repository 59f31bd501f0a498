"""Which images and classes a YOLO data set has: by a data.yaml, CVAT's obj.data or Label Studio's list."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....shared import yaml_file
from ....shared.errors import UserError
from ...shared.archives import shown
from ...shared.names import checked_names
from ...shared.notes import Notes
from ...shared.sites import SPLIT_NAMES, images_below, is_image, split_above
from ...shared.texts import read_lines, read_text


@dataclass(frozen=True)
class Listing:
    """A data set's classes in their order, and its images by split, sorted."""

    classes: list[str]
    images: dict[str, list[Path]]
    keypoints: int = 0  # numbers behind each box, for keypoints


def recognize(place: Path) -> str:
    """What tells that YOLO labels lie in `place`; empty where nothing does."""
    yamls = [file.name for file in _yamls(place) if _has_names(file)]
    if yamls:
        return yamls[0]
    if (place / "obj.names").is_file():
        return "obj.names"
    listed = (place / "classes.txt").is_file() and any(path.name != "classes.txt" for path in place.rglob("*.txt"))
    return "classes.txt" if listed else ""


def listing_of(place: Path, notes: Notes) -> Listing:
    """The data set in a folder, or that a data.yaml describes. Raises UserError."""
    if place.is_dir() and not _yamls(place):
        if (place / "obj.names").is_file():
            return _cvat(place, notes)
        if (place / "classes.txt").is_file():
            return Listing(_names_of_lines(place / "classes.txt"), _by_folder(place, notes))
    file = _data_yaml(place)
    data = _read_data_yaml(file)
    listed = file.parent / "classes.txt"
    if listed.is_file() and data["names"] != (others := read_lines(listed)) and set(data["names"]) == set(others):
        raise UserError(f"{shown(file)} and classes.txt number the same classes otherwise: take the wrong one away.")
    return Listing(data["names"], _images_by_split(file, data, notes), _keypoints(file, data))


# data.yaml


def _yamls(place: Path) -> list[Path]:
    return sorted([*place.glob("*.yaml"), *place.glob("*.yml")]) if place.is_dir() else [place]


def _has_names(file: Path) -> bool:
    try:
        data = yaml_file.read(file)
    except (UserError, OSError):
        return False
    return isinstance(data, dict) and "names" in data


def _data_yaml(place: Path) -> Path:
    if place.is_file():
        return place
    files = _yamls(place)
    chosen = [file for file in files if file.stem == "data"] or files
    if len(chosen) != 1:
        listed = ", ".join(file.name for file in files) or "no YAML file"
        raise UserError(f"{shown(place)} has {listed}: expected one data.yaml in YOLO's format (train, names).")
    return chosen[0]


def _read_data_yaml(file: Path) -> dict[str, Any]:
    """The data.yaml, its `names` as a list."""
    data = yaml_file.read(file, shown(file))
    if not isinstance(data, dict) or not data.get("train") or not data.get("names"):
        raise UserError(f"{shown(file)} lacks `train` or `names`: expected both, as in YOLO's data.yaml.")
    names = _names(file, data["names"])
    if data.get("nc") is not None and str(data["nc"]).strip() != str(len(names)):
        raise UserError(f"{shown(file)} has nc: {data['nc']}, and {len(names)} `names`: which is right?")
    return {**data, "names": names}


def _keypoints(file: Path, data: dict[str, Any]) -> int:
    """How many numbers stand behind each box: `kpt_shape`, of points and values a point. Raises UserError."""
    shape = data.get("kpt_shape") or [0, 0]
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(number, int) for number in shape):
        raise UserError(f"{shown(file)} has kpt_shape: {shape}: expected two numbers, such as [17, 3].")
    return shape[0] * shape[1]


def _names(file: Path, names: Any) -> list[str]:
    """The classes in the order of their numbers. Raises UserError."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    numbers = {str(key).strip(): value for key, value in names.items()} if isinstance(names, dict) else {}
    if not numbers or sorted(numbers) != sorted(map(str, range(len(numbers)))):
        raise UserError(
            f"{shown(file)}: `names` must be a list, or number the classes 0, 1, 2, … without a gap, not {names}."
        )
    ordered = [numbers[str(index)] for index in range(len(numbers))]
    odd = [name for name in ordered if isinstance(name, bool) or not isinstance(name, (str, int))]
    if odd:
        raise UserError(
            f"{shown(file)}: YAML reads {', '.join(repr(name) for name in odd)} among `names`, not a text: put each "
            'name in quotes, such as "yes" or "null".'
        )
    return checked_names([str(name) for name in ordered], shown(file))


def _images_by_split(file: Path, data: dict[str, Any], notes: Notes) -> dict[str, list[Path]]:
    """The images of each split that the data.yaml names, sorted; a named split must have some."""
    root = _root(file, data.get("path"), notes)
    images: dict[str, list[Path]] = {}
    for split, names in SPLIT_NAMES.items():
        value = next((data[name] for name in names if data.get(name)), None)
        if value is not None:
            places = value if isinstance(value, list) else [value]
            images[split] = sorted({image for place in places for image in _images_at(file, root, str(place), notes)})
            if not images[split] and not notes.has("links_outside"):
                raise UserError(f"{shown(file)}: `{split}` has no images (looked in {value}, below {shown(root)}).")
    return images


def _root(file: Path, path: str | None, notes: Notes) -> Path:
    """What `path` means: absolute, or seen from the data.yaml's folder, from the one above it, or from here."""
    if not path:
        return file.parent
    places = (file.parent / path, file.parent.parent / path, Path(path))
    root = next((place for place in places if place.is_dir()), None)
    if root is None:
        raise UserError(
            f"{shown(file)}: its `path` {path} is no folder. Leave it out where the images lie beside the data.yaml."
        )
    if not root.resolve().is_relative_to(notes.root):
        raise UserError(
            f"{shown(file)}: its `path` {path} leads to {root.resolve()}, outside data.source.path, where DVC sees no "
            "change of the images. Leave `path` out, and lay the images beside the data.yaml."
        )
    return root


def _images_at(file: Path, root: Path, place: str, notes: Notes) -> list[Path]:
    # Roboflow writes ../train/images for a folder that lies beside the data.yaml; it is read so elsewhere as well.
    where = next((path for path in (root / place, root / place.removeprefix("../")) if path.exists()), None)
    if where is None:
        raise UserError(f"{shown(file)}: no folder or text file {shown(root / place)}.")
    return images_below(where, notes) if where.is_dir() else _listed_images(where, root, notes)


def _listed_images(text_file: Path, root: Path, notes: Notes) -> list[Path]:
    """The images that a text file lists; CVAT puts `data/` before each path, whatever the folder is called."""
    images = []
    for line in read_lines(text_file):
        places = (text_file.parent / line, root / line, root / line.removeprefix("data/"), Path(line))
        image = next((path for path in places if path.is_file()), None)
        if image is None:
            raise UserError(f"{shown(text_file)} lists an image that is absent: {line}")
        if not image.parent.resolve().is_relative_to(notes.root):
            notes.add("links_outside", f"{shown(image.parent)} -> {image.parent.resolve()}")
        elif is_image(image):
            images.append(image)
        else:
            notes.add("other_files", shown(image))
    return images


# CVAT's obj.data and obj.names, Label Studio's and LabelImg's classes.txt


def _names_of_lines(file: Path) -> list[str]:
    return checked_names(read_text(file).rstrip().splitlines(), shown(file))  # an empty line has a number as well


def _by_folder(place: Path, notes: Notes) -> dict[str, list[Path]]:
    """The images of Label Studio, or of LabelImg, which writes labels beside them; in folders of splits, if any."""
    images: dict[str, list[Path]] = defaultdict(list)
    for image in images_below(place, notes):
        images[split_above(image, place) or "train"].append(image)
    if not images:
        raise UserError(f"{shown(place)} has classes.txt, and no image below it.")
    return images


def _cvat(place: Path, notes: Notes) -> Listing:
    """An export of CVAT's as YOLO 1.1: obj.data names the lists of images, train.txt and others."""
    description = place / "obj.data"
    lines = read_lines(description) if description.is_file() else []
    entries = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    images = {}
    for split, names in SPLIT_NAMES.items():
        listed = next((Path(entries[name]).name for name in names if name in entries), f"{split}.txt")
        if (place / listed).is_file():
            images[split] = sorted(_listed_images(place / listed, place, notes))
    if not images:
        raise UserError(f"{shown(place)} has obj.names, but no train.txt: export it from CVAT with its images.")
    return Listing(_names_of_lines(place / "obj.names"), images)
