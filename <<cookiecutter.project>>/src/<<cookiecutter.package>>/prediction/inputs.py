"""What is to be predicted: files found below paths, read one after the other, videos frame by frame."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from ..data.shared.images import DEPTHS
from ..data.shared.sites import IMAGE_SUFFIXES
from ..shared.errors import UserError
from ..shared.prepared import UNREADABLE, deep_values, is_deep, read_image

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")  # what OpenCV's wheels decode


@dataclass(frozen=True)
class Found:
    """A file, and its name in the results: its path below what was asked for."""

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class Read:
    """An image (H, W, 3) uint8 RGB of a file; `frame` counts a video's from 0, and is None of an image."""

    name: str
    frame: int | None
    pixels: np.ndarray


def find(paths: Iterable[Path]) -> list[Found]:
    """The images and videos that `paths` are or have below them, hidden folders left out; each once.

    Raises:
        UserError: a path is absent, a file of another kind, or a folder without images and videos.
    """
    found: dict[Path, Found] = {}
    wrong = []
    known = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    for path in paths:
        if path.is_dir():
            inside = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in known and file.is_file()]
            files = [file for file in inside if not any(part[0] == "." for part in file.relative_to(path).parts)]
            if not files:
                wrong.append(f"{path} has no image or video in it")
            base = path.parent if path.name else path
        else:
            files, base = [path], path.parent
            if not path.is_file():
                wrong.append(f"{path} does not exist")
            elif path.suffix.lower() not in known:
                wrong.append(f"{path} is of a kind that is not read")
        for file in files:
            found.setdefault(file.resolve(), Found(file, file.relative_to(base).as_posix()))
    if wrong:
        kinds = ", ".join(suffix[1:] for suffix in known)
        raise UserError(f"{'; '.join(wrong)}. Expected {kinds}, or folders of them")
    return list(unambiguous(found.values()))


def unambiguous(found: Iterable[Found]) -> Iterator[Found]:
    """The files; those whose names are another's as well are called by their whole path."""
    files = list(found)
    counts = Counter(file.name for file in files)
    for file in files:
        whole = file.path.resolve().as_posix().lstrip("/")
        yield Found(file.path, whole) if counts[file.name] > 1 else file


def white(files: Iterable[Found], given: float | None) -> tuple[float, str]:
    """The brightest value of the images of more than 8 bits, and a word on it where there are such.

    As prepare takes it: the least of the usual depths that holds all of them, since a camera of 12 bits writes files
    of 16.
    """
    highest, deep = 0.0, 0
    for file in files:
        if file.is_video:
            continue
        try:
            with Image.open(file.path) as image:
                if is_deep(image):
                    deep += 1
                    highest = max(highest, float(deep_values(image).max()))
        except UNREADABLE:
            continue  # is named when it is read
    taken = given or next((depth for depth in DEPTHS if highest <= depth), DEPTHS[-1])
    remark = f"; {deep} of more than 8 bits, {taken:g} is white" + ("" if given else " (--white says another)")
    return taken, remark if deep else ""


def read(files: list[Found], brightest: float, failures: list[str]) -> Iterator[Read]:
    """Every image and frame; what can't be read is added to `failures`."""
    for file in track(files, "Predicting", transient=True, disable=not sys.stdout.isatty()):
        if file.is_video:
            yield from frames(file, failures)
            continue
        try:
            pixels = read_image(file.path, brightest)
        except UserError as error:
            failures.append(str(error))
            continue
        yield Read(file.name, None, pixels)


def frames(file: Found, failures: list[str]) -> Iterator[Read]:
    """A video's frames. OpenCV says nothing of a damaged one but that it ends early."""
    import cv2

    capture = cv2.VideoCapture(str(file.path))
    expected, number = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0
    try:
        while True:
            there, pixels = capture.read()
            if not there:
                break
            yield Read(file.name, number, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
            number += 1
    finally:
        capture.release()
    if not number:
        failures.append(f"Cannot read the video {file.path}: OpenCV finds no frame in it")
    elif number < 0.95 * expected:  # containers count roughly
        failures.append(f"The video {file.path} ends after {number} of {expected} frames")


def batches(images: Iterator[Read], size: int) -> Iterator[list[Read]]:
    """Groups of `size`; the last may be smaller."""
    while group := list(islice(images, size)):
        yield group
