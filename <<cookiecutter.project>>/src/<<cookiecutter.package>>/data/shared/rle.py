"""COCO's masks in run lengths, as outlines: column by column so many pixels outside, so many inside, and so on.

A list of numbers, or a text of them in characters, the format of pycocotools
(https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c, rleFrString).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

FINE = 4  # parts of a pixel's side: an outline lies half a part inside the pixels' edges
ASIDE = 0.0137  # pixels: no straight line from ring to ring goes through a pixel's centre then
MOST = 7  # characters of a number: far more than an image has pixels


def outlines(segmentation: Mapping[str, Any], size: tuple[float, float]) -> list[list[float]]:
    """The rings x1, y1, x2, y2, … in pixels around the parts of a mask and around its holes.

    Raises:
        ValueError: it is empty, or no mask of an image of `size` (width, height).
    """
    import cv2

    whole = mask(segmentation, size)
    if not whole.any():
        raise ValueError("is a mask without a pixel")
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    top, left = rows[0], columns[0]
    fine = np.kron(whole[top : rows[-1] + 1, left : columns[-1] + 1], np.ones((FINE, FINE), np.uint8))
    contours, _ = cv2.findContours(np.pad(fine, 1), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [((contour[:, 0] - 0.5) / FINE + [left, top + ASIDE]).ravel().tolist() for contour in contours]


def mask(segmentation: Mapping[str, Any], size: tuple[float, float]) -> np.ndarray:
    """Its pixels (height, width) uint8. Raises ValueError."""
    width, height = size
    stated, counts = segmentation.get("size"), segmentation.get("counts")
    if stated != [height, width]:
        raise ValueError(f"is a mask of the size {stated!r:.40}, for an image of [{height:g}, {width:g}]")
    lengths = decoded(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or any(type(length) is not int or length < 0 for length in lengths):
        raise ValueError("is a mask whose counts are neither numbers from 0 nor a text of them")
    if sum(lengths) != width * height:
        raise ValueError(f"is a mask of {sum(lengths)} pixels, for an image of {width * height:g}")
    values = np.arange(len(lengths)) % 2
    return np.repeat(values, lengths).astype(np.uint8).reshape(int(width), int(height)).T


def decoded(text: str) -> list[int]:
    """The numbers in characters of 6 bits: the sixth says that more follow, from the third each is a difference."""
    lengths: list[int] = []
    value = place = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or place > MOST:
            raise ValueError(f"is a mask with {character!r} in its counts")
        value += (bits & 31) * 32**place
        place += 1
        if bits & 32:
            continue
        if bits & 16:
            value -= 32**place
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = place = 0
    if place:
        raise ValueError("is a mask whose counts are cut short")
    return lengths
