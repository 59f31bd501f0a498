"""Dividing images into train, val and test, so that nothing that belongs together is on two sides."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from omegaconf import DictConfig

from ...shared.errors import UserError
from ...shared.prepared import FINAL
from .dataset import Sample

CUT = ("val", "test")
OWN_SEED = -1  # of the split that is kept for the end: no data.source.split_seed, so that none brings it to light


def assign(
    keys: Sequence[str],
    strata: Sequence[Collection[str]],
    fractions: Mapping[str, float],
    seed: int,
    allowed: Mapping[str, Collection[str]] | None = None,
) -> list[str]:
    """A split for each image: `fractions` of every stratum (a class, say), and the rest of it is `train`.

    Images of one key stay together. Of a stratum with keys enough for it, each split gets one at least. Strata are
    served from the rarest on, as images may be in several (Sechidis, Tsoumakas and Vlahavas 2011, "On the
    Stratification of Multi-Label Data"); a key that would miss a fraction by more than its absence does is left out.

    The order in which keys are drawn is a hash of them and of the seed. So neither file names nor the file system's
    order matter, and images added later move few of the others.

    Args:
        keys: what each image belongs to.
        strata: those that each image counts for.
        fractions: the share of each split but train.
        seed: of the draw.
        allowed: the splits that a key may be in, where these are not all; without train, the first of them it is.

    Raises:
        UserError: the fractions leave nothing to train on.
    """
    _check(fractions)
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for key, names in zip(keys, strata, strict=True):
        held[key].update(names)
    possible = {key: (allowed or {}).get(key, ("train", *fractions)) for key in held}
    split_of = {key: next(iter(splits)) for key, splits in possible.items() if "train" not in splits}
    order = sorted(held, key=lambda key: sha256(f"{seed} {key}".encode()).digest())
    members: dict[str, list[str]] = defaultdict(list)
    for key in order:
        for stratum in held[key]:
            members[stratum].append(key)
    size = {stratum: sum(held[key][stratum] for key in among) for stratum, among in members.items()}

    for stratum in sorted(members, key=lambda stratum: (size[stratum], stratum)):
        for split, fraction in fractions.items():
            among = [key for key in members[stratum] if split in possible[key]]
            least = 1 if fraction > 0 and len(among) > len(fractions) else 0
            wanted = max(least, round(fraction * sum(held[key][stratum] for key in among)))
            wanted -= sum(held[key][stratum] for key in among if split_of.get(key) == split)
            free = [key for key in among if key not in split_of]
            if least and free and not any(split_of.get(key) == split for key in among):
                smallest = min(held[key][stratum] for key in free)
                if smallest >= 2 * wanted:  # all of them are too large: then the one that is least so
                    split_of[next(key for key in free if held[key][stratum] == smallest)] = split
                    continue
            for key in free:
                if held[key][stratum] < 2 * wanted:
                    split_of[key] = split
                    wanted -= held[key][stratum]
        split_of.update((key, "train") for key in members[stratum] if key not in split_of)
    return [split_of.get(key, "train") for key in keys]


def _check(fractions: Mapping[str, float]) -> None:
    """Raises UserError where fractions leave nothing to train on."""
    if min(fractions.values(), default=0) < 0 or sum(fractions.values()) >= 1:
        shown = ", ".join(f"{split}: {fraction}" for split, fraction in fractions.items())
        raise UserError(f"data.source.fractions must be positive and leave something for train, not {shown}.")


def kept(keys: Sequence[str], strata: Sequence[Collection[str]], source: DictConfig) -> list[bool]:
    """Whether each image is kept for the end, in the split `final`: `fractions.final` of every stratum.

    It is drawn before all others and in one way, so that neither another split_seed nor a fold has them trained or
    tested on. Raises UserError where the fractions leave nothing to train on.
    """
    fraction = source.fractions.get(FINAL, 0)
    _check(source.fractions)
    drawn = assign(keys, strata, {FINAL: fraction} if fraction else {}, OWN_SEED)
    return [split == FINAL for split in drawn]


def shares(source: DictConfig, splits: Collection[str] = CUT) -> dict[str, float]:
    """The fractions of splits among the images that are not kept for the end."""
    rest = 1 - source.fractions.get(FINAL, 0)
    return {split: source.fractions[split] / rest for split in CUT if split in splits}


def drawn(keys: Sequence[str], strata: Sequence[Collection[str]], source: DictConfig) -> list[str]:
    """The splits of images that have none, with the one that is kept for the end. Raises UserError."""
    final = kept(keys, strata, source)
    rest = [index for index, is_final in enumerate(final) if not is_final]
    found = assign([keys[i] for i in rest], [strata[i] for i in rest], shares(source), source.split_seed)
    splits = [FINAL] * len(keys)
    for index, split in zip(rest, found, strict=True):
        splits[index] = split
    return splits


def folds(keys: Sequence[str], strata: Sequence[Collection[str]], source: DictConfig) -> list[str]:
    """The splits of cross-validation: the k-th of n equal parts is `test`, and `fractions.val` of the others `val`.

    Over the n folds each image is tested once. Raises UserError where data.source.fold is no `k of n`.
    """
    found = re.fullmatch(r"\s*(\d+)\s+of\s+(\d+)\s*", str(source.fold))
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count or not 2 <= count <= len(set(keys)):
        raise UserError(
            f"data.source.fold={source.fold} should be `k of n`, such as `1 of 5`, with n from 2 to {len(set(keys))}: "
            "as many images, or groups of them, there are to divide"
        )
    splits = [""] * len(keys)

    def draw(split: str, fraction: float) -> None:
        """Gives `split` to a fraction of what has none yet."""
        rest = [index for index, given in enumerate(splits) if not given]
        shares = {split: fraction} if fraction < 1 else {}
        drawn = assign([keys[i] for i in rest], [strata[i] for i in rest], shares, source.split_seed)
        for index, given in zip(rest, drawn, strict=True):
            splits[index] = split if given == split or not shares else ""

    for part in range(1, count + 1):
        draw(str(part), 1 / (count - part + 1))
    splits = ["test" if part == str(number) else "" for part in splits]
    draw("val", source.fractions.val)
    return [split or "train" for split in splits]


def divide(samples: Sequence[Sample], classes: Sequence[str], source: DictConfig) -> list[Sample]:
    """Gives each image its split, and the unit that it belongs to, all of which is on one side where that is ours.

    Cuts the splits that a site lacks, val or test, out of its train split, class by class; with data.source.fold, all
    images of the sites that train are divided anew. Equal images, those of one group, and near-duplicates stay
    together, whatever their sites; but for near-duplicates no split stays empty. What data.source.fractions.final keeps
    for the end comes out of the train splits first. Raises UserError.
    """
    samples = _with_final(samples, classes, source)
    present: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        present[sample.site].add(sample.split)
    missing = {
        site: [split for split in CUT if source.get("fold") or split not in splits] if "train" in splits else []
        for site, splits in present.items()
    }
    units = _units(samples)
    splits = _drawn(samples, classes, source, units, missing)
    found = {(sample.site, split) for sample, split in zip(samples, splits, strict=True)}
    if any((site, split) not in found for site, cut in missing.items() for split in (*cut, "train") if cut):
        units = _units([replace(sample, alike="") for sample in samples])
        splits = _drawn(samples, classes, source, units, missing)
    divided = [
        replace(sample, split=split, unit=unit) for sample, split, unit in zip(samples, splits, units, strict=True)
    ]
    return [sample for site in present for sample in divided if sample.site == site]


def _with_final(samples: Sequence[Sample], classes: Sequence[str], source: DictConfig) -> list[Sample]:
    """The samples, those that are kept for the end with this split: no unit of which is in another split."""
    if any(sample.split == FINAL for sample in samples) or not source.fractions.get(FINAL, 0):
        return [*samples]
    units = _units(samples)
    outside = {unit for sample, unit in zip(samples, units, strict=True) if sample.split != "train"}
    movable = [index for index, unit in enumerate(units) if unit not in outside]
    strata = [_strata(samples[index], classes) for index in movable]
    final = kept([units[index] for index in movable], strata, source)
    chosen = {index for index, is_final in zip(movable, final, strict=True) if is_final}
    return [replace(each, split=FINAL) if index in chosen else each for index, each in enumerate(samples)]


def _strata(sample: Sample, classes: Sequence[str]) -> list[str]:
    """What an image counts for in its site: its classes, or that it has none."""
    return [f"{sample.site}/{name}" for name in sorted(set(sample.objects(classes))) or [""]]


def _drawn(
    samples: Sequence[Sample],
    classes: Sequence[str],
    source: DictConfig,
    units: Sequence[str],
    missing: Mapping[str, Sequence[str]],
) -> list[str]:
    """The split of each image: its own, or one of those that its site is `missing`, drawn by units."""
    splits = [sample.split for sample in samples]
    movable: list[int] = []
    allowed: dict[str, list[str]] = {}
    for index, (sample, unit) in enumerate(zip(samples, units, strict=True)):
        moves = missing[sample.site] and (sample.split == "train" or (source.get("fold") and sample.split != FINAL))
        possible = ["train", *missing[sample.site]] if moves else [sample.split]
        allowed[unit] = [split for split in allowed.get(unit, possible) if split in possible]
        movable += [index] if moves else []
    # Where the data itself has a unit on two sides, it can't be kept together: the checks tell.
    allowed = {unit: possible or ["train"] for unit, possible in allowed.items()}
    if source.get("fold"):
        for index in movable:
            splits[index] = allowed[units[index]][-1]  # test, where a site has nothing else
        movable = [index for index in movable if "train" in allowed[units[index]]]
    keys = [units[index] for index in movable]
    strata = [_strata(samples[index], classes) for index in movable]
    if source.get("fold"):
        found = folds(keys, strata, source)
    else:
        fractions = shares(source, {split for cut in missing.values() for split in cut})
        found = assign(keys, strata, fractions, source.split_seed, allowed)
    for index, split in zip(movable, found, strict=True):
        splits[index] = split
    return splits


def _units(samples: Sequence[Sample]) -> list[str]:
    """What each image belongs to: a group's name, or where there is none, the digest of an image.

    Equal files, near-duplicates and one group are a unit, and so is all that these connect.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    for sample in samples:
        for node in (sample.alike, f"group {sample.group}" if sample.group else ""):
            if node:
                parent[root(node)] = root(sample.digest)
    names: dict[str, tuple[bool, str]] = {}
    for sample in samples:
        name = (not sample.group, sample.group or sample.digest)
        names[root(sample.digest)] = min(names.get(root(sample.digest), name), name)
    return [names[root(sample.digest)][1] for sample in samples]
