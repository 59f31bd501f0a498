"""Checks of the data, each counted.

Errors, after which nothing is written, are what would make training or its scores wrong: corrupt images, malformed
labels, the same image in two splits, a split without images, nothing to learn from. Warnings are what may be meant:
images without a label file (background), label files without an image, classes absent from a split, the same image
twice in one split, files that are no images. Nothing is repaired or left out behind the user's back.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from io import BytesIO

from PIL import Image
from rich.progress import track

from ...shared.errors import UserError
from ...shared.prepared import SPLITS, UNREADABLE
from .dataset import Dataset, Finding, Sample, finding


def read_images(samples: Sequence[Sample]) -> tuple[list[Sample], Finding]:
    """Reads every image once: the samples with their digests, and which images are corrupt."""
    with ThreadPoolExecutor() as pool:  # decoding releases Python's lock
        reading = pool.map(_read, samples)
        facts = list(track(reading, "Reading images", len(samples), transient=True, disable=not sys.stdout.isatty()))
    read = [replace(sample, digest=digest) for sample, (digest, _) in zip(samples, facts, strict=True)]
    corrupt = [sample.origin for sample, (_, sound) in zip(samples, facts, strict=True) if not sound]
    return read, finding("corrupt_images", "Corrupt images", corrupt, "Replace or remove them.", fatal=True)


def _read(sample: Sample) -> tuple[str, bool]:
    """An image file's digest, and whether it can be decoded to its end."""
    content = sample.content
    digest = sha256(content).hexdigest()
    try:
        with Image.open(BytesIO(content)) as image:
            image.load()
    except UNREADABLE:
        return digest, False
    return digest, True


def check(dataset: Dataset) -> list[Finding]:
    """The checks that hold for every source, on samples with digests and splits."""
    return [
        *_duplicates(dataset.samples),
        _empty_splits(dataset.samples),
        _absent_classes(dataset),
        _nothing_to_learn(dataset),
    ]


def refuse(findings: Iterable[Finding], path: str) -> None:
    """Raises one UserError that names every fatal finding, if there is one."""
    fatal = [finding.message for finding in findings if finding.fatal and finding.count]
    if fatal:
        raise UserError("\n  - ".join([f"The data in {path} cannot be used:", *fatal]))


def _duplicates(samples: Sequence[Sample]) -> list[Finding]:
    """Equal images in two splits leak what is tested into training, whatever the site; in one split they only weigh."""
    same: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        same[sample.digest].append(sample)
    across, within = [], []
    for group in same.values():
        splits = {sample.split for sample in group}
        if len(splits) > 1:
            across.append(" = ".join(f"{sample.origin} [{sample.split}]" for sample in group[:3]))
        elif len(group) > 1:
            within.append(" = ".join(sample.origin for sample in group[:3]))
    advice = "Keep each in one split, or give train alone and let prepare cut the others from it."
    return [
        finding("duplicates_across_splits", "Images in more than one split", across, advice, fatal=True),
        finding("duplicates_within_split", "Images more than once in a split", within),
    ]


def _empty_splits(samples: Sequence[Sample]) -> Finding:
    """A site has train, val and test, or test alone where it only serves to test models of other sites."""
    present: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        present[sample.site].add(sample.split)
    trained = any("train" in splits for splits in present.values())
    empty = [
        f"{site}/{split}"
        for site, splits in present.items()
        for split in SPLITS
        if split not in splits and (splits != {"test"} or not trained)
    ]
    advice = "Every site needs images to train, validate and test on, or to test alone."
    return finding("empty_splits", "Splits without images", empty, advice, fatal=True)


def _absent_classes(dataset: Dataset) -> Finding:
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sample in dataset.samples:
        seen[sample.site, sample.split].update(sample.objects(dataset.classes))
    absent = [
        f"'{name}' in {site}/{split}"
        for (site, split), names in seen.items()
        for name in dataset.classes
        if name not in names
    ]
    return finding("absent_classes", "Classes absent from a split", absent)


def _nothing_to_learn(dataset: Dataset) -> Finding:
    """A training split in which no image has a box usually means that the labels lie elsewhere."""
    learnt: dict[str, bool] = {}
    for sample in dataset.samples:
        if sample.split == "train":
            learnt[sample.site] = learnt.get(sample.site, False) or bool(sample.objects(dataset.classes))
    bare = [f"{site}/train" for site, has_objects in learnt.items() if not has_objects]
    advice = "Labels belong in a folder `labels` beside `images`, one NAME.txt for each image."
    return finding("nothing_to_learn", "Training splits without any labelled object", bare, advice, fatal=True)
