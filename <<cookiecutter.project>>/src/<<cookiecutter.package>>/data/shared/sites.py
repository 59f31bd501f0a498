"""Finding users' own images at each of their sites: what the sources `yolo` and `image_folder` share.

Sites are places below `data.source.path`, so that DVC sees every change of the data through that one path.
"""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from ...shared.errors import UserError, nearest
from .dataset import Finding, finding

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
COMPANIONS = (".txt", ".cache")  # labels, and what Ultralytics leaves beside them
SPLIT_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
ONE_SITE = "main"


def site_paths(source: DictConfig) -> dict[str, Path]:
    """Where each site's data lies: `path` itself for one unnamed site, else places below it (a list or a mapping).

    Raises:
        UserError: a place that is absent.
    """
    path = Path(source.path)
    if not path.exists():
        raise UserError(f"No data at {path}. Put it there, or say where it is: -S data.source.path=FOLDER")
    if not source.sites:
        return {ONE_SITE: path}
    sites: Mapping = source.sites if isinstance(source.sites, Mapping) else {name: name for name in source.sites}
    places = {str(site): path / str(place) for site, place in sites.items()}
    for site, place in places.items():
        if not place.exists():
            similar = nearest(place.name, [child.name for child in place.parent.glob("*")])
            raise UserError(f"No data for site '{site}' at {place}, as data.source.sites has it.{similar}")
    return places


def is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def images_below(folder: Path, others: list[str]) -> list[Path]:
    """The images in a folder and all folders below it, sorted; notes in `others` what is neither image nor label."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    others += [str(path) for path in files if not is_image(path) and path.suffix.lower() not in COMPANIONS]
    return [path for path in files if is_image(path)]


def other_files(others: list[str]) -> Finding:
    return finding("other_files", f"Files left out, being none of {' '.join(IMAGE_SUFFIXES)}", others)
