"""Where in its file a design sets something: the keys that lead there, for the line that a message names."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

from lab.design.expansion import Arm, as_list
from lab.design.levels import Level, identity, label
from lab.design.models import AblationDesign, ComparisonDesign, Design, SweepDesign
from lab.design.overrides import key_of
from lab.errors import Keys


def place_of(
    key: str,
    design: Design,
    seed_keys: list[str],
    arm: str,
    levels: dict[str, Level],
    seed: int,
    groups: Set[str] = frozenset(),
) -> Keys:
    """The keys of the design's file that set a setting in a run; empty where it does not, but for the choice of a file
    in one of the `groups`, which is what sets it then."""
    setters = places(design, seed_keys, arm, levels, seed)
    within = [place for name, place in setters if name not in groups and inside(key, name)]
    return within[-1] if within else ()


def place_of_arm(design: Design, arm: Arm) -> Keys:
    """Where a design has one of its arms, as far as that is one place."""
    if isinstance(design, ComparisonDesign) and design.comparison.variables is None:
        values = design.comparison.values
        return (
            "comparison",
            "values",
            arm.name if isinstance(values, dict) else list(map(label, values or ())).index(arm.name),
        )
    if isinstance(design, AblationDesign):
        gone = [name for name, kept in arm.levels.items() if not kept]
        return ("ablation", "components", gone[0]) if len(gone) == 1 else ("ablation",)
    return {"sweep": ("sweep", "parameters"), "comparison": ("comparison", "variables")}.get(design.kind, ("base",))


def said(place: Keys, key: str) -> str:
    """A place in words: `base.0: training.ema`, `sweep.parameters.lr.1`, whose key needs no second mention."""
    path = ".".join(map(str, place))
    return path if key in (path, *[str(part) for part in place]) else f"{path}: {key}"


def inside(key: str, name: str) -> bool:
    """Whether a key is a setting, or part of it."""
    return key == name or key.startswith(f"{name}.")


def places(
    design: Design, seed_keys: list[str], arm: str, levels: dict[str, Level], seed: int
) -> Iterator[tuple[str, Keys]]:
    """Each setting of a run that its design sets, and where; of one that is set twice, the later counts."""
    yield from ((key_of(text), ("base", index)) for index, text in enumerate(design.base))
    if isinstance(design, AblationDesign):
        block = design.ablation
        yield from ((key_of(text), ("ablation", "baseline", index)) for index, text in enumerate(block.baseline))
        gone = [name for name, kept in levels.items() if not kept]
        yield from (each for name in gone for each in _listed(block.components[name], "ablation", "components", name))
    elif isinstance(design, ComparisonDesign) and isinstance(design.comparison.values, dict):
        yield from _listed(design.comparison.values[arm], "comparison", "values", arm)
    else:
        for factor, level in levels.items():
            yield factor, _place_of(design, factor, level)
    listed = () if design.growth else (design.seeds.index(seed),)
    yield from ((key, ("seeds", *listed)) for key in seed_keys)


def _listed(overrides: str | list[str], *place: str) -> Iterator[tuple[str, Keys]]:
    """One override or several, each with its place."""
    for index, text in enumerate(as_list(overrides)):
        yield key_of(text), (*place, index) if isinstance(overrides, list) else place


def _place_of(design: Design, factor: str, level: Level) -> Keys:
    """Where a factor has a level."""
    place: Keys = design.place(factor)
    listed: Any = None
    if isinstance(design, SweepDesign):
        listed = design.sweep.parameters[factor]
    elif isinstance(design, ComparisonDesign):
        listed = (design.comparison.variables or {}).get(factor) or design.comparison.values
        place = place if design.comparison.variables else ("comparison", "values")
    levels = listed if isinstance(listed, list) else []
    same = [index for index, other in enumerate(levels) if identity(other) == identity(level)]
    return (*place, same[0]) if same else place
