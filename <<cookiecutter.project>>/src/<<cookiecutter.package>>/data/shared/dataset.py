"""What a data source hands to prepare: images with their labels in memory or by path, before anything is written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .archives import shown

LONGEST = 200  # characters of a place in a message
NO_BOXES = np.zeros((0, 5))


@dataclass(frozen=True, eq=False)
class Sample:
    """One image of a source.

    `image` is a file, or the bytes of a PNG file. `label` is the class's name (classification); `boxes` are (n, 5) rows
    of class, cx, cy, w, h as fractions of the image (detection). Other labels have a subclass, below. `group` is the
    patient, video or object that it is of, and `facts` what else a table or its labels say of it, by columns of
    items.csv. Known once the file is read: `digest`, the SHA-256 of its bytes; `size` (width, height); `brightest`, the
    pixel value that is white where the file is to be written anew as 8-bit RGB, 0 where it is copied as it is; and
    `thumbnail`, where near-duplicates are looked for. Then `alike`, the digest of one of its near-duplicates, the same
    for all of them, and `unit`, the name of all that belongs on one side of a split with it.
    """

    site: str
    split: str
    name: str
    image: Path | bytes
    label: str = ""
    boxes: np.ndarray = field(default_factory=lambda: NO_BOXES)
    digest: str = ""
    size: tuple[int, int] | None = None
    brightest: float = 0
    group: str = ""
    thumbnail: np.ndarray | None = None
    alike: str = ""
    unit: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The image file's bytes."""
        return self.image.read_bytes() if isinstance(self.image, Path) else self.image

    @property
    def suffix(self) -> str:
        return self.image.suffix if isinstance(self.image, Path) and not self.brightest else ".png"

    @property
    def origin(self) -> str:
        """Where a message says that the image is."""
        return shown(self.image) if isinstance(self.image, Path) else f"{self.site}/{self.split}/{self.name}"

    @property
    def caption(self) -> str:
        """What stands below the image where it is shown: its labels, unless they are drawn on it."""
        return self.label

    def objects(self, classes: Sequence[str]) -> list[str]:
        """The class names that the image counts for: its own, or one for each box."""
        return [self.label] if self.label else [classes[int(index)] for index in self.boxes[:, 0]]

    def labelled_like(self, other: "Sample") -> bool:
        """Whether another sample of the source has the same labels, in whichever order."""
        return self.label == other.label and sorted(self.boxes.tolist()) == sorted(other.boxes.tolist())


@dataclass(frozen=True, eq=False)
class LabelledSample(Sample):
    """An image with any number of `labels`, the names of different classes."""

    labels: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        return ", ".join(self.labels)

    def objects(self, classes: Sequence[str]) -> list[str]:
        return list(self.labels)

    def labelled_like(self, other: Sample) -> bool:
        return self.labels == other.objects(())


def labelled(sample: Sample, labels: Iterable[str]) -> LabelledSample:
    """The image of a sample that isn't read yet, with any number of labels."""
    place = (sample.site, sample.split, sample.name, sample.image)
    return LabelledSample(*place, group=sample.group, facts=sample.facts, labels=tuple(sorted(set(labels))))


@dataclass(frozen=True, eq=False)
class OutlinedSample(Sample):
    """An image with an outline for each of its boxes: points (m, 2), x and y as fractions of the image."""

    outlines: tuple[np.ndarray, ...] = ()

    def labelled_like(self, other: Sample) -> bool:
        return isinstance(other, OutlinedSample) and self._objects() == other._objects()

    def _objects(self) -> list[tuple[list, list]]:
        return sorted(zip(self.boxes.tolist(), (points.tolist() for points in self.outlines), strict=True))


def outlined(sample: Sample, outlines: Iterable[np.ndarray]) -> OutlinedSample:
    """The image of a sample that isn't read yet, with an outline for each of its boxes."""
    place = (sample.site, sample.split, sample.name, sample.image)
    known: dict[str, Any] = {"boxes": sample.boxes, "group": sample.group, "facts": sample.facts}
    return OutlinedSample(*place, **known, outlines=tuple(outlines))


@dataclass(frozen=True)
class Finding:
    """The result of one check: how many problems of its kind there are, where, and whether they forbid training."""

    check: str
    count: int
    message: str
    fatal: bool = False
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A source's images, and what the source itself found wrong with them."""

    task: str
    classes: list[str]
    samples: list[Sample]
    findings: list[Finding] = field(default_factory=list)

    @property
    def sites(self) -> list[str]:
        return list(dict.fromkeys(sample.site for sample in self.samples))


def finding(check: str, title: str, places: Sequence[str], advice: str = "", fatal: bool = False) -> Finding:
    """A finding that says in one line what, how many, and the first three places, in short."""
    if not places:
        return Finding(check, 0, f"{title}: none")
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    message = f"{title}: {len(places)} ({', '.join(map(in_short, places[:3]))}{more}). {advice}".rstrip()
    return Finding(check, len(places), message, fatal, tuple(places))


def in_short(place: str) -> str:
    """A place of about LONGEST characters: paths, which are its long words, without their middle; the first three."""
    if len(place) <= LONGEST:
        return place
    sign = next((sign for sign in (" ~ ", " = ") if sign in place), "")
    names = place.split(sign) if sign else [place]
    words = sign.join([*names[:3], *(["…"] if len(names) > 3 else [])]).split(" ")
    half = LONGEST // 2 // max(sum(len(word) > LONGEST // 6 for word in words), 1)
    shown = " ".join(_without_middle(word, half) for word in words)
    return shown if len(shown) <= 2 * LONGEST else _without_middle(shown, LONGEST // 2)


def _without_middle(text: str, half: int) -> str:
    return text if len(text) <= 2 * half else f"{text[:half]}…{text[-half:]}"
