"""Near-duplicates: the same picture saved, resized, cropped or shifted once more, found by what small grey copies show.

A perceptual hash proposes pairs, as pHash does: the signs of the lowest frequencies of the cosine transform (Zauner
2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"), here above or below what is usual in the
data, so that images of one fixed camera differ as well. The correlation of the two pictures, shifted to where they fit
best, then decides (Lewis 1995, "Fast Normalized Cross-Correlation").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from .dataset import Sample

SIDE = 32  # pixels of a thumbnail, which is stretched to a square
FREQUENCIES = 8  # along each side: 63 bits, without the mean brightness
MOST_BITS = 20  # that the hashes of a pair may differ in; those of unrelated images differ in 32
NEAREST = 50  # hashes that an image is compared with: a bound to the time, far above what a picture has copies
MARGIN = 3  # pixels of a thumbnail that a copy may be shifted by
BLUR = 1.2  # pixels: edges that lie half a pixel apart are the same
LEAST_CORRELATION = 0.95
PRIOR = 20  # flat images that the usual is averaged with, lest it be that of a few images


def thumbnail(image: Image.Image) -> np.ndarray:
    """An opened image as a small grey one: (SIDE, SIDE) uint8."""
    if image.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
        spread = max(float(np.ptp(values)), 1e-6)
        image = Image.fromarray(((values - values.min()) * (255 / spread)).astype(np.uint8))
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def find_alike(samples: Sequence[Sample]) -> list[Sample]:
    """The samples, those that look alike with one digest as `alike`; those without a thumbnail as they are."""
    thumbnails = {sample.digest: sample.thumbnail for sample in samples if sample.thumbnail is not None}
    digests = list(thumbnails)
    groups = similar_groups([picture for picture in thumbnails.values() if picture is not None])
    first = {digest: digests[number] for digest, number in zip(digests, groups, strict=True)}
    return [replace(sample, alike=first.get(sample.digest, ""), thumbnail=None) for sample in samples]


def similar_groups(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """The number of the group that each image is in (n,): an image, its near-duplicates, theirs, and so on.

    Args:
        thumbnails: of images that are not the same file, each (SIDE, SIDE) uint8.
    """
    import cv2

    groups = np.arange(len(thumbnails))
    if len(groups) < 2:
        return groups
    grey = np.stack(thumbnails).astype(np.float32)
    hashes = _hashes(grey)
    grey -= grey.mean((1, 2), keepdims=True)
    grey /= np.maximum(grey.std((1, 2), keepdims=True), 1)  # under any light
    pictures = [cv2.GaussianBlur(picture, (0, 0), BLUR) for picture in grey]
    unusual = [cv2.GaussianBlur(picture, (0, 0), BLUR) for picture in grey - _usual(grey)]
    for index in range(1, len(groups)):
        differing = np.bitwise_count(hashes[:index] ^ hashes[index])
        close = np.flatnonzero(differing <= MOST_BITS)
        for other in close[np.argsort(differing[close], kind="stable")][:NEAREST]:
            if groups[other] != groups[index] and (
                _alike(pictures[index], pictures[other], unusual[index], unusual[other])
                or _alike(pictures[other], pictures[index], unusual[other], unusual[index])
            ):
                groups[groups == groups[index]] = groups[other]
    return groups


def _usual(values: np.ndarray) -> np.ndarray:
    return values.sum(0) / (len(values) + PRIOR)


def _hashes(grey: np.ndarray) -> np.ndarray:
    """One number of 63 bits an image (n,) uint64."""
    import cv2

    low = np.stack([cv2.dct(image)[:FREQUENCIES, :FREQUENCIES].ravel() for image in grey])
    low = low[:, 1:] / np.maximum(np.linalg.norm(low[:, 1:], axis=1, keepdims=True), 1e-6)
    bits = np.pad(low > _usual(low), ((0, 0), (0, 1)))
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def _alike(whole: np.ndarray, part: np.ndarray, whole_unusual: np.ndarray, part_unusual: np.ndarray) -> bool:
    """Whether the middle of `part` is somewhere on `whole`, and what is unusual about both is alike at this very place.

    The second condition tells images of one fixed camera apart, which share all but what passes before it.
    """
    import cv2

    inside = slice(MARGIN, SIDE - MARGIN)
    _, correlation, _, (left, top) = cv2.minMaxLoc(cv2.matchTemplate(whole, part[inside, inside], cv2.TM_CCOEFF_NORMED))
    if correlation < LEAST_CORRELATION:
        return False
    side = SIDE - 2 * MARGIN
    there = np.ascontiguousarray(whole_unusual[top : top + side, left : left + side])
    own = np.ascontiguousarray(part_unusual[inside, inside])
    return bool(cv2.matchTemplate(there, own, cv2.TM_CCOEFF_NORMED)[0, 0] >= LEAST_CORRELATION)
