"""Dividing images into train, val and test."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from ...shared.errors import UserError
from .dataset import Sample


def assign(digests: Sequence[str], strata: Sequence[str], fractions: Mapping[str, float], seed: int) -> list[str]:
    """A split for each digest: `fractions` of every stratum (a class, say), and the rest of it is `train`.

    Of a stratum with images enough for it, each split gets one at least.

    The order in which images are drawn is a hash of the seed and of what they show. So equal images stay together,
    neither file names nor the file system's order matter, and images added later move few of the others.

    Raises:
        UserError: the fractions leave nothing to train on.
    """
    if min(fractions.values(), default=0) < 0 or sum(fractions.values()) >= 1:
        shown = ", ".join(f"{split}: {fraction}" for split, fraction in fractions.items())
        raise UserError(f"data.source.fractions must be positive and leave something for train, not {shown}.")
    groups: dict[str, list[str]] = {}
    for digest, stratum in dict(zip(digests, strata, strict=True)).items():
        groups.setdefault(stratum, []).append(digest)

    split_of: dict[str, str] = {}
    for group in groups.values():
        drawn = iter(sorted(group, key=lambda digest: sha256(f"{seed} {digest}".encode()).digest()))
        for split, fraction in fractions.items():
            least = 1 if fraction > 0 and len(group) > len(fractions) else 0
            split_of.update((next(drawn), split) for _ in range(max(least, round(fraction * len(group)))))
        split_of.update((digest, "train") for digest in drawn)
    return [split_of[digest] for digest in digests]


def cut_missing(samples: list[Sample], fractions: Mapping[str, float], seed: int) -> list[Sample]:
    """Cuts the splits that a site lacks, val or test, out of its train split, class by class where images have one."""
    result = []
    for site in dict.fromkeys(sample.site for sample in samples):
        mine = [sample for sample in samples if sample.site == site]
        present = {sample.split for sample in mine}
        missing = {split: fractions[split] for split in ("val", "test") if split not in present}
        train = [sample for sample in mine if sample.split == "train"]
        splits = assign([sample.digest for sample in train], [sample.label for sample in train], missing, seed)
        result += [replace(sample, split=split) for sample, split in zip(train, splits, strict=True)]
        result += [sample for sample in mine if sample.split != "train"]
    return result
