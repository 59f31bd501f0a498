"""Source `yolo`: detection data in Ultralytics' format, at one site or several.

A data.yaml names the classes (`names`) and the splits (`train`, `val`, `test`: a folder, a list of folders, or a text
file of image paths). The boxes of `…/images/NAME.png` are in `…/labels/NAME.txt`: rows of class, cx, cy, w, h, as
fractions of the image. https://docs.ultralytics.com/datasets/detect
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from omegaconf import DictConfig

from ....shared.errors import UserError
from ...shared.dataset import NO_BOXES, Dataset, Sample, finding
from ...shared.sites import SPLIT_NAMES, images_below, is_image, other_files, site_paths


def read(source: DictConfig) -> Dataset:
    """Each site's data.yaml, or the one in the site's folder.

    Raises:
        UserError: no such data, a data.yaml that lacks something, or classes that differ between sites.
    """
    classes: list[str] = []
    samples: list[Sample] = []
    missing: list[str] = []
    malformed: list[str] = []
    orphans: list[str] = []
    others: list[str] = []
    for site, place in site_paths(source).items():
        file = _data_yaml(place)
        data = _read_data_yaml(file)
        if classes and data["names"] != classes:
            raise UserError(
                f"{file} names the classes {data['names']}, but the sites before it {classes}: expected the same."
            )
        classes = data["names"]
        images_of = _images_by_split(file, data, others)
        for split, images in images_of.items():
            for image in images:
                labels = label_file(image)
                missing += [] if labels.is_file() else [str(image)]
                boxes, wrong = _read_boxes(labels, len(classes))
                malformed += wrong
                samples.append(Sample(site, split, image.stem, image, boxes=boxes))
        orphans += _labels_without_image([image for images in images_of.values() for image in images])
    findings = [
        finding("missing_labels", "Images without a label file, taken as background", missing),
        finding("malformed_labels", "Malformed label rows", malformed, "Correct them.", fatal=True),
        finding("labels_without_image", "Label files without an image", orphans),
        other_files(others),
    ]
    return Dataset("detection", classes, samples, findings)


def label_file(image: Path) -> Path:
    """Where an image's boxes are: the last folder `images` of its path becomes `labels`; without one, beside it."""
    folders = list(image.parent.parts)
    if "images" in folders:
        folders[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    return Path(*folders, f"{image.stem}.txt")


# ---- data.yaml ----------------------------------------------------------------------------------------------------


def _data_yaml(place: Path) -> Path:
    if place.is_file():
        return place
    files = sorted([*place.glob("*.yaml"), *place.glob("*.yml")])
    chosen = [file for file in files if file.stem == "data"] or files
    if len(chosen) != 1:
        listed = ", ".join(file.name for file in files) or "no YAML file"
        raise UserError(f"{place} has {listed}: expected one data.yaml in Ultralytics' format (train, names).")
    return chosen[0]


def _read_data_yaml(file: Path) -> dict:
    """The data.yaml, its `names` as a list."""
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no readable YAML: {error}") from error
    if not isinstance(data, dict) or not data.get("train") or not data.get("names"):
        raise UserError(f"{file} lacks `train` or `names`: expected both, as in Ultralytics' data.yaml.")
    names = data["names"]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or sorted(names, key=str) != sorted(range(len(names)), key=str):
        raise UserError(f"{file}: `names` must be a list, or number the classes 0, 1, 2, … without a gap, not {names}.")
    return {**data, "names": [str(names[index]) for index in range(len(names))]}


def _images_by_split(file: Path, data: dict, others: list[str]) -> dict[str, list[Path]]:
    """The images of each split that the data.yaml names, sorted; a named split must have some."""
    root = _root(file, data.get("path"))
    images: dict[str, list[Path]] = {}
    for split, names in SPLIT_NAMES.items():
        value = next((data[name] for name in names if data.get(name)), None)
        if value is not None:
            places = value if isinstance(value, list) else [value]
            images[split] = sorted({image for place in places for image in _images_at(file, root, str(place), others)})
            if not images[split]:
                raise UserError(f"{file}: `{split}` has no images (looked in {value}, below {root}).")
    return images


def _root(file: Path, path: str | None) -> Path:
    """What `path` means: absolute, or seen from the data.yaml's folder, from the one above it, or from here."""
    if not path:
        return file.parent
    root = next(
        (place for place in (file.parent / path, file.parent.parent / path, Path(path)) if place.is_dir()), None
    )
    if root is None:
        raise UserError(
            f"{file}: its `path` {path} is no folder. Leave it out where the images lie beside the data.yaml."
        )
    return root


def _images_at(file: Path, root: Path, place: str, others: list[str]) -> list[Path]:
    # Roboflow writes ../train/images for a folder that lies beside the data.yaml; Ultralytics reads it so as well.
    where = next((path for path in (root / place, root / place.removeprefix("../")) if path.exists()), None)
    if where is None:
        raise UserError(f"{file}: no folder or text file {root / place}.")
    return images_below(where, others) if where.is_dir() else _listed_images(where, root, others)


def _listed_images(text_file: Path, root: Path, others: list[str]) -> list[Path]:
    images = []
    for line in filter(None, map(str.strip, text_file.read_text(encoding="utf-8-sig").splitlines())):
        image = next((path for path in (text_file.parent / line, root / line, Path(line)) if path.is_file()), None)
        if image is None:
            raise UserError(f"{text_file} lists an image that is absent: {line}")
        images.append(image)
    others += [str(image) for image in images if not is_image(image)]
    return [image for image in images if is_image(image)]


# ---- labels -------------------------------------------------------------------------------------------------------


def _read_boxes(file: Path, classes: int) -> tuple[np.ndarray, list[str]]:
    """The sound rows of a label file (n, 5), and what is wrong with each of the others."""
    if not file.is_file():
        return NO_BOXES, []
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    wrong = {number: problem for number, words in rows if (problem := _problem(words, classes))}
    sound = [[float(word) for word in words] for number, words in rows if number not in wrong]
    return np.array(sound).reshape(-1, 5), [f"{file}:{number} {problem}" for number, problem in wrong.items()]


def _problem(words: Sequence[str], classes: int) -> str:
    """What is wrong with a row, or an empty string."""
    if len(words) != 5:
        return f"has {len(words)} values instead of 5 (class cx cy w h)"
    try:
        label, *box = map(float, words)
    except ValueError:
        return "is not numeric"
    if label not in range(classes):
        return f"has class {words[0]}, but data.yaml has 0 to {classes - 1}"
    if not all(0 <= value <= 1 for value in box):
        return "leaves the image: a box is given in fractions, from 0 to 1"
    if 0 in box[2:]:
        return "is a box without width or height"
    return ""


def _labels_without_image(images: Sequence[Path]) -> list[str]:
    folders: Mapping[Path, Path] = {label_file(image).parent: image.parent for image in images}
    orphans = []
    for labels, folder in sorted(folders.items()):
        stems = {path.stem for path in folder.iterdir() if is_image(path)} | {"classes"}  # LabelImg's list of classes
        orphans += [str(file) for file in sorted(labels.glob("*.txt")) if file.stem not in stems]
    return orphans
