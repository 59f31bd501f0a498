"""Finding users' own images at each of their sites: what the sources of users' data share.

Sites are places below `data.source.path`, so that DVC sees every change of the data through that one path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from ...shared.errors import UserError, nearest
from .archives import shown, unpacked
from .dataset import Dataset, Sample
from .groups import Grouping
from .notes import Notes, printable

IMAGE_SUFFIXES = (".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
IMAGE_SUFFIXES += (".heic", ".heif")  # are found, and told that they can't be read
# What lies beside images without being left out: labels and lists, and what training and exporting tools leave.
TEXTS = (".txt", ".csv", ".tsv", ".md", ".names", ".data")
COMPANIONS = (*TEXTS, ".cache", ".yaml", ".yml", ".json", ".jsonl", ".xml", ".dvc")
OTHER_ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
JUNK = ("@eadir", "__macosx", "lost+found", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini")
SPLIT_NAMES = {
    "train": ("train", "training", "trainset"),
    "val": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "testset", "holdout", "hold-out", "hold_out", "evaluation", "eval"),
}
ONE_SITE = "main"
WANTED = "YOLO's are cx cy w h, COCO's x y w h."


@dataclass(frozen=True)
class Part:
    """What one place holds: samples that name no site yet. `listed`: the format names its classes, used or not."""

    classes: list[str]
    samples: list[Sample]
    listed: bool = True


def read_sites(task: str, source: DictConfig, read_place: Callable[[Path, Notes], Part]) -> Dataset:
    """The data of every site, with the classes of the first; where a format doesn't list them, with those of all.

    Raises:
        UserError: a place that is absent, or sites whose classes differ.
    """
    root = data_root(source)
    notes, grouping = Notes(root), Grouping.of(source)
    try:
        parts = {site: read_place(place, notes) for site, place in site_paths(root, source).items()}
    except OSError as error:  # no permission, a path longer than the file system has, a disk that fails
        raise UserError(f"{shown(root)} can't be read: {error}") from error
    first = next(iter(parts.values()))
    classes = first.classes if first.listed else sorted({name for part in parts.values() for name in part.classes})
    samples: list[Sample] = []
    for site, part in parts.items():
        unknown = [name for name in part.classes if name not in classes]
        if unknown or (part.listed and task != "classification" and len(part.classes) != len(classes)):
            wrong = unknown or [name for name in classes if name not in part.classes]
            raise UserError(
                f"Site '{site}' has other classes than the first ({', '.join(wrong)}): expected {', '.join(classes)}."
                f"{nearest(wrong[0], classes)}"
            )
        order = np.array([classes.index(name) for name in part.classes])
        for sample in _once(part.samples, notes):
            boxes = sample.boxes
            if len(boxes):
                boxes = np.column_stack([order[boxes[:, 0].astype(int)], boxes[:, 1:]])
            samples.append(replace(sample, site=site, boxes=boxes, group=grouping.group_of(sample, root)))
    grouping.check(samples, notes)
    if notes.boxes == notes.like_corners and notes.count("clipped") * 3 > notes.boxes:
        notes.refuse("clipped", f"All {notes.boxes} boxes read as if they were corners, x1 y1 x2 y2: {WANTED}")
    return Dataset(task, classes, samples, notes.findings())


def _once(samples: list[Sample], notes: Notes) -> list[Sample]:
    """Each image of a split once: noted where it is listed again, with the same labels or, which is refused, others."""
    first: dict[tuple[str, str], Sample] = {}
    kept = []
    for sample in samples:
        known = first.setdefault((sample.split, sample.origin), sample)
        if known is sample or known.label != sample.label:
            kept.append(sample)  # one image in two classes is for checks.py, as are two files of the same picture
        else:
            notes.add("listed_again" if known.labelled_like(sample) else "listed_otherwise", sample.origin)
    return kept


def data_root(source: DictConfig) -> Path:
    """The folder that `data.source.path` stands for: itself, or what its zip archive holds. Raises UserError."""
    path = Path(source.path)
    if not path.exists():
        raise UserError(f"No data at {path}. Put it there, or say where it is: -S data.source.path=FOLDER")
    root = unpacked(path)
    if root.name.lower().endswith(OTHER_ARCHIVES):
        raise UserError(f"{path} is an archive of a kind that is not read: unpack it, or make a zip archive of it.")
    if root.is_file():
        raise UserError(
            f"{path} is one file of the data: give its folder, -S data.source.path={path.parent}, since DVC sees no "
            "change of the images otherwise."
        )
    return root


def site_paths(root: Path, source: DictConfig) -> dict[str, Path]:
    """Where each site's data lies: `root` itself for one unnamed site, else places below it (a list or a mapping).

    Raises:
        UserError: a place that is absent.
    """
    if not source.sites:
        return {ONE_SITE: root}
    sites: Mapping = source.sites if isinstance(source.sites, Mapping) else {name: name for name in source.sites}
    places = {str(site): root / str(place) for site, place in sites.items()}
    for site, place in places.items():
        if not place.exists():
            similar = nearest(place.name, [child.name for child in place.parent.glob("*")])
            raise UserError(f"No data for site '{site}' at {shown(place)}, as data.source.sites has it.{similar}")
    return places


def is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def split_named(name: str) -> str | None:
    """The split that a folder or file of this name holds, such as `val` for `Validation` and `instances_val2017`."""
    whole = name.lower()
    words = {whole, *"".join(letter if letter.isalpha() else " " for letter in whole).split()}
    return next((split for split, names in SPLIT_NAMES.items() if words & set(names)), None)


def split_above(path: Path, place: Path) -> str | None:
    """The split that a folder between `place` and `path` is called: by its whole name, as `test_rig` is a rig."""
    folders = (folder.lower() for folder in path.relative_to(place).parts[:-1])
    found = (split for folder in folders for split, names in SPLIT_NAMES.items() if folder in names)
    return next(found, None)


# Files and folders, through links


def files_below(folder: Path, notes: Notes, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The files in a folder and all folders below it, sorted, also through links; notes what is left out and why."""
    real = folder.resolve()
    if not real.is_relative_to(notes.root):
        notes.add("links_outside", f"{shown(folder)} -> {real}")
        return
    if real in above or (folder.is_symlink() and folder.parent.resolve().is_relative_to(real)):
        return  # a link to a folder that it lies in
    for path in sorted(folder.iterdir()):
        if printable(path.name) != path.name:
            notes.add("odd_names", shown(path))
        elif _is_junk(path):
            if is_image(path) or path.is_dir():
                notes.add("junk", shown(path))
        elif path.is_dir():
            yield from files_below(path, notes, (*above, real))
        elif path.is_file():
            yield path
        else:
            notes.add("dangling_links", shown(path))


def images_below(folder: Path, notes: Notes) -> list[Path]:
    """The images in a folder and all folders below it, sorted; notes what is neither image nor label."""
    images = []
    for path in files_below(folder, notes):
        if is_image(path):
            images.append(path)
        elif path.suffix.lower() not in COMPANIONS:
            notes.add("other_files", shown(path))
    return images


def folders_in(place: Path, notes: Notes) -> list[Path]:
    """The folders in a place, sorted, without those that programs made."""
    folders = []
    for path in sorted(place.iterdir()):
        if printable(path.name) != path.name:
            notes.add("odd_names", shown(path))
        elif path.is_dir() and _is_junk(path):
            notes.add("junk", shown(path))
        elif path.is_dir():
            folders.append(path)
    return folders


def _is_junk(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in JUNK
