"""Reading every image once: whether it can be read at all, what tells it from others, and how its pixels are meant.

What isn't plain 8-bit grey or RGB (16 bits, floats, transparency, CMYK) is written anew by prepare, so that every stage
and every library sees the same pixels.
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
from PIL import Image, ImageOps
from rich.progress import track

from ...shared.prepared import UNREADABLE, is_deep
from .dataset import Finding, Sample, finding
from .similar import thumbnail

DEPTHS = (1, 255, 1023, 4095, 16383, 65535)  # the brightest value of floats, and of 8, 10, 12, 14 and 16 bits
OPAQUE = 255


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
    corrupt = [sample.origin for sample, fact in zip(samples, facts, strict=True) if fact.size is None]
    large = [
        f"{sample.origin} ({fact.megapixels:.0f})"
        for sample, fact in zip(samples, facts, strict=True)
        if fact.megapixels
    ]
    converted = [
        f"{sample.origin} ({fact.converted})" for sample, fact in zip(samples, facts, strict=True) if fact.converted
    ]
    odd = [
        f"{sample.origin} ({fact.lowest:g} to {fact.highest:g})"
        for sample, fact in zip(samples, facts, strict=True)
        if fact.lowest < 0 or fact.highest > DEPTHS[-1] or not np.isfinite([fact.lowest, fact.highest]).all()
    ]
    return read, [
        finding("corrupt_images", "Corrupt images", corrupt, "Replace or remove them.", fatal=True),
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
        with Image.open(BytesIO(content)) as image:
            megapixels = image.width * image.height / 1e6
            if megapixels > most_megapixels:
                return _Facts(digest, image.size, megapixels)
            image.load()
            turned = ImageOps.exif_transpose(image) if image.getexif().get(0x0112, 1) > 1 else image
            small = thumbnail(turned) if thumbnails else None
            if is_deep(image):
                values = np.asarray(image, dtype=np.float64)
                lowest, highest = float(values.min()), float(values.max())
                return _Facts(digest, turned.size, 0, f"pixels of mode {image.mode}", lowest, highest, small)
            return _Facts(digest, turned.size, converted=_why_converted(image), thumbnail=small)
    except UNREADABLE:
        return _Facts(digest)


def _why_converted(image: Image.Image) -> str:
    """What keeps an 8-bit image from being copied as it is; empty where nothing does."""
    if image.has_transparency_data:
        lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
        return "" if lowest == OPAQUE else "transparent"
    return "" if image.mode in ("L", "RGB", "P", "1") else f"mode {image.mode}"
