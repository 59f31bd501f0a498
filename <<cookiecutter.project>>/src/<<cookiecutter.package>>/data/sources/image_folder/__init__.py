"""Source `image_folder`: classification by folders, `[<split>/]<class>/IMAGE`, at one site or several."""

from pathlib import Path

from omegaconf import DictConfig

from ....shared.errors import UserError, nearest
from ...shared.dataset import Dataset, Sample
from ...shared.sites import SPLIT_NAMES, images_below, other_files, site_paths


def read(source: DictConfig) -> Dataset:
    """One folder of images for each class, with or without folders train, val and test above them.

    The classes are those of the first site's training images; other splits and sites may lack some of them.

    Raises:
        UserError: no such folder, another structure, or a class that the first site's training images lack.
    """
    class_folders: dict[tuple[str, str], dict[str, Path]] = {
        (site, split): _class_folders(folder)
        for site, place in site_paths(source).items()
        for split, folder in _split_folders(place).items()
    }
    classes = list(next(iter(class_folders.values())))
    samples: list[Sample] = []
    others: list[str] = []
    for (site, split), folders in class_folders.items():
        for name, folder in folders.items():
            if name not in classes:
                raise UserError(
                    f"Class '{name}' in {folder.parent} is none of the classes in the first site's training images: "
                    f"{', '.join(classes)}.{nearest(name, classes)}"
                )
            samples += [Sample(site, split, image.stem, image, label=name) for image in images_below(folder, others)]
    return Dataset("classification", classes, samples, [other_files(others)])


def _split_folders(place: Path) -> dict[str, Path]:
    """The folders of the splits, or all of the place as train where class folders lie at its top."""
    if not place.is_dir():
        raise UserError(f"{place} is a file: expected a folder with one folder of images for each class.")
    split_folders = {
        split: place / name for split, names in SPLIT_NAMES.items() for name in names if (place / name).is_dir()
    }
    strange = [folder.name for folder in _folders(place) if folder not in split_folders.values()]
    if split_folders and strange:
        raise UserError(
            f"{place} holds split folders ({', '.join(folder.name for folder in split_folders.values())}) and others "
            f"beside them ({', '.join(strange)}): expected class folders inside train, val and test, or class folders "
            "alone."
        )
    return split_folders or {"train": place}


def _class_folders(folder: Path) -> dict[str, Path]:
    classes = {child.name: child for child in _folders(folder)}
    if not classes:
        raise UserError(f"{folder} has no class folders: expected {folder}/CLASS/IMAGE.png.")
    if any(child.name in SPLIT_NAMES for class_folder in classes.values() for child in _folders(class_folder)):
        sites = ",".join(classes)
        raise UserError(f"{folder} has split folders one level down. Are these sites? -S 'data.source.sites=[{sites}]'")
    return classes


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
