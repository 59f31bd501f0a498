"""Reading every image once: whether it can be read at all, what tells it from others, and how its pixels are meant.

Prepare writes anew what isn't plain 8-bit grey or RGB (16 bits, floats, transparency, CMYK), what not every library
reads (AVIF, GIF), and what is one of several pictures in a file, so that every stage and library sees the same pixels.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.progress import track

from ...shared.file_kinds import described
from ...shared.prepared import ORIENTATION, UNREADABLE, deep_values, is_deep, to_rgb
from .dataset import Finding, Sample, finding
from .similar import thumbnail

DEPTHS = (1, 255, 1023, 4095, 16383, 65535)  # the brightest value of floats, and of 8, 10, 12, 14 and 16 bits
OPAQUE = 255
COPIED = ("BMP", "JPEG", "MPO", "PNG", "TIFF", "WEBP")  # Pillow's formats that every library reads
GREYED = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "I;16B", "F")  # modes that `thumbnail` takes


@dataclass(frozen=True)
class _Facts:
    """Of one file: its digest, its width and height, and, where its pixels need it, their lowest and highest value."""

    digest: str
    size: tuple[int, int] | None = None  # None: it can't be decoded
    megapixels: float = 0  # of one that is larger than it may be, and not decoded therefore
    converted: str = ""  # why it is written anew
    lowest: float = 0
    highest: float = 0
    thumbnail: np.ndarray | None = None
    unread: str = ""  # what it is, where that is no image that can be read
    cut: str = ""  # what is wrong with one that begins as an image
    pictures: int = 1
    turned: bool = False


def read_images(
    samples: Sequence[Sample], most_megapixels: float, thumbnails: bool
) -> tuple[list[Sample], list[Finding]]:
    """The samples with their digests, the meaning of their pixels and, where wanted, `thumbnails`; what can't be used.

    Images of more than `most_megapixels` are not decoded: a small file can stand for more than the memory holds.
    """
    with ThreadPoolExecutor() as pool:  # decoding releases Python's lock
        reading = pool.map(partial(_read, most_megapixels=most_megapixels, thumbnails=thumbnails), samples)
        facts = list(track(reading, "Reading images", len(samples), transient=True, disable=not sys.stdout.isatty()))
    white = _white(samples, facts)
    read = [
        replace(
            sample,
            digest=fact.digest,
            size=fact.size,
            brightest=white[sample.site] if fact.converted else 0,
            thumbnail=fact.thumbnail,
        )
        for sample, fact in zip(samples, facts, strict=True)
    ]
    both = list(zip(samples, facts, strict=True))
    corrupt = [
        f"{sample.origin}{fact.cut and f' ({fact.cut})'}"
        for sample, fact in both
        if fact.size is None and not fact.unread
    ]
    unread = [f"{sample.origin} ({fact.unread})" for sample, fact in both if fact.unread]
    large = [f"{sample.origin} ({fact.megapixels:.0f})" for sample, fact in both if fact.megapixels]
    converted = [f"{sample.origin} ({fact.converted})" for sample, fact in both if fact.converted]
    several = [f"{sample.origin} ({fact.pictures})" for sample, fact in both if fact.pictures > 1]
    turned = [sample.origin for sample, fact in both if fact.turned and len(sample.boxes)]
    odd = [
        f"{sample.origin} ({fact.lowest:g} to {fact.highest:g})"
        for sample, fact in both
        if fact.lowest < 0 or fact.highest > DEPTHS[-1] or not np.isfinite([fact.lowest, fact.highest]).all()
    ]
    return read, [
        finding("corrupt_images", "Corrupt images", corrupt, "Replace or remove them.", fatal=True),
        finding(
            "unread_images",
            "Files that are called images, and can't be read as one",
            unread,
            "Save them as PNG or JPEG, or remove them.",
            fatal=True,
        ),
        finding(
            "large_images",
            f"Images of more than {most_megapixels:g} megapixels",
            large,
            "Cut them into tiles, or raise the limit where the memory is enough: -S data.source.max_megapixels=500",
            fatal=True,
        ),
        finding(
            "odd_pixels",
            "Images whose pixels are no brightnesses from 0 to 65535",
            odd,
            "Scale them, and save them in 8 or 16 bits.",
            fatal=True,
        ),
        finding("converted_images", "Images written anew as 8-bit RGB", converted),
        finding("several_pictures", "Files of several pictures, of which the first is taken", several),
        finding(
            "turned_images",
            "Images that their EXIF orientation turns, with labels taken as drawn on the turned picture",
            turned,
            "Look at data/samples.png.",
        ),
    ]


def _white(samples: Sequence[Sample], facts: Sequence[_Facts]) -> dict[str, float]:
    """Each site's brightest pixel value: a camera of 12 bits writes files of 16."""
    highest: dict[str, float] = defaultdict(float)
    for sample, fact in zip(samples, facts, strict=True):
        highest[sample.site] = max(highest[sample.site], fact.highest)
    return {site: next((depth for depth in DEPTHS if value <= depth), DEPTHS[-1]) for site, value in highest.items()}


def _read(sample: Sample, most_megapixels: float, thumbnails: bool) -> _Facts:
    content = sample.content
    digest = sha256(content).hexdigest()
    try:
        opened = Image.open(BytesIO(content))
    except (UnidentifiedImageError, ImportError):
        return _Facts(digest, unread=described(content))
    except UNREADABLE:
        return _Facts(digest)
    try:
        with opened as image:
            megapixels = image.width * image.height / 1e6
            if megapixels > most_megapixels:
                return _Facts(digest, image.size, megapixels)
            pictures = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: one, and how it was taken
            converted, values = _why_converted(image), deep_values(image) if is_deep(image) else np.zeros(1)
            image.load()
            turned = image.getexif().get(ORIENTATION, 1) > 1
            upright = ImageOps.exif_transpose(image) if turned else image
            return _Facts(
                digest,
                upright.size,
                converted=converted or (f"the first of {pictures} pictures" if pictures > 1 else ""),
                lowest=float(values.min()),
                highest=float(values.max()),
                thumbnail=_thumbnail(upright, values) if thumbnails else None,
                pictures=pictures,
                turned=turned,
            )
    except UNREADABLE as error:
        return _Facts(digest, cut="cut short" if "truncated" in str(error) else "")


def _thumbnail(upright: Image.Image, values: np.ndarray) -> np.ndarray:
    """Of an image that is loaded; `values` are its own where they have more than 8 bits."""
    if values.ndim == 3:
        return thumbnail(Image.fromarray(values.mean(-1, dtype=np.float32)))
    return thumbnail(upright if upright.mode in GREYED else Image.fromarray(to_rgb(upright)))


def _why_converted(image: Image.Image) -> str:
    """What keeps an image from being copied as it is; empty where nothing does."""
    if is_deep(image):
        return f"pixels of mode {image.mode}" if image.mode[0] in "IF" else "colours of 16 bits"
    if image.format not in COPIED:
        return str(image.format)
    if image.has_transparency_data:
        lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
        return "" if lowest == OPAQUE else "transparent"
    return "" if image.mode in ("L", "RGB", "P", "1") else f"mode {image.mode}"
