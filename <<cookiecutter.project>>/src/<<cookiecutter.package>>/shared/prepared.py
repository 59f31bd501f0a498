"""Reading the data that the prepare stage wrote: every later stage sees its images through this module alone.

data/prepared/
    manifest.json                           task, classes, sites, counts, what the checks found
    items.csv                               path, site, split, label, group, sha256, own ones: one row an image
    <site>/<split>/images/NAME.png          detection; boxes in <site>/<split>/labels/NAME.txt
    <site>/<split>/images/NAME.png          segmentation; outlines in <site>/<split>/labels/NAME.txt
    <site>/<split>/<class>/NAME.png         classification
    <site>/<split>/images/NAME.png          multilabel; class names in <site>/<split>/labels/NAME.txt
data/final/                                 the same of the split `final`, where data.source.fractions has one
"""

import csv
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from .errors import UserError, nearest

SPLITS = ("train", "val", "test")
FINAL, FINAL_ROOT = "final", Path("data/final")
KEY_OF_FINAL = "LAB_FINAL"  # in the environment of what `lab promote` runs, and of nothing else
# What Pillow raises for a damaged file; ImportError where an engine, once imported, tries a plugin for HEIF on it.
UNREADABLE = (OSError, SyntaxError, ValueError, ImportError)
ORIENTATION = 0x0112  # EXIF's tag: how an image is to be turned
OPAQUE = 65535  # of 16 bits
MOST_SLICES = 30  # values of a column by which there are metrics
Image.MAX_IMAGE_PIXELS = None  # prepare has a limit of its own, which can be raised, and tells it from damage


@dataclass(frozen=True)
class Item:
    """One prepared image. `label` is its class name (classification), or how many boxes or labels it has.

    `group` is the same for images that are not independent: of one patient, video or object, or near-duplicates.
    `columns` has all that items.csv says of it, by its columns.
    """

    path: Path
    site: str
    split: str
    label: str
    group: str = ""
    columns: Mapping[str, str] = field(default_factory=dict, compare=False)


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
        items = [
            Item(self.root / row["path"], row["site"], row["split"], row["label"], row["group"], row) for row in rows
        ]
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


def check_slices(columns: Sequence[str], items: list[Item]) -> None:
    """Raise UserError unless each of the columns of items.csv divides the items into a few slices."""
    known = [name for name in items[0].columns if name not in ("path", "split", "sha256")]
    for column in columns:
        if column not in known:
            raise UserError(
                f"infer.slices: data/prepared/items.csv has no column {column} that divides images; it has "
                f"{', '.join(known)}.{nearest(column, known)}"
            )
        values = len({item.columns[column] for item in items})
        if values > MOST_SLICES:
            raise UserError(
                f"infer.slices: {column} has {values} values in the test split: expected {MOST_SLICES} at most, such "
                "as those of a camera or a time of day"
            )
        if alike := [other for other in columns if other != column and slice_name(other) == slice_name(column)]:
            raise UserError(
                f"infer.slices: metrics call both {column} and {alike[0]} {slice_name(column)}: measure one of them"
            )


def slice_name(column: str) -> str:
    """What metrics call a column: a value follows its name behind a dot, so that it has none itself."""
    return column.replace(".", "_")


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
        image: of any of Pillow's modes; not loaded yet, where its colours have more than 8 bits.
        brightest: the pixel value that is white, in images of more than 8 bits and of floats.
    """
    image = ImageOps.exif_transpose(_in_8_bits(image, brightest) if is_deep(image) else image)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), coloured)
    return np.asarray(image.convert("RGB"))


def is_deep(image: Image.Image) -> bool:
    """Whether the pixels of an opened image are integers of more than 8 bits, or floats; colours only until loaded."""
    return image.mode.startswith(("I", "F")) or _has_deep_colours(image)


def deep_values(image: Image.Image) -> np.ndarray:
    """The pixel values of an image that `is_deep`: (height, width), or (height, width, 3) of red, green and blue.

    Raises:
        OSError: its colours can't be decoded.
    """
    pixels = _deep_pixels(image)
    return pixels[..., :3] if pixels.ndim == 3 else pixels


def _deep_pixels(image: Image.Image) -> np.ndarray:
    """The same with its opacity, where it has one: (height, width, 4).

    Pillow reads colours of 16 bits as 8, their upper ones, in which 12 bits are all but black; OpenCV reads them whole.
    """
    if not _has_deep_colours(image):
        return np.asarray(image)
    import cv2

    assert isinstance(image, ImageFile) and image.fp is not None
    place = image.fp.tell()
    image.fp.seek(0)
    pixels = cv2.imdecode(np.frombuffer(image.fp.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    image.fp.seek(place)
    if pixels is None:
        raise OSError("its colours of 16 bits can't be decoded")
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.ndim == 3 else pixels


def _has_deep_colours(image: Image.Image) -> bool:
    return any(re.search(r"[ABGRX];16[BLN]", str(tile)) for tile in getattr(image, "tile", ()))


def _in_8_bits(image: Image.Image, brightest: float) -> Image.Image:
    """An image that `is_deep`, turned as it was."""
    values = _deep_pixels(image).astype(np.float64)
    white = np.array([brightest, brightest, brightest, OPAQUE])[: values.shape[2]] if values.ndim == 3 else brightest
    scaled = Image.fromarray((np.clip(values / white, 0, 1) * 255).astype(np.uint8))
    turned = Image.Exif()
    turned[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    scaled.info["exif"] = turned.tobytes()
    return scaled
