"""Source `image_folder`: classification by folders, `[<split>/]<class>/IMAGE`, at one site or several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from unicodedata import normalize

from omegaconf import DictConfig

from ....shared.errors import UserError, nearest
from ...shared.archives import shown
from ...shared.dataset import Dataset, Sample
from ...shared.notes import Notes
from ...shared.sites import SPLIT_NAMES, Part, folders_in, images_below, is_image, read_sites, split_named

ANY_CLASS = ("images", "imgs", "img", "jpegimages")  # folders for images, whatever they show


def read(source: DictConfig) -> Dataset:
    """One folder of images for each class, with or without folders for the splits above them.

    The classes are those of the first site's training images; other splits and sites may lack some of them.

    Raises:
        UserError: no such folder, another structure, or a class that the first site's training images lack.
    """
    return read_sites("classification", source, partial(read_place, grouped=bool(source.get("group"))))


def recognize(place: Path) -> str:
    """What tells that folders in `place` are classes; empty where nothing does."""
    if not place.is_dir():
        return ""
    notes = Notes(place)
    held = [folder.name for folder in folders_in(place, notes) if images_below(folder, notes)]
    return f"the folders {', '.join(held[:3])}{', …' if len(held) > 3 else ''}" if held else ""


def read_place(place: Path, notes: Notes, grouped: bool = False) -> Part:
    """The images of the class folders in `place`; `grouped`: the folders in these are groups. Raises UserError."""
    if not place.is_dir():
        raise UserError(f"{shown(place)} is a file: expected a folder with one folder of images for each class.")
    by_split = {
        split: _class_folders(folders, notes, grouped) for split, folders in _split_folders(place, notes).items()
    }
    classes = sorted(by_split.get("train") or next(iter(by_split.values())))
    samples = []
    for split, folders in by_split.items():
        for name, images in sorted(folders.items()):
            if name not in classes:
                raise UserError(
                    f"Class '{name}' in {shown(images[0].parent)} is none of the classes in the training images: "
                    f"{', '.join(classes)}.{nearest(name, classes)}"
                )
            samples += [Sample("", split, image.stem, image, label=name) for image in images]
    return Part(classes, samples)


def _split_folders(place: Path, notes: Notes) -> dict[str, list[Path]]:
    """The folders of the splits, or the place itself as train where class folders lie at its top. Raises UserError."""
    folders = folders_in(place, notes)
    nested = [folder for folder in folders if any(child.is_dir() for child in folder.iterdir())]
    exact = {folder: split for folder in nested for split, names in SPLIT_NAMES.items() if folder.name.lower() in names}
    likely = {folder: split for folder in nested if (split := split_named(folder.name))}
    chosen = likely if likely and (len(likely) == len(folders) or len(set(likely.values())) > 1) else exact
    if not chosen:
        return {"train": [place]}
    strange = [folder for folder in folders if folder not in chosen and images_below(folder, Notes(notes.root))]
    if strange:
        raise UserError(
            f"{shown(place)} holds split folders ({_names(chosen)}) and others beside them ({_names(strange)}): "
            "expected class folders inside train, val and test, or class folders alone."
        )
    for folder in folders:
        if folder not in chosen:
            notes.add("empty_folders", shown(folder))
    return {
        split: [_innermost(folder, notes) for folder in chosen if chosen[folder] == split]
        for split in SPLIT_NAMES
        if split in chosen.values()
    }


def _innermost(split: Path, notes: Notes) -> Path:
    """Where a split's class folders lie: some archives have the split's folder once more in itself."""
    inside = folders_in(split, notes)
    if [folder.name for folder in inside] != [split.name] or any(is_image(path) for path in split.iterdir()):
        return split
    return inside[0] if folders_in(inside[0], notes) else split


def _names(folders: Iterable[Path]) -> str:
    return ", ".join(folder.name for folder in folders)


def _class_folders(places: list[Path], notes: Notes, grouped: bool) -> dict[str, list[Path]]:
    """The images of each class. Raises UserError where the folders seem to be something else."""
    folders = [folder for place in places for folder in folders_in(place, notes)]
    if not folders:
        raise UserError(f"{shown(places[0])} has no class folders: expected {shown(places[0])}/CLASS/IMAGE.png.")
    _refuse_other_structures(places[0], folders, _group_pattern(folders[0], notes), grouped)
    for place in places:
        for path in sorted(place.iterdir()):
            if path.is_file() and is_image(path) and not path.name.startswith("."):
                notes.add("stray_images", shown(path))
    classes: dict[str, list[Path]] = {}
    for folder in folders:
        images = images_below(folder, notes)
        if not grouped:
            _note_nested(folder, images, notes)
        if images:
            classes.setdefault(normalize("NFC", folder.name), []).extend(images)
        else:
            notes.add("empty_folders", shown(folder))
    if anything := [name for name in classes if name.lower() in ANY_CLASS]:
        raise UserError(
            f"{shown(places[0])} has the folder{'s' * (len(classes) > 1)} {', '.join(list(classes)[:5])}, and "
            f"{anything[0]} is no class: expected a folder of images for each class, called by its name. Boxes and "
            "outlines are read from the files of yolo, coco, voc and cvat, not from pictures of masks."
        )
    return classes


def _group_pattern(folder: Path, notes: Notes) -> str:
    """The option that makes a group of each folder inside a class folder."""
    above = "[^/]+/" * len(folder.relative_to(notes.given).parts)
    return f"-S \"data.source.group='^{above}([^/]+)/'\""


def _note_nested(folder: Path, images: list[Path], notes: Notes) -> None:
    """Notes the folders inside a class folder, with what to do."""
    advice = f"If each is a patient, video or site, keep it on one side: {_group_pattern(folder, notes)}"
    inside = Counter(image.relative_to(folder).parts[0] for image in images if image.parent != folder)
    for name, number in sorted(inside.items()):
        notes.add("nested_folders", f"{shown(folder / name)} ({number} image{'s' * (number != 1)})", advice)


def _refuse_other_structures(place: Path, folders: list[Path], group: str, grouped: bool) -> None:
    """Raises UserError where the folders are sites or splits, or where the classes lie one folder deeper."""
    below = {folder: {child.name for child in folder.iterdir() if child.is_dir()} for folder in folders}
    names = ",".join(folder.name for folder in folders)
    split_names = {name for named in SPLIT_NAMES.values() for name in named}
    if any(child.lower() in split_names for children in below.values() for child in children):
        raise UserError(
            f"{shown(place)} has split folders one level down. Are these sites? -S 'data.source.sites=[{names}]'"
        )
    bare = not any(is_image(path) for folder in folders for path in folder.iterdir() if path.is_file())
    if not bare or not all(below.values()):
        return
    if len(folders) == 1:
        raise UserError(
            f"{shown(place)} has one folder alone, {folders[0].name}, with {', '.join(sorted(below[folders[0]])[:3])} "
            "in it: a single class can't be learned. Is it the folder of the classes? "
            f"-S data.source.path={shown(folders[0])}"
        )
    shared = set.intersection(*below.values())
    if len(shared) > 1 and not grouped:
        raise UserError(
            f"The folders {names} in {shown(place)} all hold {', '.join(sorted(shared)[:3])}, and no image themselves. "
            f"Are these sites? -S 'data.source.sites=[{names}]'. Or classes of patients, videos or the like? "
            f"{group}"
        )
