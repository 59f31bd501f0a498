"""Checks of the data, each counted.

Errors, after which nothing is written, are what would make training or its scores wrong: corrupt images, malformed
labels, the same image or group in two splits, the same image with two labels, a split without images or objects,
nothing to learn from. Warnings are what may be meant: images without a label file (background), label files without an
image, classes absent from a split, the same image twice in one split, near-duplicates, files that are no images.
Nothing is repaired or left out behind the user's back.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from unicodedata import normalize

from ...shared.errors import UserError
from ...shared.prepared import SPLITS
from .dataset import Dataset, Finding, Sample, finding

NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def check(dataset: Dataset, fold: str = "") -> list[Finding]:
    """The checks that hold for every source, on samples with digests and splits; `fold` is the one they are cut by."""
    return [
        *_duplicates(dataset.samples),
        _divided_groups(dataset.samples),
        *_near_duplicates(dataset.samples),
        _several_labels(dataset.samples),
        _single_class(dataset),
        _names_alike(dataset),
        _empty_splits(dataset.samples, fold),
        _absent_classes(dataset),
        *_nothing_to_learn(dataset),
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


def _divided_groups(samples: Sequence[Sample]) -> Finding:
    """What data.source.group keeps together, and the data's own splits don't."""
    first: dict[str, dict[str, Sample]] = defaultdict(dict)
    for sample in samples:
        if sample.group:
            first[sample.group].setdefault(sample.split, sample)
    across = [
        f"{group}: " + " and ".join(f"{sample.origin} [{split}]" for split, sample in by_split.items())
        for group, by_split in first.items()
        if len(by_split) > 1
    ]
    advice = "Keep each in one split, or give train alone and let prepare cut the others from it."
    return finding("groups_across_splits", "Groups in more than one split", across, advice, fatal=True)


def _near_duplicates(samples: Sequence[Sample]) -> list[Finding]:
    """Images that look alike: across splits that the data has itself, and those that were kept on one side."""
    alike: dict[str, dict[str, Sample]] = defaultdict(dict)
    for sample in samples:
        if sample.alike:
            alike[sample.alike].setdefault(sample.digest, sample)
    across, together = [], []
    for images in (list(by_digest.values()) for by_digest in alike.values() if len(by_digest) > 1):
        splits = [sample.split for sample in images]
        if len(set(splits)) == 1:
            together.append(" ~ ".join(sample.origin for sample in images))
        else:
            shown = [images[splits.index(split)] for split in dict.fromkeys(splits)]
            across.append(" ~ ".join(f"{sample.origin} [{sample.split}]" for sample in shown))
    advice = "What is tested may have been learned: keep each in one split, or give train alone."
    return [
        finding("near_duplicates_across_splits", "Near-duplicates in more than one split", across, advice),
        finding("near_duplicates", "Near-duplicates in one split", together),
    ]


def _empty_splits(samples: Sequence[Sample], fold: str) -> Finding:
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
    what, number = "images", len({sample.unit or sample.digest for sample in samples})
    if any(sample.group for sample in samples):
        what = "groups"
    if fold:
        advice = f"data.source.fold={fold} is too fine for {number} {what}: every part of each site needs some. "
        fewer = min(5, number // 3)
        less = 2 <= fewer < int(fold.split()[-1])
        advice += f"Take fewer folds, such as `1 of {fewer}`." if less else f"It takes more {what}."
    else:
        advice = "Every site needs images to train, validate and test on, or to test alone. What is cut from train "
        advice += f"wants three {what} of a class or more, and data.source.fractions above 0"
        advice += f": here are {number} groups in all, each of which stays on one side." if what == "groups" else "."
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


def _several_labels(samples: Sequence[Sample]) -> Finding:
    """The same image in two classes: whatever is learned from one is wrong of the other."""
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    for sample in samples:
        if sample.label:
            labels[sample.digest].setdefault(sample.label, f"{sample.origin} [{sample.label}]")
    twice = [" = ".join(origins.values()) for origins in labels.values() if len(origins) > 1]
    return finding("several_labels", "Images in more than one class", twice, "Keep each in one.", fatal=True)


def _single_class(dataset: Dataset) -> Finding:
    """Classification between one class is none."""
    labels = {sample.label for sample in dataset.samples}
    alone = [f"'{labels.pop()}'"] if len(labels) == 1 and "" not in labels else []
    return finding("single_class", "A single class, nothing to tell it from", alone, fatal=True)


def _names_alike(dataset: Dataset) -> Finding:
    """Classes that a person reads as one, that some file systems make one, or that are the same number."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in dataset.classes:
        read = " ".join(normalize("NFKC", name).casefold().split())
        alike[f"{float(read):g}" if NUMBER.fullmatch(read) else read].append(f"'{name}'")
    pairs = [" ~ ".join(names) for names in alike.values() if len(names) > 1]
    return finding("names_alike", "Classes whose names differ in capitals, spaces or zeros alone", pairs)


def _nothing_to_learn(dataset: Dataset) -> list[Finding]:
    """A split in which no image has a box: training learns nothing, or can't tell which epoch was the best."""
    objects: dict[tuple[str, str], bool] = {}
    for sample in dataset.samples:
        key = sample.site, sample.split
        objects[key] = objects.get(key, False) or bool(sample.objects(dataset.classes))
    bare = [f"{site}/{split}" for (site, split), present in objects.items() if not present]
    where = "Of YOLO's labels, each NAME.txt belongs in a folder `labels` beside `images`."
    return [
        finding(
            "nothing_to_learn",
            "Training splits without any labelled object",
            [split for split in bare if split.endswith("/train")],
            where,
            fatal=True,
        ),
        finding(
            "nothing_to_measure",
            "Splits without any labelled object, on which nothing can be measured",
            [split for split in bare if not split.endswith("/train")],
            "Move labelled images there, or give train alone and let prepare cut the others from it.",
            fatal=True,
        ),
    ]
