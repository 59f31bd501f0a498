"""Reading the data that the prepare stage wrote: every later stage sees its images through this module alone.

data/prepared/
    manifest.json                           task, classes, sites, counts, what the checks found
    items.csv                               path, site, split, label, group, sha256: one row an image
    <site>/<split>/images/NAME.png          detection; boxes in <site>/<split>/labels/NAME.txt
    <site>/<split>/images/NAME.png          segmentation; outlines in <site>/<split>/labels/NAME.txt
    <site>/<split>/<class>/NAME.png         classification
    <site>/<split>/images/NAME.png          multilabel; class names in <site>/<split>/labels/NAME.txt
data/final/                                 the same of the split `final`, where data.source.fractions has one
"""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .errors import UserError, nearest

SPLITS = ("train", "val", "test")
FINAL, FINAL_ROOT = "final", Path("data/final")
KEY_OF_FINAL = "LAB_FINAL"  # in the environment of what `lab promote` runs, and of nothing else
# What Pillow raises for a damaged file; ImportError where an engine, once imported, tries a plugin for HEIF on it.
UNREADABLE = (OSError, SyntaxError, ValueError, ImportError)
Image.MAX_IMAGE_PIXELS = None  # prepare has a limit of its own, which can be raised, and tells it from damage


@dataclass(frozen=True)
class Item:
    """One prepared image. `label` is its class name (classification), or how many boxes or labels it has.

    `group` is the same for images that are not independent: of one patient, video or object, or near-duplicates.
    """

    path: Path
    site: str
    split: str
    label: str
    group: str = ""


class Prepared:
    """The prepared data below `root`.

    Raises:
        UserError: nothing has been prepared there.
    """

    def __init__(self, root: Path = Path("data/prepared")) -> None:
        manifest = root / "manifest.json"
        if not manifest.is_file():
            raise UserError(f"No prepared data in {root} (it has no manifest.json). Prepare it: dvc repro prepare")
        self.root = root
        self.manifest: dict = json.loads(manifest.read_text(encoding="utf-8"))
        self.task: str = self.manifest["task"]
        self.classes: list[str] = self.manifest["classes"]
        self.sites: list[str] = self.manifest["sites"]

    def items(self, split: str, site: str | Sequence[str]) -> list[Item]:
        """The images of a split, sorted by path.

        Args:
            split: `train`, `val` or `test`.
            site: a site's name, several names, or `all`.

        Raises:
            UserError: an unknown site, or no image in that split.
        """
        wanted = self._chosen_sites(site)
        with (self.root / "items.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split and row["site"] in wanted]
        if not rows:
            raise UserError(f"No images in split '{split}' of site {', '.join(wanted)} in {self.root}.")
        items = [Item(self.root / row["path"], row["site"], row["split"], row["label"], row["group"]) for row in rows]
        return sorted(items, key=lambda item: item.path)

    def _chosen_sites(self, site: str | Sequence[str]) -> list[str]:
        if site == "all":
            return self.sites
        wanted = [site] if isinstance(site, str) else list(site)
        for name in wanted:
            if name not in self.sites:
                known = ", ".join(self.sites)
                raise UserError(f"No site '{name}' in {self.root}; it has: {known}.{nearest(name, self.sites)}")
        return wanted


def measured_on(split: str, site: str | Sequence[str]) -> tuple[Prepared, list[Item]]:
    """The data that a model is measured on, and its images: of the test split, or of the one that is kept for the end.

    Raises:
        UserError: there are none, or `final` is asked for by anything but `lab promote`.
    """
    if split == FINAL and KEY_OF_FINAL not in os.environ:
        raise UserError(
            "split=final: lab promote alone opens these images, once a model has won on those of the test split"
        )
    prepared = Prepared(FINAL_ROOT if split == FINAL else Path("data/prepared"))
    return prepared, prepared.items(split, site)


def read_image(source: Item | Path, brightest: float = 65535, needed: int = 0) -> np.ndarray:
    """The pixels of an image: (height, width, 3) uint8, RGB, turned as its EXIF orientation says.

    `brightest` is the pixel value that is white, in images of more than 8 bits. A JPEG of which `needed` pixels a side
    will do is decoded at a half, a quarter or an eighth of its size, as long as both sides keep so many: a photograph
    of 12 megapixels in a tenth of the time.

    Raises:
        UserError: the file is absent, no image, or cut short.
    """
    path = source.path if isinstance(source, Item) else source
    try:
        with Image.open(path) as image:
            if needed:
                image.draft(None, (needed, needed))
            return to_rgb(image, brightest)
    except UNREADABLE as error:
        raise UserError(f"Cannot read the image {path}: {error}") from error


def to_rgb(image: Image.Image, brightest: float = 65535) -> np.ndarray:
    """An opened image as (height, width, 3) uint8, what is transparent on white.

    Args:
        image: of any of Pillow's modes.
        brightest: the pixel value that is white, in images of more than 8 bits and of floats.
    """
    image = ImageOps.exif_transpose(image)
    if is_deep(image):
        values = np.asarray(image, dtype=np.float64)
        image = Image.fromarray((np.clip(values / brightest, 0, 1) * 255).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), coloured)
    return np.asarray(image.convert("RGB"))


def is_deep(image: Image.Image) -> bool:
    """Whether its pixels are integers of more than 8 bits, or floats."""
    return image.mode.startswith(("I", "F"))
